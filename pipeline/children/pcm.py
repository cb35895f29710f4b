"""Samples of 16 bits from the frames of a decoder, as a stream: in any shape, or in that which speech engines take.

Promises that the samples of one file are the same at every pass, so an offset counted in them is a place in the
recording. Holds one frame at a time.
"""

from collections.abc import Iterator, Mapping

import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from numpy.typing import NDArray

from pipeline.children import audio
from pipeline.core.errors import InputError

RATE = 16_000
FULL_SCALE = 32768.0
# A WAV need not say which channel is which: FFmpeg then only counts them.
_SAME: Mapping[str, tuple[str, ...]] = {"mono": ("mono", "1 channels"), "stereo": ("stereo", "2 channels")}
Pcm = NDArray[np.int16]
Samples = NDArray[np.float32]


def samples(decoder: audio.Decoder, *, channel: int | None = None) -> Iterator[Pcm]:
    """As speech engines take them: 16 kHz, the mix of all channels or one of them."""
    return _heard(decoder, _Ear(RATE, "mono") if channel is None else _Ear(RATE, None, channel))


def shaped(decoder: audio.Decoder, rate: int, layout: str) -> Iterator[Pcm]:
    """At this rate, the channels mixed to "mono" or "stereo" and interleaved."""
    return _heard(decoder, _Ear(rate, layout))


def blocks(chunks: Iterator[Pcm], size: int) -> Iterator[Pcm]:
    """The same samples in blocks of `size`; the last may be shorter, and none is empty."""
    held: list[Pcm] = []
    count = 0
    for chunk in chunks:
        held.append(chunk)
        count += len(chunk)
        while count >= size:
            whole = np.concatenate(held)
            yield whole[:size]
            held, count = [whole[size:]], count - size
    if count:
        yield np.concatenate(held)


def framed(samples: Samples, size: int) -> Samples:
    """One row for each `size` samples; an incomplete last one is filled with silence."""
    missing = -len(samples) % size
    return (np.pad(samples, (0, missing)) if missing else samples).reshape(-1, size)


def floats(pcm: Pcm) -> Samples:
    return np.multiply(pcm, 1 / FULL_SCALE, dtype=np.float32)  # of a power of two: exact


def _heard(decoder: audio.Decoder, ear: "_Ear") -> Iterator[Pcm]:
    """A stream that changes its shape midway gets a new resampler."""
    shape: tuple[str, str, int] | None = None
    for frame in decoder.frames():
        now = (frame.format.name, frame.layout.name, frame.sample_rate)
        if shape not in (None, now):
            yield from ear.rest()
            ear = ear.anew()
        shape = now
        frame.pts = None  # odd timestamps must not move samples; they were counted
        yield from ear.take(frame)
    yield from ear.rest()


class _Ear:
    """Frames of one shape -> samples. `layout` None keeps all channels apart, of which `channel` is heard."""

    def __init__(self, rate: int, layout: str | None, channel: int = 0) -> None:
        self._rate, self._layout, self._channel = rate, layout, channel
        self._resampler = AudioResampler(format="s16", layout=layout, rate=rate)

    def anew(self) -> "_Ear":
        return _Ear(self._rate, self._layout, self._channel)

    def take(self, frame: AudioFrame) -> Iterator[Pcm]:
        if self._is_right(frame):
            yield values(frame)
        else:
            yield from self._resampled(frame)

    def rest(self) -> Iterator[Pcm]:
        return self._resampled(None)

    def _is_right(self, frame: AudioFrame) -> bool:
        """Has it this shape already? The resampler would be set up to hand out the same, which takes a millisecond."""
        is_there = frame.layout.name in _SAME.get(self._layout or "", ())
        return is_there and frame.format.name == "s16" and frame.sample_rate == self._rate

    def _resampled(self, frame: AudioFrame | None) -> Iterator[Pcm]:
        for made in self._resampler.resample(frame):
            found = values(made)
            yield found if self._layout is not None else self._one(found, made.layout.nb_channels)

    def _one(self, found: Pcm, channels: int) -> Pcm:
        if self._channel >= channels:
            raise InputError(f"there is no channel {self._channel}; the track has {channels}", code="input-type")
        return np.ascontiguousarray(found[self._channel :: channels])


def values(frame: AudioFrame) -> Pcm:
    """Of a frame of 16 bits, the channels interleaved."""
    count = frame.samples * frame.layout.nb_channels
    # A plane is a buffer that keeps its frame; `to_ndarray` would copy it twice.
    found: Pcm = np.frombuffer(frame.planes[0], np.int16, count)  # type: ignore[call-overload]
    return found
