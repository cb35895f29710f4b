"""`make bench`: one table, every ratio measured side by side in this run. Ends with 1 when a target is missed."""

import importlib
import sys

from tests.benchmarks.table import Row, show

SUITES = ("clips", "whisperer", "quiet", "tick", "plan", "jobs", "remote", "waiting", "uploads", "long")


def main(names: list[str]) -> int:
    rows: list[Row] = []
    for name in names or SUITES:
        rows += importlib.import_module(f"tests.benchmarks.{name}").measure()
    print(show(rows))
    return int(any(row.is_met is False for row in rows))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
