"""make_call: the only gate to a provider or an engine.

A finished call is never made again: its receipt answers. A call that a provider works on is gone on with, never sent
again; one that may have been paid for is held, unless the allowance covers a repeat. Limits and money live here, so no
kind and no driver needs reminding.
"""

import os
import random
from collections.abc import Callable, Sequence
from contextlib import nullcontext

import trio
from msgspec import Struct
from msgspec.structs import replace

from pipeline.attempts import Attempts
from pipeline.core.drivers import Driver, hearing_of, portion_of, reasons_against
from pipeline.core.errors import EngineError, InDoubt, MediaspoolError, Stopped, UnsupportedOperation
from pipeline.core.hearing import Hearing
from pipeline.core.limits import Doubt, Stint
from pipeline.core.model import (
    Asset,
    Binding,
    BlockingRunner,
    CallKey,
    CallReceipt,
    Clock,
    Media,
    Place,
    Reached,
    Runner,
    Sha256,
)
from pipeline.core.operations import Operation, call_key, operation_name
from pipeline.core.portions import Portion
from pipeline.core.retry import FIRST_DELAY_S, delay_s
from pipeline.course import Call, CallOwner, Made
from pipeline.gates import Gate
from pipeline.pacing import NotYet, Pacer
from pipeline.state.durable import border, digest_file
from pipeline.state.ledger import Ledger
from pipeline.state.ledger_rows import AttemptRow
from pipeline.state.store import Store
from pipeline.till import Bill, Later, Till
from pipeline.trace.debug import DebugWriter
from pipeline.trace.redact import Redactor
from pipeline.turns import Turns

REPAIR = "mediaspool verify --repair, which restores it or has it asked for anew"


class _Known(Struct, frozen=True, kw_only=True):
    """What the ledger knows of a call: its answer, the attempts in doubt, the one that a provider works on.

    `kept` is the answer as the ledger has it, whatever became of the files; `made` is None where one of them is gone.
    """

    made: Made | None = None
    kept: tuple[Asset, ...] = ()
    held: tuple[AttemptRow, ...] = ()
    submitted: AttemptRow | None = None
    repeats: int = 0


class Caller:
    """Owns the gates and the calls in flight of one run. Lives as long as the runtime that opened it."""

    def __init__(
        self,
        *,
        run: str,
        ledger: Ledger,
        store: Store,
        runner: Runner,
        wait: BlockingRunner,
        files: Runner,
        drivers: Callable[[str], Driver],
        debug: DebugWriter,
        doubt: Doubt,
        redactor: Redactor,
        clock: Clock,
        reached: Reached,
        pacer: Pacer,
    ) -> None:
        self._ledger = ledger
        self._pacer = pacer
        self._till = Till(pacer)
        self._reached = reached
        self._store = store
        self._runner = runner
        self._files = files
        self._drivers = drivers
        self._doubt = doubt
        self._attempts = Attempts(
            run=run,
            ledger=ledger,
            store=store,
            runner=runner,
            wait=wait,
            files=files,
            debug=debug,
            redactor=redactor,
            clock=clock,
            reached=reached,
        )
        self._gates: dict[str, Gate] = {}
        self._turns = Turns()
        self._asked: dict[Place, set[CallKey]] = {}

    async def make_call(self, operation: Operation, binding: Binding, owner: CallOwner) -> Made:
        """The answer to `operation`. Identical calls of one run are merged; a receipt answers without the route."""
        key = call_key(operation, route=binding.route, model=binding.model, engine=binding.engine)
        self._asked.setdefault(owner.place, set()).add(key)
        async with self._turns.of(key, owner.may_wait):
            made = await self._from_memory_or_made(key, operation, binding, owner)
        self._answered(owner.place, key)
        return made

    async def _from_memory_or_made(
        self, key: CallKey, operation: Operation, binding: Binding, owner: CallOwner
    ) -> Made:
        known = await self._runner(self._known, key)
        if known.kept and not await self._files(_is_sound, known.kept):
            if binding.paid:
                what = "an answer that was kept is no longer the bytes that came"
                raise EngineError(what, code="answer-damaged", hint=REPAIR)
            known = replace(known, made=None)  # free to have it made anew
        if known.made is not None:
            return known.made
        if key in self._attempts.unfinished:
            raise self._attempts.unfinished[key]
        driver = self._drivers(binding.route)
        return await self._make(Call(key=key, operation=operation, binding=binding, owner=owner, driver=driver), known)

    def _answered(self, place: Place, key: CallKey) -> None:
        """Two equal calls of one job may both come here."""
        asked = self._asked.get(place, set())
        asked.discard(key)
        if not asked:
            self._asked.pop(place, None)

    async def waiting_places(self) -> set[Place]:
        """The jobs that need a call which a provider works on: asked for in this run, and no answer yet."""
        rows = await self._runner(self._ledger.submitted_attempts)
        keys = {row.call for row in rows}
        return {place for place, asked in self._asked.items() if not asked.isdisjoint(keys)}

    def portion(self, binding: Binding) -> Portion:
        """How much text one call of this binding may carry."""
        return portion_of(self._drivers(binding.route), binding)

    def width(self, binding: Binding) -> int:
        """How many calls the route takes at once."""
        return self._drivers(binding.route).route.width

    def bind(self, route: str, operation: Operation) -> Binding:
        """The binding of a route's own default model."""
        return self._drivers(route).bind(operation_name(operation), None)

    def hearing(self, binding: Binding) -> Hearing | None:
        """What one transcription call of this binding takes; None where it takes any recording."""
        return hearing_of(self._drivers(binding.route), binding)

    async def ensure_unchanged(self, path: str, sha256: Sha256) -> None:
        """InputChanging unless the file holds the bytes of that hash. Asked after it was read: the hash is older."""
        await self._attempts.ensure_unchanged(path, sha256)

    def _known(self, key: CallKey) -> _Known:
        if not self._ledger.is_known(key):
            return _Known()
        receipt, media = self._ledger.call_receipt(key), self._ledger.call_media(key)
        kept = self._kept(receipt, media) if receipt is not None and media is not None else ()
        if receipt is not None and kept and all(os.path.lexists(asset.path) for asset in kept):
            return _Known(made=Made(assets=kept, receipt=receipt, is_new=False), kept=kept)
        held = tuple(row for row in self._ledger.held_attempts(key) if row.paid)
        return _Known(
            kept=kept,
            held=held,
            submitted=self._ledger.submitted_attempt(key),
            repeats=self._ledger.repeats(key) if held else 0,
        )

    def _kept(self, receipt: CallReceipt, media: Media) -> tuple[Asset, ...]:
        first = self._store.asset_of(receipt.asset, media, size=receipt.size)
        return (first, *(self._store.asset_of(part.asset, part.media, size=part.size) for part in receipt.parts))

    async def _make(self, call: Call, known: _Known) -> Made:
        if known.submitted is None:
            _admit(call)
        if known.held and not await self._runner(self._release, call, known):
            raise InDoubt("an earlier try of this paid call has no verdict", hint="mediaspool resolve")
        if known.submitted is not None:
            return await self._resume(call, known.submitted)
        while True:
            try:
                return await self._try(call)
            except MediaspoolError as error:
                if error.settles != "in_doubt" or error.reach != "call" or not await self._may_repeat(call):
                    raise
            with call.owner.tab.at_work(Stint()):
                await trio.sleep(FIRST_DELAY_S)

    async def _may_repeat(self, call: Call) -> bool:
        """Does the allowance cover one more try of a call that has just ended in doubt?"""
        known = await self._runner(self._known, call.key)
        return bool(known.held) and await self._runner(self._release, call, known)

    def _release(self, call: Call, known: _Known) -> bool:
        """Let go of what is in doubt where the allowance covers all of it. What it may have cost stays on record."""
        worst = call.worst().usd
        for row in known.held:
            known_worst = None if worst is None or row.worst_usd is None else max(worst, row.worst_usd)
            if not self._doubt.grants(row.id, operation=row.operation, worst_usd=known_worst, repeats=known.repeats):
                return False
        for row in known.held:
            self._ledger.resolve_attempt(row.id, "allowance")
        return True

    async def _resume(self, call: Call, row: AttemptRow) -> Made:
        """Go on where an earlier run stopped. Paid for there, or not at all: no cap and no check stands in the way."""
        return await self._attempt(call, resumed=row)

    async def _try(self, call: Call) -> Made:
        """Retry policy is read from the error; the wait is outside the gate and inside the job's deadline."""
        tries = 0
        while True:
            tries += 1
            try:
                return await self._attempt(call, number=tries)
            except MediaspoolError as error:
                wait = delay_s(error, tries=tries, jitter=random.random())  # noqa: S311  # spreads load, guards nothing
                if error.slows and error.connected:  # what nobody said, no other run has to know
                    await self._pacer.rest(call.driver.route, self._gate(call).rest_s)
                if wait is None:
                    raise
                is_own = not error.slows  # else the whole route rests, and this call only waits with all others
            with call.owner.tab.at_work(Stint()) if is_own else nullcontext():
                await self._gate(call).sleep(wait, call.owner.may_begin)

    async def _attempt(self, call: Call, *, number: int = 1, resumed: AttemptRow | None = None) -> Made:
        gate = self._gate(call)
        while True:
            try:
                async with gate.seat(call.owner.may_begin, call.owner.place):
                    if not call.owner.may_begin():
                        raise Stopped("the run was stopped before its first call", hint="run again")
                    if resumed is not None:
                        return await self._gone_on_with(call, resumed)
                    return await self._taken(call, number)
            except NotYet as later:
                await gate.sleep(later.wait_s, call.owner.may_begin)
            except Later as later:
                await gate.until(later.parked, call.owner.may_begin)

    async def _gone_on_with(self, call: Call, row: AttemptRow) -> Made:
        call.owner.tab.has_called = True
        made = await self._attempts.make(call, Bill(), resumed=row)
        if made.receipt.usd is not None:
            await self._pacer.price(row.id, made.receipt.usd)
        return made

    async def _taken(self, call: Call, number: int) -> Made:
        """One attempt, for which its worst case is taken from the caps before it begins."""
        async with self._till.taken(call) as bill:
            call.owner.tab.has_called = True
            self._reached("booked")
            return await self._attempts.make(call, bill, number=number)

    def _gate(self, call: Call) -> Gate:
        config = call.driver.route
        if config.id not in self._gates:
            self._gates[config.id] = Gate(config.id, config.width)
        return self._gates[config.id]


def _is_sound(kept: Sequence[Asset]) -> bool:
    """Is an answer of long ago what it was, or gone? A product of other bytes would have a receipt that lies."""
    for asset in kept:
        with border(asset.path):
            if os.path.lexists(asset.path) and digest_file(asset.path) != asset.sha256:
                return False
    return True


def _admit(call: Call) -> None:
    refusals = reasons_against(call.driver, call.operation, call.binding)
    if refusals:
        text = "; ".join(refusal.message for refusal in refusals)
        raise UnsupportedOperation(text, code=refusals[0].code, hint=refusals[0].hint)
