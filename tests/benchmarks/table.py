"""Rows of the benchmark table: medians of interleaved rounds, and the ratio that a target speaks of."""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

from msgspec import Struct

ENVIRONMENT_KEPT = ("PATH", "HOME", "LANG", "TMPDIR")


class Row(Struct, frozen=True, kw_only=True):
    """One line: what was measured, the figure, what stands beside it, and whether the target (if any) is met."""

    name: str
    figure: str
    beside: str = ""
    target: str = ""
    is_met: bool | None = None


def told(row: Row) -> str:
    return "  ".join(cell for cell in _cells(row) if cell)


def show(rows: Sequence[Row]) -> str:
    cells = [("measured", "figure", "beside", "target", ""), *map(_cells, rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(5)]
    return "\n".join("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)) for line in cells)


def _cells(row: Row) -> tuple[str, str, str, str, str]:
    marks = {True: "met", False: "MISSED", None: ""}
    return row.name, row.figure, row.beside, row.target, marks[row.is_met]


def interleaved(rounds: int, *works: Callable[[], float]) -> list[float]:
    """The median of each work over `rounds`, all works taking turns, so that a busy moment hits them alike."""
    seconds: list[list[float]] = [[] for _ in works]
    for _ in range(rounds):
        for work, times in zip(works, seconds, strict=True):
            times.append(work())
    return [statistics.median(times) for times in seconds]


def timed(command: Sequence[str]) -> float:
    """Wall seconds of a whole process that must succeed."""
    started = time.perf_counter()
    done = subprocess.run(command, capture_output=True, check=False, env=environment())
    wall = time.perf_counter() - started
    if done.returncode != 0:
        sys.exit(f"{' '.join(command[:4])} ended with {done.returncode}: {done.stderr.decode()[-2000:]}")
    return wall


def environment() -> dict[str, str]:
    return {name: os.environ[name] for name in ENVIRONMENT_KEPT if name in os.environ}
