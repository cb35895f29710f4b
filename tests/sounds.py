"""Sounds in which nobody speaks, and two voices that do: made on the spot, the same at every run. 16 kHz, one channel.

`quiet_sounds` are the silence, noise, hum, ambience and music that the tests and the benchmark listen to.
"""

import functools
import subprocess
import sys

import numpy as np
from numpy.typing import NDArray

RATE = 16_000
Samples = NDArray[np.float32]
GERMAN = "Im Frühling pflanzen wir zuerst die Kartoffeln und danach die Bohnen."
ENGLISH = "The train leaves at eight in the morning and arrives in the afternoon."
_PICO = (
    "import sys; from py_nanotts import NanoTTS;"
    "sys.stdout.buffer.write(NanoTTS().speak(sys.argv[1], voice=sys.argv[2], speed=1.0, volume=0.5))"
)
_SCALE = tuple(220 * 2 ** (step / 12) for step in (0, 2, 4, 5, 7, 9, 11, 12))


@functools.cache
def german(text: str = GERMAN) -> Samples:
    """A fresh process, since the engine hung in one that had used several voices."""
    done = subprocess.run([sys.executable, "-c", _PICO, text, "de-DE"], capture_output=True, check=True, timeout=60)
    samples: Samples = np.frombuffer(done.stdout, "<i2").astype(np.float32) / np.float32(32768)
    return samples


@functools.cache
def english(text: str = ENGLISH) -> Samples:
    from hibari import Hibari  # loads an engine; most of what is here needs none

    spoken = np.asarray(Hibari(voice="heart", threads=1)(text, speed=1.0, seed=0)) * 2
    places = np.arange(0, len(spoken) - 1, 24_000 / RATE)
    samples: Samples = np.interp(places, np.arange(len(spoken)), spoken).astype(np.float32)
    return samples


def quiet_sounds(seconds: float) -> dict[str, Samples]:
    """By name: silence, noise, hum, ambience and music of that length."""
    rng = np.random.default_rng(1)
    size = int(seconds * RATE)
    time = np.arange(size) / RATE
    white = rng.standard_normal(size)
    made = {
        "silence": np.zeros(size),
        "dither": rng.integers(-1, 2, size) / 32768,
        "click": np.eye(1, size, size // 2)[0],
        "white": white * 0.1,
        "pink": _coloured(white, 1) * 0.4,
        "brown": _coloured(white, 2) * 0.5,
        "hum": sum(0.2 / k * np.sin(2 * np.pi * 50 * k * time + k) for k in range(1, 9)),
        "hum-and-hiss": sum(0.1 / k * np.sin(2 * np.pi * 60 * k * time) for k in range(1, 5)) + white * 0.01,
        "tone": 0.3 * np.sin(2 * np.pi * 440 * time),
        "beeps": 0.4 * np.sin(2 * np.pi * 1000 * time) * (time % 1 < 0.2),
        "siren": 0.4 * np.sin(2 * np.pi * 800 * time + 190 * np.sin(np.pi * time)),
        "rain": _band(white, 1000, 7500) * 0.3 * (1 + 0.2 * np.sin(2 * np.pi * 0.3 * time)),
        "wind": _band(white, 80, 600) * (0.35 + 0.25 * np.sin(2 * np.pi * 0.4 * time)),
        "engine": sum(0.1 / k * np.sin(2 * np.pi * 28 * k * time + np.sin(time)) for k in range(1, 20)),
        "keys": _struck(size, rng.integers(0, size, int(seconds * 6)), rng.standard_normal(500) * 0.4, 80),
        "drops": _struck(size, rng.integers(0, size, int(seconds * 15)), 0.3 * np.sin(np.arange(800) * 0.8), 60),
        "drums": _struck(size, np.arange(0, size, RATE // 2), 0.7 * np.sin(np.arange(4000) * 0.03), 900),
        "melody": _music(size, rng, length_s=0.5, voices=(1.0,), partials=(1, 0.5, 0.3, 0.2)),
        "reed": _music(size, rng, length_s=0.4, voices=(0.8,), partials=(1, 0.9, 0.8, 0.6, 0.5, 0.4, 0.3)),
        "chords": _music(size, rng, length_s=2.0, voices=(0.5, 0.63, 0.75, 1.0), partials=(1, 0.5, 0.3)),
    }
    made["band"] = made["drums"] * 0.5 + made["chords"] + made["melody"] * 0.5
    return {name: np.clip(sound, -1, 1).astype(np.float32) for name, sound in made.items()}


def drone(seconds: float) -> Samples:
    """A low murmur that voice activity detection takes for a voice from beginning to end."""
    made = _band(np.random.default_rng(3).standard_normal(int(seconds * RATE)), 130, 150)
    samples: Samples = (made / np.sqrt(np.square(made).mean()) * 0.087).astype(np.float32)
    return samples


def _coloured(white: NDArray[np.float64], exponent: int) -> NDArray[np.float64]:
    spectrum = np.fft.rfft(white)
    spectrum[1:] *= np.arange(1, len(spectrum)) ** (-exponent / 2)
    made = np.fft.irfft(spectrum, len(white))
    return np.asarray(made / np.abs(made).max())


def _band(white: NDArray[np.float64], low: float, high: float) -> NDArray[np.float64]:
    spectrum, pitch = np.fft.rfft(white), np.fft.rfftfreq(len(white), 1 / RATE)
    spectrum[(pitch < low) | (pitch > high)] = 0
    made = np.fft.irfft(spectrum, len(white))
    return np.asarray(made / np.abs(made).max())


def _struck(size: int, places: NDArray[np.int64], stroke: NDArray[np.float64], falls_in: float) -> NDArray[np.float64]:
    made = np.zeros(size + len(stroke))
    for place in places:
        made[place : place + len(stroke)] += stroke * np.exp(-np.arange(len(stroke)) / falls_in)
    return made[:size]


def _music(
    size: int, rng: np.random.Generator, *, length_s: float, voices: tuple[float, ...], partials: tuple[float, ...]
) -> NDArray[np.float64]:
    """Notes of one length after each other, each with its partials, in one or more voices."""
    length = int(length_s * RATE)
    time = np.arange(length) / RATE
    swell = np.minimum(1, time / 0.02) * np.exp(-1.5 * time / length_s) * np.minimum(1, (length_s - time) / 0.02)
    made = np.zeros(size + length)
    for place in range(0, size, length):
        pitch = rng.choice(_SCALE)
        for voice in voices:
            wave = sum(part * np.sin(2 * np.pi * pitch * voice * k * time) for k, part in enumerate(partials, 1))
            made[place : place + length] += 0.15 * swell * wave
    return made[:size]
