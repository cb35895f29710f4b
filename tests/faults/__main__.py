"""`make faults`: every test of the fault matrix and of the invariants at its full length, and one table of them.

Takes about half an hour on two idle cores. Needs root for the disks that are filled, mounted read-only and cut off,
and the tools that `docs/CONTRIBUTING.md` names; what could not run here is counted apart.
"""

import os
import sys

os.environ |= {"MEDIASPOOL_WHOLE_MATRIX": "1", "MEDIASPOOL_CRASH_STRIDE": "1"}  # before the tests are imported

import pytest

from tests.faults import table


class Ledger:
    """A plugin of pytest: takes what belongs, and keeps how each case ended."""

    def __init__(self) -> None:
        self.cases: dict[str, table.Case] = {}

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        others = [item for item in items if not table.belongs(item.nodeid)]
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if table.belongs(item.nodeid)]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        before = self.cases.get(report.nodeid)
        if report.when == "call" or report.outcome != "passed" or before is None:
            told = [str(value) for name, value in report.user_properties if name == "figure"]
            figures = tuple(dict.fromkeys([*told, *table.figures(report.capstdout)]))
            outcome = "failed" if before is not None and before.outcome == "failed" else report.outcome
            self.cases[report.nodeid] = table.Case(name=report.nodeid, outcome=outcome, figures=figures)


def main(words: list[str]) -> int:
    ledger = Ledger()
    code = pytest.main(["-q", "--tb=short", *(words or ["tests"])], plugins=[ledger])
    cases = list(ledger.cases.values())
    print(table.table(cases))
    return int(code) or (0 if table.is_whole(cases) else 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
