"""No bytes make the checks raise, and the way they arrive changes nothing."""

import io
from typing import BinaryIO, cast

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.core.errors import CODES
from pipeline.media.containers import Examination, check_pcm, could_be, examine, recognise
from pipeline.media.sniff import sniff
from tests.media.zoo import Specimen

SIGNATURES = [
    b"",
    b"RIFF\x40\0\0\0WAVEfmt \x10\0\0\0",
    b"RF64\xff\xff\xff\xffWAVEds64\x1c\0\0\0",
    b"RIFF\x40\0\0\0WEBPVP8X\x0a\0\0\0",
    b"ID3\x04\0\0\0\0\0\x0a",
    b"\xff\xfb\x90\xc4",
    b"\xff\xf1\x50\x80\x19\x1f\xfc",
    b"OggS\0\x02" + bytes(20) + b"\x01\x13OpusHead\x01\x01",
    b"fLaC\0\0\0\x22\x10\0\x10\0",
    b"\0\0\0\x14ftypisom\0\0\2\0isom\0\0\1\0moov\0\0\0\x40trak",
    b"\x1a\x45\xdf\xa3\x87\x42\x82\x84webm\x18\x53\x80\x67",
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
    b"\xff\xd8\xff\xe0\0\x10JFIF\0",
    b"GIF89a\x10\0\x10\0",
    b"%PDF-1.7\n",
    b'{"a": ',
    b"\xff\xfea\0",
    b"WEBVTT\n",
]
SHORT = settings(
    max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def check_verdict(verdict: Examination) -> None:
    if verdict.ok:
        assert verdict.media is not None
        assert not verdict.code
    else:
        assert verdict.code in CODES
        assert verdict.reason
        assert len(verdict.reason) < 200


@given(start=st.sampled_from(SIGNATURES), rest=st.binary(max_size=600))
@SHORT
def test_any_bytes_behind_any_signature_get_a_verdict(start: bytes, rest: bytes) -> None:
    body = start + rest
    check_verdict(examine(io.BytesIO(body), len(body)))
    opinion = recognise(body, size=len(body))
    assert opinion is None or could_be(opinion.media_type, opinion)
    assert isinstance(check_pcm(len(body), sample_width=2, channels=1, head=body), str | None)
    assert "/" in sniff(body)


@given(data=st.data())
@SHORT
def test_a_specimen_changed_anywhere_gets_a_verdict(whole: dict[str, Specimen], data: st.DataObject) -> None:
    body = bytearray(whole[data.draw(st.sampled_from(sorted(whole)))].body)
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, min(len(body) - 1, 3000)))
        match data.draw(st.sampled_from(["change", "insert", "delete", "huge"])):
            case "change":
                body[at] = data.draw(st.integers(0, 255))
            case "insert":
                body[at:at] = data.draw(st.binary(max_size=9))
            case "delete":
                del body[at : at + data.draw(st.integers(1, 40))]
            case _:
                body[at : at + 4] = b"\xff\xff\xff\xff"
        body = body or bytearray(b"\0")
    check_verdict(examine(io.BytesIO(bytes(body)), len(body)))


class _Trickle(io.BytesIO):
    """Gives fewer bytes than asked for, as a raw file or a network mount may."""

    def __init__(self, body: bytes, portions: list[int]) -> None:
        super().__init__(body)
        self._portions = portions
        self._turn = 0

    def read(self, size: int | None = -1, /) -> bytes:
        portion = self._portions[self._turn % len(self._portions)]
        self._turn += 1
        return super().read(min(portion, size if size is not None and size >= 0 else portion))


@given(data=st.data(), portions=st.lists(st.integers(1, 5000), min_size=1, max_size=6))
@settings(parent=SHORT, max_examples=120)
def test_any_portioning_of_the_same_bytes_gives_the_same_verdict(
    whole: dict[str, Specimen], data: st.DataObject, portions: list[int]
) -> None:
    body = whole[data.draw(st.sampled_from(sorted(whole)))].body[: data.draw(st.sampled_from([None, -1, -300]))]
    trickle = cast("BinaryIO", _Trickle(body, portions))  # typeshed's BytesIO.read differs in a positional name
    assert examine(trickle, len(body)) == examine(io.BytesIO(body), len(body))


@given(body=st.binary(min_size=2, max_size=3000))
@SHORT
def test_noise_is_hardly_ever_taken_for_media(body: bytes) -> None:
    verdict = examine(io.BytesIO(body), len(body))
    assert not verdict.ok or verdict.media is None or verdict.media.family == "text"
