"""The table of the fault matrix: no row without a test, no invariant without one, and a failure is not survived."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from tests.faults import table
from tests.faults.table import FAULTS, INVARIANTS, Case

TESTS = Path(__file__).parents[1]
FULL = "tests/test_faults.py::test_invariant_17_a_full_disk"


@cache
def names() -> frozenset[str]:
    """Every test of the project as `folder/file.py::test`."""
    return frozenset(
        f"tests/{path.relative_to(TESTS).as_posix()}::{node.name}"
        for path in TESTS.rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    )


@pytest.mark.parametrize("row", FAULTS)
def test_every_pattern_of_a_row_finds_a_test(row: str) -> None:
    for pattern in FAULTS[row]:
        assert any(re.search(pattern, name) for name in names()), pattern


def test_every_invariant_has_a_test_that_carries_its_number() -> None:
    proven = {number for name in names() for number in table.numbers(name)}
    assert proven == set(INVARIANTS)


def line_of(cases: list[Case]) -> str:
    (line,) = [line for line in table.table(cases).splitlines() if line.startswith("disk full")]
    return line.split("  ", 1)[1].strip()


def test_a_failure_falls_short_and_a_skip_is_counted_apart() -> None:
    cases = [Case(name=f"{FULL}[{outcome}]", outcome=outcome) for outcome in ("passed", "failed", "skipped")]
    assert line_of(cases) == "1/2  NO (1 could not run here)"
    assert not table.is_whole(cases)
    assert table.table(cases).endswith("1/2 survived: NO")


def test_a_test_counts_as_many_tries_as_it_tells() -> None:
    cases = [Case(name=FULL, outcome="passed", figures=("at any write: 15/15, 0 paid twice", "2 disks")), other()]
    assert line_of(cases) == "16/16"
    assert table.is_whole(cases)
    assert table.table(cases).endswith("16/16 survived: nothing lost, nothing paid twice")


def test_a_figure_that_falls_short_is_no_success_though_its_test_passed() -> None:
    cases = [Case(name=FULL, outcome="passed", figures=("at any write: 14/15",)), other()]
    assert line_of(cases) == "15/16  NO"
    assert not table.is_whole(cases)


def test_a_row_of_which_nothing_could_run_is_not_whole() -> None:
    cases = [Case(name=FULL, outcome="skipped")]
    assert line_of(cases) == "0/0  NOT TRIED (1 could not run here)"
    assert not table.is_whole(cases)


def test_figures_stand_below_the_first_of_their_rows() -> None:
    told = table.table([Case(name=FULL, outcome="passed", figures=("74: 15/15",))])
    above, below = told.split("      74: 15/15")
    assert above.splitlines()[-1].startswith("disk full")
    assert "17 a full disk" in below


def test_a_row_of_which_nothing_was_asked_for_is_left_out() -> None:
    assert "power cuts" not in table.table([other()])


def other() -> Case:
    return Case(name=f"{FULL}[other]", outcome="passed")
