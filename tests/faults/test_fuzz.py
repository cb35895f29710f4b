"""Properties of borders that had none: forms that are sent, WAVs that are mended, JSON behind the comments of a stream.

`make fuzz` runs these and all other properties for as long as it is told.
"""

import email
import io
import json
import wave
from contextlib import suppress
from email.message import Message

import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.errors import ContractError
from pipeline.core.wav import wrap_pcm
from pipeline.media.containers import examine
from pipeline.routes._body import FilePart, MultipartBody, opened
from pipeline.routes._json import read_json
from pipeline.routes._open_wav import OPEN_SIZE, close_sizes

ANY_TEXT = st.text(st.characters(codec="utf-8"), max_size=30)
OPEN = st.sampled_from([0, OPEN_SIZE, 0x7FFF_FFFF, 0xFFFF_FFFF])


async def _sent(body: MultipartBody) -> bytes:
    async with opened(body, trio.to_thread.run_sync) as upload:
        return b"".join([part async for part in upload])


@settings(max_examples=100)
@given(
    fields=st.lists(st.tuples(ANY_TEXT, ANY_TEXT), max_size=4),
    files=st.lists(st.tuples(ANY_TEXT, ANY_TEXT, ANY_TEXT, st.binary(max_size=200)), max_size=3),
)
def test_invariant_28_a_form_of_anything_is_read_back_with_its_parts_and_no_other(
    fields: list[tuple[str, str]], files: list[tuple[str, str, str, bytes]]
) -> None:
    parts = tuple(FilePart(name=n, media_type=m, extension=e, content=content) for n, m, e, content in files)
    body = MultipartBody(fields=tuple(fields), files=parts)
    whole = trio.run(_sent, body)
    found = _parts(body.content_type, whole)
    assert [part.get_payload(decode=True) for part in found[len(fields) :]] == [content for *_, content in files]
    assert [part.get_payload(decode=True) for part in found[: len(fields)]] == [text.encode() for _, text in fields]
    assert {name.lower() for part in found for name in part} <= {"content-disposition", "content-type"}


def _parts(content_type: str, whole: bytes) -> list[Message]:
    """As an independent reader cuts them; its own idea of a text's line ends is left out."""
    mark = b"--" + content_type.partition("boundary=")[2].strip('"').encode()
    pieces = whole.split(mark)[1:-1]
    found = []
    for piece in pieces:
        head, _, content = piece.removeprefix(b"\r\n").removesuffix(b"\r\n").partition(b"\r\n\r\n")
        part = email.message_from_bytes(head + b"\r\n\r\n")
        part.set_payload(content.decode("latin-1"))
        found.append(part)
    return found


@settings(max_examples=200)
@given(
    samples=st.binary(min_size=2, max_size=400),
    channels=st.integers(1, 4),
    data=st.none() | OPEN,
    riff=st.none() | OPEN,
)
def test_a_wav_whose_sizes_were_left_open_is_whole_once_they_are_closed(
    samples: bytes, channels: int, data: int | None, riff: int | None
) -> None:
    frame = 2 * channels
    pcm = (samples * frame)[: max(1, len(samples) // frame) * frame]
    body = bytearray(wrap_pcm(pcm, rate=16_000, channels=channels))
    for at, size in ((40, data), (4, riff)):
        if size is not None:
            body[at : at + 4] = size.to_bytes(4, "little")
    file = io.BytesIO(bytes(body))
    assert close_sizes(file, len(body)) == (data is not None or riff is not None)
    mended = file.getvalue()
    assert examine(io.BytesIO(mended), len(mended)).ok
    with wave.open(io.BytesIO(mended)) as reader:
        assert reader.readframes(reader.getnframes()) == pcm


@settings(max_examples=300)
@given(head=st.sampled_from([b"", b"RIFF\0\0\0\0WAVE", b"RIFF\xff\xff\xff\xffWAVE"]), rest=st.binary(max_size=200))
def test_closing_the_sizes_of_anything_changes_no_more_than_sizes_and_is_done_once(head: bytes, rest: bytes) -> None:
    body = head + rest
    file = io.BytesIO(body)
    is_mended = close_sizes(file, len(body))
    after = file.getvalue()
    assert is_mended or after == body
    assert len(after) <= len(body)
    assert sum(old != new for old, new in zip(body, after, strict=False)) <= 8
    close_sizes(again := io.BytesIO(after), len(after))
    assert again.getvalue() == after


@settings(max_examples=200)
@given(
    comments=st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=20)),
    value=st.dictionaries(
        st.text(max_size=5),
        st.integers() | st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=10),
        max_size=4,
    ),
    end=st.sampled_from(["\n", "\r\n", "\n\n"]),
)
def test_comments_of_a_stream_before_json_change_nothing(
    comments: list[str], value: dict[str, int | str], end: str
) -> None:
    body = "".join(f": {comment}{end}" for comment in comments) + json.dumps(value)
    assert read_json(body.encode()) == value


@settings(max_examples=200)
@given(
    pieces=st.lists(st.sampled_from([b": keep-alive\n\n", b"\n", b"data: ", b"{", b"}", b'"a":1', b"[", b"]", b"\xff"]))
)
def test_a_stream_of_odd_pieces_is_json_or_a_contract_error(pieces: list[bytes]) -> None:
    with suppress(ContractError):
        read_json(b"".join(pieces))
