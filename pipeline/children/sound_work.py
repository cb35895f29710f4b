"""What the sound stage is asked, on both sides of the process border; it answers a `core.sound.Sound`. No av here.

Its output, where one is asked for, is bare PCM: 16-bit little-endian, the channels interleaved.
"""

from msgspec import Struct

from pipeline.core.sound import Change


class WeighParams(Struct, frozen=True, kw_only=True):
    """What is weighed is what the change makes of the sound; its loudness only where somebody wants to know."""

    demuxer: str
    change: Change = Change()
    loudness: bool = True
