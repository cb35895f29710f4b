"""What is wrong with a value, in our words. msgspec itself makes its sentences here, so a new one would show."""

from decimal import Decimal
from typing import Annotated, Literal

import msgspec
import pytest
from msgspec import Meta, Struct

from pipeline.core.choices import complaint
from pipeline.core.decoding import from_plain


class Inner(Struct, forbid_unknown_fields=True):
    size: int = 1
    word: Literal["x", "y"] = "x"


class Sheet(Struct, forbid_unknown_fields=True):
    id: str
    pages: Annotated[int, Meta(ge=1, le=2000)] = 1
    speed: Annotated[float, Meta(gt=0, lt=5)] = 1.0
    title: Annotated[str, Meta(min_length=1, max_length=3)] = "a"
    code: Annotated[str, Meta(pattern="^[a-z]+$")] = "a"
    shape: Annotated[str, Meta(pattern="^[0-9]+x[0-9]+$", examples=["4x3", "16x9"])] | None = None
    needs: Annotated[tuple[str, ...], Meta(min_length=1, max_length=2)] = ("a",)
    price: Decimal = Decimal(1)
    route: str | tuple[str, ...] | None = None
    routes: dict[str, Inner] = {}
    inner: Inner | None = None
    words: tuple[Literal["p", "q"], ...] = ()
    steps: list[Inner] = []
    is_on: bool = True


WRONG: dict[str, tuple[dict[str, object], str, str]] = {
    "another kind": ({"pages": "a"}, "pages is text, not a whole number", "write a whole number"),
    "a fraction": ({"pages": 1.5}, "pages is a number with a fraction, not a whole number", "write a whole number"),
    "nothing": ({"pages": None}, "pages is empty, not a whole number", "write a whole number"),
    "one of several kinds": (
        {"route": 3},
        "route is a whole number, not text in quotes or a list",
        "write text in quotes or a list",
    ),
    "a switch": ({"is_on": 1}, "is_on is a whole number, not true or false", "write true or false"),
    "too small": (
        {"pages": 0},
        "pages is not a whole number of at least 1",
        "write a whole number of at least 1",
    ),
    "too large": (
        {"pages": 9999},
        "pages is not a whole number of at most 2,000",
        "write a whole number of at most 2,000",
    ),
    "at the bound": ({"speed": 0}, "speed is not a number above 0", "write a number above 0"),
    "beyond it": ({"speed": 5}, "speed is not a number below 5", "write a number below 5"),
    "too short": ({"title": ""}, "title is empty", "write something, or leave the key out"),
    "too long": ({"title": "long"}, "title has more than 3 characters", "write 3 characters or fewer"),
    "too few": ({"needs": []}, "needs is empty", "write something, or leave the key out"),
    "an entry": ({"needs": ["a", 1]}, "needs (entry 2) is a whole number, not text in quotes", "write text in quotes"),
    "an odd form": ({"code": "1"}, "code is not of the form '^[a-z]+$'", "write it in that form"),
    "a form with examples": ({"shape": "4:3"}, "shape is not of its form", "write it like one of: 4x3, 16x9"),
    "another kind than the form's": (
        {"shape": 4},
        "shape is a whole number, not text in quotes",
        "write text in quotes",
    ),
    "no amount": ({"price": "x"}, "price is no amount", "write an amount such as 0.25"),
    "no word of ours": ({"inner": {"word": "z"}}, "inner.word cannot be 'z'", "write one of: x, y"),
    "no word of a list": ({"words": ["p", "z"]}, "words (entry 2) cannot be 'z'", "write one of: p, q"),
    "no key": ({"inner": {"sice": 1}}, "inner has no key 'sice'", 'did you mean "size"?'),
    "deep in a list": ({"steps": [{}, {"size": "x"}]}, "steps (entry 2).size is text, not a whole number", "write"),
    "under a name": (
        {"routes": {"good": {"size": 1}, "bad": {"size": "x"}}},
        "routes.bad.size is text, not a whole number",
        "write",
    ),
}


def told(table: dict[str, object]) -> tuple[str, str]:
    with pytest.raises(msgspec.ValidationError) as caught:
        from_plain(table, Sheet)
    found = complaint(caught.value, table, Sheet, name="the sheet")
    return found.what, found.hint


@pytest.mark.parametrize("case", WRONG)
def test_a_value_that_cannot_stand_there_is_told_with_its_place_and_what_can(case: str) -> None:
    table, what, hint = WRONG[case]
    said, advice = told({"id": "a", **table})
    assert said == what
    assert advice.startswith(hint)


def test_a_key_that_is_missing_is_named() -> None:
    assert told({}) == ("the sheet has no id", "write id")


def test_a_sentence_that_nobody_knows_is_passed_on() -> None:
    found = complaint(msgspec.ValidationError("Quite odd - at `$.pages`"), {}, Sheet)
    assert (found.what, found.hint) == ("pages: Quite odd", "correct it")
