"""The driver protocol: the only way out to a provider or an engine.

A driver speaks one dialect or runs one engine. It is asked only by `calls.make_call`, which owns memory, money,
limits and the ledger; a driver owns none of them. What it cannot do it says in `DriverFacts` or `check`, before
anything is sent.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Protocol

from msgspec import Struct

from pipeline.core.model import Binding, Estimate, Limits, Refusal, RouteId
from pipeline.core.operations import Operation


class RouteConfig(Struct, frozen=True, kw_only=True):
    """A configured way out. `options` are the driver's own settings; `key` names a secret, never holds one."""

    id: RouteId
    driver: str
    width: int
    models: Mapping[str, str] = {}
    limits: Limits = Limits()
    call_timeout_s: float = 3600.0
    key: str | None = None
    base_url: str | None = None
    options: Mapping[str, str] = {}


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
    """

    limits: Limits

    async def sending(self) -> None:
        """Call once, connected, just before the first byte of the request leaves. Nothing may be sent before."""

    async def identified(self, request_id: str) -> None:
        """Call when the provider's id is known, before the body is read."""

    async def write(self, chunk: bytes) -> None:
        """Hand over bytes of the answer. Counted and recognised; raises when they are too many or the wrong kind."""


class Driver(Protocol):
    """One dialect or engine behind one route."""

    route: RouteConfig
    facts: DriverFacts

    def bind(self, operation: str, model: str | None) -> Binding:
        """The model and engine identity that would answer; ConfigError or UnsupportedOperation if none would."""

    def check(self, operation: Operation, binding: Binding) -> list[Refusal]:
        """All the reasons against sending this, at once. Sends nothing, starts nothing, may be called often."""

    def estimate(self, operation: Operation, binding: Binding) -> Estimate:
        """What the call may cost at worst; `usd` None when the price is unknown."""

    def probe(self) -> Health:
        """Is everything here that the driver needs? Cheap; never a download."""

    async def perform(self, operation: Operation, binding: Binding, exchange: Exchange) -> Reply:
        """Carry out one attempt. Raises MediaspoolError classes only, whose facts tell what happened to it."""
