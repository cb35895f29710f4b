"""Pages to disk, after every verdict of the run is settled and every JSON report is written.

Promises: a page appears whole or not at all, for its owner only; what cannot be read or written becomes a warning and
changes nothing else. A run without news writes nothing here and starts nothing.
"""

from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct

from pipeline.core.confine import display
from pipeline.core.errors import MediaspoolError
from pipeline.pages.cards import Card, Material, Reach, chars_a_job, gather, tries_of_run
from pipeline.pages.index_page import write_index
from pipeline.pages.run_page import run_page
from pipeline.pages.thumbnails import Thumbnail, Thumbnails
from pipeline.runtime import Runtime


class Pages(Struct, frozen=True, kw_only=True):
    """Where a person looks: the page of the run, or the index where the run has several. None: nothing was written."""

    first: str | None = None
    warnings: tuple[str, ...] = ()


async def write_pages(runtime: Runtime, news: Sequence[Material], is_stopping: Callable[[], bool]) -> Pages:
    if not news:
        return Pages()
    made: list[Pages] = []
    thumbs = Thumbnails(runtime.bench.lanes, is_stopping)
    try:
        reach = await runtime.runner(_reach, runtime, news)
        for item in news:
            page = await _page(runtime, item, reach, thumbs)
            made.append(page)
    except MediaspoolError as error:
        made.append(Pages(warnings=(_lost("the pages of the run", error),)))
    return await runtime.runner(_with_index, runtime, made)


def _reach(runtime: Runtime, news: Sequence[Material]) -> Reach:
    return Reach(
        ledger=runtime.ledger,
        store=runtime.store,
        spool=runtime.spool,
        mask=runtime.redactor.known,
        tries=tries_of_run(runtime.ledger, runtime.spool, news),
        config=runtime.world.config,
        chars=chars_a_job(news),
    )


async def _page(runtime: Runtime, item: Material, reach: Reach, thumbs: Thumbnails) -> Pages:
    """The cards of one manifest at a time are in memory: they hold texts, and a run may have many."""
    cards = await runtime.runner(gather, item, reach)
    return await runtime.runner(_written, runtime, item, cards, await thumbs.of(cards))


def _written(runtime: Runtime, item: Material, cards: Sequence[Card], thumbs: Mapping[str, Thumbnail]) -> Pages:
    body = run_page(item.report, cards, thumbs)
    try:
        written = [runtime.spool.write_page(path, body) for path in item.kept]
    except MediaspoolError as error:
        return Pages(warnings=(_lost(f"the page of {display(item.report.manifest or '')}", error),))
    return Pages(first=next(iter(written), None))


def _with_index(runtime: Runtime, made: Sequence[Pages]) -> Pages:
    written = [page.first for page in made if page.first is not None]
    first, warnings = next(iter(written), None), [warning for page in made for warning in page.warnings]
    try:
        index = write_index(runtime.spool, runtime.ledger)
    except MediaspoolError as error:
        return Pages(first=first, warnings=(*warnings, _lost("the index of the pages", error)))
    return Pages(first=index if len(written) > 1 else first, warnings=tuple(warnings))


def _lost(what: str, error: MediaspoolError) -> str:
    return f"{what} could not be written: {error.message}" + (f"; {error.hint}" if error.hint else "")
