"""What is wrong with a value that a person wrote, in our words: where it stands, what it is, and what can stand there.

msgspec tells that in a sentence of its own, and nowhere else. The shapes of that sentence are known here alone; one
that is not known is passed on. No value is repeated but a word that is none of the few that can stand there.
"""

import difflib
import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence

import msgspec
from msgspec import Struct

from pipeline.core.confine import display
from pipeline.core.decoding import from_plain

MAX_TRIED = 100
MAX_NAME_CHARS = 100
_SENTENCE = re.compile(r"(.*?)(?: - at (`key` in )?`\$([^`]*)`)?", re.DOTALL)
_STEP = re.compile(r"\.([^.\[]+)|\[([^\]]*)\]")
_EXPECTED = re.compile(r"Expected `([^`]+)`, got `([^`]+)`")
_BOUND = re.compile(r"Expected `(int|float)` (>=|>|<=|<) (\S+)")
_LENGTH = re.compile(r"Expected `(str|array|object)` of length (>=|<=|==) (\d+)")
_MISSING = re.compile(r"Object missing required field `([^`]+)`")
_UNKNOWN = re.compile(r"Object contains unknown field `([^`]+)`")
_WORD = re.compile(r"Invalid enum value (.*)", re.DOTALL)
_FORM = re.compile(r"Expected `str` matching regex (.*)", re.DOTALL)
_AMOUNT = "Invalid decimal string"
_KINDS: Mapping[str, str] = {
    "int": "a whole number",
    "float": "a number",
    "decimal": "an amount",
    "str": "text in quotes",
    "bool": "true or false",
    "array": "a list",
    "object": "a table of keys",
}
_FOUND: Mapping[str, str] = {
    **_KINDS,
    "str": "text",
    "float": "a number with a fraction",
    "null": "empty",
    "date": "a date",
    "datetime": "a date",
    "time": "a time",
}
_BOUNDS: Mapping[str, str] = {">=": "of at least", ">": "above", "<=": "of at most", "<": "below"}
_LENGTHS: Mapping[str, str] = {">=": "fewer than", "<=": "more than", "==": "more or fewer than"}
_ENOUGH: Mapping[str, str] = {">=": "or more", "<=": "or fewer", "==": ""}
_PARTS: Mapping[str, str] = {"str": "characters", "array": "entries", "object": "keys"}
_Step = tuple[str, str]
_Type = msgspec.inspect.Type


class Complaint(Struct, frozen=True, kw_only=True):
    """`what` names the place and what is wrong there, `hint` what to write."""

    what: str
    hint: str


def complaint(error: msgspec.ValidationError, value: object, into: type, *, name: str = "it") -> Complaint:
    """Why `value` is no `into`. `name` is what the whole of it is called."""
    found = _SENTENCE.fullmatch(str(error))
    assert found is not None, "every text is a sentence"
    said, is_of_a_key, steps = found[1], found[2], _STEP.findall(found[3] or "")
    kinds = [] if is_of_a_key else _types(into, steps)
    where = _place(str(error), value, into, steps) or name
    told = _told(said, where, kinds)
    if words := _listed(kinds, _words):
        return Complaint(what=told.what, hint=f"write one of: {words}")
    if _FORM.fullmatch(said) and (examples := _listed(kinds, _examples)):
        return Complaint(what=f"{where} is not of its form", hint=f"write it like one of: {examples}")
    return told


def _listed(kinds: Sequence[_Type], each: Callable[[_Type], Iterator[str]]) -> str:
    return ", ".join(dict.fromkeys(word for kind in kinds for word in each(kind)))


def _told(said: str, where: str, kinds: Sequence[_Type]) -> Complaint:
    if match := _EXPECTED.fullmatch(said):
        wanted = " or ".join(_KINDS.get(kind, kind) for kind in match[1].split(" | ") if kind != "null")
        return Complaint(what=f"{where} is {_FOUND.get(match[2], match[2])}, not {wanted}", hint=f"write {wanted}")
    if match := _BOUND.fullmatch(said):
        wanted = f"{_KINDS[match[1]]} {_BOUNDS[match[2]]} {float(match[3]):,.12g}"
        return Complaint(what=f"{where} is not {wanted}", hint=f"write {wanted}")
    if match := _LENGTH.fullmatch(said):
        return _of_length(where, match[1], match[2], int(match[3]))
    if match := _MISSING.fullmatch(said):
        return Complaint(what=f"{where} has no {match[1]}", hint=f"write {match[1]}")
    if match := _UNKNOWN.fullmatch(said):
        return Complaint(what=f"{where} has no key '{display(match[1], MAX_NAME_CHARS)}'", hint=_near(match[1], kinds))
    if match := _WORD.fullmatch(said):
        return Complaint(what=f"{where} cannot be {display(match[1], MAX_NAME_CHARS)}", hint="correct it")
    if match := _FORM.fullmatch(said):
        return Complaint(what=f"{where} is not of the form {display(match[1])}", hint="write it in that form")
    if said == _AMOUNT:
        return Complaint(what=f"{where} is no amount", hint="write an amount such as 0.25")
    return Complaint(what=f"{where}: {display(said)}", hint="correct it")


def _of_length(where: str, kind: str, bound: str, count: int) -> Complaint:
    if (bound, count) == (">=", 1):
        return Complaint(what=f"{where} is empty", hint="write something, or leave the key out")
    amount = f"{_LENGTHS[bound]} {count:,} {_PARTS[kind]}"
    return Complaint(what=f"{where} has {amount}", hint=f"write {count:,} {_PARTS[kind]} {_ENOUGH[bound]}".rstrip())


def _place(error: str, value: object, into: type, steps: Sequence[_Step]) -> str:
    """As a person would say it: lists are counted from one, and the name in a table is looked for."""
    label, here, way = "", value, list[str | int]()
    for name, index in steps:
        key: str | int | None = name or (int(index) if index.isdigit() else _culprit(error, value, into, way, here))
        label += _step_label(key)
        if key is None or not isinstance(here, dict | list):
            break
        way.append(key)
        here = here[key] if isinstance(here, list) and isinstance(key, int) else dict(here).get(key)
    return label.removeprefix(".")


def _step_label(key: str | int | None) -> str:
    if key is None:
        return " (an entry)"
    return f" (entry {key + 1})" if isinstance(key, int) else f".{display(key, MAX_NAME_CHARS)}"


def _culprit(error: str, value: object, into: type, way: Sequence[str | int], here: object) -> str | None:
    """Under which name of a table of names it is wrong, which msgspec does not tell: with that alone, it still is."""
    for key in itertools.islice(here, MAX_TRIED) if isinstance(here, dict) else ():
        try:
            from_plain(_alone(value, way, key), into)
        except msgspec.ValidationError as found:
            if str(found) == error:
                return str(key)
    return None


def _alone(value: object, way: Sequence[str | int], key: object) -> object:
    """A copy in which the table at the end of the way has that key alone."""
    if not way:
        return {key: value[key]} if isinstance(value, dict) else value
    first, *rest = way
    if isinstance(value, list) and isinstance(first, int):
        return [_alone(item, rest, key) if number == first else item for number, item in enumerate(value)]
    return {**value, first: _alone(value[first], rest, key)} if isinstance(value, dict) else value


def _types(into: type, steps: Sequence[_Step]) -> list[_Type]:
    kinds = [msgspec.inspect.type_info(into)]
    for name, _ in steps:
        kinds = [inner for kind in kinds for inner in _below(kind, name)]
    return kinds


def _below(kind: _Type, name: str) -> Iterator[_Type]:
    """The types of what lies under a name, or of what a collection holds where there is none."""
    match kind:
        case msgspec.inspect.StructType():
            yield from (field.type for field in kind.fields if field.encode_name == name)
        case msgspec.inspect.UnionType():
            yield from (inner for choice in kind.types for inner in _below(choice, name))
        case msgspec.inspect.DictType() if not name:
            yield kind.value_type
        case msgspec.inspect.VarTupleType() | msgspec.inspect.ListType() if not name:
            yield kind.item_type


def _words(kind: _Type) -> Iterator[str]:
    match kind:
        case msgspec.inspect.LiteralType():
            yield from (word for word in kind.values if isinstance(word, str))
        case msgspec.inspect.UnionType():
            yield from (word for choice in kind.types for word in _words(choice))
        case msgspec.inspect.VarTupleType():
            yield from _words(kind.item_type)


def _examples(kind: _Type) -> Iterator[str]:
    match kind:
        case msgspec.inspect.Metadata(extra_json_schema={"examples": examples}):
            yield from (str(example) for example in examples)
        case msgspec.inspect.UnionType():
            yield from (example for choice in kind.types for example in _examples(choice))


def _near(word: str, kinds: Sequence[_Type]) -> str:
    known = sorted(_keys(kinds))
    near = difflib.get_close_matches(word[:MAX_NAME_CHARS], known, n=1)
    return f'did you mean "{near[0]}"?' if near else f"known here: {', '.join(known)}"


def _keys(kinds: Sequence[_Type]) -> Iterator[str]:
    for kind in kinds:
        if isinstance(kind, msgspec.inspect.UnionType):
            yield from _keys(kind.types)
        elif isinstance(kind, msgspec.inspect.StructType):
            yield from (field.encode_name for field in kind.fields)
