"""EBML elements, the nesting of Matroska and WebM: reading numbers, walking children.

Owns only the nesting. An element of unknown length (live recordings) is handed out with `end` None; whoever walks
knows what may follow it.
"""

import struct
from collections.abc import Iterator

from msgspec import Struct

from pipeline.media._examination import DamagedError, Window

MAX_ELEMENTS = 2_000_000
_LONGEST_HEADER = 12


class Element(Struct, frozen=True):
    """An element: its id with the length marker, where it and its body begin, where it ends if its header says."""

    id: int
    start: int
    at: int
    end: int | None


def element(window: Window, at: int) -> Element:
    header = window.read(at, _LONGEST_HEADER)
    id_width = _width(header, 0)
    size_width = _width(header, id_width) if 1 <= id_width <= 4 else 0
    if not size_width:
        raise DamagedError(f"the {max(0, window.size - at)} bytes from byte {at} are no element")
    body = at + id_width + size_width
    size = int.from_bytes(header[id_width : id_width + size_width]) & (1 << 7 * size_width) - 1
    is_unknown = size == (1 << 7 * size_width) - 1
    return Element(int.from_bytes(header[:id_width]), at, body, None if is_unknown else body + size)


def _width(header: bytes, at: int) -> int:
    """The width of the number at `at` by its leading zero bits; 0 where there is none or it is cut off."""
    if at >= len(header) or header[at] == 0:
        return 0
    width = 9 - header[at].bit_length()
    return width if at + width <= len(header) else 0


def children(window: Window, at: int, end: int) -> Iterator[Element]:
    """The elements from `at` to `end`. Ends after one of unknown length, or after one that runs over."""
    for _ in range(MAX_ELEMENTS):
        if at >= end:
            return
        found = element(window, at)
        yield found
        if found.end is None:
            return
        at = found.end
    raise DamagedError(f"more than {MAX_ELEMENTS} elements")


def unsigned(window: Window, found: Element) -> int:
    return int.from_bytes(_value(window, found, 8))


def decimal(window: Window, found: Element) -> float:
    body = _value(window, found, 8)
    if len(body) not in (4, 8):
        raise DamagedError("a number of an odd width")
    value: float = struct.unpack(">f" if len(body) == 4 else ">d", body)[0]
    return value


def text(window: Window, found: Element) -> str:
    return _value(window, found, 64).rstrip(b"\0").decode("ascii", "replace")


def _value(window: Window, found: Element, limit: int) -> bytes:
    size = 0 if found.end is None else found.end - found.at
    if found.end is None or size > limit:
        raise DamagedError(f"a value of {size} bytes is longer than any that is read")
    return window.exactly(found.at, size, "a value")
