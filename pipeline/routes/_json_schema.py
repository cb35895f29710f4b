"""JSON Schema of structured answers: which schemas can be asked for and judged here, and does a value fit one?

The judge is `jsonschema_rs`, for draft 2020-12. Promises on top of it that a keyword that nobody judges is refused
beforehand, so "it fits" is never said of something that nobody looked at, and so is a schema whose alternatives have
no end, or whose references nobody here can follow; and that what is said of a value names places, never what stands
there. Keeps no state, reads nothing else.
"""

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING
from urllib.parse import unquote

if TYPE_CHECKING:
    from jsonschema_rs import Draft202012Validator, ValidationError

MAX_SCHEMA_CHARS = 100_000
MAX_UNFOLDED = 2_000
"""Subschemas that one value may have to be held against, before anything that lies in it."""
MAX_HELD = 20_000
"""Values times subschemas: under alternatives each may become an error, of 1.5 KB, before the first one is told."""
MAX_TOLD_CHARS = 200
MAX_DEPTH = 40
_SAID = "$schema $id $comment title description default examples deprecated readOnly writeOnly format"
_SAID_ONLY = frozenset(_SAID.split())
_TO_ITSELF = ("anyOf", "oneOf", "allOf", "not", "if", "then", "else", "dependentSchemas")
_NESTING = tuple(
    f"""properties patternProperties additionalProperties propertyNames unevaluatedProperties items prefixItems contains
    unevaluatedItems $defs definitions {" ".join(_TO_ITSELF)}""".split()
)
_PLAIN = """type enum const required dependentRequired minProperties maxProperties minItems maxItems uniqueItems
minContains maxContains minLength maxLength pattern minimum maximum exclusiveMinimum exclusiveMaximum multipleOf $ref"""
_TABLES = frozenset(("properties", "patternProperties", "dependentSchemas", "$defs", "definitions"))
JUDGED = frozenset((*_NESTING, *_PLAIN.split()))


def fault_of_schema(schema: object) -> str | None:
    """Why this schema cannot be asked for, or None."""
    from jsonschema_rs import ValidationError

    if not isinstance(schema, bool | dict):
        return "a schema is not an object"
    try:
        _judge(schema)
    except ValidationError as error:
        return _fault_at(error.instance_path)
    except ValueError:
        return "it is nested too deep"
    fault = _fault_of_words(schema)
    return fault or _fault_of_references(schema) or _fault_of_alternatives(schema)


def _judge(schema: dict[str, object] | bool) -> "Draft202012Validator":
    """Patterns take a time that grows with the word alone. Not imported before a schema is there: it weighs 6 MB."""
    from jsonschema_rs import Draft202012Validator, RegexOptions

    return Draft202012Validator(schema, offline=True, validate_formats=False, pattern_options=RegexOptions())


def _fault_at(path: list[str | int]) -> str:
    if not path:
        return "it refers to what is not in it"
    place = "/".join(map(str, path))[:MAX_TOLD_CHARS]
    if path[-1] == "pattern":
        return f"what stands at {place!r} is no pattern without lookaround and references back"
    return f"what stands at {place!r} is not what JSON Schema takes there"


def _fault_of_words(part: object, depth: int = 0) -> str | None:
    if not isinstance(part, dict):
        return None
    unknown = sorted(part.keys() - _SAID_ONLY - JUDGED)
    if unknown:
        return f"its keyword {unknown[0][:MAX_TOLD_CHARS]!r} is not judged here"
    if depth > MAX_DEPTH:
        return "it is nested too deep"
    faults = (_fault_of_words(child, depth + 1) for child in _below(part, _NESTING))
    return next((found for found in faults if found), None)


def _fault_of_references(schema: object) -> str | None:
    """What was not looked at, as an example, could say anything, and lead anywhere."""
    parts = list(_parts(schema))
    looked_at = {id(part) for part in parts}
    wanted = [_referred(schema, part["$ref"]) for part in parts if "$ref" in part]
    if any(not isinstance(found, bool) and id(found) not in looked_at for found in wanted):
        return "it refers to what is no part of it"
    has_documents = any("$id" in part for part in parts[1:])
    return "references start anew at a part of it with an '$id'" if wanted and has_documents else None


def _fault_of_alternatives(schema: object) -> str | None:
    known: dict[int, int] = {}
    is_endless = any(_count(part, schema, _TO_ITSELF, known) >= MAX_UNFOLDED for part in _parts(schema))
    return "its alternatives have no end" if is_endless else None


def _parts(part: object) -> Iterator[dict[str, object]]:
    if isinstance(part, dict):
        yield part
        for child in _below(part, _NESTING):
            yield from _parts(child)


def _below(part: Mapping[str, object], words: Iterable[str]) -> Iterator[object]:
    """The schemas that stand in this one under `words`."""
    for word in words:
        found = part.get(word)
        if isinstance(found, dict) and word in _TABLES:
            yield from found.values()
        elif isinstance(found, list):
            yield from found
        elif found is not None:
            yield found


def _count(part: object, root: object, words: Sequence[str], known: dict[int, int]) -> int:
    """As `_unfolded`; a chain of references of any length is one without an end."""
    try:
        return _unfolded(part, root, words, known)
    except RecursionError:
        return MAX_UNFOLDED


def _unfolded(part: object, root: object, words: Sequence[str], known: dict[int, int]) -> int:
    """How many subschemas are reached by `words`: each way counts, and what leads back to itself has no end."""
    if not isinstance(part, dict):
        return 1
    if id(part) not in known:
        known[id(part)] = MAX_UNFOLDED  # to whoever comes here again by a circle
        referred = _referred(root, part["$ref"]) if "$ref" in part else None
        inner = [referred, *_below(part, words)]
        known[id(part)] = min(1 + sum(_unfolded(each, root, words, known) for each in inner), MAX_UNFOLDED)
    return known[id(part)]


def _referred(root: object, reference: object) -> object:
    """What a local reference points to; None where it points to nothing, or out of the schema."""
    found, (document, _, place) = root, str(reference).partition("#")
    for step in unquote(place).split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(found, list) and name.isdecimal():
            found = found[int(name)] if int(name) < len(found) else None
        else:
            found = found.get(name) if isinstance(found, dict) else None
    return None if document or not (place == "" or place.startswith("/")) else found


def is_strict(schema: object) -> bool:
    """Can a server that takes only closed objects with every property required be asked to be strict?"""
    if not isinstance(schema, dict):
        return isinstance(schema, bool)
    properties = schema.get("properties")
    if properties is not None or schema.get("type") == "object":
        is_closed = schema.get("additionalProperties") is False
        if not is_closed or set(schema.get("required", ())) != set(properties or ()):
            return False
    return all(is_strict(child) for child in _below(schema, _NESTING) if isinstance(child, dict))


def misfit(value: object, schema: object) -> str | None:
    """Where and why a value does not fit a schema without a fault, or None. Names places, never what stands there.

    Where a schema holds itself, or of alternatives for very many values, only that it does not: the judge remembers
    what it has seen while it only judges, but to tell places it goes all ways, and there are too many of them.
    """
    from jsonschema_rs import ValidationError

    assert isinstance(schema, bool | dict)
    judge = _judge(schema)
    try:
        if judge.is_valid(value):
            return None
        if _can_be_told(value, schema):
            judge.validate(value)
    except ValidationError as error:
        return f"{_place(error.instance_path, frozenset(_names(schema)))} {_said(error)}"
    except ValueError:
        return "the answer is nested too deep"
    return "the answer does not fit"


def _can_be_told(value: object, schema: object) -> bool:
    held = _count(schema, schema, _NESTING, {})
    has_alternatives = any("anyOf" in part or "oneOf" in part for part in _parts(schema))
    return held < MAX_UNFOLDED and not (has_alternatives and _is_larger(value, MAX_HELD // held))


def _is_larger(value: object, most: int) -> bool:
    """Does a value have more values in it than that, itself among them?"""
    count, left = 0, [value]
    while left and count <= most:
        count, found = count + 1, left.pop()
        left += found.values() if isinstance(found, dict) else found if isinstance(found, list) else ()
    return count > most


def _place(path: Iterable[str | int], names: Container[str]) -> str:
    """A name that the schema does not give is the model's own."""
    steps = (f"[{step}]" if isinstance(step, int) else f".{step if step in names else '*'}" for step in path)
    return f"the answer{''.join(steps)}"[:MAX_TOLD_CHARS]


def _names(schema: object) -> Iterator[str]:
    for part in _parts(schema):
        found = part.get("properties")
        yield from found if isinstance(found, dict) else ()


def _said(error: "ValidationError") -> str:
    from jsonschema_rs import ValidationErrorKind

    match error.kind:
        case ValidationErrorKind.Required(property=name):
            return f"lacks {name[:MAX_TOLD_CHARS]!r}"
        case ValidationErrorKind.Type(types=types):
            return f"is not {' or '.join(sorted(types))}"
    words = [word for word in error.schema_path if word in JUDGED]
    return f"does not fit {words[-1]!r}" if words else "is not allowed"
