"""make_call: the only gate to a provider or an engine.

A finished call is never made again: its receipt answers. An attempt is written down before the wire sees it and gets a
verdict whatever happens. Limits, money, redaction and memory live here, so no kind and no driver needs reminding.
"""

import os
import random
import time
from collections.abc import Callable
from contextlib import suppress

import trio

from pipeline.attempts import Call, CallOwner, Made, artifact_of, end_state, unanswered, used_by
from pipeline.core.drivers import Driver, Reply
from pipeline.core.errors import (
    InDoubt,
    InputChanging,
    MediaspoolError,
    Stopped,
    StoreError,
    UnsupportedOperation,
)
from pipeline.core.model import (
    Binding,
    CallKey,
    CallReceipt,
    Clock,
    Estimate,
    Media,
    Reached,
    Runner,
    Sha256,
)
from pipeline.core.operations import Operation, Transcribe, call_key, operation_name
from pipeline.core.retry import delay_s
from pipeline.discretion import names_of, texts_of
from pipeline.exchange import Receiving
from pipeline.state.durable import digest_file
from pipeline.state.ledger import Ledger
from pipeline.state.store import Store
from pipeline.trace.debug import DebugWriter, safe_message
from pipeline.trace.redact import Redactor

ROOM_BYTES = 1_000_000


class Bill:
    """What a call counts against the caps: nothing until it was sent, then what its end says."""

    def __init__(self) -> None:
        self.used = Estimate()


class Caller:
    """Owns the limiters and the calls in flight of one run. Lives as long as the runtime that opened it."""

    def __init__(
        self,
        *,
        run: str,
        ledger: Ledger,
        store: Store,
        runner: Runner,
        files: Runner,
        drivers: Callable[[str], Driver],
        debug: DebugWriter,
        redactor: Redactor,
        clock: Clock,
        reached: Reached,
    ) -> None:
        self._run = run
        self._ledger = ledger
        self._store = store
        self._runner = runner
        self._files = files
        self._drivers = drivers
        self._debug = debug
        self._redactor = redactor
        self._clock = clock
        self._reached = reached
        self._limiters: dict[str, trio.CapacityLimiter] = {}
        self._in_flight: dict[CallKey, trio.Lock] = {}
        self._unfinished: dict[CallKey, MediaspoolError] = {}

    async def make_call(self, operation: Operation, binding: Binding, owner: CallOwner) -> Made:
        """The answer to `operation`. Identical calls of one run are merged; a receipt answers without the route."""
        key = call_key(operation, route=binding.route, model=binding.model, engine=binding.engine)
        turn = self._in_flight.setdefault(key, trio.Lock())
        try:
            async with turn:
                return await self._from_memory_or_made(key, operation, binding, owner)
        finally:
            if not turn.locked():  # nobody waits for it
                self._in_flight.pop(key, None)

    async def _from_memory_or_made(
        self, key: CallKey, operation: Operation, binding: Binding, owner: CallOwner
    ) -> Made:
        made = await self._runner(self._from_receipt, key)
        if made is not None:
            return made
        if key in self._unfinished:
            raise self._unfinished[key]
        driver = self._drivers(binding.route)
        return await self._make(Call(key=key, operation=operation, binding=binding, owner=owner, driver=driver))

    def _from_receipt(self, key: CallKey) -> Made | None:
        receipt, media = self._ledger.call_receipt(key), self._ledger.call_media(key)
        if receipt is not None and media is not None:
            asset = self._store.asset(receipt.asset, media, size=receipt.size)
            if asset is not None:
                return Made(asset=asset, receipt=receipt, is_new=False)
        if any(row.paid for row in self._ledger.held_attempts(key)):
            raise InDoubt("an earlier try of this paid call has no verdict", hint="mediaspool resolve")
        return None

    async def _make(self, call: Call) -> Made:
        _admit(call)
        budget = call.owner.budget
        reserved, bill = budget.reserve(call.driver.estimate(call.operation, call.binding)), Bill()
        try:
            return await self._try(call, bill)
        finally:
            budget.settle(reserved, bill.used)

    async def _try(self, call: Call, bill: Bill) -> Made:
        """Retry policy is read from the error; the wait is outside the limiter and inside the job's deadline."""
        limiter = self._limiters.setdefault(call.binding.route, trio.CapacityLimiter(call.driver.route.width))
        tries = 0
        while True:
            tries += 1
            try:
                async with limiter:
                    if not call.owner.may_begin():
                        raise Stopped("the run was stopped before its first call", hint="run again")
                    return await self._attempt(call, tries, bill)
            except MediaspoolError as error:
                wait = delay_s(error, tries=tries, jitter=random.random())  # noqa: S311  # spreads load, guards nothing
                if wait is None:
                    raise
            await trio.sleep(wait)

    async def _attempt(self, call: Call, tries: int, bill: Bill) -> Made:
        await self._files(self._store.ensure_room, ROOM_BYTES)
        exchange = await self._runner(self._open, call)
        self._reached("opened")
        with exchange.staged:
            return await self._perform(call, tries, bill, exchange)

    async def _perform(self, call: Call, tries: int, bill: Bill, exchange: Receiving) -> Made:
        started = time.monotonic()
        reply: Reply | None = None
        made: Made | None = None
        error: MediaspoolError | None = None
        try:
            with trio.fail_after(call.driver.route.call_timeout_s):
                reply = await self._ask(call, exchange)
            made = await self._keep(call, exchange, reply)
            return made
        except trio.TooSlowError as cause:
            error = unanswered(call, exchange, f"no answer within {call.driver.route.call_timeout_s:g} s")
            raise error from cause
        except MediaspoolError as cause:
            error = cause
            raise
        finally:
            if made is None and error is None:
                error = unanswered(call, exchange, "the run stopped")
            bill.used = used_by(call, exchange, made, error)
            with trio.CancelScope(shield=True):  # no deadline: it could only leave an attempt without its verdict
                millis = (time.monotonic() - started) * 1000
                if error is not None:
                    await self._close(call, exchange, error)
                artifact = artifact_of(self._run, call, tries, exchange, reply, error, millis)
                private = (*texts_of(call.operation), *names_of(call.operation))
                await self._files(self._debug.write, artifact, private)

    async def _ask(self, call: Call, exchange: Receiving) -> Reply:
        """What the driver answers. Its complaints go into ledger and report, so they may repeat nothing private."""
        try:
            return await call.driver.perform(call.operation, call.binding, exchange)
        except MediaspoolError as error:
            hide = texts_of(call.operation)
            error.message = safe_message(error.message, self._redactor, hide)
            error.hint = safe_message(error.hint, self._redactor, hide)
            raise

    def _open(self, call: Call) -> Receiving:
        binding, owner = call.binding, call.owner
        attempt = self._ledger.open_attempt(
            call=call.key,
            place=owner.place,
            route=binding.route,
            model=binding.model,
            operation=operation_name(call.operation),
            paid=binding.paid,
            worst_usd=call.driver.estimate(call.operation, binding).usd,
        )
        return Receiving(
            attempt,
            staged=self._store.stage(f"{attempt}.payload"),
            ledger=self._ledger,
            runner=self._runner,
            files=self._files,
            reached=self._reached,
            allowed=call.driver.facts.media_out,
            limits=owner.limits,
        )

    async def _keep(self, call: Call, exchange: Receiving, reply: Reply) -> Made:
        """From the last byte to a receipt. Shielded: what was paid for is kept even while the run is cancelled.

        Without a deadline: each step is blocking work that no deadline could end, only keep from being followed up.
        """
        with trio.CancelScope(shield=True):
            media = await exchange.finish(reply)
            if isinstance(call.operation, Transcribe):
                await self.ensure_unchanged(call.operation.audio.path, call.operation.audio.sha256)
            staged, receipt = exchange.staged, self._receipt(call, exchange, reply, media)
            await self._runner(
                lambda: self._ledger.mark_received(exchange.attempt, receipt=receipt, staged=staged.name, media=media)
            )
            exchange.is_received = True
            self._reached("received")
            asset = await self._files(lambda: self._store.adopt(staged.path, sha256=staged.sha256, media=media))
            self._reached("adopted")
            await self._runner(self._ledger.mark_stored, exchange.attempt, receipt)
            self._reached("stored")
        return Made(asset=asset, receipt=receipt, is_new=True)

    async def ensure_unchanged(self, path: str, sha256: Sha256) -> None:
        """InputChanging unless the file holds the bytes of that hash. Asked after it was read: the hash is older."""
        if await self._runner(self._remembered, path) != sha256 and await self._files(_digest, path) != sha256:
            raise InputChanging("the input changed while it was worked on", hint="run again when it is whole")

    def _remembered(self, path: str) -> Sha256 | None:
        try:
            known = self._ledger.known_file(path, os.stat(path))
        except OSError:
            return None
        return known.sha256 if known is not None else None

    def _receipt(self, call: Call, exchange: Receiving, reply: Reply, media: Media) -> CallReceipt:
        staged, binding = exchange.staged, call.binding
        return CallReceipt(
            key=call.key,
            route=binding.route,
            model=reply.model,
            engine=binding.engine,
            operation=operation_name(call.operation),
            asset=staged.sha256,
            media_type=media.media_type,
            size=staged.size,
            usd=reply.usd,
            request_id=reply.request_id or exchange.request_id,
            finished_at=self._clock(),
            seconds=reply.seconds,
            facts=reply.facts,
        )

    async def _close(self, call: Call, exchange: Receiving, error: MediaspoolError) -> None:
        """The verdict on an attempt that brought nothing: the payload away, then the ledger.

        One whose answer is here, and only could not be put away, stays open: the next run finishes it.
        """
        if exchange.is_received:
            self._unfinished[call.key] = error
            return
        state = end_state(call, exchange, error)
        await self._files(self._put_away, exchange, error.billed == "yes" or state == "in_doubt")
        await self._runner(
            lambda: self._ledger.settle_attempt(
                exchange.attempt, state, code=error.code, message=error.message, usd=None
            )
        )

    def _put_away(self, exchange: Receiving, is_worth_keeping: bool) -> None:
        if is_worth_keeping and exchange.staged.size:
            with suppress(StoreError):  # what cannot be kept is let go
                exchange.staged.sync()
                self._store.quarantine(exchange.staged.path)
        exchange.staged.discard()


def _admit(call: Call) -> None:
    refusals = call.driver.check(call.operation, call.binding)
    if refusals:
        text = "; ".join(refusal.message for refusal in refusals)
        raise UnsupportedOperation(text, code=refusals[0].code, hint=refusals[0].hint)


def _digest(path: str) -> Sha256 | None:
    try:
        return digest_file(path)
    except OSError:
        return None
