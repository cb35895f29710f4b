"""The only writer of WAV: the bytes in front of samples and behind them. Pure: no file is opened here.

Owns 16-bit little-endian PCM behind a 44-byte header. Promises that the sizes in every header it makes are those of
the bytes behind it.
"""

import struct
from collections.abc import Mapping

from pipeline.core.errors import InputError, LimitExceeded

HEADER_BYTES = 44
SAMPLE_BYTES = 2
MAX_WAV_BYTES = 0xFFFF_FFFF - 1
MAX_DATA_BYTES = MAX_WAV_BYTES - HEADER_BYTES
MIN_RATE, MAX_RATE = 4_000, 192_000
MAX_CHANNELS = 64
_INFO = {"title": b"INAM", "album": b"IPRD", "comment": b"ICMT"}


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
