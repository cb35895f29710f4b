"""The boxes of ISO base media files: walking them, finding one by its path, adding up a table.

Owns only the nesting. A box is handed out as its header states it, even where it runs over the end; whoever walks
compares. The number of boxes looked at in one place is bounded.
"""

import array
import sys
from collections.abc import Iterator

from msgspec import Struct

from pipeline.media._examination import MAX_READ, DamagedError, Window

MAX_BOXES = 500_000
MAX_CHILDREN = 10_000
MAX_TABLE_BYTES = 64 * MAX_READ


class Box(Struct, frozen=True):
    """A box: its type, where its body begins and where its header says it ends."""

    kind: bytes
    at: int
    end: int


def boxes(window: Window, at: int, end: int, *, limit: int = MAX_BOXES) -> Iterator[Box]:
    """The boxes from `at` to `end`; ends after one that runs over. DamagedError where no box header stands."""
    for _ in range(limit):
        if at >= end:
            return
        box = _box(window, at, end)
        yield box
        at = box.end
    raise DamagedError(f"more than {limit} boxes")


def _box(window: Window, at: int, end: int) -> Box:
    header = window.read(at, min(16, end - at))
    size, body = int.from_bytes(header[:4]), at + 8
    if len(header) >= 8 and size == 0:
        size = end - at
    if len(header) == 16 and size == 1:
        size, body = int.from_bytes(header[8:16]), at + 16
    if len(header) < 8 or size < body - at or not _is_kind(header[4:8]):
        raise DamagedError(f"the {end - at} bytes from byte {at} are no box")
    return Box(header[4:8], body, at + size)


def _is_kind(kind: bytes) -> bool:
    return all(0x20 <= byte < 0x7F or byte == 0xA9 for byte in kind)


def inside(window: Window, parent: Box) -> Iterator[Box]:
    """The children of a box; DamagedError where one runs over its parent."""
    for box in boxes(window, parent.at, parent.end, limit=MAX_CHILDREN):
        if box.end > parent.end:
            raise DamagedError(f"the box {box.kind.decode('latin-1')} is longer than the one around it")
        yield box


def find(window: Window, parent: Box, *path: bytes) -> Box | None:
    """The first box along a path of types below `parent`."""
    for kind in path:
        # QuickTime ends some lists with four zero bytes, so the search stops at the first match.
        match = next((box for box in inside(window, parent) if box.kind == kind), None)
        if match is None:
            return None
        parent = match
    return parent


def number(window: Window, at: int, width: int) -> int:
    return int.from_bytes(window.exactly(at, width, "a field of the index"))


def table(window: Window, at: int, count: int) -> Iterator["array.array[int]"]:
    """`count` 32-bit numbers from `at`, in bounded pieces."""
    if count * 4 > MAX_TABLE_BYTES:
        raise DamagedError(f"a table of {count} entries is longer than any that is read")
    for offset in range(0, count * 4, MAX_READ):
        piece = array.array("I", window.exactly(at + offset, min(MAX_READ, count * 4 - offset), "a table of the index"))
        if sys.byteorder == "little":
            piece.byteswap()
        yield piece
