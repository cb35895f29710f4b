"""The receiving side of one attempt: nothing is kept before its head was recognised, nothing beyond the cap.

Bytes go: counted -> head recognised -> staged -> synced -> examined -> compared with what was declared and asked. An
answer may come in several payloads, each of which goes this way. One that fails is quarantined by the caller; it never
becomes an asset. Owns no money and no retry.
"""

import math
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import BinaryIO, Literal

import msgspec
import trio

from pipeline.core.drivers import Reply
from pipeline.core.errors import ContractError, Deferred, InDoubt, ReplyTooLarge
from pipeline.core.kinds import MAX_TRANSCRIPT_BYTES, decode_transcript
from pipeline.core.limits import Meter, Stint, Tab
from pipeline.core.model import AttemptId, Limits, Media, Reached, Runner
from pipeline.media.containers import (
    Examination,
    could_be,
    examine,
    examine_words,
    recognise,
    recognise_words,
    same_type,
)
from pipeline.media.sniff import HEAD_BYTES
from pipeline.state.durable import border
from pipeline.state.ledger import Ledger
from pipeline.state.ledger_rows import AttemptRow
from pipeline.state.store import Staged, Store
from pipeline.trace.redact import Redactor

JSON_TYPE = "application/json"
TEXT = Media(media_type="text/plain", family="text", extension="txt")
TOGETHER_BYTES = 128 * 1024  # what is written at a time: each write is a trip to another thread
MAX_PARTS = 64
LOOK_EVERY_S = 1.0
MAX_TICKET_CHARS = 4000

Answers = Literal["media", "transcript", "text"]
ANSWERS: Mapping[str, Answers] = {"transcribe": "transcript", "complete": "text"}
"""What answers an operation where that is no recording and no picture."""


def payload_name(attempt: str, number: int = 0) -> str:
    """The name under `staging/` of one payload of an answer: a crash must not hide whose it is."""
    return f"{attempt}.payload.{number}" if number else f"{attempt}.payload"


class Left(Deferred):
    """The run does not wait for the provider any longer. Told in our own words, not in a server's."""


class Payload:
    """One payload on its way in. `media` is set once it is whole, synced and what it should be.

    `pending` is what came and is not written yet: before the head is recognised all of it, then a little at a time.
    """

    def __init__(self, staged: Staged) -> None:
        self.staged = staged
        self.recognised: Media | None = None
        self.media: Media | None = None
        self.pending = bytearray()

    def flush(self) -> None:
        """Write what waits. Nothing that was not recognised is kept."""
        if self.recognised is not None and self.pending:
            self.staged.write(self.pending)
            self.pending.clear()


class Receiving:
    """Implements `core.drivers.Exchange` over one staged file a payload. `clock` ends when the time of the call has."""

    def __init__(
        self,
        attempt: AttemptId,
        *,
        store: Store,
        ledger: Ledger,
        runner: Runner,
        files: Runner,
        reached: Reached,
        redactor: Redactor,
        allowed: frozenset[str],
        limits: Limits,
        tab: Tab,
        may_leave: Callable[[], bool],
        opening: Callable[[], object],
        call_s: float | None = None,
        answers: Answers = "media",
        resumed: AttemptRow | None = None,
    ) -> None:
        self.attempt = attempt
        self.limits = limits
        self.call_s = call_s
        self.sent: Mapping[str, os.stat_result] = {}
        self.ticket: str | None = resumed.ticket if resumed else None
        self.request_id: str | None = resumed.request_id if resumed else None
        self.is_opened = self.is_sent = resumed is not None
        self.is_received = False
        self.payloads = [Payload(store.stage(payload_name(attempt)))]
        self._tab = tab
        self.stint = Stint()
        self.clock = trio.CancelScope()
        self._may_leave = may_leave
        self._opening = opening
        self._store = store
        self._redactor = redactor
        self._ledger = ledger
        self._runner = runner
        self._files = files
        self._reached = reached
        self._allowed = allowed
        self._answers = answers
        self._meter = Meter(limits.max_output_bytes, unit="bytes of answer")

    @property
    def recognised(self) -> Media | None:
        """What the first payload begins as."""
        return self.payloads[0].recognised

    @property
    def whole(self) -> list[Payload]:
        """The payloads that are here to their last byte and may be kept, whatever becomes of the next."""
        return [payload for payload in self.payloads if payload.media is not None]

    async def connecting(self) -> None:
        if not self.is_opened:
            await self._runner(self._opening)
            self._is_now_open()

    async def sending(self) -> None:
        if not self.is_sent:
            await self._runner(self._mark_sending)
            self._is_now_open()
            self.is_sent = True
            self._reached("sending")

    def _mark_sending(self) -> None:
        """On a connection that was there already both steps are one: each would wait for the disk."""
        if not self.is_opened:
            self._opening()
        self._ledger.mark_sending(self.attempt)

    def _is_now_open(self) -> None:
        if not self.is_opened:
            self.is_opened = True
            self._reached("opened")

    @contextmanager
    def in_line(self) -> Iterator[None]:
        """Its time stands still: who is before it in the line may take long."""
        left = self.clock.deadline - trio.current_time()
        self.clock.deadline = math.inf
        with self.stint.in_line():
            yield
        self.clock.deadline = trio.current_time() + left

    async def identified(self, request_id: str) -> None:
        if self._redactor.is_known(request_id):  # a server that answers with our key tells no id
            return
        self.request_id = request_id
        with trio.CancelScope(shield=True):
            await self._runner(self._ledger.note_request_id, self.attempt, request_id)
        self._reached("identified")

    async def submitted(self, ticket: str) -> None:
        """Shielded: what was just paid for is found again by this ticket only."""
        if not 0 < len(ticket) <= MAX_TICKET_CHARS:
            raise InDoubt(f"a ticket of {len(ticket)} characters cannot be kept", hint="mediaspool resolve")
        if self._redactor.is_known(ticket):
            ticket = self._redactor.text(ticket, max_chars=MAX_TICKET_CHARS)
        with trio.CancelScope(shield=True):
            await self._runner(self._ledger.mark_submitted, self.attempt, ticket)
        self.ticket = ticket
        self._reached("submitted")

    async def pause(self, seconds: float) -> None:
        until = trio.current_time() + seconds
        self._tab.waits += 1
        try:
            while (left := until - trio.current_time()) > 0:
                if self._may_leave():
                    self._tab.has_left = True
                    raise Left("the run ends while the provider works on it", hint="run again: the next goes on")
                await trio.sleep(min(left, LOOK_EVERY_S))
        finally:
            self._tab.waits -= 1

    async def next_part(self) -> None:
        if len(self.payloads) >= MAX_PARTS:
            raise ReplyTooLarge(f"more than {MAX_PARTS} payloads in one answer")
        await self._files(self._end_payload, None)
        self._reached("part")
        name = payload_name(self.attempt, len(self.payloads))
        self.payloads.append(Payload(self._store.stage(name)))

    async def write(self, chunk: bytes) -> None:
        self._meter.add(len(chunk))
        payload = self.payloads[-1]
        if payload.recognised is not None and len(payload.pending) >= TOGETHER_BYTES:  # the last ones go with `finish`
            await self._files(payload.flush)
        payload.pending += chunk
        if payload.recognised is None and len(payload.pending) >= HEAD_BYTES:
            self._open_gate(payload)

    def finish(self, reply: Reply) -> None:
        """Sync and examine what came last. ContractError if it is not what was declared and asked. Blocking."""
        if self.payloads[-1].recognised is None:
            self._open_gate(self.payloads[-1])
        self._reached("staged")
        self._end_payload(reply.media_type)

    def close(self) -> None:
        """Give the descriptors back; the files stay."""
        for payload in self.payloads:
            payload.staged.close()

    def _end_payload(self, declared: str | None) -> None:
        payload = self.payloads[-1]
        if payload.recognised is None:
            self._open_gate(payload)
        payload.media = self._verify(payload, declared)

    def _open_gate(self, payload: Payload) -> None:
        payload.recognised = self._recognise(bytes(payload.pending[:HEAD_BYTES]))  # no more: not to hang on the chunks
        self._reached("first-bytes")

    def _recognise(self, head: bytes) -> Media:
        if not head:
            raise ContractError("the answer is empty", code="reply-empty")
        media = recognise_words(head) if self._answers == "text" else recognise(head)
        if media is None or not any(self._fits(allowed, media) for allowed in self._allowed):
            found = media.media_type if media else "nothing known"
            raise ContractError(f"the answer is {found}, not {' or '.join(sorted(self._allowed))}", code="reply-type")
        return media

    def _fits(self, declared: str, media: Media) -> bool:
        """Words are words, whatever they look like: a model that writes a subtitle or a list in JSON wrote a text."""
        if self._answers == "text" and declared == TEXT.media_type:
            return media.family == "text"
        return could_be(declared, media)

    def _verify(self, payload: Payload, declared: str | None) -> Media:
        """What the whole payload is. Only the last one's type is declared; the others must be what they began as."""
        staged, head = payload.staged, payload.recognised
        assert head is not None
        payload.flush()
        staged.sync()
        staged.close()
        if declared is not None and not self._fits(declared, head):
            raise ContractError(f"declared as {declared}, but it is {head.media_type}", code="reply-type")
        if self._answers == "transcript" and declared in (None, JSON_TYPE):
            return _transcript(staged.path)
        media = _whole(staged.path, examine_words if self._answers == "text" else examine)
        if media is None or not self._is_same(media, head, declared):
            raise ContractError("the whole answer is of another type than its head", code="reply-type")
        return TEXT if self._answers == "text" and declared == TEXT.media_type else media

    def _is_same(self, media: Media, head: Media, declared: str | None) -> bool:
        if self._answers == "text":
            return self._fits(declared or TEXT.media_type, media)
        return could_be(media.media_type, head) if declared is None else same_type(declared, media)


def _whole(path: str, look: Callable[[BinaryIO, int], Examination]) -> Media | None:
    with border(path), open(path, "rb") as file:
        found = look(file, os.fstat(file.fileno()).st_size)
    if not found.ok:
        raise ContractError(f"the answer is damaged: {found.reason}", code="reply-damaged")
    return found.media


def _transcript(path: str) -> Media:
    with border(path), open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size > MAX_TRANSCRIPT_BYTES:
            raise ReplyTooLarge("the transcript is larger than 256 MB")
        body = file.read(size)
    try:
        decode_transcript(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ContractError("the answer is not a transcript", code="reply-damaged") from error
    return Media(media_type=JSON_TYPE, family="text", extension="json")
