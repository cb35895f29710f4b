"""`watch`: the same run as cron's, started by a process that stays and looks at the spool at every beat of its clock.

Each run is a process of its own, so nothing of one is left in the next. News from the kernel about a drop is only a
hint to look sooner: on network folders it never comes, and the clock alone decides. A signal goes on to the run that is
at work, and ends the watch when that has ended.
"""

import math
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from subprocess import DEVNULL

import trio
from msgspec import Struct

from pipeline.answer import Answer
from pipeline.core.endings import ending_signals
from pipeline.core.errors import ConfigError
from pipeline.seat import Seat
from pipeline.state.idle import is_idle
from pipeline.state.linux import open_hints
from pipeline.state.spool import Spool

EVERY_S, SHORTEST_S = 30.0, 1.0
SETTLE_SLACK_S = 0.2
LONGEST_PAUSE_S = 900.0
HINT_BYTES = 65_536
FIRST_SIGNAL_CODE = 128
TROUBLE = frozenset({1, 2, 73, 74, 77, 78})
"""Exit codes of a run that a person must see to: the next one is not started at once."""


class Rounds(Struct, frozen=True, kw_only=True):
    """What is started at each beat, and how far apart beats are."""

    root: str
    command: tuple[str, ...]
    environ: Mapping[str, str]
    every_s: float
    settle_s: float

    def pause_s(self, troubles: int) -> float:
        """Longer with each trouble in a row, so that a broken set-up does not fill the log."""
        return min(self.every_s * 2.0 ** min(troubles, 30), max(LONGEST_PAUSE_S, self.every_s))


class Watch:
    """The run that is at work, if one is, and the signal that ends it all."""

    def __init__(self) -> None:
        self.signal: int | None = None
        self.process: trio.Process | None = None

    def stop(self, number: int) -> None:
        """The first signal lets the run drain, the next ones reach it as they come."""
        self.signal = self.signal or number
        if self.process is not None:
            with suppress(ProcessLookupError):
                self.process.send_signal(number)

    def started(self, process: trio.Process) -> None:
        """A signal that came while it was starting is not lost."""
        self.process = process
        if self.signal is not None:
            self.stop(self.signal)


def watch(seat: Seat, every_s: float | None, time_limit: str | None) -> Answer:
    """Until a signal comes. ConfigError where the clock would beat too fast."""
    if every_s is not None and every_s < SHORTEST_S:
        raise ConfigError("a watch looks once a second at most", hint='write it like "30s"')
    limit = ["--time-limit", time_limit] if time_limit else []
    config = ["--config", os.path.abspath(seat.config)] if seat.config else []
    command = [sys.executable, "-P", "-m", "pipeline", "run", "--spool", seat.root, *config, *limit, "--if-busy=skip"]
    rounds = Rounds(
        root=seat.root,
        command=tuple(command),
        environ=seat.world.environ,
        every_s=every_s or EVERY_S,
        settle_s=seat.settings.manifest_settle_s,
    )
    spool = Spool.create(seat.root)
    number = trio.run(keep_watch, rounds, tuple(os.path.join(spool.root, name) for name in ("incoming", "standing")))
    return Answer(text="", exit_code=FIRST_SIGNAL_CODE + number)


async def keep_watch(rounds: Rounds, folders: tuple[str, ...]) -> int:
    """The signal that ended it."""
    watching, hints = Watch(), open_hints(folders)
    try:
        with trio.open_signal_receiver(*ending_signals()) as signals:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_listen, signals, watching, nursery.cancel_scope)
                await _beat(rounds, watching, hints)
                nursery.cancel_scope.cancel()
    finally:
        if hints is not None:
            os.close(hints)
    return watching.signal or signal.SIGTERM


async def _listen(signals: AsyncIterator[int], watching: Watch, scope: trio.CancelScope) -> None:
    async for number in signals:
        watching.stop(number)
        if watching.process is None:
            scope.cancel()


async def _beat(rounds: Rounds, watching: Watch, hints: int | None) -> None:
    troubles = 0
    while watching.signal is None:
        code = 0 if is_idle(rounds.root) else await _run(rounds, watching)
        troubles = troubles + 1 if code in TROUBLE else 0
        if watching.signal is None:
            await _rest(rounds.pause_s(troubles), rounds.settle_s + SETTLE_SLACK_S, hints)


async def _run(rounds: Rounds, watching: Watch) -> int:
    """One run to its end. Shielded: it is ended by signals of its own, never killed for ours."""
    with trio.CancelScope(shield=True):
        process = await trio.lowlevel.open_process(
            rounds.command,
            stdin=DEVNULL,
            env=dict(rounds.environ),
            process_group=0,  # what the terminal tells everybody there comes from here, once
        )
        watching.started(process)
        code = await process.wait()
    watching.process = None
    return code


async def _rest(pause_s: float, settle_s: float, hints: int | None) -> None:
    """Until the next beat; after a hint only until what was dropped has settled."""
    with trio.move_on_after(pause_s):
        if hints is None:
            await trio.sleep(math.inf)
            return
        await trio.lowlevel.wait_readable(hints)
        await trio.sleep(settle_s)
        with suppress(BlockingIOError):
            os.read(hints, HINT_BYTES)
