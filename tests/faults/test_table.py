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
        found = [name for name in names() if row in table.faults(name) and re.search(pattern, name)]
        assert found, pattern


def test_every_invariant_has_a_test_that_carries_its_number() -> None:
    proven = {number for name in names() for number in table.numbers(name)}
    assert proven == set(INVARIANTS)


def test_a_failure_is_counted_as_one_and_a_skip_apart() -> None:
    cases = [Case(name=f"{FULL}[{outcome}]", outcome=outcome) for outcome in ("passed", "failed", "skipped")]
    (line,) = [line for line in table.table(cases).splitlines() if line.startswith("disk full")]
    assert line.split()[2:] == ["1/2", "(1", "could", "not", "run", "here)"]
    assert not table.is_whole(cases)
    assert "NO" in table.table(cases)


def test_figures_stand_below_their_rows() -> None:
    told = table.table([Case(name=FULL, outcome="passed", figures=("74: 15/15",))])
    assert "disk full" in told.split("      74: 15/15")[0].splitlines()[-1]
    assert "1/1 cases survived: nothing lost, nothing paid twice" in told
