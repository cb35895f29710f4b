"""What a run tells other machines: that it began and how it ended. None of it delays the work or fails it.

The beginning is told beside the work. The end is told when everything else is done: what was told of the beginning is
through or given up by then, so that no service hears of it last.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import trio

from pipeline.core.errors import MediaspoolError
from pipeline.core.notices import Event, Notice, Notifier, event_of
from pipeline.report import RunReport, exit_code, has_news
from pipeline.runtime import Runtime, open_notifier


class Broadcast:
    """Carries the report of a run to the moment when its end is told."""

    def __init__(self) -> None:
        self.report: RunReport | None = None


@asynccontextmanager
async def broadcasting(runtime: Runtime) -> AsyncIterator[Broadcast]:
    """While the block is open a run is under way. An error of ours leaves as itself, and is told as a failure."""
    cast, tools = Broadcast(), runtime.tools
    notifier = open_notifier(runtime.settings.notify, find_key=tools.find_key, safe=tools.safe)
    if notifier is None:
        yield cast
        return
    failure = None
    try:
        async with trio.open_nursery() as nursery:
            begun = Notice(event="start", run=runtime.run, started_at=runtime.started_at)
            nursery.start_soon(_tell, runtime, notifier, begun)
            try:
                yield cast
            except MediaspoolError as error:
                failure = error
            nursery.cancel_scope.cancel()
        await _tell(runtime, notifier, _ending(runtime, cast.report, [failure] if failure else []))
    finally:
        await notifier.aclose()
    if failure is not None:
        raise failure


def _ending(runtime: Runtime, report: RunReport | None, errors: Sequence[MediaspoolError]) -> Notice:
    if report is None:
        code = exit_code(outcomes=(), errors=errors)
        return Notice(
            event=_broken(code),
            run=runtime.run,
            started_at=runtime.started_at,
            finished_at=runtime.world.clock(),
            exit_code=code,
            spend_usd=None,
            has_news=True,
            summary=f"broken off: {', '.join(error.code for error in errors)}",
        )
    counted = ", ".join(f"{count} {verdict}" for verdict, count in report.counts.items()) or "nothing to do"
    return Notice(
        event=event_of(report.exit_code),
        run=report.run,
        started_at=report.started_at,
        finished_at=report.finished_at,
        exit_code=report.exit_code,
        counts=report.counts,
        spend_usd=report.spend,
        known_spend_usd=report.known_spend,
        unpriced_calls=report.unpriced_calls,
        audio_seconds=round(report.audio_seconds, 3),
        has_news=has_news(report),
        summary=f"{counted}; exit code {report.exit_code}",
    )


def _broken(code: int) -> Event:
    return event_of(code) if code else "fail"


async def _tell(runtime: Runtime, notifier: Notifier, notice: Notice) -> None:
    for lost in await notifier.tell(notice):
        runtime.log.event("notice-lost", level="warning", notice=notice.event, reason=lost)
