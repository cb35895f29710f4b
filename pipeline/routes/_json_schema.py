"""JSON Schema, the part of it that structured answers use: which schemas can be judged here, and does a value fit one?

Promises that a schema with a keyword that is not judged is refused beforehand, so "it fits" is never said of something
that nobody looked at, and so is one that is malformed or whose alternatives have no end. Keeps no state, reads
nothing else, and ends on every input: depth is bounded.
"""

import re
from collections.abc import Callable, Mapping

MAX_DEPTH = 40
MAX_SCHEMA_CHARS = 100_000
MAX_PATTERN_CHARS = 200
MAX_UNFOLDED = 2_000
"""Subschemas that one value may have to be held against, before anything that lies in it."""
_SAID = "$schema $id $comment title description default examples deprecated format"
_SAID_ONLY = frozenset(_SAID.split())
_WORDS = """type enum const properties required additionalProperties items prefixItems minItems maxItems uniqueItems
minProperties maxProperties minLength maxLength pattern minimum maximum exclusiveMinimum exclusiveMaximum multipleOf
anyOf oneOf allOf not $ref $defs definitions"""
JUDGED = frozenset(_WORDS.split())
TYPES: Mapping[str, Callable[[object], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "integer": lambda value: (
        not isinstance(value, bool) and (isinstance(value, int) or (isinstance(value, float) and value.is_integer()))
    ),
}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_names(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _is_type(value: object) -> bool:
    return isinstance(value, str) or (_is_names(value) and value != [])


_FORMS: tuple[tuple[str, Callable[[object], bool]], ...] = (
    ("type", _is_type),
    ("required", _is_names),
    ("$ref pattern", lambda value: isinstance(value, str)),
    ("uniqueItems", lambda value: isinstance(value, bool)),
    ("enum anyOf oneOf allOf prefixItems", lambda value: isinstance(value, list)),
    ("properties $defs definitions", lambda value: isinstance(value, dict)),
    ("minLength maxLength minItems maxItems minProperties maxProperties", _is_count),
    ("minimum maximum exclusiveMinimum exclusiveMaximum multipleOf", _is_number),
)
_FORM_OF = {word: is_formed for words, is_formed in _FORMS for word in words.split()}
_NESTED = ("items", "additionalProperties", "not")
_NESTED_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
_NESTED_TABLES = ("properties", "$defs", "definitions")


def fault_of_schema(schema: object) -> str | None:
    """Why this schema cannot be judged here, or None."""
    known: dict[int, int] = {}
    return _fault_of_part(schema, lambda part: _unfolded(part, schema, known), depth=0)


def _fault_of_part(schema: object, unfolded: Callable[[object], int], *, depth: int) -> str | None:
    if isinstance(schema, bool):
        return None
    if not isinstance(schema, dict):
        return "a schema is not an object"
    if depth > MAX_DEPTH:
        return "it is nested too deep"
    unknown = sorted(set(schema) - _SAID_ONLY - JUDGED)
    if unknown:
        return f"its keyword {unknown[0]!r} is not judged here"
    fault = _fault_of_words(schema)
    faults = (_fault_of_part(child, unfolded, depth=depth + 1) for child in _children(schema) if fault is None)
    fault = fault or next((found for found in faults if found), None)
    return fault or ("its alternatives have no end" if unfolded(schema) >= MAX_UNFOLDED else None)


def _unfolded(schema: object, root: object, known: dict[int, int]) -> int:
    """How many subschemas one value is held against: each way counts, and what leads back to itself has no end."""
    if not isinstance(schema, dict):
        return 1
    if id(schema) not in known:
        known[id(schema)] = MAX_UNFOLDED  # to whoever comes here again by a circle
        inner = [_referred(root, schema["$ref"])] if "$ref" in schema else _alternatives(schema)
        known[id(schema)] = min(1 + sum(_unfolded(each, root, known) for each in inner), MAX_UNFOLDED)
    return known[id(schema)]


def _alternatives(schema: Mapping[str, object]) -> list[object]:
    """What is held against the very value that the schema is held against."""
    found = [each for name in ("anyOf", "oneOf", "allOf") for each in _rows(schema, name)]
    return [*found, schema["not"]] if "not" in schema else found


def _rows(schema: Mapping[str, object], name: str) -> list[object]:
    rows = schema.get(name)
    return rows if isinstance(rows, list) else []


def _fault_of_words(schema: Mapping[str, object]) -> str | None:
    odd = next((word for word, value in schema.items() if word in _FORM_OF and not _FORM_OF[word](value)), None)
    if odd is not None:
        return f"its keyword {odd!r} cannot have such a value"
    kinds = schema.get("type", [])
    for kind in kinds if isinstance(kinds, list) else [kinds]:
        if kind not in TYPES:
            return f"there is no type {kind!r}"
    if not str(schema.get("$ref", "#")).startswith("#"):
        return "it refers to another document"
    pattern = str(schema.get("pattern", ""))
    try:
        re.compile(pattern[:MAX_PATTERN_CHARS])
    except re.error:
        return "its pattern is not a regular expression"
    return "its pattern is too long" if len(pattern) > MAX_PATTERN_CHARS else None


def _children(schema: Mapping[str, object]) -> list[object]:
    found = [schema[name] for name in _NESTED if name in schema]
    for name in _NESTED_LISTS:
        found += _rows(schema, name)
    for name in _NESTED_TABLES:
        table = schema.get(name)
        found += table.values() if isinstance(table, dict) else []
    return found


def is_strict(schema: object) -> bool:
    """Can a server that takes only closed objects with every property required be asked to be strict?"""
    if not isinstance(schema, dict):
        return isinstance(schema, bool)
    properties = schema.get("properties")
    if isinstance(properties, dict) or schema.get("type") == "object":
        is_closed = schema.get("additionalProperties") is False
        if not is_closed or set(_rows(schema, "required")) != set(properties or ()):
            return False
    return all(is_strict(child) for child in _children(schema) if isinstance(child, dict))


def misfit(value: object, schema: object, *, root: object = None, at: str = "the answer", depth: int = 0) -> str | None:
    """Where and why a value does not fit, or None. Names places, never what stands there."""
    root = schema if root is None else root
    if isinstance(schema, bool) or not isinstance(schema, dict):
        return None if schema is not False else f"{at} is not allowed"
    if depth > MAX_DEPTH:
        return f"{at} is nested too deep"
    if "$ref" in schema:
        return misfit(value, _referred(root, str(schema["$ref"])), root=root, at=at, depth=depth + 1)
    for judge in (_misfit_plain, _misfit_size):
        reason = judge(value, schema, at)
        if reason is not None:
            return reason
    return (
        _misfit_choice(value, schema, root, at=at, depth=depth)
        or _misfit_object(value, schema, root, at=at, depth=depth)
        or _misfit_list(value, schema, root, at=at, depth=depth)
    )


def _referred(root: object, reference: str) -> object:
    """What a local reference points to; a reference to nothing fits nothing."""
    found = root
    for step in reference.removeprefix("#").split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        found = found.get(name, False) if isinstance(found, dict) else False
    return found


def _misfit_plain(value: object, schema: Mapping[str, object], at: str) -> str | None:
    kinds = schema.get("type")
    wanted = kinds if isinstance(kinds, list) else [kinds] if kinds is not None else []
    if wanted and not any(TYPES[str(kind)](value) for kind in wanted):
        return f"{at} is not {' or '.join(str(kind) for kind in wanted)}"
    choices = schema.get("enum")
    if isinstance(choices, list) and not any(_same(value, choice) for choice in choices):
        return f"{at} is none of the allowed values"
    if "const" in schema and not _same(value, schema["const"]):
        return f"{at} is not the one allowed value"
    return None


def _same(one: object, other: object) -> bool:
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def _misfit_size(value: object, schema: Mapping[str, object], at: str) -> str | None:
    match value:
        case bool() | None:
            return None
        case int() | float():
            return _misfit_number(value, schema, at)
        case str():
            pattern = schema.get("pattern")
            if pattern is not None and re.search(str(pattern), value) is None:
                return f"{at} does not match its pattern"
            return _misfit_count(len(value), schema, ("minLength", "maxLength"), at)
        case list():
            if schema.get("uniqueItems") is True and any(item in value[:number] for number, item in enumerate(value)):
                return f"{at} has an item twice"
            return _misfit_count(len(value), schema, ("minItems", "maxItems"), at)
        case dict():
            return _misfit_count(len(value), schema, ("minProperties", "maxProperties"), at)
    return None


def _misfit_count(count: int, schema: Mapping[str, object], names: tuple[str, str], at: str) -> str | None:
    low, high = (schema.get(name) for name in names)
    too_few = isinstance(low, int) and count < low
    too_many = isinstance(high, int) and count > high
    return f"{at} is too {'short' if too_few else 'long'}" if too_few or too_many else None


def _misfit_number(value: float, schema: Mapping[str, object], at: str) -> str | None:
    rules: tuple[tuple[str, Callable[[float], bool]], ...] = (
        ("minimum", lambda bound: value >= bound),
        ("maximum", lambda bound: value <= bound),
        ("exclusiveMinimum", lambda bound: value > bound),
        ("exclusiveMaximum", lambda bound: value < bound),
        ("multipleOf", lambda bound: _is_multiple(value, bound)),
    )
    for name, holds in rules:
        bound = schema.get(name)
        if isinstance(bound, int | float) and not isinstance(bound, bool) and not holds(bound):
            return f"{at} breaks its {name}"
    return None


def _is_multiple(value: float, bound: float) -> bool:
    if bound == 0:
        return False
    if isinstance(value, int) and isinstance(bound, int):
        return value % bound == 0
    try:
        times = value / bound
        return abs(times - round(times)) < 1e-9
    except (OverflowError, ValueError):  # beyond what a float holds: nobody can say
        return False


def _misfit_choice(value: object, schema: Mapping[str, object], root: object, *, at: str, depth: int) -> str | None:
    def fits(option: object) -> bool:
        return misfit(value, option, root=root, at=at, depth=depth + 1) is None

    if "anyOf" in schema and not any(map(fits, _rows(schema, "anyOf"))):
        return f"{at} fits none of the alternatives"
    if "oneOf" in schema and sum(map(fits, _rows(schema, "oneOf"))) != 1:
        return f"{at} does not fit exactly one of the alternatives"
    if "not" in schema and fits(schema["not"]):
        return f"{at} is what it must not be"
    reasons = (misfit(value, option, root=root, at=at, depth=depth + 1) for option in _rows(schema, "allOf"))
    return next((reason for reason in reasons if reason), None)


def _misfit_object(value: object, schema: Mapping[str, object], root: object, *, at: str, depth: int) -> str | None:
    if not isinstance(value, dict):
        return None
    known = schema.get("properties")
    properties = known if isinstance(known, dict) else {}
    for name in _rows(schema, "required"):
        if name not in value:
            return f"{at} lacks {name!r}"
    others = schema.get("additionalProperties", True)
    for name, item in value.items():
        if name not in properties and others is False:
            return f"{at} has a property that is not allowed"
        where = f"{at}.{name}" if name in properties else f"{at}.*"
        reason = misfit(item, properties.get(name, others), root=root, at=where, depth=depth + 1)
        if reason is not None:
            return reason
    return None


def _misfit_list(value: object, schema: Mapping[str, object], root: object, *, at: str, depth: int) -> str | None:
    if not isinstance(value, list):
        return None
    prefix = _rows(schema, "prefixItems")
    for number, item in enumerate(value):
        rule = prefix[number] if number < len(prefix) else schema.get("items", True)
        reason = misfit(item, rule, root=root, at=f"{at}[{number}]", depth=depth + 1)
        if reason is not None:
            return reason
    return None
