"""`run`: one shift, as a person or cron starts it. Everything around `app.run`, and nothing of what it does.

By hand on a terminal: waits for files that were written a moment ago, draws a bar, always says how it went. From cron:
waits for nothing and says nothing unless there is news. A signal is noted from the first instant to the last.
"""

import os
import shlex
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TextIO

import msgspec
import trio
from msgspec import Struct

from pipeline import app, one_cpu, preview
from pipeline.answer import SCHEMA, Answer, counted, joined, shown_path
from pipeline.app import Result, RunRequest
from pipeline.core.confine import display, display_path
from pipeline.core.decoding import from_json
from pipeline.core.errors import RunBusy, StoreError
from pipeline.core.model import Clock
from pipeline.events import EventStream, Several
from pipeline.onlooker import Nobody, Onlooker, is_lively, is_watched
from pipeline.report import RunReport, has_news, report_json, summary
from pipeline.seat import Seat
from pipeline.signals import Caught
from pipeline.state.durable import PRIVATE
from pipeline.state.settings import settings_path
from pipeline.trace.logs import say

MAX_WAIT_S = 120.0
LOOK_EVERY_S = 1.0


class Order(Struct, frozen=True, kw_only=True):
    """What `run` was told. Without files the spool's own manifests are run."""

    files: tuple[str, ...] = ()
    is_skipping_busy: bool = False
    is_forced: bool = False
    is_rehashing: bool = False
    time_limit_s: float | None = None
    is_quiet: bool = False
    events: str | None = None


class ShiftReport(RunReport, frozen=True, kw_only=True):
    """The object of `run`. `unsettled` files were written a moment ago and wait for the next run.

    `page` is the report for people, of the run or over its runs.
    """

    unsettled: int = 0
    page: str | None = None


class Skipped(Struct, frozen=True, kw_only=True):
    """The object of a run that left the work to the one that holds the lock."""

    schema: int = SCHEMA
    skipped: str = "busy"
    exit_code: int = 0


def work(seat: Seat, order: Order) -> Answer:
    """Run to the end and say how it went. Raises what stopped the run before it could begin."""
    files = tuple(dict.fromkeys(os.path.abspath(path) for path in order.files))
    is_by_hand = is_watched(sys.stderr) and not order.is_quiet
    if is_by_hand and files:
        _let_settle(seat, files)
    request = RunRequest(
        spool=seat.root,
        files=files,
        settings_file=settings_path(seat.config, seat.world.environ),
        time_limit_s=order.time_limit_s,
        is_forced=order.is_forced,
        is_rehashing=order.is_rehashing,
    )
    is_live = is_by_hand and is_lively(sys.stderr, seat.world.environ)
    try:
        with _following(order.events, seat.world.clock) as events:
            result = _run(seat, request, events, is_live=is_live)
    except RunBusy as busy:
        if not order.is_skipping_busy:
            raise
        return Answer(text=joined([f"skipped: {busy.message}"]) if is_by_hand else "", record=Skipped())
    return _answer(seat, order, result, is_by_hand=is_by_hand)


def _run(seat: Seat, request: RunRequest, events: EventStream | None, *, is_live: bool) -> Result:
    caught = Caught()
    caught.keep()
    with _watching(is_live) as watch, one_cpu.together():
        onlooker = watch if events is None else Several(watch, events)
        world = msgspec.structs.replace(seat.world, watch=onlooker)
        result = trio.run(app.run, request, seat.settings, world, caught)
    if events is not None:
        events.closed(result.whole)
        if events.is_cut_off:
            lost = "not all events could be written; the report of the run has what is missing"
            whole = msgspec.structs.replace(result.whole, warnings=(*result.whole.warnings, lost))
            return msgspec.structs.replace(result, whole=whole)
    return result


@contextmanager
def _following(events: str | None, clock: Clock) -> Iterator[EventStream | None]:
    """`-` is stdout; a file is added to, so that one of them can follow every run."""
    if events is None:
        yield None
        return
    if events == "-":
        yield EventStream(sys.stdout, clock)
        return
    with _added_to(events) as file:
        yield EventStream(file, clock)


def _added_to(events: str) -> TextIO:
    """Whoever asked for events and cannot have them is told before anything is done."""
    try:
        fd = os.open(events, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NONBLOCK, PRIVATE)
    except OSError as error:
        message = f"--events '{display(events)}' cannot be written: {error.strerror}"
        hint = "make its folder, check its mode, or leave --events out; nothing was done"
        raise StoreError(message, code="output-unwritable", hint=hint) from error
    return os.fdopen(fd, "w", encoding="utf-8")


@contextmanager
def _watching(is_live: bool) -> Iterator[Onlooker]:
    if not is_live:
        yield Nobody()
        return
    from pipeline.progress import Bar  # here, because rich would cost every run from cron a tenth of its start

    with Bar(sys.stderr) as bar:
        yield bar


def _answer(seat: Seat, order: Order, result: Result, *, is_by_hand: bool) -> Answer:
    whole = result.whole
    told = from_json(report_json(whole), ShiftReport)  # as it may be shown: every name escaped
    page = display_path(result.page) if result.page is not None else None
    record = msgspec.structs.replace(told, unsettled=result.unsettled, page=page)
    return Answer(text=_text(seat, order, result, is_by_hand=is_by_hand), record=record, exit_code=whole.exit_code)


def _text(seat: Seat, order: Order, result: Result, *, is_by_hand: bool) -> str:
    whole = result.whole
    is_worth_it = bool(whole.exit_code) if order.is_quiet else is_by_hand or has_news(whole)
    if not is_worth_it:
        return ""
    if len(order.files) == 1:  # what was typed, so that the next command can be
        whole = msgspec.structs.replace(whole, manifest=order.files[0])
    waiting = [f"{counted(result.unsettled, 'file')} still settling: for the next run"] if result.unsettled else []
    look = [f"report: {shown_path(result.page)}"] if result.page is not None and whole.exit_code else []
    return summary(whole, typed=seat.typed) + joined((*waiting, *look))


def _let_settle(seat: Seat, files: Sequence[str]) -> None:
    """Say which files changed a moment ago, and wait until those that stand still have stood still long enough."""

    def unsettled() -> tuple[str, ...]:
        return preview.unsettled(seat, files)

    def tell(count: int) -> None:
        names = ", ".join(shlex.quote(shown_path(path)) for path in files)
        say(sys.stderr, f"{counted(count, 'file')} of {names} still settling; waiting while they stand still\n")

    let_settle(unsettled, tell=tell, sleep=time.sleep, now=time.monotonic)


def let_settle(
    unsettled: Callable[[], Iterable[str]],
    *,
    tell: Callable[[int], None],
    sleep: Callable[[float], None],
    now: Callable[[], float],
) -> None:
    """Ask until nothing is left to wait for. A file that changes meanwhile is not waited for: the next run takes it."""
    left = _marks(unsettled())
    if left:
        tell(len(left))
    until = now() + MAX_WAIT_S
    while left and now() < until:
        sleep(LOOK_EVERY_S)
        found = _marks(unsettled())
        left = {path: mark for path, mark in found.items() if left.get(path) == mark}


def _marks(paths: Iterable[str]) -> Mapping[str, tuple[int, int]]:
    marks = {}
    for path in paths:
        try:
            found = os.stat(path)
        except OSError:
            continue
        marks[path] = (found.st_size, found.st_mtime_ns)
    return marks
