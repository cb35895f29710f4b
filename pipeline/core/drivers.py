"""The driver protocol: the only way out to a provider or an engine.

A driver speaks one dialect or runs one engine. It is asked only by `calls.make_call`, which owns memory, money,
limits and the ledger; a driver owns none of them. What it cannot do it says in `DriverFacts` or `check`, before
anything is sent.
"""

import functools
import os
from collections.abc import Collection, Mapping
from contextlib import AbstractContextManager
from decimal import Decimal
from typing import Literal, Protocol, cast, runtime_checkable

from msgspec import Struct

from pipeline.core.hearing import Hearing, HearingRule, beyond, ruled
from pipeline.core.model import Binding, Estimate, Limits, Refusal, RouteId
from pipeline.core.operations import Operation, Transcribe
from pipeline.core.portions import DEFAULT_PORTION, Portion
from pipeline.core.rates import Rate


class Timeouts(Struct, frozen=True, kw_only=True):
    """Seconds per stage of a request: to connect, to the first byte of the answer, between bytes, and in all."""

    connect_s: float = 15.0
    first_byte_s: float = 300.0
    idle_s: float = 60.0
    total_s: float = 900.0

    def stretched(self, call_s: float | None) -> "Timeouts":
        """Whoever sets a time for one call means all of it: the caller ends it then, and no stage before."""
        if call_s is None:
            return self
        longest = max(self.first_byte_s, call_s), max(self.total_s, call_s)
        return Timeouts(connect_s=self.connect_s, first_byte_s=longest[0], idle_s=self.idle_s, total_s=longest[1])


class RouteConfig(Struct, frozen=True, kw_only=True):
    """A configured way out. `options` are the driver's own settings; `key` names a secret, never holds one.

    `models` maps an operation (`speak`) to its default model; `aliases` a short name to a model; `can` switches an
    operation off ("speak": False) and never on; `routing` is provider routing per model, as JSON; `prices` is USD per
    `operation unit` ("speak character", "transcribe second", "make_image image", "complete input_token") where the
    server tells none; `capabilities` are the driver's words for what an unknown model can do. `call_timeouts_s` is the
    time of a call by operation, in place of `call_timeout_s`; `hearing` maps a model, or `*`, to bounds in place of
    those of the driver's table.
    """

    id: RouteId
    driver: str
    width: int
    models: Mapping[str, str] = {}
    limits: Limits = Limits()
    call_timeout_s: float = 3600.0
    call_timeouts_s: Mapping[str, float] = {}
    key: str | None = None
    base_url: str | None = None
    options: Mapping[str, str] = {}
    timeouts: Timeouts = Timeouts()
    aliases: Mapping[str, str] = {}
    can: Mapping[str, bool] = {}
    headers: Mapping[str, str] = {}
    routing: Mapping[str, str] = {}
    prices: Mapping[str, str] = {}
    capabilities: Mapping[str, str] = {}
    hearing: Mapping[str, HearingRule] = {}
    discovery: Literal["off", "best-effort", "required"] | None = None
    rates: tuple[Rate, ...] = ()


class DriverFacts(Struct, frozen=True, kw_only=True):
    """What a driver can do at all; what it makes of one operation it says in `check`."""

    name: str
    operations: frozenset[str]
    media_out: frozenset[str] = frozenset()
    languages: frozenset[str] | None = None
    voices: Mapping[str, str] = {}
    models: tuple[str, ...] = ()
    paid: bool = False


class Health(Struct, frozen=True, kw_only=True):
    """The answer of `probe`: cheap, and never a download."""

    ok: bool
    summary: str
    hint: str = ""
    details: tuple[str, ...] = ()


class Reply(Struct, frozen=True, kw_only=True):
    """What a driver says once every byte went through the exchange. `media_type` is what the sender declared."""

    media_type: str
    model: str
    usd: Decimal | None
    request_id: str | None = None
    seconds: float | None = None
    facts: dict[str, str] = {}


class Exchange(Protocol):
    """The caller's side of one attempt, handed to a driver. Every method is durable when it returns.

    `limits` are the job's, for what only the driver can stop: bytes of the answer are counted here anyway.
    `call_s` is the time that was set for this very call, if any: no stage of its request ends before that by itself.
    `sent` tells by path how each file stood whose last byte has left, where a driver knows that it stood so throughout.
    `ticket` is not None when the provider works on this call since an earlier run: nothing is sent again, only asked.
    From `submitted` on only a verdict of the provider (Rejected, or ContractError where the work is lost) ends the
    attempt; whatever else a driver raises, and any deadline, leaves it for the next run.
    """

    limits: Limits
    call_s: float | None
    sent: Mapping[str, os.stat_result]
    ticket: str | None

    async def connecting(self) -> None:
        """Call before a connection is opened for the request; not needed where there is one, or none."""

    async def sending(self) -> None:
        """Call once, connected, just before the first byte of the request leaves. Nothing may be sent before."""

    def in_line(self) -> AbstractContextManager[None]:
        """Wait in this while whoever works on it is at work for others: that is no time of the call, and no work."""

    async def identified(self, request_id: str) -> None:
        """Call when the provider's id is known, before the body is read."""

    async def submitted(self, ticket: str) -> None:
        """Call when the provider has taken the work and will go on without us; `ticket` is all that finds it again."""

    async def pause(self, seconds: float) -> None:
        """Wait before the provider is asked again. Deferred where the run ends and only such waits are left of it."""

    async def next_part(self) -> None:
        """End one payload of the answer and begin another, such as the second picture of two.

        What was ended is examined and then kept, whatever happens to the next.
        """

    async def write(self, chunk: bytes) -> None:
        """Hand over bytes of the answer. Counted and recognised; raises when they are too many or the wrong kind."""


class Driver(Protocol):
    """One dialect or engine behind one route."""

    route: RouteConfig
    facts: DriverFacts

    def bind(self, operation: str, model: str | None) -> Binding:
        """The model and engine identity that would answer; ConfigError or UnsupportedOperation if none would."""

    def check(self, operation: Operation, binding: Binding) -> list[Refusal]:
        """All the reasons against sending this, at once. Sends nothing, starts nothing, may be called often.

        The bounds on a recording are not among them: they stand in the row of `Hears`, and parts are made to fit.
        """

    def estimate(self, operation: Operation, binding: Binding) -> Estimate:
        """What the call may cost at worst; `usd` None when the price is unknown."""

    def probe(self) -> Health:
        """Is everything here that the driver needs? Cheap; never a download."""

    async def perform(self, operation: Operation, binding: Binding, exchange: Exchange) -> Reply:
        """Carry out one attempt. Raises MediaspoolError classes only, whose facts tell what happened to it."""


@runtime_checkable
class TellsPrices(Protocol):
    """What a driver also is whose provider tells later what a call has cost."""

    route: RouteConfig

    async def price_of(self, request_id: str) -> Decimal | None:
        """The cost of a finished call by the provider's id; None while it is not known. Sends nothing that costs."""


@runtime_checkable
class Discovers(Protocol):
    """What a driver also is whose server says what its models can do and cost."""

    async def prepare(self, wanted: Collection[tuple[str, str | None]]) -> None:
        """Refresh what is known of (operation, model) pairs, None being the default. Asks for free. An
        error, which closes the route, only where the settings require the knowledge and it cannot be had.
        """


class Known(Struct, frozen=True, kw_only=True):
    """One model that a route knows of, and who says so. Empty `operations`: nobody says what it is for.

    `denied` are reasons against operations that its sort would allow; `notes` are words on what it takes.
    """

    id: str
    source: str
    operations: frozenset[str] = frozenset()
    denied: Mapping[str, str] = {}
    notes: tuple[str, ...] = ()
    name: str = ""


class Voices(Struct, frozen=True, kw_only=True):
    """What a model speaks with, and who says so. `names` None: not known here; the server decides."""

    names: tuple[str, ...] | None
    source: str
    usual: str | None = None
    formats: tuple[str, ...] = ()


@runtime_checkable
class Shows(Protocol):
    """What a driver also is that knows many models. Asks nobody: it tells what is kept and what is built in."""

    def known(self) -> tuple[Known, ...]:
        """Every model that is known by name, each once."""

    def kept_s(self) -> float | None:
        """Seconds since the oldest kept listing was fetched; None when none is kept."""

    def voices_of(self, model: str) -> Voices:
        """The voices of a model that `bind` gave."""


@runtime_checkable
class Portions(Protocol):
    """What a driver also is whose models differ in how much text they take in one call."""

    def portion(self, binding: Binding) -> Portion:
        """How much text a `speak` call of this binding should carry; `check` refuses what is more than it can."""


def portion_of(driver: Driver, binding: Binding) -> Portion:
    return cast(Portions, driver).portion(binding) if _offers(type(driver), Portions) else DEFAULT_PORTION


@functools.cache
def _offers(kind: type[Driver], protocol: type) -> bool:
    """Asked for every job and call, and Python looks through all members of a protocol each time."""
    return issubclass(kind, protocol)


@runtime_checkable
class Hears(Protocol):
    """What a driver also is whose transcription calls have bounds: each model has a row in its table of limits."""

    def hearing(self, binding: Binding) -> Hearing:
        """What one `transcribe` call of this binding takes and gives, before the settings have their say."""


def hearing_of(driver: Driver, binding: Binding) -> Hearing | None:
    """The row in force; None where one call takes any recording. The settings' rule for a model beats that for all."""
    if "transcribe" not in driver.facts.operations or not _offers(type(driver), Hears):
        return None
    rules = driver.route.hearing
    return ruled(cast(Hears, driver).hearing(binding), rules.get(binding.model, rules.get("*")))


def carried_by(driver: Driver, binding: Binding) -> tuple[Portion, Hearing | None]:
    """What one call of the binding carries: of text, and of a recording."""
    return portion_of(driver, binding), hearing_of(driver, binding)


def reasons_against(driver: Driver, operation: Operation, binding: Binding) -> list[Refusal]:
    """Everything against sending this as it is: what the driver says, and the bounds that making parts would cure."""
    hearing = hearing_of(driver, binding) if isinstance(operation, Transcribe) else None
    bounds = beyond(operation, hearing) if isinstance(operation, Transcribe) and hearing is not None else []
    told = driver.check(operation, binding)
    is_told = any(reason.code == "input-type" for reason in told)
    return [*told, *(reason for reason in bounds if reason.code != "input-type" or not is_told)]


@runtime_checkable
class Closes(Protocol):
    """What a driver also is that holds connections."""

    async def aclose(self) -> None:
        """Let go of everything; may be called twice, and on a driver that never sent anything."""
