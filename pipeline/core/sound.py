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


class Splice(Struct, frozen=True, kw_only=True):
    """How a sound becomes part of a joined one: after a pause, unless it is the first; or at a time that is not past.

    With `until_s` it is cut there, and without `at_s` follows the one before it after the pause, reckoned from where
    that would have ended uncut. `is_weighed`: a sound without a change is told as it came.
    """

    change: Change = Change()
    pause_s: float = 0.0
    at_s: float | None = None
    until_s: float | None = None
    is_weighed: bool = False


class Join(Struct, frozen=True, kw_only=True):
    """How sounds become one WAV: at most `edge_ms` of silence is left at either end of each.

    No sound begins after `enough_s`. Behind the last comes `end_pause_s` of silence, or as much as there is until
    `end_at_s`; where some are left, what would be before the next. `tags`, where all have found room, make a finished
    file of it: they are written into it, and it is decoded again.
    """

    splices: tuple[Splice, ...]
    edge_ms: int
    enough_s: float | None = None
    end_pause_s: float = 0.0
    end_at_s: float = 0.0
    tags: dict[str, str] | None = None


class Piece(Struct, frozen=True, kw_only=True):
    """Where a sound begins in the joined one, the seconds from its first to its last sound, and how it came, if asked.

    The seconds are those before it was cut.
    """

    at_s: float
    seconds: float
    sound: Sound | None = None


class Joined(Struct, frozen=True, kw_only=True):
    """The first of the sounds, joined. `sound` is what the finished file is, None where it is not finished."""

    pieces: tuple[Piece, ...]
    seconds: float
    sound: Sound | None = None


class Chapter(Struct, frozen=True, kw_only=True):
    """A mark in a sound, in seconds from its start."""

    title: str
    start_s: float
    end_s: float
