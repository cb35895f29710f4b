"""Notices to other machines: pings as healthchecks services take them, and one signed webhook.

Promises: never raises, never takes longer than `NOTICE_S` in all, and tells nothing but numbers. Every address goes
through the guard of `_guard` unless its origin is named in the settings; no address and no secret is in what is said of
a failure. A notice may arrive twice: it has an id that stays the same.
"""

import hashlib
import hmac
from collections.abc import Awaitable, Callable, Mapping
from time import time

import trio

from pipeline.core.drivers import Timeouts
from pipeline.core.errors import ConfigError, ContractError, MediaspoolError, Unavailable, Unreachable
from pipeline.core.notices import Notice, NotifyTable, check_address, hook_body
from pipeline.core.origins import origin_of
from pipeline.core.secret import FindKey
from pipeline.routes._body import JsonBody
from pipeline.routes._guard import Resolve, public_addresses, resolve
from pipeline.routes.http import Http

NOTICE_S = 10.0
LOOK_S = 5.0
TRIES = 3
FIRST_WAIT_S = 0.5
_NOWHERE = "https://nowhere.invalid"  # no address is ours, so none gets a key and every one is guarded
_TIMEOUTS = Timeouts(connect_s=4, first_byte_s=5, idle_s=3, total_s=NOTICE_S)
_BUSY = frozenset({408, 425, 429, 500, 502, 503, 504})


class Notifier:
    """Whom the settings name. Opened for one run, closed once."""

    def __init__(
        self, table: NotifyTable, *, find_key: FindKey, safe: Callable[[str], str], resolve: Resolve = resolve
    ) -> None:
        self._table = table
        self._find_key = find_key
        self._resolve = resolve
        self._http = Http(_NOWHERE, timeouts=_TIMEOUTS, key=lambda: None, headers={}, safe=safe)

    async def tell(self, notice: Notice) -> list[str]:
        """Ping and webhook side by side. What did not get through, in words that name no address."""
        lost: list[str] = []
        with trio.move_on_after(NOTICE_S) as scope:
            async with trio.open_nursery() as nursery:
                if self._table.pings:
                    nursery.start_soon(self._told, "ping", self._ping, notice, lost)
                if self._table.hooks and self._is_due(notice):
                    nursery.start_soon(self._told, "webhook", self._hook, notice, lost)
        return [*lost, "nobody answered in time"] if scope.cancelled_caught else lost

    async def look(self) -> list[MediaspoolError]:
        """What would keep notices from leaving: secrets that are lacking, addresses that nothing would reach.

        The name service is asked; nobody is told anything. Takes no longer than `LOOK_S` an address.
        """
        table, errors = self._table, list[MediaspoolError]()
        told = [("ping", table.ping_url, table.ping_key)] if table.pings else []
        told += [("webhook", table.webhook_url, table.webhook_key)] if table.hooks else []
        for name, url, key in told:
            try:
                await self._look_at(name, url, key)
            except MediaspoolError as error:
                errors.append(error)
        try:
            self._signed(b"")
        except MediaspoolError as error:
            errors.append(error)
        return errors

    async def aclose(self) -> None:
        await self._http.aclose()

    async def _told(
        self, name: str, send: Callable[[Notice], Awaitable[None]], notice: Notice, lost: list[str]
    ) -> None:
        try:
            await send(notice)
        except MediaspoolError as error:
            lost.append(f"the {name} did not get through: {error.message}")

    async def _look_at(self, name: str, url: str | None, key: str | None) -> None:
        """As a notice would go: to a host of one's own wherever it is, to any other only at public addresses."""
        what = f"notify.{name}_url is" if url is not None else f"the secret {key} holds"
        origin = check_address(what, self._address(url, key), self._table.origins)
        _, host, port = origin
        try:
            with trio.fail_after(LOOK_S):
                if origin in map(origin_of, self._table.origins):
                    await self._resolve(host, port)
                else:
                    await public_addresses(host, port, self._resolve)
        except ContractError as error:
            hint = "if the host is yours, name it in notify.origins"
            raise ConfigError(f"the {name} would go to no public address", hint=hint) from error
        except (OSError, UnicodeError) as error:
            unknown = f"the host of the {name} is not known to the name service"
            raise Unreachable(unknown, hint="check the address and the network") from error
        except trio.TooSlowError as error:
            silent = f"the name service did not answer for the host of the {name}"
            raise Unreachable(silent, hint="check the network") from error

    def _is_due(self, notice: Notice) -> bool:
        if notice.event == "start":
            return False
        match self._table.webhook_when:
            case "always":
                return True
            case "news":
                return notice.has_news
            case "problems":
                return bool(notice.exit_code)

    async def _ping(self, notice: Notice) -> None:
        address = self._address(self._table.ping_url, self._table.ping_key).rstrip("/")
        end = "" if notice.event == "success" else f"/{notice.event}"
        await self._post(f"{address}{end}", notice.summary.encode(), {"Content-Type": "text/plain; charset=utf-8"})

    async def _hook(self, notice: Notice) -> None:
        address = self._address(self._table.webhook_url, self._table.webhook_key)
        body = hook_body(self._table.webhook_body, notice)
        await self._post(address, body, {**self._signed(body), "X-Mediaspool-Delivery": f"{notice.run}-{notice.event}"})

    def _address(self, url: str | None, key: str | None) -> str:
        return url if url is not None else self._secret(key or "").strip()

    def _secret(self, name: str) -> str:
        secret = self._find_key(name)
        if secret is None:
            raise ConfigError(f"there is no secret {name}", hint="lay it into a file that only this user can read")
        return secret.reveal()

    def _signed(self, body: bytes) -> Mapping[str, str]:
        """As services sign that others verify: over time and body, so that an old notice cannot be played again."""
        if self._table.webhook_secret is None:
            return {}
        key, at = self._secret(self._table.webhook_secret).encode(), str(int(time()))
        digest = hmac.new(key, f"{at}.".encode() + body, hashlib.sha256).hexdigest()
        return {"X-Mediaspool-Timestamp": at, "X-Mediaspool-Signature": f"sha256={digest}"}

    async def _post(self, url: str, body: bytes, headers: Mapping[str, str]) -> None:
        for number in range(TRIES):
            try:
                await self._post_once(url, body, headers)
                return
            except MediaspoolError as error:
                if not error.retryable or number + 1 == TRIES:
                    raise
            await trio.sleep(FIRST_WAIT_S * 2**number)

    async def _post_once(self, url: str, body: bytes, headers: Mapping[str, str]) -> None:
        what, origins = JsonBody(pieces=(body,)), frozenset(self._table.origins)
        async with self._http.fetching(url, keyed=False, also=origins, body=what, headers=headers) as (stream, _):
            if stream.status in _BUSY:
                raise Unavailable(f"status {stream.status}")
            if not 200 <= stream.status < 300:
                raise ConfigError(f"status {stream.status}", hint="check the address")
