"""What the drivers of remote routes read from their settings: address, key, headers, routing, switches.

Promises that a key goes by name and is fetched late, that a default key is offered to the real host only, and that what
a driver cannot do is never switched on. Sends nothing.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from pipeline.core.confine import display
from pipeline.core.drivers import Health, RouteConfig
from pipeline.core.errors import ConfigError, RouteClosed
from pipeline.core.origins import check_origins, origin_of
from pipeline.core.secret import Secret
from pipeline.routes._body import JsonTree
from pipeline.routes._hosts import is_near
from pipeline.routes._options import KEY_OVER_HTTP
from pipeline.routes._tools import Tools

PROFILE = "w1"  # raise it when the same request would be sent or read in another way
_TAILS = ("/chat/completions", "/audio/speech", "/audio/transcriptions", "/images/generations", "/models")
_NEVER = frozenset({"authorization", "api-key", "x-api-key", "cookie", "host", "content-length", "proxy-authorization"})
_KEYS = """order only ignore allow_fallbacks require_parameters data_collection zdr enforce_distillable_text
quantizations sort max_price preferred_min_throughput preferred_max_latency options"""
ROUTING_KEYS = frozenset(_KEYS.split())


class Address(Struct, frozen=True, kw_only=True):
    """Where the requests go. `is_real` is the provider's own host, over TLS."""

    base_url: str
    is_real: bool


def address_of(route: RouteConfig, default: str, real_hosts: frozenset[str]) -> Address:
    """The base URL, tidied; ConfigError for what could only be a slip of the hand, in `result_origins` too."""
    check_origins(route.options.get("result_origins", "").split(), f"result_origins of route {route.id}")
    base = (route.base_url or default).strip().rstrip("/")
    shown = display(base.partition("?")[0].rpartition("@")[2])
    if origin_of(base) is None:  # a port that cannot be would look like a server that is down
        raise ConfigError(f"base_url of route {route.id} is no address: {shown}", hint="write it like https://host/v1")
    parts = urlsplit(base)
    if parts.query or parts.fragment or "@" in parts.netloc:
        what = f"base_url of route {route.id} has more than an address in it"
        raise ConfigError(what, hint="leave out the query and the key; name the key in `key`")
    tail = next((tail for tail in _TAILS if parts.path.endswith(tail)), None)
    if tail is not None:
        raise ConfigError(f"base_url of route {route.id} ends with {tail}", hint=f"write {shown.removesuffix(tail)}")
    if parts.scheme == "http" and not is_near(parts.hostname or ""):
        _refuse_open_key(route, shown)
    return Address(base_url=base, is_real=parts.scheme == "https" and parts.hostname in real_hosts)


def _refuse_open_key(route: RouteConfig, shown: str) -> None:
    """A key that crosses other people's networks in plain text can be read, and used, by anybody on the way."""
    if (route.key or route.options.get("key.speak")) and not is_on(route.options, KEY_OVER_HTTP):
        raise ConfigError(
            f"base_url of route {route.id} would send its key unencrypted to {shown}",
            hint=f'write https://; where the way there is safe, write {KEY_OVER_HTTP} = "true" into '
            f"[routes.{route.id}.options]",
        )


def operations_of(route: RouteConfig, able: frozenset[str]) -> frozenset[str]:
    """What the driver can, less what the settings switch off. Nothing can be switched on that it cannot do."""
    beyond = sorted(name for name, is_on in route.can.items() if is_on and name not in able)
    if beyond:
        raise ConfigError(
            f"route {route.id} cannot {beyond[0]}: driver {route.driver} has nothing for it",
            hint=f"take `can.{beyond[0]}` out; settings switch off, never on",
        )
    return frozenset(name for name in able if route.can.get(name, True))


def key_of(route: RouteConfig, tools: Tools, *, first: str | None, default: str | None) -> Callable[[], Secret | None]:
    """Looks for the key each time it is needed: by the operation's own name, the route's, then the driver's usual one.

    `default` is given for the real host only: a key that happens to be in the environment goes nowhere else.
    """
    names = tuple(name for name in (first, route.key, default) if name)

    def find() -> Secret | None:
        return next((found for name in names if (found := tools.find_key(name)) is not None), None)

    return find


def ensure_key(route: RouteConfig, tools: Tools, *, operation: str, default: str | None) -> None:
    """RouteClosed where a key is named and there is none: what a person wants kept is not sent to find that out."""
    first = route.options.get("key.speak") if operation == "speak" else None
    names = [name for name in (first, route.key, default) if name]
    if names and key_of(route, tools, first=first, default=default)() is None:
        raise RouteClosed(f"there is no key {names[0]}", hint=f"set {names[0]} as a credential, a file or a variable")


def headers_of(route: RouteConfig, address: Address, *, own: tuple[str, ...] = ()) -> Mapping[str, str]:
    """The settings' headers. Those that begin like `own` belong to the provider's real host and go nowhere else."""
    secret = sorted(name for name in route.headers if name.lower() in _NEVER)
    if secret:
        what = f"header {display(secret[0])} of route {route.id} is not set by hand"
        raise ConfigError(what, hint="name the key in `key`")
    return {
        name: value
        for name, value in route.headers.items()
        if address.is_real or not name.lower().startswith(own or ("\0",))
    }


def routing_of(route: RouteConfig, model: str) -> dict[str, JsonTree]:
    """The provider routing of a model. A list is an order without fallbacks: what is named is what answers."""
    text = route.routing.get(model)
    if text is None:
        return {}
    try:
        told = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"the routing of {model} on route {route.id} is not JSON") from error
    if isinstance(told, list):
        told = {"order": told, "allow_fallbacks": False}
    if not isinstance(told, dict):
        raise ConfigError(f"the routing of {model} is neither a list nor a table", hint="name the providers in order")
    _refuse_routing(told, model)
    return told


def _refuse_routing(told: Mapping[str, object], model: str) -> None:
    unknown = sorted(set(told) - ROUTING_KEYS)
    if unknown:
        hint = f"there are: {', '.join(sorted(ROUTING_KEYS))}"
        raise ConfigError(f"the routing of {model} has no key {display(unknown[0])}", hint=hint)
    for name in ("order", "only", "ignore"):
        slugs = told.get(name)
        if slugs is None:
            continue
        if (
            not isinstance(slugs, list)
            or not slugs
            or not all(isinstance(slug, str) and slug.strip() for slug in slugs)
        ):
            raise ConfigError(f"`{name}` in the routing of {model} names no provider", hint="name at least one")


def refuse_bad_routing(route: RouteConfig) -> None:
    """Every model's routing, once, when the route is opened."""
    for model in route.routing:
        routing_of(route, model)


def engine_of(name: str, model: str, route: RouteConfig, shaping: Mapping[str, str]) -> str:
    """Stands for everything but the model that could change an answer: the wire profile, routing, `shaping` options."""
    told = {
        "routing": route.routing.get(model),
        "options": shaping,
        "capabilities": {key: value for key, value in route.capabilities.items() if key in (model, "*")},
    }
    if not any(told.values()):
        return f"{name} {PROFILE} {model}"
    digest = hashlib.sha256(msgspec.json.encode(told, order="deterministic")).hexdigest()[:12]
    return f"{name} {PROFILE} {model} {digest}"


def health(address: Address, key: Callable[[], Secret | None], *, names: str, route: RouteConfig) -> Health:
    """Can a request be made at all? Asks nobody."""
    where = urlsplit(address.base_url).hostname or ""
    try:
        found = key()
    except ConfigError as error:
        return Health(ok=False, summary=error.message, hint=error.hint)
    if found is None and address.is_real:
        return Health(ok=False, summary=f"there is no key for {where}", hint=f"set {names}")
    details = (f"width {route.width}", "with a key" if found is not None else "without a key")
    return Health(ok=True, summary=f"{route.driver} at {where}", details=details)


def is_on(options: Mapping[str, str], *names: str) -> bool:
    """A yes under any of its names."""
    return any(options.get(name, "").lower() == "true" for name in names)
