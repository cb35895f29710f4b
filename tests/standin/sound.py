"""Self-made sound: beeps whose number grows with the text, in every container that is asked for, and ears for uploads.

Everything decodes. The beeps are the label: nobody takes them for a voice.
"""

import io
import math
import struct
import wave
from fractions import Fraction
from functools import lru_cache
from typing import cast

import av
import numpy as np
from msgspec import Struct

SECONDS_PER_CHARACTER = 0.074
SHORTEST_S = 0.5
PLACEHOLDER = 0xFFFF_FFFF
SILENT_PEAK = 60
LISTEN_BYTES = 2_000_000
BEEP_S, GAP_S = 0.28, 0.09
HERTZ = (330, 392, 440, 494)

DEMUXERS = {
    "wav": "wav",
    "mp3": "mp3",
    "mpeg": "mp3",
    "mpga": "mp3",
    "flac": "flac",
    "m4a": "mov",
    "mp4": "mov",
    "ogg": "ogg",
    "opus": "ogg",
    "webm": "matroska",
    "aac": "aac",
}
ENCODINGS = {
    "mp3": ("mp3", "libmp3lame", "audio/mpeg"),
    "opus": ("ogg", "libopus", "audio/ogg"),
    "aac": ("adts", "aac", "audio/aac"),
    "flac": ("flac", "flac", "audio/flac"),
    "m4a": ("ipod", "aac", "audio/mp4"),
}


class Unheard(Exception):
    """An upload that is not the sound it is said to be."""


class Heard(Struct, frozen=True, kw_only=True):
    seconds: float
    is_silent: bool


def seconds_for(text: str) -> float:
    """How long a text is spoken here: as long as the real voices took, on average."""
    return max(SHORTEST_S, round(len(text) * SECONDS_PER_CHARACTER, 2))


@lru_cache(maxsize=64)
def beeps(seconds: float, rate: int, channels: int = 1) -> bytes:
    """Signed 16-bit little-endian samples, channels interleaved."""
    time = np.arange(round(seconds * rate)) / rate
    place = time % (BEEP_S + GAP_S)
    pitch = np.array(HERTZ)[(time // (BEEP_S + GAP_S)).astype(int) % len(HERTZ)]
    envelope = np.clip(np.minimum(place, BEEP_S - place) / 0.02, 0, 1)
    samples = (9000 * envelope * np.sin(2 * math.pi * pitch * place)).astype("<i2")
    return np.repeat(samples, channels).tobytes()


def wav(pcm: bytes, rate: int, *, has_placeholder: bool = False) -> bytes:
    """A mono WAV; with placeholder sizes as servers write it that do not know the length yet."""
    size, whole = (PLACEHOLDER, PLACEHOLDER) if has_placeholder else (len(pcm), 36 + len(pcm))
    shape = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, rate, rate * 2, 2, 16)
    return struct.pack("<4sI4s", b"RIFF", whole, b"WAVE") + shape + struct.pack("<4sI", b"data", size) + pcm


@lru_cache(maxsize=64)
def encoded(kind: str, seconds: float, *, rate: int = 24_000, bit_rate: int = 32_000, is_tagged: bool = False) -> bytes:
    """The beeps in a container. MP3 is bare frames unless it is to carry a tag."""
    muxer, codec, _ = ENCODINGS[kind]
    options = {} if kind != "mp3" or is_tagged else {"write_xing": "0", "id3v2_version": "0"}
    if codec == "libopus":
        rate = 48_000
    target = io.BytesIO()
    with av.open(target, "w", format=muxer, options=options) as output:
        if is_tagged:
            output.metadata["title"] = "made by the stand-in server"
        stream = cast("av.AudioStream", output.add_stream(codec, rate=rate))  # every codec above is one of sound
        stream.layout = "mono"
        stream.bit_rate = bit_rate
        stream.codec_context.open(strict=False)
        wanted = stream.codec_context.frame_size or 4096
        resampler = av.AudioResampler(stream.format, "mono", rate, wanted)
        samples = np.frombuffer(beeps(seconds, rate), dtype="<i2").reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(samples, "s16", "mono")
        frame.rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            output.mux(stream.encode(part))
        output.mux(stream.encode(None))
    return target.getvalue()


def hear(body: bytes, kind: str) -> Heard:
    """How long an upload is, and whether it is silence; Unheard when it is not what it is said to be."""
    if kind == "pcm":
        return _heard(np.frombuffer(body[: len(body) // 2 * 2], dtype="<i2"), 16_000)
    if kind == "wav" and len(body) > LISTEN_BYTES:
        return _measured(body)
    try:
        return _decoded(body, DEMUXERS[kind])
    except KeyError as error:
        raise Unheard(f"unknown format {kind!r}") from error
    except (av.FFmpegError, ValueError, IndexError) as error:
        raise Unheard(str(error)) from error


def _decoded(body: bytes, demuxer: str) -> Heard:
    """Short uploads are decoded whole; of long ones the header is believed."""
    with av.open(io.BytesIO(body), "r", format=demuxer) as source:
        if not source.streams.audio:
            raise Unheard("there is no sound in it")
        if len(body) > LISTEN_BYTES and source.duration:
            return Heard(seconds=source.duration / 1_000_000, is_silent=False)
        resampler = av.AudioResampler("s16", "mono", 16_000)
        parts = [part.to_ndarray() for frame in source.decode(audio=0) for part in resampler.resample(frame)]
    return _heard(np.concatenate(parts, axis=1) if parts else np.zeros((1, 0), dtype=np.int16), 16_000)


def _heard(samples: "np.ndarray[tuple[int, ...], np.dtype[np.int16]]", rate: int) -> Heard:
    if not samples.size:
        raise Unheard("there is not one sample in it")
    peak = int(np.abs(samples.astype(np.int32)).max())
    return Heard(seconds=samples.size / rate, is_silent=peak < SILENT_PEAK)


def _measured(body: bytes) -> Heard:
    try:
        with wave.open(io.BytesIO(body)) as source:
            return Heard(seconds=source.getnframes() / source.getframerate(), is_silent=False)
    except (wave.Error, EOFError) as error:
        raise Unheard(str(error)) from error
