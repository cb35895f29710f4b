"""Which words may stand where a value of a file is wrong: read from the type, so no list is written down twice."""

import re
from collections.abc import Iterator

import msgspec

_PATH = re.compile(r"`\$([^`]*)`")
_STEP = re.compile(r"\.([^.\[]+)|\[[^\]]*\]")
_KEYS = "`key` in "


def words_that_fit(into: type, message: str) -> str:
    """A hint with the few words that msgspec would take at the place that its complaint names; else empty."""
    found = None if _KEYS in message else _PATH.search(message)
    if found is None:
        return ""
    kinds = [msgspec.inspect.type_info(into)]
    for step in _STEP.finditer(found[1]):
        kinds = [inner for kind in kinds for inner in _below(kind, step[1])]
    words = dict.fromkeys(word for kind in kinds for word in _words(kind))
    return f"write one of: {', '.join(words)}" if words else ""


def _below(kind: msgspec.inspect.Type, name: str | None) -> Iterator[msgspec.inspect.Type]:
    """The types of what lies under a name, or of what a collection holds where there is none."""
    match kind:
        case msgspec.inspect.StructType():
            yield from (field.type for field in kind.fields if field.encode_name == name)
        case msgspec.inspect.UnionType():
            yield from (inner for choice in kind.types for inner in _below(choice, name))
        case msgspec.inspect.DictType() if name is None:
            yield kind.value_type
        case msgspec.inspect.VarTupleType() | msgspec.inspect.ListType() if name is None:
            yield kind.item_type


def _words(kind: msgspec.inspect.Type) -> Iterator[str]:
    match kind:
        case msgspec.inspect.LiteralType():
            yield from (word for word in kind.values if isinstance(word, str))
        case msgspec.inspect.UnionType():
            yield from (word for choice in kind.types for word in _words(choice))
        case msgspec.inspect.VarTupleType():
            yield from _words(kind.item_type)
