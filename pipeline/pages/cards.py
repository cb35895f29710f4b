"""What a page shows of a run: one card a job, gathered from its outcome, its receipt and the files it read and made.

Reads within bounds and changes nothing. A job's own request (prompt, text, options) is never looked at, so it cannot be
shown. What cannot be read any more is shown as gone; it never stops a page.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Literal

import msgspec
from msgspec import Struct

from pipeline.core.decoding import from_json
from pipeline.core.errors import MediaspoolError
from pipeline.core.model import CallReceipt, Job, JobId, JobReceipt, Media, Outcome, Place, Verdict
from pipeline.pages.markup import Address, file_address
from pipeline.report import RunReport, Typed, next_command
from pipeline.state.durable import border
from pipeline.state.ledger import Ledger
from pipeline.state.ledger_rows import AttemptRow, AttemptState
from pipeline.state.roots import Roots
from pipeline.state.spool import Spool
from pipeline.state.store import Store

MAX_CARDS = 1000
MAX_EXHIBITS = 24
MAX_TRIES = 12
MAX_TEXT_CHARS = 400_000  # of one job: an hour of speech with its times
MIN_TEXT_CHARS = 1_000
TEXT_CHARS = 3_000_000  # of all jobs of a run together
CUE_CHARS = 240  # what a cue costs beside its words
MAX_TRANSCRIPT_BYTES = 8_000_000
READ_BYTES = 64_000_000

ORDER: tuple[Verdict, ...] = (
    "held", "failed", "suspect", "refused", "blocked", "not-started", "done", "empty", "unchanged"
)  # fmt: skip
_SHOWN_TEXTS = frozenset({"text/plain", "text/markdown", "application/json"})

Role = Literal["input", "product"]


class Exhibit(Struct, frozen=True, kw_only=True):
    """A file of a job. `address` None: it is not there any more; `media` None: nobody knows what it is."""

    role: Role
    path: str
    address: Address | None
    media: Media | None = None
    seconds: float | None = None
    size: int | None = None

    @property
    def family(self) -> str:
        return self.media.family if self.media is not None else ""


class Cue(Struct, frozen=True, kw_only=True):
    """A stretch of speech that begins `start` seconds into the recording."""

    start: float
    text: str


class Try(Struct, frozen=True, kw_only=True):
    """One attempt of this run at a call, and its debug artifact where there is one."""

    operation: str
    route: str
    state: AttemptState
    code: str | None
    seconds: float | None
    artifact: Address | None


class Card(Struct, frozen=True, kw_only=True):
    """One job. `cues` or else `text` is what was heard or written; `is_cut`: there is more in the files."""

    outcome: Outcome
    next: str
    exhibits: tuple[Exhibit, ...] = ()
    cues: tuple[Cue, ...] = ()
    text: str = ""
    is_cut: bool = False
    receipt: JobReceipt | None = None
    tries: tuple[Try, ...] = ()


class Material(Struct, frozen=True, kw_only=True):
    """One manifest of a run. `roots` None: it could not be read. `typed`: its path, where a person named it.

    `kept` are its JSON reports, each of which gets a page beside it.
    """

    report: RunReport
    jobs: Sequence[Job] = ()
    roots: Roots | None = None
    typed: str | None = None
    kept: tuple[str, ...] = ()


class Reach(Struct, frozen=True, kw_only=True):
    """What the gathering may look into. `mask` takes known secrets out of a text; `config` was named to the run."""

    ledger: Ledger
    store: Store
    spool: Spool
    mask: Callable[[str], str]
    tries: Mapping[Place, tuple[Try, ...]]
    config: str | None
    chars: int


class _Said(Struct, frozen=True):
    start: float
    text: str


class _Heard(Struct, frozen=True):
    """Of a transcript only what is shown: reading the words one by one takes ten times as long."""

    segments: tuple[_Said, ...]


class _Purse:
    """Bytes that may still be read for a page."""

    def __init__(self, left: int) -> None:
        self.left = left

    def take(self, size: int) -> bool:
        if size > min(self.left, MAX_TRANSCRIPT_BYTES):
            return False
        self.left -= size
        return True


def chars_a_job(materials: Iterable[Material]) -> int:
    """How much text each job of the run may show, so that the pages of a large run are not large too."""
    news = sum(outcome.verdict != "unchanged" for item in materials for outcome in item.report.outcomes)
    return max(MIN_TEXT_CHARS, min(MAX_TEXT_CHARS, TEXT_CHARS // max(1, news)))


def ordered(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """What needs a person first, then the news, then the rest, in the manifest's order each."""
    return sorted(outcomes, key=lambda outcome: ORDER.index(outcome.verdict))


def shown_outcomes(report: RunReport) -> list[Outcome]:
    return ordered(report.outcomes)[:MAX_CARDS]


def gather(material: Material, reach: Reach) -> tuple[Card, ...]:
    """The cards of one page, at most MAX_CARDS."""
    jobs = {job.id: job for job in material.jobs}
    outcomes = {outcome.job: outcome for outcome in material.report.outcomes}
    purse = _Purse(READ_BYTES)
    shown = shown_outcomes(material.report)
    return tuple(_card(outcome, jobs.get(outcome.job), outcomes, material, reach, purse) for outcome in shown)


def tries_of_run(ledger: Ledger, spool: Spool, materials: Iterable[Material]) -> dict[Place, tuple[Try, ...]]:
    """The attempts of this run at the jobs that are shown. An artifact that its bounds have removed is not linked."""
    found: dict[Place, list[Try]] = {place: [] for item in materials for place in _shown_places(item)}
    with border(spool.debug):
        artifacts = frozenset(os.listdir(spool.debug)) if os.path.isdir(spool.debug) else frozenset()
    for row in ledger.attempts_of_run():
        tries = found.get(row.place)
        if tries is not None and len(tries) < MAX_TRIES:
            name = f"{row.id}.json"
            address = file_address(os.path.join(spool.debug, name), spool.reports) if name in artifacts else None
            tries.append(_try(row, address))
    return {place: tuple(tries) for place, tries in found.items() if tries}


def _shown_places(material: Material) -> Iterator[Place]:
    shown = {outcome.job for outcome in shown_outcomes(material.report)}
    return (job.place for job in material.jobs if job.id in shown)


def _try(row: AttemptRow, artifact: Address | None) -> Try:
    return Try(
        operation=row.operation,
        route=row.route,
        state=row.state,
        code=row.code,
        seconds=seconds_between(row.opened_at, row.changed_at),
        artifact=artifact,
    )


def seconds_between(start: str, end: str) -> float | None:
    """None where one of the two is no time, or they are the wrong way round."""
    try:
        took = (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()
    except (TypeError, ValueError):
        return None
    return took if took >= 0 else None


def _card(
    outcome: Outcome,
    job: Job | None,
    outcomes: Mapping[JobId, Outcome],
    material: Material,
    reach: Reach,
    purse: _Purse,
) -> Card:
    told = msgspec.structs.replace(outcome, reason=reach.mask(outcome.reason), hint=reach.mask(outcome.hint))
    card = Card(
        outcome=told, next=next_command(outcome, manifest=material.typed, typed=Typed(reach.spool.root, reach.config))
    )
    if job is None:
        return card
    row = reach.ledger.job(job.place)
    receipt = row.receipt if row is not None else None
    card = msgspec.structs.replace(card, tries=reach.tries.get(job.place, ()))
    if outcome.verdict == "unchanged":
        return msgspec.structs.replace(card, exhibits=tuple(_products(outcome, reach)))
    exhibits = (*_inputs(job, outcomes, reach), *_products(outcome, reach))[:MAX_EXHIBITS]
    card = msgspec.structs.replace(card, exhibits=exhibits)
    if outcome.verdict not in ("done", "suspect", "empty") or receipt is None:
        return card
    card = msgspec.structs.replace(card, receipt=receipt)
    cues, is_cut = _cues(receipt, reach, purse)
    if cues:
        return msgspec.structs.replace(card, cues=cues, is_cut=is_cut)
    text, is_cut = _text(exhibits, material.roots, reach, purse)
    return msgspec.structs.replace(card, text=text, is_cut=is_cut)


def _inputs(job: Job, outcomes: Mapping[JobId, Outcome], reach: Reach) -> Iterator[Exhibit]:
    """What the job read: files, and the first products of other jobs."""
    if job.input is not None:
        yield _exhibit("input", job.input, reach)
    for parent in dict.fromkeys(filter(None, (job.parent, *(item.parent for item in job.further)))):
        made = outcomes[parent].products[:1] if parent in outcomes else ()
        yield from (_exhibit("input", path, reach) for path in made)
    yield from (_exhibit("input", item.path, reach) for item in job.further if item.path is not None)


def _products(outcome: Outcome, reach: Reach) -> Iterator[Exhibit]:
    yield from (_exhibit("product", path, reach) for path in outcome.products[:MAX_EXHIBITS])


def _exhibit(role: Role, path: str, reach: Reach) -> Exhibit:
    try:
        found = os.stat(path)
        facts = reach.ledger.known_file(path, found)
    except (OSError, ValueError):
        return Exhibit(role=role, path=path, address=None)
    return Exhibit(
        role=role,
        path=path,
        address=file_address(path, reach.spool.reports),
        media=facts.media if facts else None,
        seconds=facts.seconds if facts else None,
        size=found.st_size,
    )


def _cues(receipt: JobReceipt, reach: Reach, purse: _Purse) -> tuple[tuple[Cue, ...], bool]:
    """What was heard, with its times, from the answer itself: it is there whatever formats were asked for."""
    heard = next((call for call in receipt.calls if call.operation == "transcribe"), None)
    segments = _segments(heard, reach, purse) if heard is not None else ()
    left = reach.chars
    cues: list[Cue] = []
    for segment in segments:
        words = reach.mask(segment.text.strip())
        left -= len(words) + CUE_CHARS
        if left < 0 and cues:
            return tuple(cues), True
        if words:
            cues.append(Cue(start=max(0.0, segment.start), text=words[: reach.chars]))
    return tuple(cues), False


def _segments(call: CallReceipt, reach: Reach, purse: _Purse) -> tuple[_Said, ...]:
    try:
        media = reach.ledger.call_media(call.key)
        asset = reach.store.asset(call.asset, media, size=call.size) if media is not None else None
        if asset is None or not purse.take(asset.size):
            return ()
        with open(asset.path, "rb") as file:
            return from_json(file.read(asset.size), _Heard).segments
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, MediaspoolError):
        return ()


def _text(exhibits: Sequence[Exhibit], roots: Roots | None, reach: Reach, purse: _Purse) -> tuple[str, bool]:
    """The beginning of the first product that is a text to read."""
    texts = (item for item in exhibits if item.role == "product" and _is_text(item))
    item = next(texts, None)
    limit = reach.chars * 4
    if item is None or roots is None or not purse.take(min(limit, item.size or 0)):
        return "", False
    try:
        with os.fdopen(roots.open(item.path), "rb") as file:
            body = file.read(limit)
    except (OSError, MediaspoolError):
        return "", False
    text = reach.mask(body.decode("utf-8", "replace"))
    return text[: reach.chars], len(text) > reach.chars or (item.size or 0) > len(body)


def _is_text(item: Exhibit) -> bool:
    return item.media is not None and item.media.media_type in _SHOWN_TEXTS
