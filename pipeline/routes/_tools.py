"""What a driver is opened with: the things it may use and does not own."""

from collections.abc import Callable

from msgspec import Struct

from pipeline.children.lanes import Lanes
from pipeline.core.model import Runner
from pipeline.core.secret import FindKey


class Tools(Struct, frozen=True, kw_only=True):
    """`find_key` fetches a secret by name when a request is built; `cache` is a folder for catalogues that may vanish.

    `now` is wall time in seconds, for the age of what was cached and nothing else. `safe` takes foreign words and gives
    back what of them may be kept: redacted, short, harmless on a terminal. `warn` tells the person once. `files` reads
    what is sent, off the event loop.
    """

    lanes: Lanes
    find_key: FindKey
    cache: str
    now: Callable[[], float]
    safe: Callable[[str], str]
    warn: Callable[[str], None]
    files: Runner
