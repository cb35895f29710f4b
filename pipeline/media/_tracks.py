"""One track of an MP4: its handler, codec, length and the tables of its samples; and where the last fragment ends.

Promises that the length a track states is the one its table of sample times adds up to, and that its samples lie in
the same file. The tables are read in bounded pieces.
"""

from msgspec import Struct

from pipeline.media._boxes import Box, find, inside, number, table
from pipeline.media._examination import DamagedError, Window

SLACK_SECONDS, SLACK_SHARE = 2.0, 0.1
MAX_RUN_ROWS = 60_000
"""At most four numbers a row: one piece of a table holds them all, so a row is never split."""
_KINDS = {b"soun": "audio", b"vide": "video"}
_SELF_CONTAINED = 1
_CODECS = {
    b"mp4a": "aac",
    b"alac": "alac",
    b"Opus": "opus",
    b"fLaC": "flac",
    b".mp3": "mp3",
    b"ac-3": "ac3",
    b"ec-3": "eac3",
    b"samr": "amr_nb",
    b"sawb": "amr_wb",
    b"sowt": "pcm_s16le",
    b"twos": "pcm_s16be",
    b"avc1": "h264",
    b"avc3": "h264",
    b"hvc1": "hevc",
    b"hev1": "hevc",
    b"av01": "av1",
    b"vp09": "vp9",
    b"mp4v": "mpeg4",
    b"jpeg": "mjpeg",
}


class Track(Struct, frozen=True, kw_only=True):
    """A track of sound or pictures. `sample_bytes` and `last_chunk_at` are 0 where fragments hold the samples."""

    kind: str
    number: int
    codec: str
    timescale: int
    seconds: float
    sample_bytes: int
    last_chunk_at: int


def handler_of(window: Window, trak: Box) -> str | None:
    """ "audio" or "video", None for a track of anything else."""
    handler = find(window, trak, b"mdia", b"hdlr")
    return _KINDS.get(window.read(handler.at + 8, 4)) if handler else None


def track_of(window: Window, trak: Box) -> Track | None:
    kind = handler_of(window, trak)
    if kind is None:
        return None
    minf = _needed(window, trak, b"mdia", b"minf")
    _check_self_contained(window, minf)
    tables = _needed(window, minf, b"stbl")
    description = _needed(window, tables, b"stsd")
    timescale, ticks = _clock(window, _needed(window, trak, b"mdia", b"mdhd"))
    _check_times(window, tables, timescale, ticks)
    code = window.read(description.at + 12, 4)
    return Track(
        kind=kind,
        number=_track_number(window, _needed(window, trak, b"tkhd")),
        codec=_CODECS.get(code, code.decode("latin-1").strip()),
        timescale=timescale,
        seconds=ticks / timescale,
        sample_bytes=_sample_bytes(window, tables),
        last_chunk_at=_last_chunk_at(window, tables),
    )


def _needed(window: Window, parent: Box, *path: bytes) -> Box:
    box = find(window, parent, *path)
    if box is None:
        raise DamagedError(f"its index lacks {path[-1].decode('ascii')}")
    return box


def _track_number(window: Window, header: Box) -> int:
    version = number(window, header.at, 1)
    return number(window, header.at + (20 if version == 1 else 12), 4)


def _clock(window: Window, header: Box) -> tuple[int, int]:
    """Ticks a second and ticks in all; a length of all ones means not known."""
    is_long = number(window, header.at, 1) == 1
    timescale = number(window, header.at + (20 if is_long else 12), 4)
    width = 8 if is_long else 4
    ticks = number(window, header.at + (24 if is_long else 16), width)
    if timescale == 0:
        raise DamagedError("a track whose clock does not run")
    return timescale, 0 if ticks == (1 << 8 * width) - 1 else ticks


def _check_times(window: Window, tables: Box, timescale: int, ticks: int) -> None:
    times = find(window, tables, b"stts")
    if times is None:
        return
    total = 0
    for piece in table(window, times.at + 8, 2 * number(window, times.at + 4, 4)):
        total += sum(count * delta for count, delta in zip(piece[::2], piece[1::2], strict=True))
    if total and abs(total - ticks) > SLACK_SECONDS * timescale + SLACK_SHARE * max(total, ticks):
        raise DamagedError(f"its header says {ticks / timescale:.1f} s, its samples last {total / timescale:.1f} s")


def _sample_bytes(window: Window, tables: Box) -> int:
    sizes = find(window, tables, b"stsz")
    if sizes is None:
        return 0
    each, count = number(window, sizes.at + 4, 4), number(window, sizes.at + 8, 4)
    return each * count if each else sum(sum(piece) for piece in table(window, sizes.at + 12, count))


def _last_chunk_at(window: Window, tables: Box) -> int:
    short, long = find(window, tables, b"stco"), find(window, tables, b"co64")
    if short is not None:
        return max((max(p) for p in table(window, short.at + 8, number(window, short.at + 4, 4)) if p), default=0)
    if long is None:
        return 0
    pieces = table(window, long.at + 8, 2 * number(window, long.at + 4, 4))
    return max((max(h << 32 | low for h, low in zip(p[::2], p[1::2], strict=True)) for p in pieces if p), default=0)


def _check_self_contained(window: Window, minf: Box) -> None:
    references = find(window, minf, b"dinf", b"dref")
    if references is None:
        return
    for entry in inside(window, Box(b"dref", references.at + 8, references.end)):
        if not number(window, entry.at, 4) & _SELF_CONTAINED:
            raise DamagedError("a track whose samples lie in another file", code="input-type")


def fragment_end(window: Window, moof: Box, tracks: list[Track]) -> float:
    """Where in time the samples of a fragment end, as far as its boxes state it; 0.0 where they do not."""
    clocks = {track.number: track.timescale for track in tracks}
    ends = [_run_end(window, box, clocks) for box in inside(window, moof) if box.kind == b"traf"]
    return max(ends, default=0.0)


def _run_end(window: Window, traf: Box, clocks: dict[int, int]) -> float:
    header, base = find(window, traf, b"tfhd"), find(window, traf, b"tfdt")
    if header is None or base is None:
        return 0.0
    clock = clocks.get(number(window, header.at + 4, 4), 0)
    start = number(window, base.at + 4, 8 if number(window, base.at, 1) == 1 else 4)
    length = sum(_run_ticks(window, run, header) for run in inside(window, traf) if run.kind == b"trun")
    return (start + length) / clock if clock else 0.0


def _run_ticks(window: Window, run: Box, header: Box) -> int:
    flags, count = number(window, run.at, 4) & 0xFFFFFF, number(window, run.at + 4, 4)
    if not flags & 0x100:
        return count * _default_ticks(window, header)
    width = sum(1 for flag in (0x100, 0x200, 0x400, 0x800) if flags & flag)
    first = run.at + 8 + 4 * bool(flags & 1) + 4 * bool(flags & 4)
    rows = min(count, MAX_RUN_ROWS)
    return sum(sum(piece[::width]) for piece in table(window, first, rows * width))


def _default_ticks(window: Window, header: Box) -> int:
    flags = number(window, header.at, 4) & 0xFFFFFF
    at = header.at + 8 + 8 * bool(flags & 1) + 4 * bool(flags & 2)
    return number(window, at, 4) if flags & 8 else 0
