"""What an attempt was made for and what it came to: the call, its end, its price, its debug artifact.

Decides from facts alone: waits for nothing, writes nothing. Whether a paid call is in doubt is said here.
"""

from collections.abc import Callable

from msgspec import Struct

from pipeline.core.drivers import Driver, Reply
from pipeline.core.errors import EngineError, InDoubt, MediaspoolError
from pipeline.core.limits import Budget
from pipeline.core.model import Asset, Binding, CallKey, CallReceipt, Estimate, Limits, Place
from pipeline.core.operations import Operation, operation_name
from pipeline.discretion import request_facts
from pipeline.exchange import Receiving
from pipeline.state.ledger_rows import EndState
from pipeline.trace.debug import DebugArtifact, ReplyFacts


class CallOwner(Struct, frozen=True, kw_only=True):
    """On whose behalf a call is made, and within which bounds."""

    place: Place
    kind: str
    limits: Limits
    budget: Budget
    may_begin: Callable[[], bool]


class Call(Struct, frozen=True, kw_only=True):
    """An operation bound to a route and model: has a key, is paid at most once."""

    key: CallKey
    operation: Operation
    binding: Binding
    owner: CallOwner
    driver: Driver


class Made(Struct, frozen=True, kw_only=True):
    """A finished call: the asset and the receipt that proves it. `is_new` is False when the receipt answered."""

    asset: Asset
    receipt: CallReceipt
    is_new: bool


def unanswered(call: Call, exchange: Receiving, what: str) -> MediaspoolError:
    """A call that ended without an answer: perhaps paid on a paid route, surely free on an embedded one."""
    if exchange.is_sent and call.binding.paid:
        return InDoubt(what, hint="mediaspool resolve")
    return EngineError(what, code="limit-time", hint="mediaspool retry")


def end_state(call: Call, exchange: Receiving, error: MediaspoolError) -> EndState:
    """What the error says; but where it was our machine that failed while a paid call was out, nobody can say."""
    if not exchange.is_sent:
        return "failed"
    if error.settles == "in_doubt" or error.reach == "run":
        return "in_doubt" if call.binding.paid else "failed"
    return error.settles


def used_by(call: Call, exchange: Receiving, made: Made | None, error: MediaspoolError | None) -> Estimate:
    """What an attempt counts for: its price, or its worst case unless it surely cost nothing."""
    worst = call.driver.estimate(call.operation, call.binding)
    if made is not None:
        return Estimate(usd=made.receipt.usd, audio_seconds=worst.audio_seconds)
    assert error is not None
    is_refused_by_them = error.retryable or (error.settles == "rejected" and error.billed == "no")
    return worst if call.binding.paid and exchange.is_sent and not is_refused_by_them else Estimate()


def artifact_of(
    run: str,
    call: Call,
    tries: int,
    exchange: Receiving,
    reply: Reply | None,
    error: MediaspoolError | None,
    millis: float,
) -> DebugArtifact:
    return DebugArtifact(
        run=run,
        attempt=exchange.attempt,
        place=call.owner.place,
        kind=call.owner.kind,
        route=call.binding.route,
        model=call.binding.model,
        engine=call.binding.engine,
        operation=operation_name(call.operation),
        try_number=tries,
        request=request_facts(call.operation),
        reply=ReplyFacts(
            declared=reply.media_type if reply else None,
            recognised=exchange.recognised.media_type if exchange.recognised else None,
            bytes=exchange.staged.size,
            sha256=exchange.staged.sha256,
        ),
        timings_ms={"attempt": round(millis, 1)},
        usd=reply.usd if reply else None,
        verdict=end_state(call, exchange, error) if error else "stored",
        code=error.code if error else None,
        message=error.message if error else "",
    )
