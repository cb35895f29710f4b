"""One clip from submission to its bytes: submitted once, its ticket durable before the first question, then asked for.

Promises that with a ticket in hand nothing is ever submitted again, that a download that breaks is made again alone and
leaves no half in the answer, and that whatever is not the provider's own verdict leaves the clip to a later run.
"""

import os

import trio

from pipeline.core.drivers import Exchange, Reply
from pipeline.core.errors import ContractError, Deferred, InDoubt, MediaspoolError, Rejected, ReplyTooLarge
from pipeline.media.containers import Examination, examine
from pipeline.routes import _local, _video_wire
from pipeline.routes._answers import object_of, read_object
from pipeline.routes._asking import JSON, Way
from pipeline.routes._body import JsonBody, JsonTree
from pipeline.routes._stream import Answer
from pipeline.routes.fetch import download
from pipeline.routes.http import Http

VIDEOS_OUT = frozenset({"video/mp4", "video/webm"})
MAX_CLIP_BYTES = 4_000_000_000
MAX_POLL_BYTES = 1_000_000
DOWNLOAD_TRIES = 4
FIRST_PAUSE_S, MAX_PAUSE_S = 2.0, 30.0


async def make(request: JsonTree, model: str, *, way: Way, exchange: Exchange) -> Reply:
    """The clips of one submission, each a part. Resumes where the exchange has a ticket."""
    if exchange.ticket is None:
        ticket = await _submit(request, model, way=way, exchange=exchange)
    else:
        ticket = _video_wire.read_ticket(exchange.ticket)

    async def ask() -> _video_wire.Progress:
        answer = await _asked(ticket, way.http)
        return _video_wire.progress(object_of(answer.body))

    found = await _video_wire.watch(ask, safe=way.safe, pause=exchange.pause)
    made = await _collect(ticket, found, ask, way=way, exchange=exchange)
    facts = {"clips": str(len(made)), **_facts(made[-1])}
    media = made[-1].media
    assert media is not None
    return Reply(
        media_type=media.media_type,
        model=model,
        usd=found.usd,
        request_id=ticket.id if len(ticket.id) <= 100 else None,
        seconds=made[-1].seconds,
        facts=facts,
    )


async def _submit(request: JsonTree, model: str, *, way: Way, exchange: Exchange) -> _video_wire.Ticket:
    """Whatever is wrong with the answer: it was a good one, so the clip is being made."""
    body = JsonBody.of(request)
    try:
        async with way.http.post("/videos", body, exchange=exchange, expect=JSON, model=model) as stream:
            ticket = _video_wire.ticket_of(await read_object(stream, max_bytes=MAX_POLL_BYTES))
    except (ContractError, ReplyTooLarge) as error:
        raise _untraceable(error.message) from error
    if ticket is None:
        raise _untraceable("it has no id")
    await exchange.submitted(_video_wire.write_ticket(ticket))
    return ticket


def _untraceable(why: str) -> InDoubt:
    """The work was taken, and nothing finds it again: only a person may send it once more."""
    return InDoubt(f"the clip was taken but its ticket cannot be read: {why}", hint="mediaspool resolve")


async def _asked(ticket: _video_wire.Ticket, http: Http) -> Answer:
    """By the address that was given, where it is the server's own; where that knows nothing, by the documented one.

    A server behind another one may give an address that holds only where it stands.
    """
    given, documented = _given(ticket, http), _video_wire.job_path(ticket)
    if given is not None:
        try:
            return await http.get(given, max_bytes=MAX_POLL_BYTES)
        except (Rejected, ContractError):
            pass
    return await http.get(documented, max_bytes=MAX_POLL_BYTES)


def _given(ticket: _video_wire.Ticket, http: Http) -> str | None:
    if ticket.polling_url is None:
        return None
    try:
        url = http.join(ticket.polling_url)
        return url if http.is_own(url) else None
    except ContractError:
        return None


async def _collect(
    ticket: _video_wire.Ticket, found: _video_wire.Progress, ask: _video_wire.Ask, *, way: Way, exchange: Exchange
) -> list[Examination]:
    made = []
    for index in range(max(1, len(found.urls))):
        if index:
            await exchange.next_part()
        made.append(await _fetch(ticket, found, index, ask, way=way, exchange=exchange))
    return made


async def _fetch(
    ticket: _video_wire.Ticket,
    found: _video_wire.Progress,
    index: int,
    ask: _video_wire.Ask,
    *,
    way: Way,
    exchange: Exchange,
) -> Examination:
    """One clip, whole in a scratch file before its first byte is handed over."""
    with _local.scratch(way.lanes, ".clip") as ref:
        path, pause = way.lanes.path(ref), FIRST_PAUSE_S
        own = f"{way.base_url}{_video_wire.content_path(ticket, index)}"
        url = found.urls[index] if index < len(found.urls) else own
        for left in reversed(range(DOWNLOAD_TRIES)):
            try:
                seen = await _download(url, path, way=way)
                break
            except MediaspoolError as error:
                if error.reach in ("route", "run") or error.settles == "refused":
                    raise
                if not left:
                    raise await _later(error, ask) from error
            await trio.sleep(pause)
            pause = min(2 * pause, MAX_PAUSE_S)
            url = own if left == 1 else await _another(own, index, ask)
        await _local.hand_over(exchange, path)
    return seen


async def _another(own: str, index: int, ask: _video_wire.Ask) -> str:
    """A fresh address for the next try: signed ones expire. The documented one where no other is told."""
    try:
        found = await ask()
    except MediaspoolError:
        return own
    return found.urls[index] if index < len(found.urls) else own


async def _download(url: str, path: str, *, way: Way) -> Examination:
    async with _local.gathering(path, "wb") as write:
        limit = min(way.max_bytes or MAX_CLIP_BYTES, MAX_CLIP_BYTES)
        await download(url, http=way.http, write=write, max_bytes=limit, expect=VIDEOS_OUT, origins=way.origins)
    seen = await trio.to_thread.run_sync(_examined, path)
    if not seen.ok or seen.media is None or seen.media.media_type not in VIDEOS_OUT:
        what = seen.reason or f"it is {seen.media.media_type if seen.media else 'nothing known'}"
        raise ContractError(f"the clip is of no use: {what}", code="reply-damaged")
    return seen


def _examined(path: str) -> Examination:
    with open(path, "rb") as file:
        return examine(file, os.fstat(file.fileno()).st_size)


async def _later(error: MediaspoolError, ask: _video_wire.Ask) -> MediaspoolError:
    """A clip that could not be fetched is there for the next run, unless the server knows nothing of it any more."""
    if isinstance(error, Rejected) and await _is_forgotten(ask):
        hint = "mediaspool retry submits it anew"
        return ContractError(f"the clip was made and is lost: {error.message}", code="reply-empty", hint=hint)
    return Deferred(
        f"the clip is made but could not be fetched: {error.message}", hint="run again; it is not paid twice"
    )


async def _is_forgotten(ask: _video_wire.Ask) -> bool:
    try:
        await ask()
    except Rejected:
        return True
    except MediaspoolError:
        return False
    return False


def _facts(seen: Examination) -> dict[str, str]:
    told = {name: seen.facts[name] for name in ("width", "height") if name in seen.facts}
    return {**told, "streams": " ".join(seen.streams)}
