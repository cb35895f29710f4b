"""One request and its answer, per operation, the same on both dialects: post, read, hand over, say what it was.

Promises that an answer which was paid for never ends in an error that would send the call again. Decides nothing about
models: bodies come ready, and what a model takes was asked before.
"""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal

import msgspec
import trio
from msgspec import Struct

from pipeline.children.lanes import Lanes
from pipeline.core.drivers import Exchange, Reply
from pipeline.core.errors import ContractError, MediaspoolError
from pipeline.core.operations import Complete
from pipeline.routes import _chat_wire, _images_wire, _speech_wire, _transcribe_wire
from pipeline.routes._answers import MAX_ANSWER_BYTES, read_object, read_object_or_words
from pipeline.routes._body import Body
from pipeline.routes._transcript_forms import JSON_FORMS, Asked
from pipeline.routes.fetch import download
from pipeline.routes.http import Http

JSON = frozenset({"application/json"})
WORDS = frozenset({"application/json", "text/plain", "text/vtt", "application/x-subrip"})
SOUNDS: Mapping[str, frozenset[str]] = {
    "pcm": frozenset({"audio/pcm", "audio/wav"}),
    **{form: frozenset({kind}) for form, kind in _speech_wire.MEDIA_TYPES.items() if form != "pcm"},
}
MAX_PICTURE_BYTES = 100_000_000
MAX_CHAT_BYTES = 16_000_000
ROOM_BYTES = 1_000_000
FETCH_TRIES = 5
FIRST_PAUSE_S = 1.0


class Way(Struct, frozen=True, kw_only=True):
    """What a request is made with: the wire, scratch files, bounds, and the renderer of foreign words."""

    http: Http
    base_url: str
    lanes: Lanes
    safe: Callable[[str], str]
    max_bytes: int | None = None
    max_pixels: int | None = None
    origins: frozenset[str] = frozenset()


async def ask_speech(body: Body, model: str, form: str, *, way: Way, exchange: Exchange) -> Reply:
    async with way.http.post("/audio/speech", body, exchange=exchange, expect=SOUNDS[form], model=model) as stream:
        sound = await _speech_wire.receive(stream, form, lanes=way.lanes, exchange=exchange, max_bytes=way.max_bytes)
        return Reply(
            media_type=sound.media_type,
            model=model,
            usd=None,
            request_id=stream.request_id,
            seconds=sound.seconds,
            facts=sound.facts,
        )


async def ask_transcript(body: Body, form: str, asked: Asked, *, strict: bool, way: Way, exchange: Exchange) -> Reply:
    """A Transcript as JSON, whatever form came. `strict` refuses times that had to be mended."""
    expect = JSON if form in JSON_FORMS else WORDS
    path = "/audio/transcriptions"
    async with way.http.post(path, body, exchange=exchange, expect=expect, model=asked.model) as stream:
        answer = await read_object_or_words(stream, max_bytes=_bound(exchange, MAX_ANSWER_BYTES))
        request_id = stream.request_id
    usd = _chat_wire.cost(answer) if not isinstance(answer, str) else None
    heard = _transcribe_wire.read(answer, form, asked)
    if strict and heard.mended:
        what = f"{heard.mended} times of the transcript are out of order or outside of the recording"
        raise ContractError(what, hint="drop the option segments = 'strict' to have them mended", usd=usd)
    await exchange.write(msgspec.json.encode(heard.transcript))
    facts = {"form": form, "segments": str(len(heard.transcript.segments))}
    facts |= {"mended_times": str(heard.mended)} if heard.mended else {}
    facts |= {"speakers": str(heard.speakers)} if heard.speakers else {}
    facts |= {"billed_seconds": f"{heard.billed_seconds:g}"} if heard.billed_seconds is not None else {}
    return Reply(
        media_type="application/json",
        model=asked.model,
        usd=usd,
        request_id=request_id,
        seconds=heard.transcript.seconds or None,
        facts=facts,
    )


async def ask_chat(
    body: Body, ask: Complete, model: str, *, facts: Mapping[str, str], way: Way, exchange: Exchange
) -> Reply:
    async with way.http.post("/chat/completions", body, exchange=exchange, expect=JSON, model=model) as stream:
        answer = _chat_wire.read(await read_object(stream, max_bytes=_bound(exchange, MAX_CHAT_BYTES)), ask)
        request_id = stream.request_id or answer.request_id
        cached = stream.headers.get("x-openrouter-cache-status", "")
    await exchange.write(answer.text.encode())
    kept = {"response_cache": cached.lower()} if cached.lower() in ("hit", "miss") else {}
    return Reply(
        media_type=answer.media_type,
        model=model,
        usd=answer.usd,
        request_id=request_id,
        facts={**facts, **answer.facts, **kept},
    )


async def ask_pictures(
    path: str,
    body: Body,
    model: str,
    *,
    read: Callable[[Mapping[str, object]], list[_images_wire.Found]],
    n: int,
    facts: Mapping[str, str],
    way: Way,
    exchange: Exchange,
) -> Reply:
    """Every whole picture of one answer, each a part."""
    async with way.http.post(path, body, exchange=exchange, expect=JSON, model=model) as stream:
        answer = await read_object(stream, max_bytes=_bound(exchange, _images_wire.MAX_ANSWER_BYTES))
        request_id = stream.request_id
    usd, found = _chat_wire.cost(answer), _read(read, answer)
    told = {**facts, **_chat_wire.usage_facts(answer)}
    del answer  # its text is as large as the pictures again
    bodies, trouble = await _bodies_of(found, way)
    try:
        taken = await _images_wire.hand_over(bodies, n, exchange=exchange, max_pixels=way.max_pixels)
    except ContractError as error:
        raise _paid(trouble or error, usd) from error
    return Reply(
        media_type=taken.media_type, model=model, usd=usd, request_id=request_id, facts={**told, **taken.facts}
    )


def _bound(exchange: Exchange, most: int) -> int:
    """An answer in JSON may be as long as what the job allows is in base64, and the rest of it."""
    allowed = exchange.limits.max_output_bytes
    return most if allowed is None else min(most, allowed * 4 // 3 + ROOM_BYTES)


def _read(
    read: Callable[[Mapping[str, object]], list[_images_wire.Found]], answer: Mapping[str, object]
) -> list[_images_wire.Found]:
    try:
        return read(answer)
    except ContractError as error:
        raise _paid(error, _chat_wire.cost(answer)) from error


def _paid(error: ContractError, usd: Decimal | None) -> ContractError:
    return ContractError(error.message, code=error.code, hint=error.hint, usd=error.usd if usd is None else usd)


async def _bodies_of(found: Sequence[_images_wire.Found], way: Way) -> tuple[list[bytes], ContractError | None]:
    """Their bytes, nothing for what is not there, and what kept the first one from being fetched."""
    bodies, trouble = list[bytes](), list[ContractError]()
    for item in found:
        try:
            bodies.append(item.body or b"" if item.url is None else await _fetched(item.url, way))
        except MediaspoolError as error:
            code = error.code if isinstance(error, ContractError) else "reply-empty"
            trouble.append(ContractError(f"a picture cannot be fetched: {error.message}", code=code, hint=error.hint))
            bodies.append(b"")
    return bodies, next(iter(trouble), None)


async def _fetched(url: str, way: Way) -> bytes:
    """One picture, fetched alone. It was paid for: whoever keeps it is given some time to get well."""
    tries = 0
    while True:
        body = bytearray()

        async def write(chunk: bytes, into: bytearray = body) -> None:
            into += chunk

        try:
            await download(
                url,
                http=way.http,
                write=write,
                max_bytes=min(way.max_bytes or MAX_PICTURE_BYTES, MAX_PICTURE_BYTES),
                expect=_images_wire.IMAGES_OUT,
                origins=way.origins,
            )
            return bytes(body)
        except MediaspoolError as error:
            tries += 1
            if not error.retryable or tries >= FETCH_TRIES:
                raise
        await trio.sleep(FIRST_PAUSE_S * 2 ** (tries - 1))
