"""The program around its commands: streams, signals, the exit.

A plain `run` goes straight to its shift; every other line is for Typer, which costs a third of the start of a run.
What a stream does not take is lost without a word and never changes the exit code. A signal ends any command with 129,
130 or 143; a run drains first.
"""

import gc
import os
import signal
import sys
from collections.abc import Callable, Sequence
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from pipeline.core.endings import ending_signals
from pipeline.core.errors import ConfigError
from pipeline.core.limits import parse_duration
from pipeline.run_words import RunWords, run_words
from pipeline.telling import tell
from pipeline.trace.logs import say

if TYPE_CHECKING:
    from pipeline.answer import Answer
    from pipeline.runtime import World
    from pipeline.shift import Order


def main(world: "World | None" = None) -> NoReturn:
    """The program. Tests bring their own world."""
    _mend_streams()
    os.environ.setdefault("PATH", os.defpath)  # an empty environment must not stop a library that looks for programs
    signals = ending_signals()
    for number in signals:
        signal.signal(number, _leave)
    code = _carry_out(sys.argv[1:], world)
    for number in signals:
        signal.signal(number, signal.SIG_IGN)  # what comes now comes too late to change how this ends
    for stream in (sys.stdout, sys.stderr):
        say(stream, "")  # what cannot be flushed is let go, or the interpreter would exit with 120
    gc.freeze()  # the system takes all of it back at once; nothing needs to be looked through for that
    sys.exit(code)


def _carry_out(arguments: Sequence[str], world: "World | None") -> int:
    words = run_words(arguments)
    shift = _plain_shift(words, world) if words is not None else None
    if words is None or shift is None:
        from pipeline import cli

        return cli.invoke(arguments, world)
    return tell(shift, as_json="--json" in words.flags)


def _plain_shift(words: RunWords, world: "World | None") -> "Callable[[], Answer] | None":
    """None where something is wrong with the words, which Typer tells better."""
    gc.disable()  # modules are no garbage: looking through them again and again is a tenth of the start
    from pipeline import shift
    from pipeline.seat import take_seat

    gc.freeze()
    gc.enable()
    order, where = _order(words, shift.Order), words.options
    if order is None:
        return None
    return lambda: shift.work(take_seat(world, where.get("--spool"), where.get("--config")), order)


def _order(words: RunWords, order: "type[Order]") -> "Order | None":
    options, flags = words.options, words.flags
    if options.get("--if-busy", "fail") not in ("fail", "skip"):
        return None
    try:
        limit_s = parse_duration(options["--time-limit"]) if "--time-limit" in options else None
    except ConfigError:
        return None
    return order(
        files=words.files,
        is_skipping_busy=options.get("--if-busy") == "skip",
        is_forced="--force" in flags,
        is_rehashing="--rehash" in flags,
        time_limit_s=limit_s,
        is_quiet=not flags.isdisjoint({"--quiet", "--json"}),
        events=options.get("--events"),
    )


def _leave(number: int, _frame: FrameType | None) -> NoReturn:
    """Until a run is under way there is nothing to drain."""
    sys.exit(128 + number)


def _mend_streams() -> None:
    """A stream that was closed by the caller leads nowhere; else the next file to be opened would take its place."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    sys.stdout = sys.stdout or os.fdopen(os.dup(1), "w", encoding="utf-8")
    sys.stderr = sys.stderr or os.fdopen(os.dup(2), "w", encoding="utf-8")
