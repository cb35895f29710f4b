"""Long recordings for tests and benchmarks, GENERATED: the real clips of samples/media one after another, in an order
drawn from a seed, with pauses between them. What is said, and where it begins, is known to the sample.

`python -m tests.recordings TARGET.flac SECONDS` writes one and prints what is said in it as JSON.
"""

import json
import random
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from msgspec import Struct

RATE = 16_000
SAMPLES = Path(__file__).parents[1] / "samples/media"
SPOKEN = {
    "jfk.wav": "and so my fellow americans ask not what your country can do for you"
    " ask what you can do for your country",
    "austen-0870.wav": "and mister john dashwood had then leisure to consider how much there might be prudently in his"
    " power to do for them",
    "austen-0880.wav": "he was not an ill disposed young man",
    "austen-0930.wav": "he might even have been made amiable himself",
}
PAUSE_S = (0.2, 1.4)
CODECS = {
    ".flac": ("flac", "flac"),
    ".ogg": ("ogg", "libopus"),
    ".mp3": ("mp3", "libmp3lame"),
    ".wav": ("wav", "pcm_s16le"),
}
Pcm = np.ndarray[tuple[int], np.dtype[np.int16]]


class Said(Struct, frozen=True, kw_only=True):
    """One clip in a long recording: the seconds where it begins and ends, its file and its words."""

    start: float
    end: float
    clip: str
    text: str


def make_long(target: Path, seconds: float, *, seed: int = 7) -> list[Said]:
    """Write at least `seconds` of speech as the suffix says, 16 kHz mono; what is said in it, in order."""
    muxer, codec = CODECS[target.suffix]
    said: list[Said] = []
    with av.open(str(target), "w", format=muxer, options={"fflags": "+bitexact"}) as made:
        stream = made.add_stream(codec, rate=RATE, layout="mono")
        assert isinstance(stream, av.AudioStream)
        if codec in ("libopus", "libmp3lame"):
            stream.bit_rate = 32_000
        stream.codec_context.open()
        resampler = av.AudioResampler(
            stream.codec_context.format, "mono", RATE, stream.codec_context.frame_size or None
        )
        written = 0
        for piece in _pieces(seconds, random.Random(seed), said):
            frame = av.AudioFrame.from_ndarray(piece.reshape(1, -1), format="s16", layout="mono")
            frame.sample_rate = RATE
            for out in resampler.resample(frame):
                out.pts, out.time_base = written, Fraction(1, RATE)
                written += out.samples
                made.mux(stream.encode(out))
        for out in resampler.resample(None):
            out.pts, out.time_base = written, Fraction(1, RATE)
            made.mux(stream.encode(out))
        made.mux(stream.encode(None))
    return said


def _pieces(seconds: float, chance: random.Random, said: list[Said]) -> Iterator[Pcm]:
    """Clip and pause by turns; no clip twice in a row, for engines take that for a loop."""
    clips = {name: _decoded(SAMPLES / name) for name in SPOKEN}
    at, last = 0, ""
    while at < seconds * RATE:
        last = chance.choice([name for name in clips if name != last])
        pause = np.zeros(int(chance.uniform(*PAUSE_S) * RATE), np.int16)
        said.append(Said(start=at / RATE, end=(at + len(clips[last])) / RATE, clip=last, text=SPOKEN[last]))
        yield np.concatenate([clips[last], pause])
        at += len(clips[last]) + len(pause)


def _decoded(path: Path) -> Pcm:
    resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)
    with av.open(str(path)) as container:
        frames = [out.to_ndarray() for frame in container.decode(audio=0) for out in resampler.resample(frame)]
    samples: Pcm = np.concatenate(frames, axis=1)[0]
    return samples


if __name__ == "__main__":
    told = make_long(Path(sys.argv[1]), float(sys.argv[2]))
    print(json.dumps([[item.start, item.end, item.clip] for item in told]))
