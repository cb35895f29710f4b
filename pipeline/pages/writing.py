"""Pages to disk, after every verdict of the run is settled and every JSON report is written.

Promises: a page appears whole or not at all, for its owner only; what cannot be read or written becomes a warning and
changes nothing else. A run without news writes nothing here and starts nothing.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

from msgspec import Struct

from pipeline.core.confine import display
from pipeline.core.errors import MediaspoolError
from pipeline.pages.cards import Card, Material, Reach, chars_a_job, gather, tries_of_run
from pipeline.pages.index_page import write_index
from pipeline.pages.run_page import run_page
from pipeline.pages.thumbnails import Thumbnail, thumbnails
from pipeline.runtime import Runtime


class Pages(Struct, frozen=True, kw_only=True):
    """Where a person looks: the page of the run, or the index where the run has several. None: nothing was written."""

    first: str | None = None
    warnings: tuple[str, ...] = ()


async def write_pages(runtime: Runtime, news: Sequence[Material], is_stopping: Callable[[], bool]) -> Pages:
    if not news:
        return Pages()
    try:
        found = await runtime.runner(_gathered, runtime, news)
        thumbs = await thumbnails((card for cards in found for card in cards), runtime.bench.lanes, is_stopping)
        return await runtime.runner(_written, runtime, news, found, thumbs)
    except MediaspoolError as error:
        return Pages(warnings=(_lost("the pages of the run", error),))


def _gathered(runtime: Runtime, news: Sequence[Material]) -> list[tuple[Card, ...]]:
    reach = Reach(
        ledger=runtime.ledger,
        store=runtime.store,
        spool=runtime.spool,
        mask=runtime.redactor.known,
        tries=tries_of_run(runtime.ledger, runtime.spool),
        config=runtime.world.config,
        chars=chars_a_job(news),
    )
    return [gather(item, reach) for item in news]


def _written(
    runtime: Runtime, news: Sequence[Material], found: Iterable[Sequence[Card]], thumbs: Mapping[str, Thumbnail]
) -> Pages:
    written: list[str] = []
    warnings: list[str] = []
    for item, cards in zip(news, found, strict=True):
        body = run_page(item.report, cards, thumbs)
        try:
            written += [runtime.spool.write_page(path, body) for path in item.kept][:1]
        except MediaspoolError as error:
            name = display(item.report.manifest or "")
            warnings.append(_lost(f"the page of {name}", error))
    try:
        index = write_index(runtime.spool, runtime.ledger)
    except MediaspoolError as error:
        return Pages(first=next(iter(written), None), warnings=(*warnings, _lost("the index of the pages", error)))
    return Pages(first=index if len(written) > 1 else next(iter(written), None), warnings=tuple(warnings))


def _lost(what: str, error: MediaspoolError) -> str:
    return f"{what} could not be written: {error.message}" + (f"; {error.hint}" if error.hint else "")
