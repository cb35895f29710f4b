"""The page on canonical text tells what the code does."""

import re
from pathlib import Path
from typing import get_args

import pytest

from jobs._text import MAX_MARKS, PARAGRAPH_PAUSE_S, canonical
from jobs.canonical_text import (
    MAX_PDF_BYTES,
    MAX_TEXT_BYTES,
    PROFILE,
    PROFILE_VERSION,
    CanonicalText,
    CanonicalTextSpec,
    Derivation,
    Provenance,
)

PAGE = (Path(__file__).parents[2] / "docs" / "canonical-text.md").read_text()
RULE_3 = re.search(r"^\| 3 \|.*\| (.*) \|$", PAGE, re.MULTILINE)
RULE_5 = re.search(r"^\| 5 \|.*\| (.*) \|$", PAGE, re.MULTILINE)


def named(listing: re.Match[str] | None) -> list[int]:
    """The code points that a cell of the table names."""
    assert listing is not None
    ranges = re.findall(r"([0-9A-F]{4})(?:–([0-9A-F]{4}))?", listing.group(1))
    return [code for first, last in ranges for code in range(int(first, 16), int(last or first, 16) + 1)]


def test_profile_and_version_are_stated() -> None:
    assert f"| profile | `{PROFILE}` |\n| version | **{PROFILE_VERSION}** |" in PAGE
    assert f"\n| {PROFILE_VERSION} | " in PAGE.partition("## Versions")[2]


def test_every_option_is_listed_with_its_default() -> None:
    defaults = CanonicalTextSpec()
    shown = {"auto": '"auto"', 0: "0"}
    for name in CanonicalTextSpec.__struct_fields__:
        value = getattr(defaults, name)
        default = str(value).lower() if isinstance(value, bool) else shown[value]
        assert f"| `{name}` | `{default}` |" in PAGE


@pytest.mark.parametrize("name", [*Provenance.__struct_fields__, *get_args(Derivation)])
def test_every_field_and_derivation_of_the_record_is_explained(name: str) -> None:
    assert f"`{name}`" in PAGE.partition("## The record")[2]


def test_exactly_the_listed_characters_are_dropped() -> None:
    dropped = {code for code in range(0x10000) if not 0xD800 <= code < 0xE000 and canonical(f"a{chr(code)}b") == "ab\n"}
    assert dropped == set(named(RULE_3)) - {0x85}


def test_exactly_the_listed_characters_become_a_plain_space() -> None:
    spaces = {code for code in range(0x10000) if code != 0x20 and canonical(f"a{chr(code)}b") == "a b\n"}
    assert spaces == set(named(RULE_5))


def test_the_numbers_on_the_page_are_those_in_the_code() -> None:
    limits = CanonicalText.limits
    assert f"{MAX_TEXT_BYTES // 10**6} MB for text" in PAGE
    assert f"{MAX_PDF_BYTES // 10**6} MB and {limits.max_pages:,} pages for PDF" in PAGE
    assert f"A pause of {PARAGRAPH_PAUSE_S:g} seconds" in PAGE
    assert f"More than {MAX_MARKS} combining marks" in PAGE
    assert f"{(limits.max_chars or 0) // 10**6} million" in PAGE
    assert f"{(limits.max_seconds or 0) / 3600:g} hours" in PAGE
