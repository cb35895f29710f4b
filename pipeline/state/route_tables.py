"""The `[routes.<id>]` tables of the settings, and the routes they make with the built-in ones.

Strict like all settings: what a table cannot say is refused with a way out. Whether a driver can do what a table asks
of it is the driver's to say, when the route is opened.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from difflib import get_close_matches
from typing import Annotated, Literal, get_args

import msgspec
from msgspec import Meta, Struct

from pipeline.core.confine import display
from pipeline.core.drivers import RouteConfig, Timeouts
from pipeline.core.errors import ConfigError
from pipeline.core.hearing import SOUNDS, HearingRule
from pipeline.core.limits import MEGABYTE, parse_duration
from pipeline.core.model import Limits, RouteId
from pipeline.core.operations import Operation
from pipeline.state.pace_tables import RateTable, rates_of

DEFAULT_WIDTH = 2

GROUPS: dict[str, tuple[str, ...]] = {"local": ("whisper", "hibari", "pico", "pillow", "stills")}
"""Names that stand for several routes, in the order in which they are tried."""

BUILT_IN: dict[str, int | None] = {"whisper": None, "hibari": None, "pico": 2, "pillow": 2, "stills": 2}
"""Embedded routes and how many calls each may have under way; None is the number of engine children."""

OPERATIONS: tuple[str, ...] = tuple(str(each.__struct_config__.tag) for each in get_args(Operation))

Amount = Annotated[float, Meta(gt=0, le=1_000_000_000)]
Count = Annotated[int, Meta(ge=1, le=1_000_000_000_000)]
Told = Annotated[object, Meta(extra_json_schema={"description": "in the words of the provider"})]
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")


class RouteLimitTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bounds on what goes through one route; none unless said."""

    max_input_mb: Amount | None = None
    max_output_mb: Amount | None = None
    max_audio_minutes_per_file: Amount | None = None
    max_pixels: Count | None = None
    max_pages: Count | None = None
    max_chars: Count | None = None


class TimeoutTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Durations of the stages of one request to a remote route."""

    connect: str = "15s"
    first_byte: str = "5m"
    idle: str = "1m"
    total: str = "15m"


class HearingTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bounds on one transcription call, in place of those that mediaspool knows. `max_mb` counts what is sent."""

    max_mb: Amount | None = None
    max_seconds: Annotated[float, Meta(ge=10, le=86_400)] | None = None
    containers: Annotated[tuple[str, ...], Meta(min_length=1)] | None = None
    part: Literal["mp3", "opus", "flac", "wav"] | None = None


class RouteTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One way out. `key` is the name of a secret. A table with the id of a built-in route overrides its fields."""

    driver: str | None = None
    width: Annotated[int, Meta(ge=1, le=10_000)] | None = None
    models: dict[str, str] | None = None
    aliases: dict[str, str] | None = None
    can: dict[str, bool] | None = None
    call_timeout: str | None = None
    call_timeouts: dict[str, str] | None = None
    timeouts: TimeoutTable = TimeoutTable()
    key: str | None = None
    base_url: str | None = None
    headers: dict[str, str] | None = None
    routing: dict[str, dict[str, Told] | list[str]] | None = None
    prices: dict[str, Decimal] | None = None
    capabilities: dict[str, str] | None = None
    hearing: dict[str, HearingTable] | None = None
    discovery: Literal["off", "best-effort", "required"] | None = None
    options: dict[str, str] | None = None
    limits: RouteLimitTable = RouteLimitTable()
    rates: RateTable = RateTable()


# The child has a deadline of its own by the length of what it works on, which may take it hours.
EMBEDDED_CALL_S = 12 * 3600.0


def route_config(name: str, table: RouteTable, *, workers: int) -> RouteConfig:
    """The route of one table. ConfigError says what in it is wrong; no value of a header or key is ever repeated."""
    if not name.replace("-", "").replace("_", "").isalnum() or not name.isascii() or name in GROUPS:
        raise ConfigError(f"'{display(name)}' cannot be the id of a route", hint="use letters, digits, - and _")
    driver = table.driver or (name if name in BUILT_IN else None)
    if driver is None:
        raise ConfigError(f"route '{name}' names no driver", hint=f'write driver = "..." under [routes.{name}]')
    if table.key is not None and not table.key.isidentifier():
        raise ConfigError(
            f"`key` of route '{name}' is not the name of a secret", hint="write the variable's name, never the key"
        )
    _check_operations(name, "models", table.models or {})
    _check_operations(name, "can", table.can or {})
    _check_operations(name, "call_timeouts", table.call_timeouts or {})
    _check_headers(name, table.headers or {})
    width = table.width if table.width is not None else BUILT_IN.get(name, DEFAULT_WIDTH) or workers
    config = RouteConfig(
        id=RouteId(name),
        driver=driver,
        width=width,
        models=table.models or {},
        limits=limits_of(table.limits),
        key=table.key,
        base_url=table.base_url,
        options=table.options or {},
        timeouts=_timeouts(table.timeouts, name),
        aliases=table.aliases or {},
        can=table.can or {},
        headers=table.headers or {},
        routing={model: _routing(name, model, told) for model, told in (table.routing or {}).items()},
        prices={what: _price(name, what, usd) for what, usd in (table.prices or {}).items()},
        capabilities=table.capabilities or {},
        hearing={model: _hearing(name, model, told) for model, told in (table.hearing or {}).items()},
        discovery=table.discovery,
        rates=rates_of(table.rates),
        call_timeouts_s={
            operation: parse_duration(text, f"routes.{name}.call_timeouts.{operation}")
            for operation, text in (table.call_timeouts or {}).items()
        },
    )
    if table.call_timeout is not None:
        return msgspec.structs.replace(
            config, call_timeout_s=parse_duration(table.call_timeout, f"routes.{name}.call_timeout")
        )
    return msgspec.structs.replace(config, call_timeout_s=EMBEDDED_CALL_S) if driver in BUILT_IN else config


def _check_operations(route: str, key: str, named: Iterable[str]) -> None:
    for operation in named:
        if operation not in OPERATIONS:
            what = f"`{key}` of route '{route}' names no operation: {display(operation)}"
            raise ConfigError(what, hint=nearest(operation, OPERATIONS))


def _check_headers(route: str, headers: Mapping[str, str]) -> None:
    for header, value in headers.items():
        if not _HEADER.fullmatch(header) or not value.isascii() or not value.isprintable():
            what = f"header '{display(header)}' of route '{route}' cannot be sent"
            raise ConfigError(what, hint="a name without spaces, and a value on one line in ASCII")


def _timeouts(table: TimeoutTable, route: str) -> Timeouts:
    where = f"routes.{route}.timeouts"
    return Timeouts(
        connect_s=parse_duration(table.connect, f"{where}.connect"),
        first_byte_s=parse_duration(table.first_byte, f"{where}.first_byte"),
        idle_s=parse_duration(table.idle, f"{where}.idle"),
        total_s=parse_duration(table.total, f"{where}.total"),
    )


def _routing(route: str, model: str, told: object) -> str:
    """As JSON text: what stands in it is the provider's vocabulary, not ours."""
    try:
        return json.dumps(told, allow_nan=False, sort_keys=True)
    except (TypeError, ValueError, RecursionError) as error:
        what = f"the routing of '{display(model)}' on route '{route}' has a value that JSON does not know"
        raise ConfigError(what, hint="write texts, numbers, lists and tables") from error


def _hearing(route: str, model: str, table: HearingTable) -> HearingRule:
    unknown = [word for word in table.containers or () if word not in SOUNDS]
    if unknown:
        what = f"`hearing` of '{display(model)}' on route '{route}' has no container '{display(unknown[0])}'"
        raise ConfigError(what, hint=nearest(unknown[0], SOUNDS))
    return HearingRule(
        max_bytes=megabytes(table.max_mb), max_seconds=table.max_seconds, takes=table.containers, part=table.part
    )


def _price(route: str, what: str, usd: Decimal) -> str:
    if not usd.is_finite() or usd < 0:
        raise ConfigError(f"the price of '{display(what)}' on route '{route}' is {usd}", hint="write an amount in USD")
    return f"{usd:f}"


def limits_of(table: RouteLimitTable) -> Limits:
    return Limits(
        max_input_bytes=megabytes(table.max_input_mb),
        max_output_bytes=megabytes(table.max_output_mb),
        max_seconds=None if table.max_audio_minutes_per_file is None else table.max_audio_minutes_per_file * 60,
        max_pixels=table.max_pixels,
        max_pages=table.max_pages,
        max_chars=table.max_chars,
    )


def megabytes(value: float | None) -> int | None:
    return None if value is None else round(value * MEGABYTE)


def expand_routes(names: Sequence[str], configs: Mapping[RouteId, RouteConfig]) -> tuple[str, ...]:
    """Route ids, or "id/model", groups such as `local` written out; each once, in order. ConfigError if unknown."""
    selectors = [selector for name in names for selector in GROUPS.get(name, (name,))]
    for selector in selectors:
        route = selector.partition("/")[0]
        if route in GROUPS:
            hint = f"name one of its routes: {', '.join(GROUPS[route])}"
            raise ConfigError(f"'{display(route)}' is a group and has no models", code="route-unknown", hint=hint)
        if RouteId(route) not in configs:
            hint = nearest(route, [*configs, *GROUPS])
            raise ConfigError(f"there is no route '{display(route)}'", code="route-unknown", hint=hint)
    return tuple(dict.fromkeys(selectors))


def nearest(word: str, known: Iterable[str]) -> str:
    known = sorted(known)
    close = get_close_matches(word, known, n=1)
    return f"did you mean '{close[0]}'?" if close else f"there are: {', '.join(known)}"
