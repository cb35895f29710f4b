"""The only writer of WAV, and the reader of its samples.

Owns 16-bit little-endian PCM behind a 44-byte header. Promises that the sizes in every header it writes are those of
the bytes behind it. Never resamples, never decodes.
"""

import os
import struct
from collections.abc import Iterable
from typing import BinaryIO

from msgspec import Struct

from pipeline.core.errors import InputError, LimitExceeded
from pipeline.media._examination import DamagedError, Window
from pipeline.media._riff import MAX_CHANNELS, MAX_RATE, MIN_RATE, WavLayout, layout

__all__ = ["Pcm", "read_layout", "read_pcm", "repair_sizes", "wav_header", "wrap_pcm", "write_wav"]

HEADER_BYTES = 44
SAMPLE_BYTES = 2
MAX_DATA_BYTES = 0xFFFF_FFFF - HEADER_BYTES - 1
_CODEC = "pcm_s16le"


class Pcm(Struct, frozen=True, kw_only=True):
    """Samples, 16-bit little-endian, the channels interleaved."""

    rate: int
    channels: int
    data: bytes

    @property
    def seconds(self) -> float:
        return len(self.data) / (SAMPLE_BYTES * self.channels * self.rate)


def wav_header(data_bytes: int, *, rate: int, channels: int) -> bytes:
    """The 44 bytes in front of `data_bytes` of samples."""
    frame = SAMPLE_BYTES * channels
    if not MIN_RATE <= rate <= MAX_RATE or not 1 <= channels <= MAX_CHANNELS:
        raise InputError(f"{rate} Hz with {channels} channels is not a WAV that is written", code="input-damaged")
    if data_bytes < 0 or data_bytes % frame:
        raise InputError(f"{data_bytes} bytes are not whole samples of {frame} bytes", code="input-damaged")
    if data_bytes > MAX_DATA_BYTES:
        raise LimitExceeded(f"{data_bytes} bytes of samples do not fit into a WAV", hint="split the sound or encode it")
    riff = struct.pack("<4sI4s", b"RIFF", HEADER_BYTES - 8 + data_bytes, b"WAVE")
    shape = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, channels, rate, rate * frame, frame, 8 * SAMPLE_BYTES)
    return riff + shape + struct.pack("<4sI", b"data", data_bytes)


def wrap_pcm(pcm: bytes, *, rate: int, channels: int) -> bytes:
    """A whole WAV around samples that are 16-bit little-endian already."""
    return wav_header(len(pcm), rate=rate, channels=channels) + pcm


def write_wav(target: BinaryIO, chunks: Iterable[bytes], *, rate: int, channels: int) -> int:
    """Write a WAV of samples whose number is not known before, from the start of a seekable file; the bytes of sound.

    The header goes in last: a file that was interrupted has a header of zeros, which nothing takes for a WAV.
    """
    target.seek(0)
    _write_all(target, bytes(HEADER_BYTES))
    data_bytes = 0
    for chunk in chunks:
        data_bytes += len(chunk)
        if data_bytes > MAX_DATA_BYTES:
            raise LimitExceeded("more samples than fit into a WAV", hint="split the sound or encode it")
        _write_all(target, chunk)
    header = wav_header(data_bytes, rate=rate, channels=channels)
    target.seek(0)
    _write_all(target, header)
    target.seek(0, os.SEEK_END)
    return data_bytes


def _write_all(target: BinaryIO, body: bytes) -> None:
    """An unbuffered file may take fewer bytes than it was given without saying why."""
    view = memoryview(body)
    while view:
        view = view[target.write(view) :]


def read_layout(file: BinaryIO, size: int, *, streaming: bool = False) -> WavLayout:
    """Where the samples of a WAV lie; InputError with the reason where it is not a whole one."""
    try:
        return layout(Window(file, size), streaming=streaming)
    except DamagedError as damage:
        raise InputError(f"not a WAV that can be read: {damage.reason}", code=damage.code) from damage


def read_pcm(file: BinaryIO, size: int, *, max_bytes: int) -> Pcm:
    """The samples of a 16-bit WAV, at most `max_bytes` of them."""
    found = read_layout(file, size)
    if found.codec != _CODEC:
        raise InputError(f"a WAV of {found.codec}, not of 16-bit samples", hint="decode it in a media child first")
    if found.data_bytes > max_bytes:
        raise LimitExceeded(f"{found.data_bytes} bytes of samples, {max_bytes} are allowed")
    file.seek(found.data_at)
    data = bytearray()
    while len(data) < found.data_bytes:
        part = file.read(found.data_bytes - len(data))
        if not part:
            raise InputError(
                "the WAV ended while it was read", code="input-changing", hint="run again when it is still"
            )
        data += part
    return Pcm(rate=found.rate, channels=found.channels, data=bytes(data))


def repair_sizes(file: BinaryIO, size: int) -> bool:
    """Put the true sizes where a writer that could not seek back left them open; True where it did.

    For a plain WAV whose samples are last. A last sample that is not whole is cut off. Safe to call twice.
    """
    found = read_layout(file, size, streaming=True)
    end = found.data_at + found.data_bytes
    file.seek(0)
    head = file.read(8)
    stated = int.from_bytes(head[4:], "little")
    if head[:4] != b"RIFF" or (not found.open_sizes and 0 < stated <= size - 8 + (size & 1)):
        return False
    if end - 8 > 0xFFFF_FFFF:
        raise LimitExceeded(f"{size} bytes do not fit into a WAV")
    return _repaired(file, found, end=end if found.open_sizes else size)


def _repaired(file: BinaryIO, found: WavLayout, *, end: int) -> bool:
    if found.open_sizes:
        file.truncate(end)
        file.seek(found.chunk_at + 4)
        _write_all(file, struct.pack("<I", found.data_bytes))
    file.seek(4)
    _write_all(file, struct.pack("<I", end - 8))
    return True
