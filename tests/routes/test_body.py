"""Bodies: their length is right before they are read, their bytes are right whatever the file, and names stay here."""

import base64
import email
import errno
import json
import os
import threading
from pathlib import Path

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.errors import InputChanging, InputError
from pipeline.routes._body import (
    STRETCH_BYTES,
    Base64File,
    Body,
    FilePart,
    JsonBody,
    JsonTree,
    MultipartBody,
    body_length,
    opened,
)

pytestmark = pytest.mark.real_time


async def sent(body: Body) -> tuple[bytes, list[int]]:
    parts: list[bytes] = []
    async with opened(body, trio.to_thread.run_sync) as upload:
        declared = upload.length
        async for part in upload:
            assert upload.is_whole == (sum(map(len, parts)) + len(part) == declared)
            parts.append(part)
    whole = b"".join(parts)
    assert len(whole) == declared == body_length(body)
    return whole, [len(part) for part in parts]


def kept(folder: Path, content: bytes, name: str = "in.wav") -> str:
    (folder / name).write_bytes(content)
    return str(folder / name)


@pytest.mark.parametrize("size", [0, 1, 2, 3, STRETCH_BYTES - 1, STRETCH_BYTES, STRETCH_BYTES + 1, 1_000_000])
async def test_a_file_of_any_length_is_the_same_after_base64(tmp_path: Path, size: int) -> None:
    content = os.urandom(size)
    path = kept(tmp_path, content)
    tree: JsonTree = {
        "a": [{"data": Base64File(path=path, size=size)}],
        "url": Base64File(path=path, size=size, prefix="data:x;base64,"),
    }
    whole, sizes = await sent(JsonBody.of(tree))
    value = json.loads(whole)
    assert base64.b64decode(value["a"][0]["data"], validate=True) == content
    assert value["url"] == "data:x;base64," + base64.b64encode(content).decode()
    assert max(sizes) <= STRETCH_BYTES // 3 * 4


@settings(max_examples=50, deadline=None)
@given(
    st.recursive(
        st.text(max_size=10) | st.integers(-(2**53), 2**53) | st.none(),
        lambda i: st.dictionaries(st.text(max_size=5), i, max_size=3) | st.lists(i, max_size=3),
        max_leaves=8,
    )
)
def test_a_value_without_files_is_its_own_json(value: JsonTree) -> None:
    (piece,) = JsonBody.of(value).pieces
    assert isinstance(piece, bytes)
    assert json.loads(piece) == value


def test_a_text_that_no_server_can_read_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(InputError) as refused:
        JsonBody.of({"input": "\ud800"})
    assert refused.value.code == "text-unsupported"


async def test_a_form_is_read_back_by_an_independent_reader(tmp_path: Path) -> None:
    content = bytes(range(256)) * 2000
    path = kept(tmp_path, content, 'secret "name"\r\nX-Evil: 1.wav')
    body = MultipartBody(
        fields=(
            ("model", "whisper-1"),
            ("timestamp_granularities[]", "word"),
            ("timestamp_granularities[]", "segment"),
        ),
        files=(
            FilePart(name="file", media_type="audio/wav", extension="wav", path=path, size=len(content)),
            FilePart(name="mask", media_type="image/png", extension="png", content=b"\x89PNG"),
        ),
    )
    whole, sizes = await sent(body)
    message = email.message_from_bytes(b"Content-Type: " + body.content_type.encode() + b"\r\n\r\n" + whole)
    parts = [part for part in message.walk() if not part.is_multipart()]
    names = [part.get_param("name", header="content-disposition") for part in parts]
    assert names == ["model", "timestamp_granularities[]", "timestamp_granularities[]", "file", "mask"]
    assert parts[3].get_payload(decode=True) == content
    assert (parts[3].get_filename(), parts[3].get_content_type()) == ("1.wav", "audio/wav")
    assert (parts[4].get_filename(), parts[4].get_payload(decode=True)) == ("2.png", b"\x89PNG")
    assert b"secret" not in whole
    assert max(sizes) <= STRETCH_BYTES


@pytest.mark.parametrize("odd", ['a"\r\nX-Evil: 1', "ä/..", "", "wav\n"])
async def test_invariant_28_nothing_forges_a_header_of_a_part(odd: str) -> None:
    part = FilePart(name=odd, media_type=odd, extension=odd, content=b"x")
    whole, _ = await sent(MultipartBody(fields=((odd, "v"),), files=(part,)))
    lines = whole.decode().split("\r\n")
    assert not any(line.lower().startswith("x-evil") for line in lines)
    assert 'filename="1.bin"' in whole.decode()
    assert "Content-Type: application/octet-stream" in lines


@pytest.mark.parametrize("now", [b"", b"shorter", b"longer than it was"])
async def test_a_file_of_another_length_is_refused_before_anything_is_connected(tmp_path: Path, now: bytes) -> None:
    path = kept(tmp_path, now)
    with pytest.raises(InputChanging):
        await sent(JsonBody.of(Base64File(path=path, size=10)))


@pytest.mark.parametrize("kind", ["missing", "link", "folder", "fifo"])
async def test_what_is_no_file_is_not_read(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x"
    if kind == "link":
        path.symlink_to(kept(tmp_path, b"1234567890"))
    elif kind == "folder":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    with pytest.raises(InputError), trio.fail_after(5):
        await sent(JsonBody.of(Base64File(path=str(path), size=10)))


async def test_no_file_stays_open_after_an_upload_that_failed(tmp_path: Path) -> None:
    good, bad = kept(tmp_path, b"1234567890"), kept(tmp_path, b"short", "b.wav")
    before = os.listdir("/proc/self/fd")
    with pytest.raises(InputChanging):
        await sent(JsonBody.of([Base64File(path=good, size=10), Base64File(path=bad, size=10)]))
    assert len(os.listdir("/proc/self/fd")) == len(before)


async def test_small_pieces_go_out_together_with_the_file_between_them(tmp_path: Path) -> None:
    path = kept(tmp_path, b"x" * 1000)
    file = FilePart(name="file", media_type="audio/wav", extension="wav", path=path, size=1000)
    form = MultipartBody(fields=(("model", "m"), ("language", "en")), files=(file,))
    assert len((await sent(form))[1]) == 1
    assert len((await sent(JsonBody.of({"a": Base64File(path=path, size=1000)})))[1]) == 1


async def test_how_a_file_stands_is_asked_beside_the_event_loop_and_a_share_that_cannot_tell_costs_no_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, fstat, asking = kept(tmp_path, b"abc"), os.fstat, list[threading.Thread]()

    def once(fd: int) -> os.stat_result:
        asking.append(threading.current_thread())
        if len(asking) > 1:
            raise OSError(errno.ESTALE, "stale file handle")
        return fstat(fd)

    part = FilePart(name="file", media_type="audio/wav", extension="wav", path=path, size=3)
    with monkeypatch.context() as patched:
        patched.setattr(os, "fstat", once)
        async with opened(MultipartBody(fields=(), files=(part,)), trio.to_thread.run_sync) as upload:
            whole = b"".join([stretch async for stretch in upload])
    assert b"abc" in whole
    assert (len(asking), threading.main_thread() in asking, dict(upload.sent)) == (2, False, {})
