"""What would grow when decoded says so before it is decoded: the parsing side of invariant 15."""

import io
import json
import struct
import time
import tracemalloc
from collections.abc import Callable

import pytest

from pipeline.media import _flac
from pipeline.media.containers import Examination, examine
from tests.media.oddities import box
from tests.media.zoo import Specimen, chunk, png, png_chunk, sound_format, wave

TEN_HOURS = 36_000
MAX_PEAK_BYTES = 8 * 1024 * 1024
MAX_WALL_S = 20.0


def examined(body: bytes) -> Examination:
    return examine(io.BytesIO(body), len(body))


def flac_of_silence(seconds: int) -> bytes:
    """Frames of 65,535 samples of 16 kHz, each of one constant: ten hours take 123 kB."""
    block, samples = 65_535, seconds * 16_000
    packed = 16_000 << 44 | 15 << 36 | samples
    info = struct.pack(">HH", block, block) + bytes(6) + packed.to_bytes(8) + bytes(16)
    frames = [_frame(number, min(block, samples - number * block)) for number in range(-(-samples // block))]
    return b"fLaC\x80\0\0\x22" + info + b"".join(frames)


def _frame(number: int, size: int) -> bytes:
    coded = bytes([number]) if number < 0x80 else chr(number).encode() if number < 0x800 else _three_bytes(number)
    header = b"\xff\xf8\x75\x08" + coded + struct.pack(">H", size - 1)
    body = header + bytes([_flac._crc8(header)]) + b"\0\0\0"
    return body + struct.pack(">H", _flac._crc16(body))


def _three_bytes(number: int) -> bytes:
    return bytes([0xE0 | number >> 12, 0x80 | number >> 6 & 63, 0x80 | number & 63])


def mp3_of_ten_hours() -> bytes:
    """A million frames of 36 bytes: 16 kHz at 8 kbit/s."""
    return (b"\xff\xf3\x18\xc4" + bytes(32)) * (TEN_HOURS * 16_000 // 576)


def gif_of_frames(count: int) -> bytes:
    frame = b"\x2c" + struct.pack("<HHHH", 0, 0, 900, 900) + b"\0\x02\x02\x4c\x01\0"
    return b"GIF89a" + struct.pack("<HH", 900, 900) + b"\x80\0\0" + bytes(6) + frame * count + b"\x3b"


def test_invariant_15_hours_in_a_small_file_are_counted_before_they_are_decoded(tell: Callable[[str], None]) -> None:
    bombs = {"flac": flac_of_silence(TEN_HOURS), "mp3": mp3_of_ten_hours()}
    found = {name: examined(body) for name, body in bombs.items()}
    tell(
        "invariant 15: "
        + ", ".join(f"{name} of {len(body):,} bytes: {found[name].seconds:.0f} s" for name, body in bombs.items())
    )
    assert all(verdict.ok for verdict in found.values())
    assert all(verdict.seconds == pytest.approx(TEN_HOURS, abs=1) for verdict in found.values())


def test_invariant_15_a_rate_of_one_hertz_is_refused() -> None:
    verdict = examined(wave(sound_format(rate=1), chunk(b"data", bytes(1_000_000))))
    assert not verdict.ok
    assert "1 Hz" in verdict.reason


def test_invariant_15_pixels_are_counted_over_all_frames() -> None:
    huge = png()[:16] + struct.pack(">II", 13_000, 13_000)
    header = png_chunk(b"IHDR", huge[16:] + png()[24:29])
    assert examined(png()[:8] + header + png()[33:]).pixels == 169_000_000
    assert examined(gif_of_frames(300)).pixels == 300 * 900 * 900


def test_invariant_15_nothing_is_held_in_memory_whole() -> None:
    body = io.BytesIO((b"\xff\xfb\xe8\xc4" + bytes(1436)) * 25_000)
    tracemalloc.start()
    try:
        verdict = examine(body, len(body.getbuffer()))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert verdict.ok
    assert peak < MAX_PEAK_BYTES


def test_a_table_that_claims_billions_of_entries_is_refused(whole: dict[str, Specimen]) -> None:
    body = whole["mp4-silent"].body
    at = body.index(b"stsz")
    verdict = examined(body[: at + 12] + b"\xff\xff\xff\xff" + body[at + 16 :])
    assert not verdict.ok
    assert "4294967295 entries" in verdict.reason


@pytest.mark.parametrize(
    "body",
    [
        box(b"ftyp", b"isom\0\0\2\0isom") + box(b"moov", box(b"free") * 400_000),
        box(b"ftyp", b"isom\0\0\2\0isom") + box(b"free") * 600_000,
        b"\x1a\x45\xdf\xa3\x87\x42\x82\x84webm\x18\x53\x80\x67\x01\xff\xff\xff\xff\xff\xff\xff" + b"\xec\x80" * 400_000,
        b"GIF89a" + struct.pack("<HH", 9, 9) + b"\0\0\0" + b"\x21\xfe\0" * 1_100_000,
        b"\xff\xd8\xff\xc0\0\x08\x08\0\x08\0\x08\0" + b"\xff\xda\0\x02" * 400_000,
        (b"\xff\xf3\x18\xc4" + bytes(32) + b"ID3\3\0\0\0\0\0\0") * 30_000,
        b"[" * 4_000_000,
        b'{"a":' * 100_000,
    ],
    ids=["boxes", "top-level", "voids", "extensions", "scans", "tags", "brackets", "objects"],
)
def test_a_file_of_a_million_tiny_parts_is_answered_in_bounded_time(body: bytes) -> None:
    start = time.monotonic()
    verdict = examined(body)
    assert not verdict.ok or verdict.media is not None
    assert time.monotonic() - start < MAX_WALL_S


def test_numbers_with_thousands_of_digits_do_not_break_the_look_at_json() -> None:
    assert examined(json.dumps({"n": 1}).replace("1", "9" * 6000).encode()).ok
