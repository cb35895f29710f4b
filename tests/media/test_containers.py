"""What bytes are said to be: invariant 11, and the comparison of declared with recognised types."""

import io
from collections.abc import Callable

import msgspec
import pytest

from pipeline.core.model import Media
from pipeline.media.containers import (
    Examination,
    agrees,
    check_pcm,
    could_be,
    examine,
    is_undecided,
    recognise,
    same_type,
)
from pipeline.media.sniff import HEAD_BYTES
from tests.media.zoo import PAGE, Specimen, id3

# Written by hand and apart from the code's own tables: the names under which each type may be declared.
DECLARED = {
    "audio/wav": ["audio/wav", "audio/x-wav", "audio/wave", "audio/vnd.wave", "Audio/WAV; codecs=1"],
    "audio/mpeg": ["audio/mpeg", "audio/mp3", "audio/mpga", "audio/x-mpeg"],
    "audio/ogg": ["audio/ogg", "application/ogg", "audio/ogg; codecs=opus"],
    "audio/flac": ["audio/flac", "audio/x-flac"],
    "audio/aac": ["audio/aac", "audio/x-aac", "audio/aacp"],
    "audio/mp4": ["audio/mp4", "audio/x-m4a", "audio/m4a"],
    "video/mp4": ["video/mp4", "video/x-m4v"],
    "audio/webm": ["audio/webm", "audio/webm;codecs=opus"],
    "video/webm": ["video/webm"],
    "audio/x-matroska": ["audio/x-matroska"],
    "video/x-matroska": ["video/x-matroska"],
    "image/png": ["image/png"],
    "image/jpeg": ["image/jpeg", "image/jpg"],
    "image/gif": ["image/gif"],
    "image/webp": ["image/webp"],
    "application/pdf": ["application/pdf"],
    "text/plain": ["text/plain", "text/plain; charset=utf-8", "text/markdown"],
    "text/html": ["text/html", "text/html; charset=utf-8"],
    "application/json": ["application/json", "application/json; charset=utf-8"],
    "text/vtt": ["text/vtt"],
    "application/x-subrip": ["application/x-subrip", "text/srt"],
    "application/vnd.apple.mpegurl": ["application/vnd.apple.mpegurl", "audio/x-mpegurl"],
    None: ["application/octet-stream", "", "audio/x-w64", "image/avif", "video/x-msvideo", "audio/", "nonsense"],
}


def examined(body: bytes) -> Examination:
    return examine(io.BytesIO(body), len(body))


def accepted(declared: str, verdict: Examination) -> bool:
    return verdict.ok and verdict.media is not None and same_type(declared, verdict.media)


def test_invariant_11_no_payload_passes_as_a_type_that_it_is_not(
    whole: dict[str, Specimen], odd: dict[str, Specimen], tell: Callable[[str], None]
) -> None:
    wrong, right = [], 0
    for specimen in (*whole.values(), *odd.values()):
        verdict = examined(specimen.body)
        for media_type, names in DECLARED.items():
            for declared in names:
                is_right = media_type is not None and media_type == specimen.media_type
                if accepted(declared, verdict) == is_right:
                    right += 1
                else:
                    wrong.append((specimen.name, declared, verdict.reason))
    tell(f"invariant 11: {right}/{right + len(wrong)} pairs of {len(whole) + len(odd)} files and declared types")
    assert not wrong
    assert right > 5000


def test_every_whole_file_has_its_type_and_its_extension(whole: dict[str, Specimen]) -> None:
    verdicts = {name: examined(each.body) for name, each in whole.items()}
    found = {
        name: (v.ok, v.media and v.media.media_type, v.media and v.media.extension) for name, v in verdicts.items()
    }
    assert found == {name: (True, each.media_type, each.extension) for name, each in whole.items()}


def test_every_refusal_has_a_code_and_a_reason(odd: dict[str, Specimen]) -> None:
    verdicts = [examined(each.body) for each in odd.values()]
    assert all(not v.ok and v.reason for v in verdicts)
    assert {v.code for v in verdicts} == {"input-type", "input-damaged", "input-empty"}


def test_a_head_never_rules_out_what_the_whole_file_is(whole: dict[str, Specimen]) -> None:
    for each in whole.values():
        opinion = recognise(each.body[:HEAD_BYTES], size=len(each.body))
        assert opinion is not None, each.name
        assert each.media_type is not None
        assert could_be(each.media_type, opinion), each.name


def test_only_heads_are_undecided_never_whole_files(whole: dict[str, Specimen]) -> None:
    heads = {name for name, each in whole.items() if (m := recognise(each.body[:HEAD_BYTES])) and is_undecided(m)}
    assert {"mp4-sound-only", "m4a", "mp3-99-kB-cover"} <= heads
    assert not heads & {"mp4-sound-fast-start", "webm-sound-only", "mp3", "wav", "flac", "png"}
    judged = [examined(each.body).media for each in whole.values()]
    assert not [media for media in judged if media is None or is_undecided(media)]


@pytest.mark.parametrize("declared", ["audio/mpeg", "audio/wav", "audio/ogg", "image/png", "video/mp4"])
def test_an_error_page_or_json_is_none_of_the_media_it_is_declared_as(declared: str) -> None:
    for body in (PAGE.encode(), b'{"error": {"message": "quota"}}', b"Internal Server Error"):
        opinion = recognise(body, size=len(body))
        assert opinion is not None
        assert opinion.family == "text"
        assert not could_be(declared, opinion)


@pytest.mark.parametrize(
    "body", [b"\n", b" \t\r\n", b" " * 5000, b"\xef\xbb\xbf", b"\xff\xfe \x00", b"\n" * 3000 + b"word"]
)
def test_text_that_begins_with_nothing_but_space_is_text(body: bytes) -> None:
    found = examined(body)
    assert (found.ok, found.media and found.media.media_type) == (True, "text/plain")


def test_a_playlist_is_text_whatever_a_newer_libmagic_calls_it(whole: dict[str, Specimen]) -> None:
    opinion = recognise(whole["playlist"].body)
    assert opinion is not None
    assert opinion.family == "text"
    assert agrees(opinion, "audio/x-mpegurl")
    assert not same_type("audio/mpeg", opinion)


def test_an_opinion_agrees_by_its_exact_name_only() -> None:
    wav = Media(media_type="audio/wav", family="audio", extension="wav")
    assert agrees(wav, "audio/x-wav")
    assert not agrees(wav, "audio/x-wave-something")
    assert not agrees(wav, "audio/x-w64")
    assert not agrees(wav, "application/octet-stream")


def test_declared_quicktime_is_not_an_mp4_and_declared_opus_is_not_vorbis(whole: dict[str, Specimen]) -> None:
    def media(name: str) -> Media:
        found = examined(whole[name].body).media
        assert found is not None
        return found

    assert same_type("video/quicktime", media("mov"))
    assert not same_type("video/quicktime", media("mp4"))
    assert same_type("audio/opus", media("ogg-opus"))
    assert not same_type("audio/opus", media("ogg-vorbis"))


def test_a_head_inside_a_long_tag_may_be_any_of_the_tagged_formats(whole: dict[str, Specimen]) -> None:
    opinion = recognise(whole["mp3-99-kB-cover"].body[:HEAD_BYTES])
    assert opinion is not None
    assert all(could_be(declared, opinion) for declared in ("audio/mpeg", "audio/flac", "audio/aac"))
    assert not could_be("audio/wav", opinion)


def test_forced_demuxers_are_the_names_that_ffmpeg_knows(whole: dict[str, Specimen]) -> None:
    names = {
        m.demuxer for each in whole.values() if (m := examined(each.body).media) and m.family in ("audio", "video")
    }
    assert names == {"wav", "mp3", "ogg", "flac", "aac", "mov", "matroska"}


def test_an_examination_is_a_plain_value(whole: dict[str, Specimen]) -> None:
    verdict = examined(whole["mp4"].body)
    assert msgspec.json.decode(msgspec.json.encode(verdict), type=Examination) == verdict


def test_raw_pcm_is_never_recognised_but_passes_as_declared(odd: dict[str, Specimen]) -> None:
    body = odd["pcm"].body
    assert recognise(body) is None
    assert check_pcm(len(body), sample_width=2, channels=1, head=body) is None


@pytest.mark.parametrize("name", ["wav", "mp3", "ogg-opus", "flac", "mp4", "webm", "png", "html", "json", "prose"])
def test_what_is_something_else_does_not_pass_as_raw_pcm(whole: dict[str, Specimen], name: str) -> None:
    body = whole[name].body
    reason = check_pcm(len(body) // 2 * 2, sample_width=2, channels=1, head=body[:HEAD_BYTES])
    assert reason is not None
    assert "not raw PCM" in reason


def test_pcm_must_be_whole_samples_and_not_tagged() -> None:
    assert check_pcm(0, sample_width=2, channels=1, head=b"") == "there are no bytes"
    assert "multiple of 4" in (check_pcm(10, sample_width=2, channels=2, head=bytes(10)) or "")
    assert check_pcm(4000, sample_width=2, channels=1, head=id3(padding=3000)) is not None


def test_silence_and_tiny_pieces_pass_as_raw_pcm() -> None:
    assert check_pcm(4000, sample_width=2, channels=1, head=bytes(2048)) is None
    assert check_pcm(4, sample_width=2, channels=1, head=b"\xf0\x80\xf1\x81") is None
