"""The readings of one text: as it stands, and with its escapes undone once, twice and three times.

A secret that was percent-encoded, JSON-escaped, written as HTML entities or as `\\x41`, even one inside the other, is
plain in one of the readings. Every character of a reading knows which stretch of the first text it came from, so what
is found in a reading can be masked in the text itself.
"""

import html
import re
from collections.abc import Callable, Iterator, Sequence

from msgspec import Struct

MAX_ROUNDS = 3

Span = tuple[int, int]

_HEX = "[0-9a-fA-F]"
_ESCAPE = re.compile(
    rf"(?:%{_HEX}{{2}})+"
    rf"|(?:\\x{_HEX}{{2}})+"
    rf"|(?:\\u{_HEX}{{4}})+"
    rf"|\\U{_HEX}{{8}}"
    rf"|\\u\{{{_HEX}{{1,6}}\}}"
    r"|\\[\"'\\/bfnrt]"
    rf"|&(?:#\d{{1,7}}|#[xX]{_HEX}{{1,6}}|[A-Za-z]{{2,8}});"
)
_NOT_UTF8 = re.compile("[\udc80-\udcff]")
_ESCAPED_BYTE = 0xDC00
_SPACE = re.compile(r"[\s:]+")
_SHORT = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_LAST_POINT = 0x10FFFF
_STANDARD_BASE64 = str.maketrans("-_", "+/")


class Reading(Struct, frozen=True):
    """`starts[i]` and `ends[i]` are the stretch of the first text that character `i` of `text` stands for."""

    text: str
    starts: Sequence[int]
    ends: Sequence[int]

    def span(self, start: int, end: int) -> Span:
        return self.starts[start], self.ends[end - 1]


def readings(text: str) -> Iterator[Reading]:
    """The text itself first, then each reading that differs from the one before."""
    reading = Reading(text, range(len(text)), range(1, len(text) + 1))
    yield reading
    for _ in range(MAX_ROUNDS):
        plainer = _rewrite(reading, _ESCAPE, _unescape)
        if plainer.text == reading.text:
            return
        reading = plainer
        yield reading


def squeezed(reading: Reading) -> Reading:
    """Without white space and colons, in the standard base64 alphabet: wrapped base64 and spaced hex become one run."""
    joined = _rewrite(reading, _SPACE, lambda _: "")
    return Reading(joined.text.translate(_STANDARD_BASE64), joined.starts, joined.ends)


def _rewrite(reading: Reading, pattern: re.Pattern[str], plain: Callable[[str], str]) -> Reading:
    pieces: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    at = 0
    for match in pattern.finditer(reading.text):
        first, last = reading.span(*match.span())
        piece = plain(match.group())
        pieces += reading.text[at : match.start()], piece
        starts += *reading.starts[at : match.start()], *[first] * len(piece)
        ends += *reading.ends[at : match.start()], *[last] * len(piece)
        at = match.end()
    pieces.append(reading.text[at:])
    return Reading("".join(pieces), [*starts, *reading.starts[at:]], [*ends, *reading.ends[at:]])


def _unescape(token: str) -> str:
    if token[0] == "%":
        return from_bytes(bytes.fromhex(token.replace("%", "")))
    if token[0] == "&":
        return html.unescape(token)
    match token[1]:
        case "x":
            return from_bytes(bytes.fromhex(token.replace("\\x", "")))
        case "u" if token[2] != "{":
            return _utf16(token.replace("\\u", ""))
        case "u" | "U":
            return _point(token[2:].strip("{}"))
    return _SHORT.get(token[1], token[1])


def from_bytes(body: bytes) -> str:
    """UTF-8, and Latin-1 for the bytes that are not: Python writes `\\xa0` for a character as well as for a byte."""
    text = body.decode("utf-8", "surrogateescape")
    return _NOT_UTF8.sub(lambda match: chr(ord(match.group()) - _ESCAPED_BYTE), text)


def _utf16(digits: str) -> str:
    return bytes.fromhex(digits).decode("utf-16-be", "surrogatepass")


def _point(digits: str) -> str:
    number = int(digits, 16)
    return chr(number) if number <= _LAST_POINT else ""
