"""What the join stage is asked, on both sides of the process border; it answers a `core.sound.Joined`. No av here.

Without an output it joins nothing and tells how long the pieces are.
"""

from msgspec import Struct

from pipeline.core.sound import Join


class JoinParams(Struct, frozen=True, kw_only=True):
    """A demuxer for each input, and what becomes of them."""

    demuxers: tuple[str, ...]
    join: Join
