"""The bar on a terminal: how many jobs are done, and how many of them need a look.

It is for a person who waits; cron and pipes never see it. What it writes may be lost, but never changes a run: a
terminal that goes away costs the bar and nothing else.
"""

import io
from collections.abc import Mapping
from types import TracebackType
from typing import Self, TextIO, cast

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from pipeline.core.model import Outcome
from pipeline.trace.logs import say

_PLAIN_TERMINALS = frozenset({"dumb", "unknown"})
_LOOK_AT = frozenset({"failed", "held", "suspect", "refused"})


def is_watched(stream: TextIO) -> bool:
    """Does somebody sit at this stream?"""
    try:
        return stream.isatty()
    except ValueError:  # closed
        return False


def is_lively(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """May a bar be drawn on this stream?"""
    return is_watched(stream) and environ.get("TERM", "") not in _PLAIN_TERMINALS


class Bar:
    """A bar while its block is open. Implements `batch.Watch`."""

    def __init__(self, stream: TextIO) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        file = cast("TextIO", _Patient(stream))  # it has all that rich asks of a file
        console = Console(file=file, force_terminal=True)
        self._progress = Progress(*columns, console=console, transient=True)
        self._task: TaskID | None = None
        self._looks = 0

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def planned(self, jobs: int) -> None:
        if jobs:
            self._task = self._progress.add_task("working", total=jobs)

    def ended(self, outcome: Outcome) -> None:
        if self._task is None:
            return
        self._looks += outcome.verdict in _LOOK_AT
        described = f"working, {self._looks} to look at" if self._looks else "working"
        self._progress.update(self._task, advance=1, description=described)


class _Patient(io.TextIOBase):
    """A stream that forgives: what cannot be written is lost, and nobody hears of it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    @property
    def encoding(self) -> str:  # type: ignore[override]  # the base has a variable where every stream has a property
        return self._stream.encoding

    def isatty(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._stream.fileno()

    def write(self, text: str) -> int:
        say(self._stream, text)
        return len(text)
