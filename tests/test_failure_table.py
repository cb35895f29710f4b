"""The failure table: every row of the wire contract's 11.2 at every endpoint it applies to, through whole runs.

For each cell: the end that `failures` asks for, the requests counted, never more than one that is paid, and no file
left behind. Then once more without the faults: what was only put off comes without another submission, what has its
verdict is left alone, and what may have been paid is held and listed. Invariants 1, 3, 4, 14, 16, 22 and 24.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from pipeline.runtime import utc_now
from pipeline.state.ledger import Ledger
from tests.cells import Cell, Field, Seen
from tests.failures import CLOSED, DEFERRED, DONE, ENDS, NOT_THE_CALL, SUSPECT, THROTTLED, cells, expected
from tests.standin.faults import FAULTS
from tests.standin.fixture import StandIn

pytestmark = [pytest.mark.real_time, pytest.mark.timeout(900)]

AT_ONCE, SLOWED_AT_ONCE = 100, 40


def _groups(name: str, tried: Sequence[Cell], *, size: int = AT_ONCE) -> dict[str, Sequence[Cell]]:
    """So many at once as leave each of them time."""
    return {f"{name} {at // size + 1}": tried[at : at + size] for at in range(0, len(tried), size)}


ALL = [cell for _, cell in cells()]
GROUPS = {
    **_groups("ends", [cell for cell in ALL if expected(cell) is not DEFERRED and not cell.is_slowed]),
    **_groups("slows", [cell for cell in ALL if cell.is_slowed], size=SLOWED_AT_ONCE),
    **_groups("waits", [cell for cell in ALL if expected(cell) is DEFERRED]),
}


def test_every_fault_has_an_end_that_it_must_come_to() -> None:
    assert set(FAULTS) - set(ENDS) == NOT_THE_CALL
    assert set(ENDS) <= set(FAULTS)


@pytest.mark.parametrize("group", GROUPS)
def test_invariant_24_every_failure_comes_to_its_end_at_every_endpoint(
    tmp_path: Path, standin: StandIn, group: str, record_property: Callable[[str, object], None]
) -> None:
    """T24, T26, T27."""
    field = Field(tmp_path / "user", standin, GROUPS[group])
    first = field.run()
    wrong = [complaint for cell, seen in zip(GROUPS[group], first, strict=True) for complaint in against(cell, seen)]
    assert wrong == []
    assert left_behind(field) == []
    assert held_calls(field) == sum(seen.verdict == "held" for seen in first)
    field.configure(with_faults=False)
    again = field.run()
    later = zip(GROUPS[group], first, again, strict=True)
    assert [complaint for cell, seen, then in later for complaint in against_the_next(cell, seen, then)] == []
    assert left_behind(field) == []
    for line in figures(GROUPS[group], first):
        record_property("figure", line)
        print(line)


def against(cell: Cell, seen: Seen) -> list[str]:
    """What is wrong with how a cell ended."""
    end = expected(cell)
    is_right = seen.verdict in end.verdicts and seen.code in end.codes
    is_counted = 1 <= seen.posts <= end.posts and seen.paid <= 1
    return [] if is_right and is_counted else [f"{cell.title}: {seen}, not {end}"]


def against_the_next(cell: Cell, seen: Seen, then: Seen) -> list[str]:
    """What is wrong with what the run without faults made of it."""
    has_ticket = cell.operation in ("poll", "content")
    match expected(cell):
        case end if end is DEFERRED and cell.is_lasting:
            wanted = ("not-started", seen.posts)
        case end if end is DEFERRED:
            wanted = ("done", seen.posts)
        case end if end in (CLOSED, THROTTLED):
            wanted = ("done", seen.posts + (0 if has_ticket else 1))
        case _:
            wanted = ("held" if seen.verdict == "held" else "unchanged", seen.posts)
    is_right = (then.verdict, then.posts) == wanted and then.paid <= 1
    return [] if is_right else [f"{cell.title}, then without faults: {then}, not {wanted}"]


def left_behind(field: Field) -> list[str]:
    """Parts and staged bytes, and products of jobs that made none."""
    files = [path for path in field.folder.root.rglob("*") if path.is_file()]
    return [str(path) for path in files if path.name.endswith(".part") or {"staging", "scratch"} & set(path.parts)]


def held_calls(field: Field) -> int:
    ledger = Ledger.view(str(field.folder.spool / "ledger.db"), clock=utc_now)
    try:
        return len(ledger.held_attempts())
    finally:
        ledger.close()


def figures(tried: Sequence[Cell], seen: Sequence[Seen]) -> list[str]:
    """One line a row of the contract, and one for all of the group."""
    rows = [FAULTS[cell.fault].row for cell in tried]
    counted = Counter(rows)
    posts = {row: sum(one.posts for one, of in zip(seen, rows, strict=True) if of == row) for row in counted}
    paid = {row: sum(one.paid for one, of in zip(seen, rows, strict=True) if of == row) for row in counted}
    lines = [f"{row}: {n}/{n}, {posts[row]} POST, {paid[row]} of them paid, 0 files left" for row, n in counted.items()]
    return [*lines, f"failure table: {len(tried)}/{len(tried)}, none paid twice"]


def test_products_are_there_for_exactly_the_jobs_that_are_done(tmp_path: Path, standin: StandIn) -> None:
    tried = [cell for _, cell in cells() if cell.fault in ("cut-clean", "html-200", "slow-chunks", "401-missing")]
    field = Field(tmp_path / "user", standin, tried)
    field.run()
    done = {str(number) for number, cell in enumerate(tried) if expected(cell) in (DONE, SUSPECT)}
    assert {path.name.partition(".")[0] for path in (field.folder.root / "out").iterdir()} == done
