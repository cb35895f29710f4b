"""JSON from outside, read strictly: one value, bounded in depth, with nothing in it that two readers could read apart.

Skips what servers put before it: a byte order mark, white space, comment lines of an event stream. Refuses invalid
UTF-8, duplicate keys, NaN, infinities and endless numbers with a ContractError. The caller bounds the bytes.

What no text can be kept with is no reason to lose a paid answer: a NUL is left out, half a character becomes U+FFFD.
"""

import json
import math
import re
from typing import TypeAlias

from pipeline.core.errors import ContractError

JsonValue: TypeAlias = bool | int | float | str | list["JsonValue"] | dict[str, "JsonValue"] | None

MAX_DEPTH = 64
_HALF = re.compile("[\ud800-\udfff]")
_BOM = b"\xef\xbb\xbf"


def read_json(body: bytes) -> JsonValue:
    """The one value in `body`. ContractError when it is not exactly one readable value."""
    try:
        value: JsonValue = _READER.decode(_bare(body).decode("utf-8"))
    except (ValueError, RecursionError) as error:  # the first has UnicodeDecodeError and JSONDecodeError under it
        raise ContractError(f"the answer is not readable JSON: {_reason(error)}", code="reply-damaged") from error
    _refuse_deep(value)
    return _keepable(value) if b"\\u" in body else value  # only an escape can stand for either of them


def as_object(value: JsonValue) -> dict[str, JsonValue]:
    """The value if it is an object, else an empty one: for tolerant reading of what may be absent."""
    return value if isinstance(value, dict) else {}


def as_text(value: JsonValue) -> str:
    return value if isinstance(value, str) else ""


def _bare(body: bytes) -> bytes:
    bare = body.removeprefix(_BOM).lstrip()
    while bare.startswith(b":"):
        bare = bare.partition(b"\n")[2].lstrip()
    return bare


def _unique(pairs: list[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands in it twice")
    return found


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("it has a number that is none")
    return number


_READER = json.JSONDecoder(object_pairs_hook=_unique, parse_float=_finite, parse_constant=_finite)


def _reason(error: Exception) -> str:
    """Where and why, without a word of the text itself."""
    match error:
        case json.JSONDecodeError():
            return f"{error.msg} at character {error.pos}"
        case UnicodeDecodeError():
            return f"no UTF-8 at byte {error.start}"
        case RecursionError():
            return "it is nested too deeply"
    return str(error)


def _refuse_deep(value: JsonValue) -> None:
    level: list[JsonValue] = [value]
    for _ in range(MAX_DEPTH):
        level = [inner for item in level for inner in _inside(item)]
        if not level:
            return
    raise ContractError("the answer is nested too deeply", code="reply-damaged")


def _keepable(value: JsonValue) -> JsonValue:
    match value:
        case str():
            whole = value.replace("\0", "")
            return whole if whole.isascii() else _HALF.sub("\ufffd", whole)
        case list():
            return [_keepable(item) for item in value]
        case dict():
            return {name: _keepable(item) for name, item in value.items()}
    return value


def _inside(value: JsonValue) -> list[JsonValue]:
    match value:
        case dict():
            return [item for item in value.values() if isinstance(item, dict | list)]
        case list():
            return [item for item in value if isinstance(item, dict | list)]
    return []
