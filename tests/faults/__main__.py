"""`make faults`: every test of the fault matrix and of the invariants at its full length, and one table of them.

Takes 27 minutes of CPU, in pieces side by side. Needs root for the disks that are filled, mounted read-only and cut
off, and the tools that `docs/CONTRIBUTING.md` names; what could not run here is counted apart.
"""

import contextlib
import io
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

os.environ |= {"MEDIASPOOL_WHOLE_MATRIX": "1", "MEDIASPOOL_CRASH_STRIDE": "1"}  # before the tests are imported

import msgspec
import pytest

from tests.faults import table
from tests.pages import ROOT

WORKERS = os.cpu_count() or 1
COLLECT = ("--collect-only", "-p", "no:cacheprovider")
RUN = ("-q", "--tb=short", "-p", "no:cacheprovider")
WORKER, NAMES, CASES = "--piece", "names.json", "cases.json"
LONG = ("test_system_calls.py", "test_instants.py", "test_power_cuts.py", "test_clocks.py")
"""Files whose tests take minutes: each test of them is a piece of work of its own, and they begin first."""


class Ledger:
    """A plugin of pytest: takes what it is to take, and keeps how each case ended."""

    def __init__(self, takes: Callable[[str], bool]) -> None:
        self.names: list[str] = []
        self.cases: dict[str, table.Case] = {}
        self._takes = takes

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        config.hook.pytest_deselected(items=[item for item in items if not self._takes(item.nodeid)])
        items[:] = [item for item in items if self._takes(item.nodeid)]
        self.names = [item.nodeid for item in items]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        before = self.cases.get(report.nodeid)
        if report.when == "call" or report.outcome != "passed" or before is None:
            told = [str(value) for name, value in report.user_properties if name == "figure"]
            figures = tuple(dict.fromkeys([*told, *table.figures(report.capstdout)]))
            outcome = "failed" if before is not None and before.outcome == "failed" else report.outcome
            self.cases[report.nodeid] = table.Case(name=report.nodeid, outcome=outcome, figures=figures)


def pieces(names: Iterable[str]) -> Mapping[str, tuple[str, ...]]:
    """The tests in pieces that one process runs: those of a folder or of a file together, long ones alone and first."""
    found: dict[str, list[str]] = {}
    for name in names:
        file = Path(name.partition("::")[0])
        is_nested = len(file.parts) > 2 and file.parts[1] != "faults"
        found.setdefault(name if file.name in LONG else str(file.parent if is_nested else file), []).append(name)
    rank = {file: place for place, file in enumerate(LONG)}
    first = sorted(found, key=lambda piece: rank.get(Path(piece.partition("::")[0]).name, len(rank)))
    return {piece: tuple(found[piece]) for piece in first}


def main(words: Sequence[str]) -> int:
    known = Ledger(table.belongs)
    with contextlib.redirect_stdout(io.StringIO()) as said:
        code = pytest.main([*COLLECT, *(words or ["tests"])], plugins=[known])
    if code:
        print(said.getvalue())
        return int(code)
    with ThreadPoolExecutor(WORKERS) as pool:
        cases = [case for some in pool.map(tried, *zip(*pieces(known.names).items(), strict=True)) for case in some]
    lost = [table.Case(name=name, outcome="failed") for name in set(known.names) - {case.name for case in cases}]
    print(table.table([*cases, *lost]), *(f"NOT RUN: {case.name}" for case in lost), sep="\n")
    return 0 if table.is_whole([*cases, *lost]) else 1


def tried(piece: str, names: Sequence[str]) -> Sequence[table.Case]:
    """In a process of its own; what that said is shown when not everything survived."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, NAMES).write_bytes(msgspec.json.encode(names))
        words = [sys.executable, "-m", "tests.faults", WORKER, folder, piece]
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
        file = Path(folder, CASES)
        cases = msgspec.json.decode(file.read_bytes(), type=list[table.Case]) if file.exists() else []
    print(
        f"{time.monotonic() - began:5.0f} s  {piece}\n" + (done.stdout + done.stderr if done.returncode else ""), end=""
    )
    sys.stdout.flush()
    return cases


def work(folder: Path, piece: str) -> int:
    names = msgspec.json.decode((folder / NAMES).read_bytes(), type=set[str])
    ledger = Ledger(names.__contains__)
    code = pytest.main([*RUN, piece], plugins=[ledger])
    (folder / CASES).write_bytes(msgspec.json.encode(list(ledger.cases.values())))
    return int(code)


if __name__ == "__main__":
    match sys.argv[1:]:
        case [word, folder, piece] if word == WORKER:
            sys.exit(work(Path(folder), piece))
        case words:
            sys.exit(main(words))
