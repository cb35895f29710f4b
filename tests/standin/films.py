"""Self-made films: the stand-in's picture with a bar that moves, H.264 in MP4, with sound where it is asked for."""

import io
from fractions import Fraction
from functools import lru_cache

import av
import numpy as np

from tests.standin import pictures, sound

FRAMES_PER_S = 6
SOUND_RATE = 44_100
HEIGHTS = {"360p": 360, "480p": 480, "720p": 720, "768p": 768, "1080p": 1080, "1K": 1024, "2K": 1440, "4K": 2160}


def size_for(resolution: str | None, aspect: str | None) -> tuple[int, int]:
    """Pixels of a film; both sides even, as the codec wants them."""
    short = HEIGHTS.get(resolution or "480p", 480)
    across, _, down = (aspect or "16:9").partition(":")
    ratio = float(across) / float(down)
    width, height = (short * ratio, short) if ratio >= 1 else (short, short / ratio)
    return round(width / 2) * 2, round(height / 2) * 2


@lru_cache(maxsize=16)
def film(width: int, height: int, seconds: float, shade: int = 0, *, has_sound: bool = False) -> bytes:
    """A whole MP4 of that size and length."""
    target = io.BytesIO()
    with av.open(target, "w", format="mp4") as output:
        output.metadata["comment"] = "made by the stand-in server"
        options = {"preset": "ultrafast", "crf": "35"}
        stream = output.add_stream("libx264", rate=Fraction(FRAMES_PER_S), options=options)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        voice = _voice(output) if has_sound else None
        _show(output, stream, seconds, shade)
        if voice is not None:
            _sing(output, voice, seconds)
    return target.getvalue()


def _voice(output: "av.container.OutputContainer") -> "av.AudioStream":
    stream = output.add_stream("aac", rate=SOUND_RATE)
    stream.layout = "stereo"
    return stream


def _show(output: "av.container.OutputContainer", stream: "av.VideoStream", seconds: float, shade: int) -> None:
    still = pictures.drawn(stream.width, stream.height, shade)
    count = max(1, round(seconds * FRAMES_PER_S))
    for number in range(count):
        pixels = still.copy()
        pixels[-max(2, stream.height // 40) :, : max(1, stream.width * (number + 1) // count)] = 255
        frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format="yuv420p")
        frame.pts, frame.time_base = number, Fraction(1, FRAMES_PER_S)
        output.mux(stream.encode(frame))
    output.mux(stream.encode(None))


def _sing(output: "av.container.OutputContainer", stream: "av.AudioStream", seconds: float) -> None:
    samples = np.frombuffer(sound.beeps(seconds, SOUND_RATE, 2), dtype="<i2").reshape(1, -1)
    frame = av.AudioFrame.from_ndarray(samples, "s16", "stereo")
    frame.rate, frame.pts, frame.time_base = SOUND_RATE, 0, Fraction(1, SOUND_RATE)
    stream.codec_context.open(strict=False)
    resampler = av.AudioResampler(stream.format, "stereo", SOUND_RATE, stream.codec_context.frame_size or 1024)
    for part in [*resampler.resample(frame), *resampler.resample(None)]:
        output.mux(stream.encode(part))
    output.mux(stream.encode(None))
