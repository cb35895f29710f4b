"""The rows of the fault matrix and of the invariants, the tests that prove each, and the table that is printed of them.

A row counts the cases of its tests: N/N survived means that in every one of them nothing was lost and nothing was paid
twice. Below it stand the figures that the tests tell themselves. A row without a test, or with one that could not run
here, says so.
"""

import re
from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct

FAULTS: Mapping[str, tuple[str, ...]] = {
    "kill -9 at every named point": (
        "test_crash.py::",
        "test_remote_crash.py::",
        r"test_instants.py::.*named_point(?!.*\[SIGTERM)",
    ),
    "SIGTERM at every named point": ("test_drain.py::.*named_point", r"test_instants.py::.*named_point(?!.*\[SIGKILL)"),
    "kill -9 and SIGTERM at moments nobody chose": (r"\.py::.*moments_nobody_chose",),
    "kill -9 at every system call": (r"\.py::.*kill(ed)?_at_any_system_call",),
    "power cuts": ("test_power_cuts.py::",),
    "disk full": (r"\.py::.*invariants?_17_",),
    "no space, EIO or a short count at the n-th call": (
        "test_system_calls.py::.*any_call_that_fails",
        "test_store_faults.py::.*(no_space|short_count|eio)",
    ),
    "read-only and vanishing output": (r"\.py::.*read_only", "test_places.py::.*goes_away", r"\.py::.*_19_"),
    "clocks that jump, summer time": ("test_clocks.py::", r"\.py::.*invariant_9_", "test_pace_time.py::"),
    "two and five runs at once": (r"\.py::.*invariant_7_", "test_pace_processes.py::"),
    "spools on odd paths": ("test_places.py::.*(odd_path|forge_lines)",),
    "ledger cut, locked, older, newer": (
        "test_places.py::.*ledger",
        "test_database.py::.*(newer|older|migration|damage)",
    ),
    "a damaged answer is found, and repaired where it can be": ("test_rebuild.py::.*(damaged|spoiled|set_aside)",),
    "a lost ledger comes back without paying": ("test_rebuild.py::", "test_places.py::.*ledger_is_gone"),
    "children killed, hung, garbage, memory": ("test_pool.py::",),
    "malformed manifests": ("manifest/test_text.py::", "manifest/test_further.py::", r"\.py::.*invariant_25_"),
    "broken media files": ("test_corpus.py::", "test_truncation.py::", "test_expansion.py::", "test_playlists.py::"),
    "every failure of a provider at every endpoint": ("test_failure_table.py::",),
}
"""By row: what the names of its tests match, as `folder/file.py::test`."""

INVARIANTS: Mapping[int, str] = {
    1: "no job is paid twice",
    2: "nor under random death and overlap",
    3: "a doubtful payment is held, listed and resolvable",
    4: "what was made is not lost",
    5: "a name shows the old file or the new one",
    6: "a power cut keeps what was acknowledged",
    7: "two runs do no work twice",
    8: "a dead run is followed, a live one never",
    9: "clocks decide nothing",
    10: "SIGTERM finishes or releases",
    11: "nothing passes as a type that it is not",
    12: "every libmagic gives the same verdict",
    13: "bounds on bytes hold in memory and on disk",
    14: "bounds on time hold",
    15: "bounds on expansion hold",
    16: "cut short is refused",
    17: "a full disk costs no money and shows no short file",
    18: "EIO from fsync is final",
    19: "an output that cannot take files is told",
    20: "a full or closed stream changes no outcome",
    21: "secrets reach nothing",
    22: "the key goes to its own origin only",
    23: "no request reaches a private address",
    24: "what providers do wrong is classified",
    25: "a malformed manifest harms only itself",
    26: "no path leaves its root",
    27: "decoding reads the given bytes only",
    28: "names forge nothing",
    29: "artifacts hold no text of a user",
    31: "damage is found, a lost ledger comes back",
}
"""Those of the design's list that do not speak of a cluster; a test carries the number in its name."""

_FIGURE = re.compile(r"(?:^|: )(\d+)/(\d+)\b")
_NUMBERED = re.compile(r"test_invariants?_((?:\d+_)+(?:and_\d+_)?)")


class Case(Struct, frozen=True, kw_only=True):
    """How one test ended, and what it told: a figure with an N/N counts as N tries, a test without one as one."""

    name: str
    outcome: str
    figures: tuple[str, ...] = ()

    def survived_of(self) -> tuple[int, int]:
        if self.outcome == "skipped":
            return 0, 0
        told = [(int(found[1]), int(found[2])) for found in map(_FIGURE.search, self.figures) if found]
        own = (int(self.outcome == "passed"), 1)
        return _sum([*told, own] if self.outcome == "failed" else told or [own])


def numbers(name: str) -> set[int]:
    """The invariants that a test names."""
    found = _NUMBERED.search(name)
    return set(map(int, re.findall(r"\d+", found[1]))) if found else set()


def faults(name: str) -> set[str]:
    """The rows of the matrix that a test belongs to."""
    return {row for row, patterns in FAULTS.items() if any(re.search(pattern, name) for pattern in patterns)}


def belongs(name: str) -> bool:
    return bool(numbers(name) or faults(name))


def table(cases: Sequence[Case]) -> str:
    """Both parts, and the sum over every case once. A row of which nothing was asked for is left out."""
    told = set[tuple[str, str]]()
    survived, tried = _sum([case.survived_of() for case in cases])
    return "\n".join(
        [
            *("", "FAULTS", *_part(_rows_of_faults(cases), told)),
            *("", "INVARIANTS", *_part(_rows_of_invariants(cases), told)),
            *("", f"{survived}/{tried} survived: {'nothing lost, nothing paid twice' if is_whole(cases) else 'NO'}"),
        ]
    )


def is_whole(cases: Sequence[Case]) -> bool:
    """Did every row that was asked for survive all that it tried, and try something?"""
    rows = [*_rows_of_faults(cases).values(), *_rows_of_invariants(cases).values()]
    counts = [_sum([case.survived_of() for case in row]) for row in rows if row]
    return all(survived == tried > 0 for survived, tried in counts)


def figures(printed: str) -> list[str]:
    """The lines with an N/N in them, of what a test printed."""
    return [line for line in printed.splitlines() if _FIGURE.search(line)]


def _rows_of_faults(cases: Sequence[Case]) -> dict[str, list[Case]]:
    return {row: [case for case in cases if row in faults(case.name)] for row in FAULTS}


def _rows_of_invariants(cases: Sequence[Case]) -> dict[str, list[Case]]:
    return {f"{n:2} {words}": [case for case in cases if n in numbers(case.name)] for n, words in INVARIANTS.items()}


def _part(rows: Mapping[str, Sequence[Case]], told: set[tuple[str, str]]) -> Iterator[str]:
    for row, cases in rows.items():
        survived, tried = _sum([case.survived_of() for case in cases])
        skipped = sum(case.outcome == "skipped" for case in cases)
        if cases:
            verdict = "" if survived == tried > 0 else "  NO" if tried else "  NOT TRIED"
            yield f"{row:60} {survived}/{tried}{verdict}" + (f" ({skipped} could not run here)" if skipped else "")
        figures = [(case.name, figure) for case in cases for figure in case.figures]
        yield from (f"      {figure}" for name, figure in figures if (name, figure) not in told)
        told.update(figures)


def _sum(counts: Sequence[tuple[int, int]]) -> tuple[int, int]:
    return sum(survived for survived, _ in counts), sum(tried for _, tried in counts)
