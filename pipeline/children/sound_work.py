"""What the sound stage is asked, on both sides of the process border; it answers a `core.sound.Sound`. No av here."""

from msgspec import Struct


class WeighParams(Struct, frozen=True, kw_only=True):
    demuxer: str
