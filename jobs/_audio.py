"""Short pieces of speech joined to one WAV, one after the other: edges trimmed and faded, measured pauses between.

The only importer of pydub, and only for PCM that our own engines made: pydub opens no file and decodes nothing here.
Promises: memory holds one piece at a time; the header is true once the block ends; seconds are counted in samples.
"""

import errno
import io
import struct
import warnings
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from msgspec import Struct

from pipeline.core.errors import ContractError, StoreError
from pipeline.core.limits import Meter

with warnings.catch_warnings():
    # pydub warns at import of audioop's age, of its own patterns, and of an ffmpeg that it is never asked to run.
    warnings.simplefilter("ignore")
    from pydub import AudioSegment
    from pydub.silence import detect_leading_silence

FADE_MS = 5
EDGE_MS = 60
SILENCE_DBFS = -50.0
SAMPLE_BYTES = 2
FULL_SCALE = 1 << 15
SILENT_PEAK = 0.01
MIN_RATE, MAX_RATE, MAX_CHANNELS = 4_000, 192_000, 8
HEADER_BYTES = 44
MAX_WAV_BYTES = (1 << 32) - 4096
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


class Joined(Struct, frozen=True, kw_only=True):
    """What was written. `spoken_s` leaves out the pauses between the pieces."""

    seconds: float
    spoken_s: float
    pieces: int
    silent_pieces: int


class SpeechFile:
    """A WAV under construction; `join_speech` opens it. All pieces have the shape of the first."""

    def __init__(self, file: BinaryIO, *, max_bytes: int | None) -> None:
        self._file = file
        self._meter = Meter(min(max_bytes or MAX_WAV_BYTES, MAX_WAV_BYTES), code="limit-bytes", unit="bytes of speech")
        self._rate, self._channels = 0, 0
        self._paused_bytes = 0
        self._peak = 0
        self._pieces = 0
        self._silent = 0

    def append(self, body: bytes, *, pause_s: float) -> None:
        """Add the speech of one WAV after a pause; there is no pause before the first."""
        piece = _trimmed(_piece(body))
        if not self._pieces:
            self._rate, self._channels = piece.frame_rate, piece.channels
            self._file.write(bytes(HEADER_BYTES))
        elif (self._rate, self._channels) != (piece.frame_rate, piece.channels):
            raise ContractError("the pieces of one text differ in rate or channels", code="reply-type")
        else:
            self._pause(pause_s)
        self._write(piece.raw_data)
        self._pieces += 1
        self._peak = max(self._peak, piece.max)
        self._silent += piece.max < SILENT_PEAK * FULL_SCALE

    def facts(self) -> Joined:
        second = self._rate * self._channels * SAMPLE_BYTES or 1
        return Joined(
            seconds=self._meter.used / second,
            spoken_s=(self._meter.used - self._paused_bytes) / second,
            pieces=self._pieces,
            silent_pieces=self._silent,
        )

    def close(self) -> None:
        """Put the true header in front. A file without a piece stays empty."""
        if self._pieces:
            self._file.seek(0)
            self._file.write(wav_header(data_bytes=int(self._meter.used), rate=self._rate, channels=self._channels))

    def _pause(self, seconds: float) -> None:
        silence = bytes(round(seconds * self._rate) * self._channels * SAMPLE_BYTES)
        self._write(silence)
        self._paused_bytes += len(silence)

    def _write(self, pcm: bytes) -> None:
        self._meter.add(len(pcm))
        self._file.write(pcm)


@contextmanager
def join_speech(path: Path, *, max_bytes: int | None) -> Iterator[SpeechFile]:
    """A WAV at `path`, whole when the block ends well; a full disk is a StoreError."""
    try:
        with path.open("wb") as file:
            speech = SpeechFile(file, max_bytes=max_bytes)
            yield speech
            speech.close()
    except OSError as error:
        code = "disk-full" if error.errno in _NO_ROOM else "io-error"
        raise StoreError(f"the speech cannot be written: {error.strerror}", code=code, hint="see the disk") from error


def wav_header(*, data_bytes: int, rate: int, channels: int) -> bytes:
    frame = SAMPLE_BYTES * channels
    form = struct.pack("<HHIIHH", 1, channels, rate, rate * frame, frame, 8 * SAMPLE_BYTES)
    riff = struct.pack("<4sI4s", b"RIFF", 36 + data_bytes, b"WAVE")
    return riff + struct.pack("<4sI", b"fmt ", len(form)) + form + struct.pack("<4sI", b"data", data_bytes)


def _piece(body: bytes) -> AudioSegment:
    try:
        with wave.open(io.BytesIO(body), "rb") as reader:
            if reader.getsampwidth() != SAMPLE_BYTES:
                raise ContractError(f"speech of {8 * reader.getsampwidth()} bits, 16 are known", code="reply-type")
            rate, channels = reader.getframerate(), reader.getnchannels()
            pcm = reader.readframes(reader.getnframes())
    except (wave.Error, EOFError) as error:
        raise ContractError("the speech is not a PCM WAV", code="reply-type") from error
    if not MIN_RATE <= rate <= MAX_RATE or channels > MAX_CHANNELS:
        raise ContractError(f"speech of {channels} channels at {rate} Hz is not taken", code="reply-type")
    pcm = pcm[: len(pcm) - len(pcm) % (SAMPLE_BYTES * channels)]
    if not pcm:
        raise ContractError("the speech has no samples", code="reply-empty")
    return AudioSegment(data=pcm, sample_width=SAMPLE_BYTES, frame_rate=rate, channels=channels)


def _trimmed(piece: AudioSegment) -> AudioSegment:
    """At most EDGE_MS of silence at either end, so that the pauses between pieces are ours; a silent piece stays."""
    before = detect_leading_silence(piece, SILENCE_DBFS)
    if before >= len(piece):
        return piece
    after = detect_leading_silence(piece.reverse(), SILENCE_DBFS)
    kept = piece[max(before - EDGE_MS, 0) : len(piece) - max(after - EDGE_MS, 0)]
    return kept.fade_in(FADE_MS).fade_out(FADE_MS) if len(kept) > 2 * FADE_MS else kept
