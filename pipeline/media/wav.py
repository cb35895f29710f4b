"""The only writer of WAV, and the reader of its samples.

Owns 16-bit little-endian PCM behind a 44-byte header. Promises that the sizes in every header it writes are those of
the bytes behind it. Never resamples, never decodes.
"""

import struct
from collections.abc import Mapping
from typing import BinaryIO

from msgspec import Struct

from pipeline.core.errors import InputError, LimitExceeded
from pipeline.media._examination import DamagedError, Window
from pipeline.media._riff import MAX_CHANNELS, MAX_RATE, MIN_RATE, WavLayout, layout

HEADER_BYTES = 44
SAMPLE_BYTES = 2
MAX_DATA_BYTES = 0xFFFF_FFFF - HEADER_BYTES - 1
SAMPLES = "pcm_s16le"
_INFO = {"title": b"INAM", "album": b"IPRD", "comment": b"ICMT"}


class Pcm(Struct, frozen=True, kw_only=True):
    """Samples, 16-bit little-endian, the channels interleaved."""

    rate: int
    channels: int
    samples: bytes

    @property
    def seconds(self) -> float:
        return len(self.samples) / (SAMPLE_BYTES * self.channels * self.rate)


def wav_header(data_bytes: int, *, rate: int, channels: int, tail_bytes: int = 0) -> bytes:
    """The 44 bytes in front of `data_bytes` of samples, and of `tail_bytes` of further chunks behind them."""
    frame = SAMPLE_BYTES * channels
    if not MIN_RATE <= rate <= MAX_RATE or not 1 <= channels <= MAX_CHANNELS:
        raise InputError(f"{rate} Hz with {channels} channels is not a WAV that is written", code="input-damaged")
    if data_bytes < 0 or data_bytes % frame:
        raise InputError(f"{data_bytes} bytes are not whole samples of {frame} bytes", code="input-damaged")
    if data_bytes + tail_bytes > MAX_DATA_BYTES:
        raise LimitExceeded(f"{data_bytes} bytes of samples do not fit into a WAV", hint="split the sound or encode it")
    riff = struct.pack("<4sI4s", b"RIFF", HEADER_BYTES - 8 + data_bytes + tail_bytes, b"WAVE")
    shape = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, channels, rate, rate * frame, frame, 8 * SAMPLE_BYTES)
    return riff + shape + struct.pack("<4sI", b"data", data_bytes)


def info_chunk(tags: Mapping[str, str]) -> bytes:
    """The tags that a WAV has a name for, as the chunk behind its samples; nothing where there are none."""
    told = [(name, tags[key].encode("utf-8", "replace") + b"\0") for key, name in _INFO.items() if key in tags]
    body = b"".join(struct.pack("<4sI", name, len(text)) + text + b"\0" * (len(text) & 1) for name, text in told)
    return struct.pack("<4sI4s", b"LIST", len(body) + 4, b"INFO") + body if body else b""


def wrap_pcm(pcm: bytes, *, rate: int, channels: int) -> bytes:
    """A whole WAV around samples that are 16-bit little-endian already."""
    return wav_header(len(pcm), rate=rate, channels=channels) + pcm


def read_layout(file: BinaryIO, size: int) -> WavLayout:
    """Where the samples of a WAV lie; InputError with the reason where it is not a whole one."""
    try:
        return layout(Window(file, size))
    except DamagedError as damage:
        raise InputError(f"not a WAV that can be read: {damage.reason}", code=damage.code) from damage


def read_pcm(file: BinaryIO, size: int, *, max_bytes: int) -> Pcm:
    """The samples of a 16-bit WAV, at most `max_bytes` of them."""
    found = read_layout(file, size)
    if found.codec != SAMPLES:
        raise InputError(f"a WAV of {found.codec}, not of 16-bit samples", hint="decode it in a media child first")
    if found.data_bytes > max_bytes:
        raise LimitExceeded(f"{found.data_bytes} bytes of samples, {max_bytes} are allowed")
    file.seek(found.data_at)
    samples = bytearray()
    while len(samples) < found.data_bytes:
        part = file.read(found.data_bytes - len(samples))
        if not part:
            raise InputError(
                "the WAV ended while it was read", code="input-changing", hint="run again when it is still"
            )
        samples += part
    return Pcm(rate=found.rate, channels=found.channels, samples=bytes(samples))
