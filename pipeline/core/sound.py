"""What is known of a sound that was decoded to its last sample, and marks in one. Pure values."""

from msgspec import Struct


class Sound(Struct, frozen=True, kw_only=True):
    """`lufs` is the integrated loudness of EBU R128, None where there is too little sound to have one or nobody asked.

    `peak` is of full scale, 0 to 1; `clipped` the share of samples that lie flat at full scale; `silence` the share of
    the time below -50 dBFS, and `longest_silence_s` the longest such stretch between two sounds.
    """

    seconds: float
    rate: int
    channels: int
    lufs: float | None
    peak: float
    clipped: float
    silence: float
    longest_silence_s: float


class Change(Struct, frozen=True, kw_only=True):
    """How a sound is to be written again: None keeps its own rate and channels (of more than two, two).

    `gain_db` raises or lowers it, and what would come out above -1 dBFS is held there; `tempo` above 1 is faster, at
    the same pitch.
    """

    rate: int | None = None
    channels: int | None = None
    gain_db: float = 0.0
    tempo: float = 1.0


class Chapter(Struct, frozen=True, kw_only=True):
    """A mark in a sound, in seconds from its start."""

    title: str
    start_s: float
    end_s: float
