"""What the join stage is asked, on both sides of the process border; it answers a `core.sound.Joined`. No av here.

Without an output it joins nothing and tells how long the pieces are.
"""

from msgspec import Struct

from pipeline.core.sound import Join

MAX_TAKE_BYTES = 600_000_000


class JoinParams(Struct, frozen=True, kw_only=True):
    """A demuxer for each input, and what becomes of them. One input at a time lies in memory, decoded."""

    demuxers: tuple[str, ...]
    join: Join
    max_take_bytes: int = MAX_TAKE_BYTES
