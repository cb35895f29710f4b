"""Notices: what is told to other machines about a run, and where. Numbers and ids only, never a name or a text."""

import json
import string
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Literal, Protocol
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from pipeline.core.errors import ConfigError, MediaspoolError
from pipeline.core.origins import Origin, check_origins, origin_of

Event = Literal["start", "success", "fail", "log"]
When = Literal["always", "news", "problems"]
GOES_ON = frozenset({0, 4})
"""Exit codes of a run that did what it should: all done, or a cap was met and the next run goes on."""
FIRST_SIGNAL_CODE = 128


class NotifyTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whom to tell. An address is a secret where it can be guessed from: `*_key` names one, `*_url` spells it out.

    `webhook_secret` names the secret that signs; `webhook_body` is JSON with $fields; `origins` are hosts of one's own.
    """

    ping_url: str | None = None
    ping_key: str | None = None
    webhook_url: str | None = None
    webhook_key: str | None = None
    webhook_secret: str | None = None
    webhook_body: str | None = None
    webhook_when: When = "news"
    origins: tuple[str, ...] = ()

    @property
    def pings(self) -> bool:
        return bool(self.ping_url or self.ping_key)

    @property
    def hooks(self) -> bool:
        return bool(self.webhook_url or self.webhook_key)


class MetricsTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`file` is rewritten whole after each run, in the text format of Prometheus."""

    file: str | None = None


class Notice(Struct, frozen=True, kw_only=True):
    """One thing to tell of a run. `spend_usd` None is unknown; `summary` is one line of counts.

    Where the spend is unknown, `unpriced_calls` have no known price and the others cost `known_spend_usd`.
    """

    event: Event
    run: str
    started_at: str
    finished_at: str | None = None
    exit_code: int | None = None
    counts: Mapping[str, int] = {}
    spend_usd: Decimal | None = Decimal(0)
    known_spend_usd: Decimal = Decimal(0)
    unpriced_calls: int = 0
    audio_seconds: float = 0.0
    has_news: bool = False
    summary: str = ""


class Notifier(Protocol):
    """Tells a notice to whom the settings name."""

    async def tell(self, notice: Notice) -> list[str]:
        """Bounded, and never raises. What did not get through, in words that name no address."""

    async def look(self) -> list[MediaspoolError]:
        """What would keep notices from leaving. Reads secrets, asks for the addresses of hosts, and sends nothing."""

    async def aclose(self) -> None: ...


def event_of(exit_code: int) -> Event:
    """A run that was told to stop is neither well nor ill: only a line in the log."""
    if exit_code >= FIRST_SIGNAL_CODE:
        return "log"
    return "success" if exit_code in GOES_ON else "fail"


def hook_body(template: str | None, notice: Notice) -> bytes:
    """The notice as JSON, or a template with each $field as the JSON of its value. ConfigError if that is no JSON."""
    plain = msgspec.to_builtins(notice)
    if template is None:
        return msgspec.json.encode(plain)
    try:
        text = string.Template(template).substitute({name: json.dumps(value) for name, value in plain.items()})
        json.loads(text)
    except (KeyError, ValueError) as error:
        known = ", ".join(f"${name}" for name in plain)
        hint = f"write JSON with fields such as {known}, without quotes around them"
        raise ConfigError("notify.webhook_body is no JSON, or has an unknown $field", hint=hint) from error
    return text.encode()


def check_notify(table: NotifyTable) -> None:
    """What types cannot say. ConfigError."""
    for name in ("ping", "webhook"):
        if getattr(table, f"{name}_url") and getattr(table, f"{name}_key"):
            raise ConfigError(f"notify.{name}_url and notify.{name}_key are both given", hint="give one of them")
    check_origins(table.origins, "notify.origins")
    for name, url in (("ping", table.ping_url), ("webhook", table.webhook_url)):
        if url is not None:
            check_address(f"notify.{name}_url is", url, table.origins)
    hook_body(table.webhook_body, Notice(event="success", run="", started_at=""))


def check_address(what: str, url: str, origins: Iterable[str]) -> Origin:
    """Where a notice goes. ConfigError, which says nothing of the address itself: it may be as good as a key."""
    origin = origin_of(url)
    if origin is None:
        raise ConfigError(f"{what} no http or https address", hint="write it in full, with https:// in front")
    if "@" in urlsplit(url).netloc:
        raise ConfigError(f"{what} an address with a user in it", hint="notices take none; write it without")
    if origin[0] == "http" and origin not in map(origin_of, origins):
        hint = "write https, or name a host of your own in notify.origins"
        raise ConfigError(f"{what} no https address", hint=hint)
    return origin
