"""Short pieces of speech joined to one WAV, one after the other: edges trimmed and faded, measured pauses between.

The only importer of pydub, and only for PCM that our own engines made: pydub opens no file and decodes nothing here.
Promises: memory holds one piece at a time; the header is true once the block ends; seconds are counted in samples.
"""

import errno
import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from msgspec import Struct

from pipeline.core.errors import ContractError, InputError, StoreError
from pipeline.core.limits import Meter
from pipeline.media.wav import HEADER_BYTES, MAX_DATA_BYTES, SAMPLE_BYTES, read_pcm, wav_header

with warnings.catch_warnings():
    # pydub warns at import of audioop's age, of its own patterns, and of an ffmpeg that it is never asked to run.
    warnings.simplefilter("ignore")
    from pydub import AudioSegment
    from pydub.silence import detect_leading_silence

FADE_MS = 5
EDGE_MS = 60
SILENCE_DBFS = -50.0
FULL_SCALE = 1 << 15
SILENT_PEAK = 0.01
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


class Piece(Struct, frozen=True, kw_only=True):
    """What one piece added: the seconds between its first and last sound, and whether there was a sound at all."""

    seconds: float
    is_silent: bool


class SpeechFile:
    """A WAV under construction; `join_speech` opens it. All pieces have the shape of the first."""

    def __init__(self, file: BinaryIO, *, max_bytes: int | None) -> None:
        self._file = file
        self._meter = Meter(
            min(max_bytes or MAX_DATA_BYTES, MAX_DATA_BYTES), code="limit-bytes", unit="bytes of speech"
        )
        self._rate, self._channels = 0, 0
        self._pieces = 0

    def append(self, body: bytes, *, pause_s: float) -> Piece:
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
        return Piece(seconds=piece.frame_count() / self._rate, is_silent=piece.max < SILENT_PEAK * FULL_SCALE)

    @property
    def seconds(self) -> float:
        """What is in the file so far, pauses too."""
        return self._meter.used / (self._rate * self._channels * SAMPLE_BYTES or 1)

    def close(self) -> None:
        """Put the true header in front. A file without a piece stays empty."""
        if self._pieces:
            self._file.seek(0)
            self._file.write(wav_header(int(self._meter.used), rate=self._rate, channels=self._channels))

    def _pause(self, seconds: float) -> None:
        self._write(bytes(round(seconds * self._rate) * self._channels * SAMPLE_BYTES))

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


def _piece(body: bytes) -> AudioSegment:
    try:
        pcm = read_pcm(io.BytesIO(body), len(body), max_bytes=len(body))
    except InputError as error:
        code = "reply-empty" if error.code == "input-empty" else "reply-damaged"
        raise ContractError(f"the speech is {error.message}", code=code) from error
    if not pcm.samples:
        raise ContractError("the speech has no samples", code="reply-empty")
    return AudioSegment(data=pcm.samples, sample_width=SAMPLE_BYTES, frame_rate=pcm.rate, channels=pcm.channels)


def _trimmed(piece: AudioSegment) -> AudioSegment:
    """At most EDGE_MS of silence at either end, so that the pauses between pieces are ours; a silent piece stays."""
    before = detect_leading_silence(piece, SILENCE_DBFS)
    if before >= len(piece):
        return piece
    after = detect_leading_silence(piece.reverse(), SILENCE_DBFS)
    kept = piece[max(before - EDGE_MS, 0) : len(piece) - max(after - EDGE_MS, 0)]
    return kept.fade_in(FADE_MS).fade_out(FADE_MS) if len(kept) > 2 * FADE_MS else kept
