"""What a process and all below it hold in memory, each page counted once however many of them share it."""

import os
from collections.abc import Iterator
from pathlib import Path


def held_mb(pid: int) -> float:
    """Of the whole family now, in MB (PSS): a child's own pages, and its share of what others hold too."""
    return sum(_share_mb(each) for each in _family(pid))


def _family(pid: int) -> Iterator[int]:
    """Children are listed under the thread that started them."""
    yield pid
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            for child in Path(f"/proc/{pid}/task/{thread}/children").read_text().split():
                yield from _family(int(child))
    except OSError:
        return


def _share_mb(pid: int) -> float:
    try:
        rows = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(row.split()[1]) for row in rows if row.startswith("Pss:")) / 1024
