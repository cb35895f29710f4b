"""What the speech stages are asked and what they answer, on both sides of the process border. No engine here.

The output of a speech stage is bare PCM: 16-bit little-endian mono at `rate`. Making a WAV of it is `media.wav`'s.
"""

from msgspec import Struct

HIBARI_RATE = 24_000
PICO_RATE = 16_000
SAMPLE_BYTES = 2


class SpeakParams(Struct, frozen=True, kw_only=True):
    text: str
    voice: str
    speed: float = 1.0


class SpeakFacts(Struct, frozen=True, kw_only=True):
    """`peak` is of full scale, 0 to 1."""

    rate: int
    samples: int
    peak: float
