"""Short pieces of speech joined to WAVs, one after the other: edges trimmed and faded, measured pauses between.

The only importer of pydub, and only for samples that were decoded already: pydub opens no file and decodes nothing.
Promises: memory holds one piece at a time; the header is true once the block ends; seconds are counted in samples.
"""

import errno
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import trio
from msgspec import Struct

from pipeline.core.errors import ContractError, StoreError
from pipeline.core.limits import Meter
from pipeline.media.wav import HEADER_BYTES, MAX_DATA_BYTES, SAMPLE_BYTES, Pcm, info_chunk, read_layout, wav_header

with warnings.catch_warnings():
    # pydub warns at import of audioop's age, of its own patterns, and of an ffmpeg that it is never asked to run.
    warnings.simplefilter("ignore")
    from pydub import AudioSegment
    from pydub.silence import detect_leading_silence

FADE_MS = 5
EDGE_MS = 60
CUE_EDGE_MS = 10
SILENCE_DBFS = -50.0
COPY_BYTES = 1 << 20
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


class Piece(Struct, frozen=True, kw_only=True):
    """Where one piece begins, and the seconds from its first to its last sound."""

    at_s: float
    seconds: float


class SpeechFile:
    """A WAV under construction; `join_speech` opens it. All pieces have the shape of the first."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._meter = Meter(MAX_DATA_BYTES, code="limit-bytes", unit="bytes of speech")
        self._rate, self._channels = 0, 0

    def append(self, pcm: Pcm, *, pause_s: float) -> Piece:
        """Add speech after a pause; there is no pause before the first."""
        piece = trimmed(pcm)
        is_first = not self._rate
        self._begin(piece)
        if not is_first:
            self.pause(pause_s)
        at = self.seconds
        self._write(_faded(piece))
        return Piece(at_s=at, seconds=piece.frame_count() / self._rate)

    def place(self, pcm: Pcm, *, at_s: float, until_s: float) -> Piece:
        """Add speech at its time, which must not be past; what would go on after `until_s` is faded out and cut."""
        piece = trimmed(pcm, edge_ms=CUE_EDGE_MS)
        self._begin(piece)
        self.pad_to(at_s)
        at, seconds = self.seconds, piece.frame_count() / self._rate
        room = max(round((until_s - at) * 1000), 0)
        self._write(_faded(piece[:room] if seconds * 1000 > room else piece))
        return Piece(at_s=at, seconds=seconds)

    def pad_to(self, at_s: float) -> None:
        """Silence up to this time; nothing where that is past."""
        frame = self._channels * SAMPLE_BYTES
        self._write(bytes(max(round(at_s * self._rate) * frame - int(self._meter.used), 0)))

    def pause(self, seconds: float) -> None:
        self._write(bytes(round(seconds * self._rate) * self._channels * SAMPLE_BYTES))

    @property
    def seconds(self) -> float:
        """What is in the file so far, pauses too."""
        return self._meter.used / (self._rate * self._channels * SAMPLE_BYTES or 1)

    def close(self) -> None:
        """Put the true header in front. A file without a piece stays empty."""
        if self._rate:
            self._file.seek(0)
            self._file.write(wav_header(int(self._meter.used), rate=self._rate, channels=self._channels))

    def _begin(self, piece: AudioSegment) -> None:
        shape = (piece.frame_rate, piece.channels)
        if not self._rate:
            self._rate, self._channels = shape
            self._file.write(bytes(HEADER_BYTES))
        elif (self._rate, self._channels) != shape:
            raise ContractError("the pieces of one text differ in rate or channels", code="reply-type")

    def _write(self, pcm: bytes) -> None:
        self._meter.add(len(pcm))
        self._file.write(pcm)


@contextmanager
def join_speech(path: Path) -> Iterator[SpeechFile]:
    """A WAV at `path`, whole when the block ends well; a full disk is a StoreError."""
    with disk_errors(), path.open("wb") as file:
        speech = SpeechFile(file)
        yield speech
        speech.close()


async def one_wav(reels: Sequence[Path], path: Path, *, tags: Mapping[str, str], max_bytes: int | None) -> None:
    """WAVs of one shape, one after the other, as one at `path` with these tags. The first of them becomes it."""
    layouts = []
    for reel in reels:
        with disk_errors(), reel.open("rb") as file:
            layouts.append(read_layout(file, reel.stat().st_size))
    size, info = sum(layout.data_bytes for layout in layouts), info_chunk(tags)
    Meter(max_bytes, code="limit-bytes", unit="bytes of speech").add(size)
    first = layouts[0]
    with disk_errors(), reels[0].open("r+b") as made:
        made.write(wav_header(size, rate=first.rate, channels=first.channels, tail_bytes=len(info)))
        made.seek(0, os.SEEK_END)
        for reel, layout in zip(reels[1:], layouts[1:], strict=True):
            with reel.open("rb") as file:
                file.seek(layout.data_at)
                while chunk := file.read(COPY_BYTES):
                    made.write(chunk)
                    await trio.lowlevel.checkpoint()  # a book is copied beside other work
        made.write(info)
    with disk_errors():
        reels[0].rename(path)


def trimmed(pcm: Pcm, *, edge_ms: int = EDGE_MS) -> AudioSegment:
    """At most `edge_ms` of silence at either end, so that the pauses between pieces are ours; a silent piece stays."""
    if not pcm.samples:
        raise ContractError("the speech has no samples", code="reply-empty")
    piece = AudioSegment(data=pcm.samples, sample_width=SAMPLE_BYTES, frame_rate=pcm.rate, channels=pcm.channels)
    before = detect_leading_silence(piece, SILENCE_DBFS)
    if before >= len(piece):
        return piece
    after = detect_leading_silence(piece.reverse(), SILENCE_DBFS)
    return piece[max(before - edge_ms, 0) : len(piece) - max(after - edge_ms, 0)]


def seconds_of(pcm: Pcm, *, edge_ms: int) -> float:
    """From its first to its last sound."""
    piece = trimmed(pcm, edge_ms=edge_ms)
    return float(piece.frame_count()) / pcm.rate


def _faded(piece: AudioSegment) -> bytes:
    """Its samples, both ends eased. By hand: pydub takes longer for these few than for all the rest of a piece."""
    frames, body = int(piece.frame_count(ms=FADE_MS)), bytearray(piece.raw_data)
    samples = memoryview(body).cast("h")
    if len(piece) > 2 * FADE_MS:
        for at in range(frames * piece.channels):
            gain = at // piece.channels / frames
            samples[at], samples[-1 - at] = int(samples[at] * gain), int(samples[-1 - at] * gain)
    return bytes(body)


@contextmanager
def disk_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        code = "disk-full" if error.errno in _NO_ROOM else "io-error"
        raise StoreError(
            f"the speech cannot be written or read: {error.strerror}", code=code, hint="see the disk"
        ) from error
