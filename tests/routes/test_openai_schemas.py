"""JSON Schema as far as structured answers need it: what is judged here, and that nothing else is let through."""

import json
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.routes._json_schema import JUDGED, fault_of_schema, is_strict, misfit

PERSON: dict[str, object] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": 5},
        "age": {"type": ["integer", "null"], "minimum": 0, "exclusiveMaximum": 150},
        "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "maxItems": 2, "uniqueItems": True},
        "next": {"$ref": "#/$defs/link"},
    },
    "required": ["name"],
    "additionalProperties": False,
    "$defs": {"link": {"anyOf": [{"type": "null"}, {"type": "integer"}]}},
}
JSON = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=4)
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=4), inner, max_size=3)),
    max_leaves=8,
)


TYPES = ("object", "array", "string", "boolean", "null", "number", "integer")
WORDS = st.sampled_from(sorted(JUDGED))
VALUES = st.one_of(JSON, st.sampled_from([*TYPES, "#", "#/$defs/a"]))
SCHEMA = st.recursive(
    st.dictionaries(WORDS, VALUES, max_size=3),
    lambda inner: st.dictionaries(
        WORDS,
        st.one_of(
            inner, VALUES, st.lists(inner, max_size=3), st.dictionaries(st.sampled_from("ab"), inner, max_size=2)
        ),
        max_size=3,
    ),
    max_leaves=6,
)


@pytest.mark.parametrize(
    "value",
    [
        {"name": "Ada"},
        {"name": "Ada", "age": 36, "tags": ["a", "b"], "next": 1},
        {"name": "Ada", "age": None},
        {"name": "Ada", "age": 36.0},
    ],
)
def test_what_fits_fits(value: object) -> None:
    assert misfit(value, PERSON) is None


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ([], "not object"),
        ({}, "lacks 'name'"),
        ({"name": 3}, "the answer.name is not string"),
        ({"name": ""}, "'minLength'"),
        ({"name": "Adaline"}, "'maxLength'"),
        ({"name": "Ada", "age": True}, "not integer or null"),
        ({"name": "Ada", "age": -1}, "minimum"),
        ({"name": "Ada", "age": 150}, "exclusiveMaximum"),
        ({"name": "Ada", "tags": ["c"]}, "the answer.tags[0]"),
        ({"name": "Ada", "tags": ["a", "a"]}, "'uniqueItems'"),
        ({"name": "Ada", "secret text": 1}, "'additionalProperties'"),
        ({"name": "Ada", "next": "x"}, "the answer.next does not fit 'anyOf'"),
    ],
)
def test_what_does_not_fit_is_told_by_its_place(value: object, words: str) -> None:
    reason = misfit(value, PERSON)
    assert reason is not None
    assert words in reason
    assert "secret" not in reason


def test_a_name_that_only_the_answer_gives_is_not_told() -> None:
    assert (
        misfit({"secret": [1]}, {"additionalProperties": {"items": {"type": "null"}}}) == "the answer.*[0] is not null"
    )


@pytest.mark.parametrize(
    ("value", "schema"),
    [
        (2, {"multipleOf": 2}),
        ("ab", {"pattern": "^a"}),
        (1, {"oneOf": [{"type": "integer"}, {"type": "string"}]}),
        (1, {"not": {"type": "string"}}),
        ([1, "x"], {"prefixItems": [{"type": "integer"}, {"type": "string"}], "items": False}),
        ({"a": 1}, {"additionalProperties": {"type": "integer"}}),
        (1, {"allOf": [{"minimum": 0}, {"maximum": 2}]}),
        ({"kind": "a", "size": 1}, {"if": {"properties": {"kind": {"const": "a"}}}, "then": {"required": ["size"]}}),
        ({"x-1": 1}, {"patternProperties": {"^x-": {"type": "integer"}}, "unevaluatedProperties": False}),
        ([1, "x"], {"contains": {"type": "string"}, "maxContains": 1}),
        ({"a": 1, "b": 2}, {"dependentRequired": {"a": ["b"]}}),
    ],
)
def test_every_keyword_lets_through_what_fits_it(value: object, schema: dict[str, object]) -> None:
    assert fault_of_schema(schema) is None
    assert misfit(value, schema) is None


@pytest.mark.parametrize(
    ("value", "schema"),
    [
        (3, {"multipleOf": 2}),
        (0.3, {"multipleOf": 0.2}),
        ("ba", {"pattern": "^a"}),
        (1, {"oneOf": [{"type": "integer"}, {"type": "number"}]}),
        ("x", {"not": {"type": "string"}}),
        ([1, "x", 2], {"prefixItems": [{"type": "integer"}, {"type": "string"}], "items": False}),
        ({"a": "x"}, {"additionalProperties": {"type": "integer"}}),
        (3, {"allOf": [{"minimum": 0}, {"maximum": 2}]}),
        (True, {"const": 1}),
        (1, {"enum": [True]}),
        ({"kind": "a"}, {"if": {"properties": {"kind": {"const": "a"}}}, "then": {"required": ["size"]}}),
        ({"y": 1}, {"patternProperties": {"^x-": {"type": "integer"}}, "unevaluatedProperties": False}),
        ([1], {"contains": {"type": "string"}}),
        ({"a": 1}, {"dependentRequired": {"a": ["b"]}}),
        ("a" * 100_000 + "b", {"pattern": "^(a+)+$"}),
        (1, False),
    ],
)
def test_every_keyword_stops_what_breaks_it(value: object, schema: object) -> None:
    assert misfit(value, schema) is not None


@pytest.mark.parametrize(
    "schema",
    [
        [],
        {"type": "date"},
        {"propertys": {}},
        {"properties": {"a": {"$dynamicRef": "#a"}}},
        {"$ref": "https://example.org/schema.json"},
        {"pattern": "("},
        {"pattern": "(?=(a+)+$)b"},
        {"pattern": "(a*)*\\1$"},
        {"pattern": "a{1000}{1000}"},
        {"$ref": "#/$defs/nowhere"},
        {"items": "x"},
        {"type": [["string"]]},
        {"type": {"of": "string"}},
        {"type": None},
        {"required": "name"},
        {"required": [["name"]]},
        {"enum": "a"},
        {"anyOf": {"type": "string"}},
        {"properties": ["a"]},
        {"minLength": "1"},
        {"maximum": True},
        {"pattern": 1},
        {"uniqueItems": 1},
    ],
)
def test_a_schema_that_is_not_judged_in_full_is_refused(schema: object) -> None:
    assert fault_of_schema(schema)


@pytest.mark.parametrize(
    "schema",
    [
        {"$id": "https://a.example/whole", "items": {"$ref": "https://a.example/whole"}},
        {"$ref": "#/$defs/a", "$defs": {"a": {"$id": "https://a.example/part", "items": {"$ref": "#"}}}},
        {"$ref": "#/examples/0", "examples": [{"contentSchema": {}}]},
    ],
)
def test_a_reference_that_nobody_here_can_follow_is_refused(schema: object) -> None:
    assert fault_of_schema(schema)


def _doubling(levels: int) -> dict[str, object]:
    """Each level means the next one twice, and none says anything of what lies in a value."""
    twice = {f"d{number}": {"anyOf": [{"$ref": f"#/$defs/d{number + 1}"}] * 2} for number in range(levels)}
    return {"$ref": "#/$defs/d0", "$defs": {**twice, f"d{levels}": {"type": "null"}}}


def _doubling_in_a_list(levels: int) -> dict[str, object]:
    twice = [{"anyOf": [{"$ref": f"#/prefixItems/{number + 1}"}] * 2} for number in range(levels)]
    return {"prefixItems": [*twice, {"type": "null"}]}


def _renamed(schema: dict[str, object]) -> dict[str, object]:
    """The same by names that are written otherwise in a reference."""
    text = json.dumps(schema).replace("/d", "/%C3%A4~1%20").replace('"d', '"\\u00e4/ ')
    renamed: dict[str, object] = json.loads(text)
    return renamed


CHAIN: dict[str, object] = {
    "$ref": "#/$defs/0",
    "$defs": {str(number): {"$ref": f"#/$defs/{(number + 1) % 3000}"} for number in range(3000)},
}


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"items": {"anyOf": [{"type": "null"}, {"$ref": "#/items"}]}},
        {"anyOf": [{"$ref": "#/anyOf/0"}]},
        _doubling(18),
        _doubling_in_a_list(18),
        _renamed(_doubling(18)),
        CHAIN,
    ],
)
def test_a_schema_that_cannot_be_judged_in_sensible_time_is_refused_before_anything_is_paid(schema: object) -> None:
    assert fault_of_schema(schema) == "its alternatives have no end"


def test_a_schema_that_holds_itself_is_judged_of_any_depth_in_a_moment_though_no_place_is_told() -> None:
    rule = {"anyOf": [{"type": "null"}, {"type": "array", "items": {"anyOf": [{"$ref": "#"}, {"$ref": "#"}]}}]}
    fitting, other = [None], [1]
    for _ in range(100):
        fitting, other = [fitting], [other]  # type: ignore[list-item]
    assert fault_of_schema(rule) is None
    assert (misfit(fitting, rule), misfit(other, rule)) == (None, "the answer does not fit")


def test_a_part_may_have_an_id_where_nothing_refers_to_it() -> None:
    rule = {"$id": "whole", "properties": {"a": {"$id": "part", "type": "integer"}}}
    assert (fault_of_schema(rule), misfit({"a": 1}, rule)) == (None, None)
    assert misfit({"a": "x"}, rule) == "the answer.a is not integer"


@pytest.mark.parametrize("wrap", [lambda rule: rule, lambda rule: {"anyOf": [rule, {"type": "null"}]}])
def test_of_alternatives_for_thousands_of_values_no_place_is_told_which_would_take_gigabytes(
    wrap: Callable[[dict[str, object]], dict[str, object]],
) -> None:
    rule = wrap({"items": {"anyOf": [{"const": str(number)} for number in range(300)]}})
    assert fault_of_schema(rule) is None
    assert (misfit(["7"] * 2000, rule), misfit([7] * 2000, rule)) == (None, "the answer does not fit")


def test_one_wrong_value_among_very_many_is_told_by_its_place() -> None:
    assert misfit([*range(100_000), "x"], {"items": {"type": "integer"}}) == "the answer[100000] is not integer"


def test_of_a_schema_that_is_a_chain_of_a_thousand_parts_no_place_is_told() -> None:
    parts = {str(number): {"properties": {"a": {"$ref": f"#/$defs/{number + 1}"}}} for number in range(1000)}
    rule = {"$ref": "#/$defs/0", "required": ["a"], "$defs": {**parts, "1000": {"type": "null"}}}
    assert fault_of_schema(rule) is None
    assert (misfit({"a": {}}, rule), misfit({}, rule)) == (None, "the answer does not fit")


@pytest.mark.parametrize(
    "schema",
    [
        PERSON,
        _renamed(_doubling(6)),
        _doubling_in_a_list(6),
        {"items": {"$ref": "#"}},
        _doubling(6),
        {"anyOf": [{"const": number} for number in range(500)]},
    ],
)
def test_many_alternatives_and_a_link_to_the_whole_are_judged(schema: object) -> None:
    assert fault_of_schema(schema) is None


def test_strictness_is_asked_only_of_closed_objects_with_every_property_required() -> None:
    closed = {"type": "object", "properties": {"a": {}}, "required": ["a"], "additionalProperties": False}
    assert is_strict(closed)
    assert not is_strict(PERSON)
    assert not is_strict({**closed, "properties": {"a": {"type": "object"}}})


@given(JSON, SCHEMA)
@settings(max_examples=300)
def test_no_value_and_no_schema_break_the_judge(value: object, schema: object) -> None:
    if fault_of_schema(schema) is None:
        assert is_strict(schema) in (True, False)
        assert misfit(value, schema) is None or isinstance(misfit(value, schema), str)


@given(JSON)
@settings(max_examples=80)
def test_everything_fits_the_schema_that_asks_nothing(value: object) -> None:
    assert misfit(value, {}) is None
    assert misfit(value, {"const": value}) is None
