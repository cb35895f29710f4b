"""`make bench`: one table, every ratio measured side by side in this run. Ends with 1 when a target is missed."""

import importlib
import sys

from tests.benchmarks.table import Row, show, told

SUITES = ("clips", "whisperer", "quiet", "tick", "plan", "jobs", "remote", "waiting", "uploads", "long")


def main(names: list[str]) -> int:
    rows: list[Row] = []
    for name in names or SUITES:
        for row in importlib.import_module(f"tests.benchmarks.{name}").measure():
            print(told(row), file=sys.stderr, flush=True)  # it takes long, and may be ended before its table
            rows.append(row)
    print(show(rows))
    return int(any(row.is_met is False for row in rows))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
