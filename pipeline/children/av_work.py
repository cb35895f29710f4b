"""What the PyAV stage is asked and what it answers, on both sides of the process border. No av here."""

from msgspec import Struct

from pipeline.core.sound import Chapter, Sound

MAX_CHANNELS = 16


class EncodeParams(Struct, frozen=True, kw_only=True):
    """The sources are always WAVs of our own making, one after the other, all of one rate and as many channels."""

    media_type: str
    tags: dict[str, str] = {}
    chapters: tuple[Chapter, ...] = ()


class EncodeFacts(Struct, frozen=True, kw_only=True):
    """`seconds` and `sound` were taken from the finished file, read back."""

    seconds: float
    size: int
    sound: Sound
