"""Redaction: the one way from what happened to what is written down. Logs and debug artifacts both go through it.

Three rules, because each alone leaks: the name of a field, a known value in any of its encodings, and the look of a
stretch of text. What comes out is bounded, and it is cut only after it was masked, so no half of a secret is left at
the end. What it cannot see: secrets shorter than four characters outside named fields, and encrypted or compressed
bytes.
"""

import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias
from urllib.parse import quote, quote_plus

from msgspec import Struct

from pipeline.trace._readings import Reading, Span, from_bytes, readings, squeezed
from pipeline.trace._shapes import by_name, shapes

JsonValue: TypeAlias = bool | int | float | str | Sequence["JsonValue"] | Mapping[str, "JsonValue"] | None

MASK = "[redacted]"
CUT = "…"
MAX_CHARS = 2000
MAX_VALUE_CHARS = 65_536
MAX_DEPTH = 12
MAX_ITEMS = 200
MIN_SECRET_CHARS = 4
MAX_KNOWN_CHARS = 64
MAX_KNOWN_TEXTS = 1000
MIN_CUT_SECRET_CHARS = 6
STRETCH = 8
STRETCH_NOT_ASCII = 3
MAX_PACKED_HIDE = 300  # base64 of anything longer is long enough to be hidden by its shape
MAX_NUMBER = 2.0**64  # nothing that is counted here is larger, and Python refuses to write out very long integers

_ROOM_PER_SECRET_CHAR = 36  # a four-byte character, percent-encoded three times, is `%252525F0` four times over
_MIN_ROOM = 200
_LATIN_1 = re.compile("[\x80-\xff]{2,}")
_WORD = re.compile(r"[^\W_]{4,}|\d{2,}")
_ALIKE = str.maketrans("\u0131\u1fd3\u1fe3\ufb05", "i\u0390\u03b0\ufb06")  # one letter, which folding keeps apart


class _Known(Struct, frozen=True):
    """Finds a set of values in every encoding: `plain` as they are, `packed` as base64 or hex, both folded.

    Not by a regular expression: `re` keeps each pattern for the life of the process, and these hold what is private.
    """

    values: frozenset[str]
    spellings: tuple[str, ...]
    plain: frozenset[str]
    packed: frozenset[str]

    @classmethod
    def of(cls, values: Iterable[str]) -> "_Known | None":
        long_enough = frozenset(value for value in values if len(value) >= MIN_SECRET_CHARS)
        if not long_enough:
            return None
        plain = {form for value in long_enough for form in _plain_forms(value)}
        packed = {form for value in long_enough for form in _packed_forms(value)}
        escaped = {form for value in long_enough for form in _escaped_forms(value)}
        spellings = tuple(sorted(plain | packed | escaped, key=len, reverse=True))
        return cls(long_enough, spellings, frozenset(map(_folded, plain)), frozenset(map(_folded, packed)))

    def find(self, reading: Reading) -> Iterator[Span]:
        joined = squeezed(reading)
        views = [(reading, self.plain, 0), (joined, self.plain, 0), (joined, self.packed, 1)]
        for view, forms, margin in views[joined.text == reading.text :]:  # what is the same is looked at once
            for start, end in _places(_folded(view.text), forms):
                # The characters at both ends of a base64 run carry bits of the neighbours and of the secret.
                yield view.span(max(start - margin, 0), min(end + margin, len(view.text)))

    def is_in(self, text: str) -> bool:
        """As it is, letter case aside."""
        return any(_places(_folded(text), self.plain))


class Redactor:
    """Knows the secrets of this process and shows none of them. Safe to call from any thread; never raises."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._known: _Known | None = None
        self._room = _MIN_ROOM
        self._shown: dict[tuple[str, int], str] = {}
        for secret in secrets:
            self.add(secret)

    def __repr__(self) -> str:
        return f"Redactor({len(self._secrets())} secrets)"

    def add(self, secret: str) -> None:
        """From now on this value never comes out. Too short a value is left to the rule of names."""
        self._known = _Known.of(self._secrets() | {secret, secret.strip()})
        self._shown = {}
        self._room = max(_MIN_ROOM, _ROOM_PER_SECRET_CHAR * max(map(len, self._secrets()), default=0))

    def text(self, text: str, *, max_chars: int = MAX_CHARS, hide: Sequence[str] = ()) -> str:
        """Free text made safe to write. Nothing of the texts in `hide` comes out either: no word, no longer stretch.

        Names, kinds and verdicts come again and again, so what became of a short text is remembered.
        """
        if hide or len(text) > MAX_KNOWN_CHARS:
            return self._safe(text, max_chars, hide)
        remembered, key = self._shown, (text, max_chars)  # by name: a secret that comes meanwhile begins a new one
        shown = remembered.get(key)
        if shown is None:
            if len(remembered) >= MAX_KNOWN_TEXTS:
                remembered.clear()
            shown = remembered[key] = self._safe(text, max_chars, ())
        return shown

    def _safe(self, text: str, max_chars: int, hide: Sequence[str]) -> str:
        window = text[: max_chars + self._room]
        spans = list(self._cut_secret(text)) if len(window) == len(text) else []
        private = _Known.of(value for value in hide if len(value) <= MAX_PACKED_HIDE)
        for reading in readings(window):
            spans += (reading.span(*found) for found in shapes(reading.text))
            spans += _borrowed(reading, hide)
            for known in (self._known, private):
                spans += known.find(reading) if known is not None else ()
        return _masked(window, spans, max_chars)

    def known(self, text: str) -> str:
        """A text of any length, for the person whose text it is: only known secrets go, in their usual spellings."""
        for spelling in self._known.spellings if self._known is not None else ():
            text = text.replace(spelling, MASK)
        return text

    def value(self, value: JsonValue) -> JsonValue:
        """A JSON value of the same shape, with what is private masked and what is too much left out."""
        return _Walk(self).value(value, 0)

    def is_known(self, text: str) -> bool:
        """Does a known secret stand in this text as it is?"""
        return self._known is not None and self._known.is_in(text)

    def _secrets(self) -> frozenset[str]:
        return self._known.values if self._known is not None else frozenset()

    def _cut_secret(self, text: str) -> Iterator[Span]:
        """The beginning of a secret at the very end: whoever made the text may have shortened it there."""
        for secret in self._secrets():
            for length in range(min(len(secret), len(text)), MIN_CUT_SECRET_CHARS - 1, -1):
                if text.endswith(secret[:length]):
                    yield len(text) - length, len(text)
                    break


class _Walk:
    """One pass over one value, with a bound on everything that comes out."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._left = MAX_VALUE_CHARS

    def value(self, value: JsonValue, depth: int) -> JsonValue:
        self._left -= 1
        match value:
            case str():
                return self._text(value)
            case None | bool():
                return value
            case int() | float():
                return MASK if abs(value) > MAX_NUMBER or self._redactor.is_known(str(value)) else value
            case _ if depth >= MAX_DEPTH or self._left <= 0:
                return CUT
            case Mapping():
                return self._mapping(value, depth)
            case _:
                return self._list(value, depth)

    def _text(self, text: str) -> str:
        shown = self._redactor.text(text, max_chars=max(0, min(MAX_CHARS, self._left)))
        self._left -= len(shown) + 1
        return shown

    def _mapping(self, mapping: Mapping[str, JsonValue], depth: int) -> JsonValue:
        named = _named_pair(mapping)
        shown: dict[str, JsonValue] = {}
        for name in list(mapping)[:MAX_ITEMS]:
            about = named if named is not None and name == "value" else name
            shown[self._text(name)] = self._field(about, mapping[name], depth)
        if len(mapping) > MAX_ITEMS:
            shown[CUT] = len(mapping) - MAX_ITEMS
        return shown

    def _field(self, name: str, value: JsonValue, depth: int) -> JsonValue:
        if value is None or isinstance(value, bool):
            return value
        privacy = by_name(name)
        if privacy is None or (privacy == "content" and isinstance(value, int | float)):
            return self.value(value, depth + 1)
        return MASK if privacy == "secret" or not isinstance(value, str) else f"[{len(value)} chars]"

    def _list(self, items: Sequence[JsonValue], depth: int) -> JsonValue:
        match items:
            case [str(name), value] if by_name(name) is not None:  # one header of a list of headers
                return [self._text(name), self._field(name, value, depth)]
        shown = [self.value(item, depth + 1) for item in items[:MAX_ITEMS]]
        return [*shown, CUT] if len(items) > MAX_ITEMS else shown


def _named_pair(mapping: Mapping[str, JsonValue]) -> str | None:
    """The name in `{"name": "Cookie", "value": "…"}`, which says what `value` is."""
    name = mapping.get("name")
    return name if isinstance(name, str) else None


def _places(folded: str, forms: Iterable[str]) -> Iterator[Span]:
    """Where each form begins and ends, overlapping too."""
    for form in forms:
        at = folded.find(form)
        while at >= 0:
            yield at, at + len(form)
            at = folded.find(form, at + 1)


def _plain_forms(secret: str) -> Iterator[str]:
    """The secret, and what is left of it when a reading undoes escapes that are part of the secret itself."""
    for reading in readings(secret):
        doubtful = _LATIN_1.sub(lambda match: from_bytes(match.group().encode("latin-1")), reading.text)
        forms = (reading.text, reading.text.upper(), doubtful, reading.text.replace(" ", "+"), squeezed(reading).text)
        yield from (form for form in forms if len(form) >= MIN_SECRET_CHARS)


def _escaped_forms(secret: str) -> tuple[str, ...]:
    return json.dumps(secret)[1:-1], quote(secret, "", errors="replace"), _plus(secret)


def _packed_forms(secret: str) -> Iterator[str]:
    """Base64 at the three offsets that a run can have, and hex, of the secret plain and escaped."""
    for form in {secret, *_escaped_forms(secret)}:
        body = form.encode("utf-8", "surrogatepass")
        yield body.hex()
        for offset in range(3):
            run = base64.b64encode(bytes(offset) + body).decode()
            first, end = -(-offset * 8 // 6), (offset + len(body)) * 8 // 6
            yield run[first:end]


def _plus(secret: str) -> str:
    return quote_plus(secret, "", errors="replace")


def _borrowed(reading: Reading, hide: Sequence[str]) -> Iterator[Span]:
    """Stretches that also stand in one of the texts to hide, letter case aside."""
    if not hide:
        return
    known = [_folded(text) for text in hide]
    words = {word for text in known for word in _WORD.findall(text)}
    seen = _folded(reading.text)
    for match in _WORD.finditer(seen):
        if match.group() in words:
            yield reading.span(*match.span())
    for at in range(len(seen)):
        width = STRETCH if seen[at : at + STRETCH].isascii() else STRETCH_NOT_ASCII
        stretch = seen[at : at + width]
        if len(stretch) == width and any(stretch in text for text in known):
            yield reading.span(at, at + width)


def _folded(text: str) -> str:
    """Letter case aside, one character for one, as `re.IGNORECASE` compares."""
    folded = text.casefold()
    if len(folded) != len(text):
        folded = "".join(map(_folded_letter, text))
    return folded if folded.isascii() else folded.translate(_ALIKE)


def _folded_letter(letter: str) -> str:
    folded = letter.casefold()
    return folded if len(folded) == 1 else letter.lower()[0]


def _masked(window: str, spans: Iterable[Span], max_chars: int) -> str:
    pieces: list[str] = []
    at = 0
    for start, end in sorted(spans):
        if start >= max_chars:
            break
        if start > at or not pieces:
            pieces += window[at:start], MASK
        at = max(at, end)
    pieces.append(window[at:max_chars])
    shown = "".join(pieces)
    if len(shown) <= max_chars and max(at, max_chars) >= len(window):
        return shown
    return shown[: max(0, max_chars - 1)] + CUT
