"""JSON and plain values into structs, in any thread.

msgspec learns a type when it first meets it, and takes it for known before it knows all of it. A second thread that
meets it in that instant reads what is not there yet, and the process dies of it (seen with msgspec 0.22). So nothing is
decoded in any other way: here one thread at a time learns, and the others wait for it.
"""

import threading
from typing import TypeVar, cast

import msgspec

T = TypeVar("T")
_LEARNING = threading.Lock()
_known: dict[type, msgspec.json.Decoder[object]] = {}  # as many as the program has types to read


def from_json(body: bytes | bytearray | memoryview | str | msgspec.Raw, kind: type[T]) -> T:
    """As `msgspec.json.decode`, with its errors."""
    return _decoder(kind).decode(body)


def from_plain(value: object, kind: type[T], *, strict: bool = True) -> T:
    """As `msgspec.convert`, with its errors."""
    _decoder(kind)
    return msgspec.convert(value, kind, strict=strict)


def _decoder(kind: type[T]) -> msgspec.json.Decoder[T]:
    known = _known.get(kind)
    if known is None:
        with _LEARNING:
            known = _known.setdefault(kind, msgspec.json.Decoder(kind))
    return cast("msgspec.json.Decoder[T]", known)
