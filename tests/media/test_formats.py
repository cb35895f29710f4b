"""What each format tells about itself, and the lies that are found in it."""

import io
import os
import struct
from collections.abc import Iterator

import pytest

from pipeline.media.containers import Examination, examine
from tests.media.oddities import box
from tests.media.zoo import PROSE, SAMPLES, Specimen, chunk, cover, id3, pdf, png, sound_format, wave

SAMPLES_FOLDER = os.path.join(os.path.dirname(__file__), "..", "..", "samples", "media")
RECORDINGS = {
    "austen-0870.wav": 7.1,
    "austen-0880.wav": 2.99,
    "austen-0930.wav": 3.29,
    "commonvoice-22058266.mp3": 2.35,
    "jfk.mp3": 11.09,
    "jfk.wav": 11.0,
}


def examined(body: bytes) -> Examination:
    return examine(io.BytesIO(body), len(body))


def replaced(body: bytes, at: int, new: bytes) -> bytes:
    return body[:at] + new + body[at + len(new) :]


@pytest.mark.parametrize("name", sorted(RECORDINGS))
def test_real_recordings_are_whole_and_as_long_as_they_are(name: str) -> None:
    path = os.path.join(SAMPLES_FOLDER, name)
    with open(path, "rb") as file:
        verdict = examine(file, os.path.getsize(path))
    assert (verdict.ok, verdict.streams) == (True, ("audio",))
    assert verdict.seconds == pytest.approx(RECORDINGS[name], abs=0.01)


def test_the_length_of_sound_is_told_without_decoding(whole: dict[str, Specimen]) -> None:
    lengths = {
        name: examined(each.body).seconds for name, each in whole.items() if (each.media_type or "")[:5] == "audio"
    }
    by_hand = {name for name in lengths if name.startswith("wav-") and whole[name].body.find(SAMPLES[:900]) > 0}
    other = (
        {"ogg-chained": 2.0, "mp3-tag-inside": 2.064} | dict.fromkeys(by_hand, 0.125) | {"wav-8-bit-odd": 999 / 16000}
    )
    assert lengths == {name: pytest.approx(other.get(name, 1.0), abs=0.16) for name in lengths}


@pytest.mark.parametrize(
    ("name", "streams"),
    [("mp4", ("audio", "video")), ("mp4-silent", ("video",)), ("webm", ("audio", "video")), ("m4a", ("audio",))],
)
def test_the_streams_are_told(whole: dict[str, Specimen], name: str, streams: tuple[str, ...]) -> None:
    assert examined(whole[name].body).streams == streams


@pytest.mark.parametrize(
    ("name", "codec"),
    [("wav-adpcm", "adpcm_ms"), ("ogg-vorbis", "vorbis"), ("m4a-alac", "alac"), ("mp2", "mp2"), ("mka", "flac")],
)
def test_the_codec_is_told(whole: dict[str, Specimen], name: str, codec: str) -> None:
    media = examined(whole[name].body).media
    assert media is not None
    assert media.codec == codec


def test_a_small_gap_between_frames_is_bridged_and_counted(whole: dict[str, Specimen]) -> None:
    bare = whole["mp3-bare"].body
    verdict = examined(bare + b"\x01junk" * 20 + bare)
    assert (verdict.ok, verdict.facts["gaps"], verdict.facts["frames"]) == (True, "1", "86")


def test_a_row_of_frames_that_is_mostly_gaps_is_damaged(whole: dict[str, Specimen]) -> None:
    verdict = examined((whole["mp3-bare"].body[: 192 * 3] + b"junk" * 9) * 20 + whole["mp3-bare"].body)
    assert "broken more than 16 times" in verdict.reason


def _tags_behind() -> Iterator[tuple[str, bytes]]:
    yield "id3v1", b"TAG" + bytes(125)
    yield "ape", b"APETAGEX" + struct.pack("<IIII", 2000, 32 + 50, 1, 0) + bytes(8) + bytes(50) + bytes(32)
    yield "ape-and-id3v1", b"APETAGEX" + struct.pack("<II", 2000, 40) + bytes(56) + b"TAG" + bytes(125)
    yield "lyrics", b"LYRICSBEGININD00002110000018LYRICS200" + b"TAG" + bytes(125)
    yield "id3v2", id3(cover(700))
    yield "zeros", bytes(4000)


@pytest.mark.parametrize(("name", "tag"), list(_tags_behind()), ids=[name for name, _ in _tags_behind()])
def test_tags_and_padding_behind_the_sound_are_no_damage(whole: dict[str, Specimen], name: str, tag: bytes) -> None:
    verdict = examined(whole["mp3-bare"].body + tag)
    assert (verdict.ok, verdict.facts.get("frames")) == (True, "43"), name


@pytest.mark.parametrize("name", ["mp3-bare", "aac"])
def test_a_row_of_frames_whose_second_half_was_never_written_is_cut(whole: dict[str, Specimen], name: str) -> None:
    body = whole[name].body * 4
    verdict = examined(body + bytes(len(body)))
    assert (verdict.ok, verdict.code) == (False, "input-damaged")
    assert "are no frame" in verdict.reason


def test_more_padding_is_fine_behind_frames_that_a_header_counts(whole: dict[str, Specimen]) -> None:
    assert examined(whole["mp3"].body + bytes(50_000)).ok


def test_missing_frames_are_found_by_the_count_in_the_header(whole: dict[str, Specimen]) -> None:
    verdict = examined(whole["mp3"].body[: -5 * 192])
    assert verdict.reason == "cut short: its header counts 43 frames, 38 are there"


def last_page_at(body: bytes) -> int:
    return body.rindex(b"OggS")


def test_an_ogg_without_its_last_page_is_cut(whole: dict[str, Specimen]) -> None:
    body = whole["ogg-opus"].body
    body = body[: last_page_at(body)]
    assert examined(body).reason == "cut short: the opus stream has no last page"


def test_a_page_that_is_missing_in_the_middle_is_noticed(whole: dict[str, Specimen]) -> None:
    body = whole["ogg-opus"].body
    second = body.index(b"OggS", 4)
    third = body.index(b"OggS", second + 4)
    assert "pages are missing" in examined(body[:second] + body[third:]).reason


def test_every_flipped_bit_of_an_ogg_page_or_a_png_chunk_is_noticed(whole: dict[str, Specimen]) -> None:
    for name in ("ogg-opus", "png"):
        body = whole[name].body
        for at in range(60, len(body), max(1, len(body) // 50)):
            assert not examined(replaced(body, at, bytes([body[at] ^ 1]))).ok, (name, at)


def test_a_flac_that_ends_before_its_count_is_cut(whole: dict[str, Specimen]) -> None:
    body = whole["flac"].body
    more = int.from_bytes(body[22:26]) + 4096
    assert examined(replaced(body, 22, more.to_bytes(4))).reason == "cut short: 48000 of 52096 samples are there"


def test_a_track_whose_header_and_samples_disagree_is_refused(whole: dict[str, Specimen]) -> None:
    body = whole["m4a"].body
    at = body.index(b"mdhd") + 4 + 16
    verdict = examined(replaced(body, at, (48_000 * 3600).to_bytes(4)))
    assert verdict.reason == "its header says 3600.0 s, its samples last 1.0 s"


def test_a_track_whose_samples_lie_in_another_file_is_refused(whole: dict[str, Specimen]) -> None:
    body = whole["mov-sound-only"].body
    at = body.index(b"dref") + 4 + 8 + 8
    verdict = examined(replaced(body, at, bytes(4)))
    assert (verdict.code, verdict.reason) == ("input-type", "a track whose samples lie in another file")


def test_an_index_that_counts_more_than_there_is_is_refused(whole: dict[str, Specimen]) -> None:
    body = whole["mp4-silent"].body
    at = body.index(b"stsz") + 4 + 12
    assert "bytes of samples" in examined(replaced(body, at, (10**6).to_bytes(4))).reason


def test_a_fragment_without_its_data_is_cut(whole: dict[str, Specimen]) -> None:
    body = whole["mp4-fragmented"].body
    moof = body.index(b"moof") - 4
    length = int.from_bytes(body[moof : moof + 4])
    assert examined(body[: moof + length]).reason == "cut short: the data of its last fragment is missing"


def test_a_webm_that_says_it_is_longer_than_its_blocks_is_refused(whole: dict[str, Specimen]) -> None:
    body = whole["webm-sound-only"].body
    at = body.index(b"\x44\x89\x88") + 3
    verdict = examined(replaced(body, at, struct.pack(">d", 60_000.0)))
    assert verdict.reason.startswith("its header says 60.0 s, its last block is at 1.0")


def test_a_matroska_of_subtitles_alone_is_not_taken(whole: dict[str, Specimen]) -> None:
    body = whole["webm-sound-only"].body
    at = body.index(b"\x83\x81\x02") + 2
    verdict = examined(replaced(body, at, b"\x11"))
    assert (verdict.ok, verdict.code) == (False, "input-type")


def test_a_pdf_must_end_and_point_back_at_its_table() -> None:
    assert examined(pdf(b"\n")).ok
    assert "does not end as a document" in examined(pdf(b"<html>")).reason
    moved = pdf().replace(b"startxref\n", b"startxref\n9")
    assert "no cross-reference" in examined(moved).reason


def test_a_picture_without_width_is_damaged() -> None:
    flat = png(width=0)
    assert examined(flat).reason == "a picture without width or height"


def test_a_second_picture_behind_a_jpeg_is_what_cameras_do(whole: dict[str, Specimen]) -> None:
    body = whole["jpeg"].body
    assert examined(body + body).ok


def test_text_that_is_not_utf_8_is_refused_with_the_place() -> None:
    body = PROSE.encode() * 600
    verdict = examined(body + b"\xff\xfe" + body)
    assert (verdict.code, verdict.reason) == ("input-damaged", f"the byte at {len(body)} is not UTF-8")


def test_a_character_across_two_windows_is_one_character() -> None:
    text = "a" + "日" * 700_000
    assert examined(text.encode()).facts["characters"] == str(len(text))


def test_text_that_only_begins_like_json_is_text() -> None:
    for body in (b"[1] Smith, On Things\n", b'{"a": 1}\n{"b": 2}\n', b"{ not json }\n", b"[]() links\n"):
        media = examined(body).media
        assert media is not None
        assert media.media_type == "text/plain", body


def test_json_is_refused_wherever_it_stops_too_early(whole: dict[str, Specimen]) -> None:
    body = whole["json-list"].body
    assert [length for length in range(2, len(body)) if examined(body[:length]).ok] == []


def test_long_json_is_judged_by_its_end() -> None:
    body = b'{"a": [' + b"1," * 2_500_000 + b"1]}"
    assert examined(body).ok
    assert not examined(body[:-2]).ok


def test_an_rf64_keeps_its_lengths_in_a_chunk_of_its_own() -> None:
    inner = b"WAVE" + chunk(b"ds64", struct.pack("<QQQI", 36 + 36 + len(SAMPLES), len(SAMPLES), len(SAMPLES) // 2, 0))
    inner += sound_format() + b"data\xff\xff\xff\xff" + SAMPLES
    body = b"RF64\xff\xff\xff\xff" + inner
    assert examined(body).seconds == 0.125
    assert "missing" in examined(body[:-10]).reason


def test_quicktime_without_its_first_box_is_still_quicktime(whole: dict[str, Specimen]) -> None:
    body = whole["mov"].body
    assert (body[4:8], int.from_bytes(body[:4])) == (b"ftyp", 20)
    media = examined(box(b"wide", bytes(12)) + body[20:]).media
    assert media is not None
    assert media.extension == "mov"


def test_chunks_behind_the_samples_must_end_inside_the_file() -> None:
    body = wave(sound_format(), chunk(b"data", SAMPLES))
    assert "does not count" in examined(body + b"LIST\xff\0\0\0INFO").reason
