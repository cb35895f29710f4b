"""A call, and how an attempt at it goes: what its end means for the ledger, for money, and for the job.

Reads the facts of an error and of the exchange, and does nothing that has an effect; of the clock it only notes when
the attempt began. A ticket changes what an end means: while a provider works, only its own verdict ends the attempt.
"""

import time
from collections.abc import Callable
from decimal import Decimal

from msgspec import Struct
from msgspec.structs import replace

from pipeline.core.budget import Budget, counted
from pipeline.core.drivers import Driver, Reply
from pipeline.core.errors import (
    Deferred,
    EngineError,
    InDoubt,
    LimitExceeded,
    MediaspoolError,
    ReplyTooLarge,
    Throttled,
    Unavailable,
)
from pipeline.core.limits import Tab
from pipeline.core.model import Asset, Binding, CallKey, CallReceipt, Estimate, Limits, Place
from pipeline.core.operations import Operation, operation_name
from pipeline.exchange import Receiving
from pipeline.state.ledger_rows import AttemptState, EndState


class CallOwner(Struct, frozen=True, kw_only=True):
    """On whose behalf a call is made, within which bounds, and where what it costs is added up.

    `may_begin` is asked at the last moment before each attempt, `may_wait` while another job is at the same call, and
    `may_leave` while a provider works. `call_timeout_s` is what the job says of its calls; `audio_seconds` what a call
    counts towards a cap on minutes, where that is not all of its sound.
    """

    place: Place
    kind: str
    manifest: str
    limits: Limits
    budget: Budget
    tab: Tab
    may_begin: Callable[[], bool]
    may_wait: Callable[[], bool]
    may_leave: Callable[[], bool]
    call_timeout_s: float | None = None
    audio_seconds: float | None = None


class Call(Struct, frozen=True, kw_only=True):
    """An operation bound to a route and model: has a key, is paid at most once."""

    key: CallKey
    operation: Operation
    binding: Binding
    owner: CallOwner
    driver: Driver

    @property
    def name(self) -> str:
        return operation_name(self.operation)

    @property
    def own_time_s(self) -> float | None:
        """What was set for this very call: by its job, else by the route for the operation."""
        return self.owner.call_timeout_s or self.driver.route.call_timeouts_s.get(self.name)

    def worst(self) -> Estimate:
        worst = counted(self.driver.estimate(self.operation, self.binding), self.operation, paid=self.binding.paid)
        mine = self.owner.audio_seconds
        return worst if mine is None else replace(worst, audio_seconds=mine)


class Made(Struct, frozen=True, kw_only=True):
    """A finished call: its assets, one a payload, and the receipt that proves it.

    `is_new` is False when the receipt answered.
    """

    assets: tuple[Asset, ...]
    receipt: CallReceipt
    is_new: bool

    @property
    def asset(self) -> Asset:
        return self.assets[0]


class Course:
    """One attempt on its way. Filled in as it goes; asked when it has ended."""

    def __init__(self, call: Call, exchange: Receiving, number: int) -> None:
        self.call = call
        self.exchange = exchange
        self.number = number
        self.began = time.monotonic()
        self.reply: Reply | None = None
        self.made: Made | None = None
        self.error: MediaspoolError | None = None

    def unanswered(self, what: str) -> MediaspoolError:
        """It ended without an answer: with a ticket it goes on; perhaps paid on a paid route; else surely free."""
        if self.exchange.ticket is not None:
            return _deferred(what)
        if self.exchange.is_sent and self.call.binding.paid:
            return InDoubt(what, hint="mediaspool resolve")
        return EngineError(what, code="limit-time", hint="mediaspool retry")

    def meaning(self, error: MediaspoolError) -> MediaspoolError:
        """What a driver's error says of the call. While a provider works, trouble on our way to it says nothing."""
        if error.settles == "refused" and error.billed == "yes":
            return self._beyond_our_bound(error)
        if error.settles == "in_doubt" and self.exchange.ticket is None and not self.call.binding.paid:
            return _free_again(error)
        is_ours_to_tell = error.reach != "call" or error.outcome in ("refused", "not-started")
        if self.exchange.ticket is None or is_ours_to_tell or _is_final(error):
            return error
        return _deferred(error.message)

    def _beyond_our_bound(self, error: MediaspoolError) -> MediaspoolError:
        """Behind a ticket it can still be had; else it is made and paid once more. A free one is, by any new limit."""
        if self.exchange.ticket is not None:
            hint = "raise max_output_mb, then run again: it is fetched then, and not paid for twice"
            return Deferred(f"the answer is made, but too large for the limits: {error.message}", hint=hint)
        if not self.call.binding.paid:
            return LimitExceeded(error.message, hint=error.hint)
        hint = "raise max_output_mb before a retry, which pays again"
        return ReplyTooLarge(f"{error.message}; it was made and is paid for", hint=hint, usd=error.usd)

    @property
    def is_waiting(self) -> bool:
        """Does the provider go on with it, whatever became of us?"""
        return self.exchange.ticket is not None and self.error is not None and not _is_final(self.error)

    @property
    def state(self) -> AttemptState:
        """The state in which the attempt is left."""
        if self.error is None or self.made is not None:
            return "stored"
        if self.exchange.is_received:
            return "received"
        return "submitted" if self.is_waiting else self.end_state

    @property
    def end_state(self) -> EndState:
        """What the error says; but where it was our machine that failed while a paid call was out, nobody can say."""
        assert self.error is not None
        if not self.exchange.is_sent:
            return "failed"
        settles = self.error.settles
        is_ours = self.error.reach == "run" or (settles == "failed" and not self.error.retryable)
        if is_ours or settles == "in_doubt" or settles == "submitted":
            return "in_doubt" if self.call.binding.paid else "failed"
        return settles

    @property
    def told_usd(self) -> Decimal | None:
        """The price as the provider told it, though the call ended badly."""
        if self.error is None or self.error.billed != "yes":
            return None
        return self.reply.usd if self.reply else self.error.usd

    @property
    def is_surely_free(self) -> bool:
        error = self.error
        is_refused_by_them = error is not None and (
            error.retryable or (error.settles == "rejected" and error.billed == "no")
        )
        return not self.call.binding.paid or not self.exchange.is_sent or is_refused_by_them

    @property
    def cost(self) -> Decimal | None:
        """What it cost its job; None where nobody knows."""
        if self.made is not None:
            return self.made.receipt.usd
        return Decimal(0) if self.is_surely_free else self.told_usd

    @property
    def used(self) -> Estimate:
        """What it counts against the caps. Without a price its worst case stays, unless it surely cost nothing."""
        worst = self.call.worst()
        if self.made is not None:
            return replace(worst, usd=self.made.receipt.usd)
        if self.is_surely_free:
            return Estimate(requests=worst.requests if self.exchange.is_sent else 0)
        return replace(worst, usd=self.told_usd)


def _is_final(error: MediaspoolError) -> bool:
    """Is this the provider's verdict on the work behind a ticket?"""
    return error.settles == "rejected" and error.reach == "call"


def _free_again(error: MediaspoolError) -> Unavailable:
    """Done or not, it costs nothing to have it done again."""
    if error.slows:
        return Throttled(error.message, hint="run again, later", retry_after_s=error.retry_after_s)
    return Unavailable(error.message, hint="mediaspool retry, later", retry_after_s=error.retry_after_s)


def _deferred(what: str) -> Deferred:
    return Deferred(f"{what}; the provider still works on it", hint="run again: the next run goes on with it")
