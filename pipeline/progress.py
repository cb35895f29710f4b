"""The bars on a terminal: what every lane does, how long it may take, what it has cost, and how many jobs need a look.

They are for a person who waits; cron and pipes never see them. What they write may be lost, but never changes a run: a
terminal that goes away costs the bars and nothing else. How long it may take is reckoned from seconds of audio where a
lane has any, for one recording may be as long as a hundred others, else from jobs.
"""

import io
import time
from collections.abc import Callable
from decimal import Decimal
from types import TracebackType
from typing import Self, TextIO, cast

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from pipeline.core.model import Decision, Outcome, RunId
from pipeline.core.pricing import missing
from pipeline.trace.logs import say

MAX_LANES = 8
MINUTE_S, HOUR_S = 60, 3600
_LOOK_AT = frozenset({"failed", "held", "suspect", "refused"})


class Lane:
    """How far a lane is: jobs and seconds of audio, all and done, and how many jobs are at work."""

    def __init__(self, began_at: float) -> None:
        self.jobs = self.jobs_done = self.at_work = 0
        self.audio_s = self.audio_done_s = 0.0
        self._began_at = began_at

    def queued(self, audio_s: float) -> None:
        self.jobs += 1
        self.audio_s += audio_s

    def left(self, audio_s: float) -> None:
        self.jobs_done += 1
        self.at_work -= 1
        self.audio_done_s += audio_s

    def left_s(self, now: float) -> float | None:
        """Seconds until the lane may be done, going on as it did so far; None while nobody can say."""
        done, of = (self.audio_done_s, self.audio_s) if self.audio_s else (self.jobs_done, self.jobs)
        return (now - self._began_at) * (of - done) / done if done else None

    def told(self, now: float) -> str:
        if self.jobs_done == self.jobs:
            return ""
        parts = [f"{self.at_work} at work"]
        parts += [f"{_span(self.audio_s - self.audio_done_s)} of audio left"] if self.audio_s else []
        left = self.left_s(now)
        return ", ".join([*parts, f"about {_span(left)}"] if left is not None else parts)


class Bar:
    """A bar for the run and one for each lane, while its block is open. Implements `onlooker.Onlooker`."""

    def __init__(self, stream: TextIO, now: Callable[[], float] = time.monotonic) -> None:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TextColumn("{task.fields[told]}"),
        )
        file = cast("TextIO", _Patient(stream))  # it has all that rich asks of a file
        console = Console(file=file, force_terminal=True)
        self._progress = Progress(*columns, TimeElapsedColumn(), console=console, transient=True)
        self._now = now
        self._task: TaskID | None = None
        self._lanes: dict[str, Lane] = {}
        self._tasks: dict[str, TaskID] = {}
        self._looks = 0
        self._usd = Decimal(0)
        self._unpriced = 0

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def started(self, run: RunId) -> None:
        return

    def planned(self, jobs: int) -> None:
        if jobs:
            self._task = self._progress.add_task("working", total=jobs, told="")

    def queued(self, lane: str, decision: Decision) -> None:
        if lane not in self._lanes:
            self._lanes[lane] = Lane(self._now())
            if len(self._tasks) < MAX_LANES:
                self._tasks[lane] = self._progress.add_task(escape(f"  {lane}"), total=0, told="")
        self._lanes[lane].queued(decision.estimate.audio_seconds)
        self._show(lane)

    def begun(self, lane: str, decision: Decision) -> None:
        self._lanes[lane].at_work += 1
        self._show(lane)

    def left(self, lane: str, decision: Decision) -> None:
        self._lanes[lane].left(decision.estimate.audio_seconds)
        self._show(lane)

    def ended(self, outcome: Outcome) -> None:
        self._looks += outcome.verdict in _LOOK_AT
        self._usd += outcome.known_usd
        self._unpriced += outcome.unpriced_calls
        if self._task is not None:
            described = f"working, {self._looks} to look at" if self._looks else "working"
            self._progress.update(self._task, advance=1, description=described, told=self._told())

    def _show(self, lane: str) -> None:
        if lane in self._tasks:
            shown = self._lanes[lane]
            told = shown.told(self._now())
            self._progress.update(self._tasks[lane], total=shown.jobs, completed=shown.jobs_done, told=told)

    def _told(self) -> str:
        """Of the run: what it cost, and how long the slowest of its lanes may take."""
        parts = [f"{'at least ' if self._unpriced else ''}{self._usd} USD"] if self._usd else []
        parts += [missing(self._unpriced)] if self._unpriced else []
        longest = max((lane.left_s(self._now()) or 0.0 for lane in self._lanes.values()), default=0.0)
        parts += [f"about {_span(longest)} left"] if longest else []
        return ", ".join(parts)


def _span(seconds: float) -> str:
    if seconds < MINUTE_S:
        return f"{seconds:.0f} s"
    return f"{seconds / MINUTE_S:.0f} min" if seconds < HOUR_S else f"{seconds / HOUR_S:.1f} h"


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
