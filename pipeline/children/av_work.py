"""What the PyAV stage is asked and what it answers, on both sides of the process border. No av here."""

from msgspec import Struct

MIN_RATE, MAX_RATE = 4_000, 192_000
MAX_CHANNELS = 16


class EncodeParams(Struct, frozen=True, kw_only=True):
    """The source is always a WAV of our own making."""

    media_type: str
    tags: dict[str, str] = {}


class EncodeFacts(Struct, frozen=True, kw_only=True):
    """`seconds` was counted in the finished file, read back."""

    seconds: float
    size: int
