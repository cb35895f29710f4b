"""One attempt at a call: written down before the wire sees it, and given its verdict whatever happens.

Knows how an attempt begins, how its answer becomes assets with a receipt, and how it is put away where it does not.
What was paid for is kept: whole payloads of a broken answer become assets, and a ticket outlives deadlines and runs.
Decides nothing about money, retries or repeats.
"""

import os
import time
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from decimal import Decimal
from functools import partial

import trio

from pipeline import evidence
from pipeline.core.drivers import Reply
from pipeline.core.errors import InputChanging, MediaspoolError, StoreError
from pipeline.core.model import (
    Asset,
    AttemptId,
    BlockingRunner,
    CallKey,
    CallReceipt,
    Clock,
    Media,
    Part,
    Reached,
    Runner,
    Sha256,
)
from pipeline.core.operations import MediaRef, media_of, texts_of
from pipeline.course import Call, Course, Made
from pipeline.exchange import ANSWERS, Left, Payload, Receiving
from pipeline.state.durable import digest_file
from pipeline.state.ledger import Ledger
from pipeline.state.ledger_rows import AttemptRow
from pipeline.state.store import Store
from pipeline.till import Bill
from pipeline.trace.debug import DebugWriter, safe_message
from pipeline.trace.redact import Redactor

ROOM_BYTES = 1_000_000
PAID_ROOM_BYTES: Mapping[str, int] = {"make_image": 64_000_000, "edit_image": 64_000_000, "make_video": 512_000_000}
PAID_ROOM_OTHERS_BYTES = 16_000_000
"""What an answer may need: room for it is looked for before it is paid for, within the job's own cap."""
ANSWER_TYPES: Mapping[str, tuple[str, ...]] = {
    "speak": ("audio/",),
    "transcribe": ("application/json",),
    "make_image": ("image/",),
    "edit_image": ("image/",),
    "retouch": ("image/",),
    "make_video": ("video/",),
    "complete": ("text/", "application/json"),
}
"""How the media types begin that may answer an operation, whatever else its driver can send."""


class Attempts:
    """Makes attempts. `unfinished` are calls whose answer is here and could not be put away: the next run does that."""

    def __init__(
        self,
        *,
        run: str,
        ledger: Ledger,
        store: Store,
        runner: Runner,
        wait: BlockingRunner,
        files: Runner,
        debug: DebugWriter,
        redactor: Redactor,
        clock: Clock,
        reached: Reached,
    ) -> None:
        self.unfinished: dict[CallKey, MediaspoolError] = {}
        self._run = run
        self._ledger = ledger
        self._store = store
        self._runner = runner
        self._wait = wait
        self._files = files
        self._debug = debug
        self._redactor = redactor
        self._clock = clock
        self._reached = reached

    async def make(self, call: Call, bill: Bill, *, number: int = 1, resumed: AttemptRow | None = None) -> Made:
        """The answer, or an error whose facts say what became of the attempt. `resumed` is sent already."""
        if resumed is not None:
            await self._runner(self._resume, call, resumed)
            self._reached("resumed")
        with closing(self._receiving(call, bill, resumed)) as exchange, call.owner.tab.at_work(exchange.stint):
            return await self._perform(Course(call, exchange, number), bill)

    async def _perform(self, course: Course, bill: Bill) -> Made:
        try:
            course.reply = await self._reply(course)
            return await self._keep(course, course.reply)
        except MediaspoolError as error:
            course.error = course.meaning(error)
            await self._salvage(course)
            if course.made is not None:
                return course.made
            if course.error is error:
                raise
            raise course.error from error
        finally:
            if course.made is None and course.error is None:
                course.error = course.unanswered("the run stopped")
                await self._salvage(course)
            bill.used = course.used
            course.call.owner.tab.book(course.cost)
            if course.error is not None:
                with trio.CancelScope(shield=True):  # no deadline: it could only leave an attempt without its verdict
                    await self._files(self._end, course, course.error)

    async def _reply(self, course: Course) -> Reply:
        call = course.call
        limit = call.own_time_s or call.driver.route.call_timeout_s
        clock = course.exchange.clock
        clock.deadline = trio.current_time() + limit
        with clock:
            return await self._ask(course)
        raise course.unanswered(f"no answer within {limit:g} s")

    async def _ask(self, course: Course) -> Reply:
        """What the driver answers. Its complaints go into ledger and report, so they may repeat nothing private.

        A hint is in our own words, which may well be words of the text too: masking those would only spoil it. So
        is what is said of our own machine before the attempt was written down: no driver had anything to repeat yet.
        """
        call = course.call
        try:
            return await call.driver.perform(call.operation, call.binding, course.exchange)
        except Left:
            raise
        except MediaspoolError as error:
            if error.reach == "run" and not course.exchange.is_opened:
                raise
            error.message = safe_message(error.message, self._redactor, texts_of(call.operation))
            error.hint = self._redactor.text(error.hint)
            raise

    def _resume(self, call: Call, resumed: AttemptRow) -> None:
        self._store.ensure_room(_room(call))
        self._ledger.adopt_attempt(resumed.id)

    def _receiving(self, call: Call, bill: Bill, resumed: AttemptRow | None) -> Receiving:
        kinds = ANSWER_TYPES[call.name]
        return Receiving(
            resumed.id if resumed else bill.attempt,
            store=self._store,
            ledger=self._ledger,
            runner=self._runner,
            files=self._files,
            reached=self._reached,
            redactor=self._redactor,
            allowed=frozenset(name for name in call.driver.facts.media_out if name.startswith(kinds)),
            limits=call.owner.limits,
            tab=call.owner.tab,
            may_leave=call.owner.may_leave,
            opening=partial(self._open, call, bill.attempt),
            call_s=call.own_time_s,
            answers=ANSWERS.get(call.name, "media"),
            resumed=resumed,
        )

    def _open(self, call: Call, attempt: AttemptId) -> None:
        """Room is looked for in the same trip: that look is short beside what the ledger writes to the disk."""
        self._store.ensure_room(_room(call))
        self._ledger.open_attempt(
            call=call.key,
            place=call.owner.place,
            route=call.binding.route,
            model=call.binding.model,
            operation=call.name,
            paid=call.binding.paid,
            worst_usd=call.owner.budget.stated(call.worst()).usd,
            kind=call.owner.kind,
            manifest=call.owner.manifest,
            attempt=attempt,
        )

    async def _keep(self, course: Course, reply: Reply) -> Made:
        """From the last byte to a receipt. Shielded: what was paid for is kept even while the run is cancelled.

        Without a deadline: each step is blocking work that no deadline could end, only keep from being followed up.
        """
        with trio.CancelScope(shield=True):
            made = course.made = await self._files(self._kept, course, reply)
        return made

    def _kept(self, course: Course, reply: Reply) -> Made:
        """One trip for all of it: from here on files and ledger only wait for each other."""
        course.exchange.finish(reply)
        made = course.made = self._store_answer(course)
        self._tell(course)
        return made

    async def _salvage(self, course: Course) -> None:
        """Keep the payloads that are whole though the answer broke off after them: they were paid for.

        Behind a ticket the whole answer can still be had, so nothing less is taken for it.
        """
        is_lost = course.error is not None and course.error.reach == "call" and not course.is_waiting
        if not is_lost or not course.exchange.whole or course.exchange.is_received:
            return
        try:
            with trio.CancelScope(shield=True):
                course.made = await self._files(self._store_answer, course)
        except MediaspoolError as trouble:
            if trouble.reach == "run":
                course.error = trouble

    def _store_answer(self, course: Course) -> Made:
        exchange, receipt = course.exchange, self._receipt(course)
        refs = media_of(course.call.operation)
        if not self._wait(self._receive, exchange, receipt, refs):
            for ref in refs:
                _ensure_same(ref.path, ref.sha256)
            self._wait(self._receive, exchange, receipt, ())
        exchange.is_received = True
        self._reached("received")
        assets = self._adopt(exchange.whole, receipt if course.call.binding.paid else None)
        self._wait(self._ledger.mark_stored, exchange.attempt, receipt)
        self._reached("stored")
        return Made(assets=assets, receipt=receipt, is_new=True)

    def _receive(self, exchange: Receiving, receipt: CallReceipt, refs: Sequence[MediaRef]) -> bool:
        """False, and nothing noted, unless every input is remembered with the bytes that were sent.

        Who knows how a file stood when it was sent need not find it again: it may be gone, or replaced, by now.
        """
        if not all(self._remembered(ref.path, exchange.sent.get(ref.path)) == ref.sha256 for ref in refs):
            return False
        first = exchange.whole[0]
        self._ledger.mark_received(exchange.attempt, receipt=receipt, staged=first.staged.name, media=_media(first))
        return True

    def _adopt(self, whole: Sequence[Payload], noted: CallReceipt | None) -> tuple[Asset, ...]:
        """Every payload in its place, and then the proof of a paid call beside the first."""
        assets: list[Asset] = []
        for payload in whole:
            staged, is_last = payload.staged, noted is None or bool(assets)
            assets.append(self._store.adopt(staged.path, sha256=staged.sha256, media=_media(payload), is_last=is_last))
            self._reached("adopted")
        if noted is not None:
            self._store.note_call(assets[0], noted)
            self._reached("noted")
        return tuple(assets)

    async def ensure_unchanged(self, path: str, sha256: Sha256) -> None:
        """InputChanging unless the file holds the bytes of that hash. Asked after it was read: the hash is older."""
        if await self._runner(self._remembered, path) != sha256:
            await self._files(_ensure_same, path, sha256)

    def _remembered(self, path: str, stood: os.stat_result | None = None) -> Sha256 | None:
        try:
            known = self._ledger.known_file(path, stood or os.stat(path))
        except OSError:
            return None
        return known.sha256 if known is not None else None

    def _receipt(self, course: Course) -> CallReceipt:
        (first, *others), reply = course.exchange.whole, course.reply
        call, binding = course.call, course.call.binding
        return CallReceipt(
            key=call.key,
            route=binding.route,
            model=reply.model if reply else binding.model,
            engine=binding.engine,
            operation=call.name,
            asset=first.staged.sha256,
            media_type=_media(first).media_type,
            size=first.staged.size,
            usd=_price(course),
            request_id=self._keepable(reply.request_id if reply else None) or course.exchange.request_id,
            finished_at=self._clock(),
            seconds=reply.seconds if reply else None,
            facts={name: value for name, value in _facts(course).items() if self._keepable(value) is not None},
            parts=tuple(
                Part(asset=other.staged.sha256, media=_media(other), size=other.staged.size) for other in others
            ),
        )

    def _keepable(self, told: str | None) -> str | None:
        """What a server told, unless it repeats a key of ours: a receipt lies beside the products."""
        return None if told is None or self._redactor.is_known(told) else told

    def _end(self, course: Course, error: MediaspoolError) -> None:
        """The verdict on an attempt that went wrong: the payload away, then the ledger.

        One whose answer is here, and only could not be put away, stays open: the next run finishes it. One that the
        provider works on stays submitted. One that nobody has written down yet is none.
        """
        is_written_down = course.exchange.is_opened
        if course.state == "received":
            self.unfinished[course.call.key] = error
        else:
            self._put_away(course.exchange, error.billed == "yes" or course.state == "in_doubt")
            if is_written_down and course.state not in ("stored", "submitted"):
                self._wait(self._settle, course, error)
        if is_written_down or error.reach != "run":
            self._tell(course)

    def _settle(self, course: Course, error: MediaspoolError) -> None:
        state = course.end_state
        is_billed = state != "in_doubt" and not course.is_surely_free
        self._ledger.settle_attempt(
            course.exchange.attempt,
            state,
            code=error.code,
            message=error.message,
            usd=course.told_usd,
            is_billed=is_billed,
        )

    def _put_away(self, exchange: Receiving, is_worth_keeping: bool) -> None:
        """What has not become an asset: into quarantine if it may have been paid for, and else let go."""
        for payload in exchange.payloads:
            staged = payload.staged
            if is_worth_keeping:
                with suppress(StoreError):
                    payload.flush()
            if is_worth_keeping and staged.size and os.path.exists(staged.path):
                with suppress(StoreError):  # what cannot be kept is let go
                    staged.sync()
                with suppress(StoreError):
                    self._store.quarantine(staged.path)
            staged.discard()

    def _tell(self, course: Course) -> None:
        call = course.call
        trial = evidence.Trial(
            run=self._run,
            place=call.owner.place,
            kind=call.owner.kind,
            operation=call.operation,
            binding=call.binding,
            number=course.number,
        )
        millis = (time.monotonic() - course.began) * 1000
        told = evidence.artifact(
            trial, course.exchange, course.reply, course.error, verdict=course.state, millis=millis
        )
        self._debug.write(told, evidence.private(call.operation))


def _room(call: Call) -> int:
    if not call.binding.paid:
        return ROOM_BYTES
    cap = call.owner.limits.max_output_bytes
    room = PAID_ROOM_BYTES.get(call.name, PAID_ROOM_OTHERS_BYTES)
    return room if cap is None else min(cap, room)


def _price(course: Course) -> Decimal | None:
    """What is told, and nothing where a free call broke off before it was."""
    told = course.reply.usd if course.reply else course.told_usd
    return told if told is not None or course.call.binding.paid else Decimal(0)


def _facts(course: Course) -> dict[str, str]:
    """The driver's own, and what a person should know of this answer."""
    facts = dict(course.reply.facts) if course.reply else {}
    if course.call.binding.asked is not None:
        facts["asked_model"] = course.call.binding.asked
    if course.error is not None:
        facts["broke_off"] = course.error.code
    return facts


def _media(payload: Payload) -> Media:
    assert payload.media is not None
    return payload.media


def _ensure_same(path: str, sha256: Sha256) -> None:
    found = None
    with suppress(OSError):
        found = digest_file(path)
    if found != sha256:
        raise InputChanging("the input changed while it was worked on", hint="run again when it is whole")
