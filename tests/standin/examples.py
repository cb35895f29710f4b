"""The smallest value that fits a JSON Schema: what the stand-in answers where a structured answer is asked for."""

from collections.abc import Mapping

from tests.standin.nouns import fields_of, list_of, objects_of, text_of, whole_of

MAX_DEPTH = 20
WORD = "stand-in"


def example(schema: Mapping[str, object], root: Mapping[str, object] | None = None, depth: int = 0) -> object:
    """A value of the schema; what it cannot fit (a pattern) it answers with a word."""
    root = schema if root is None else root
    if depth > MAX_DEPTH:
        return None
    for key in ("const", "default"):
        if key in schema:
            return schema[key]
    for value in list_of(schema, "enum")[:1]:
        return value
    for key in ("anyOf", "oneOf", "allOf"):
        for each in objects_of(schema, key)[:1]:
            return example(each, root, depth + 1)
    if (target := text_of(schema, "$ref")) is not None:
        return example(_target(root, target), root, depth + 1)
    return _of_type(schema, root, depth)


def _of_type(schema: Mapping[str, object], root: Mapping[str, object], depth: int) -> object:
    kind = schema.get("type")
    match kind[0] if isinstance(kind, list) and kind else kind:
        case "object":
            members = fields_of(schema, "properties")
            return {name: example(each, root, depth + 1) for name, each in members.items() if isinstance(each, dict)}
        case "array":
            item = example(fields_of(schema, "items"), root, depth + 1)
            return [item] * max(1, whole_of(schema, "minItems") or 0)
        case "integer" | "number":
            return whole_of(schema, "minimum") or 0
        case "boolean":
            return True
        case "null":
            return None
        case _:
            return WORD.ljust(whole_of(schema, "minLength") or 0, ".")[: whole_of(schema, "maxLength")]


def _target(root: Mapping[str, object], path: str) -> Mapping[str, object]:
    found: Mapping[str, object] = root
    for part in path.removeprefix("#/").split("/"):
        found = fields_of(found, part)
    return found
