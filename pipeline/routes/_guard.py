"""Where a URL that came from a server may lead: to public addresses only, each name resolved once and pinned.

`refuse_host` judges the host as written: no literals in odd notations, no names of this machine or network. `Guard` is
the network under such a request: it resolves, judges every address, and connects to exactly what it judged, so an
answer of the name service that changes meanwhile changes nothing. What the settings themselves name is not its affair.
"""

import ipaddress
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeAlias

import httpcore
import trio

from pipeline.core.confine import display
from pipeline.core.errors import ContractError
from pipeline.routes._hosts import NUMBER, is_home_name

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve: TypeAlias = Callable[[str, int], Awaitable[list[str]]]

_CLOSED_V4 = tuple(
    ipaddress.IPv4Network(text)
    for text in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
        *("192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16"),
        *("192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
        "168.63.129.16/32",  # looks public: the host of a virtual machine in one large cloud
    )
)
_OPEN_V6 = ipaddress.IPv6Network("2000::/3")
_CLOSED_V6 = tuple(
    ipaddress.IPv6Network(text)
    # 2001::/23 holds Teredo, 2002::/16 is 6to4: both carry an IPv4 address to wherever it points
    for text in ("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20")
)


def refuse_host(host: str) -> None:
    """ContractError when the host, as it is written in a URL, is none that may be fetched from."""
    name = host.lower().strip("[]").removesuffix(".")
    literal = _literal(name)
    if literal is not None:
        _refuse_address(literal, name)
        return
    last = name.rpartition(".")[2]
    if ":" in name or "%" in name or NUMBER.fullmatch(last) or last == name or is_home_name(name):
        raise _refusal(host)


def is_public(address: Address) -> bool:
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in network for network in _CLOSED_V4)
    return address.scope_id is None and address in _OPEN_V6 and not any(address in network for network in _CLOSED_V6)


async def resolve(host: str, port: int) -> list[str]:
    """The addresses of a name, in the order in which the system would try them."""
    found = await trio.socket.getaddrinfo(host, port, type=trio.socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


async def public_addresses(host: str, port: int, resolve: Resolve) -> list[str]:
    """All addresses of a host, each of them public. ContractError otherwise; OSError where it has none."""
    refuse_host(host)
    found = await resolve(host, port)
    for text in found:
        address = _literal(text)
        if address is None or not is_public(address):
            raise _refusal(host)
    return found


class Guard(httpcore.AsyncNetworkBackend):
    """Connects to public addresses only. One bad address among the answers for a name refuses the name."""

    def __init__(self, *, resolve: Resolve = resolve, network: httpcore.AsyncNetworkBackend | None = None) -> None:
        self._resolve = resolve
        self._network = network or httpcore.TrioBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  # the signature is httpcore's
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        limit_s = float("inf") if timeout is None else timeout
        with trio.move_on_after(limit_s):
            addresses = await self._addresses(host, port)
            return await self._first(addresses, port, limit_s, socket_options)
        raise httpcore.ConnectTimeout

    async def sleep(self, seconds: float) -> None:
        await trio.sleep(seconds)

    async def _addresses(self, host: str, port: int) -> list[str]:
        try:
            return await public_addresses(host, port, self._resolve)
        except OSError as error:
            raise httpcore.ConnectError(str(error)) from error

    async def _first(
        self, addresses: list[str], port: int, limit_s: float, options: Iterable[httpcore.SOCKET_OPTION] | None
    ) -> httpcore.AsyncNetworkStream:
        """One after the other, each with its share of the time."""
        failure = httpcore.ConnectError("the name has no address")
        for address in addresses:
            try:
                share_s = limit_s / len(addresses)
                return await self._network.connect_tcp(address, port, timeout=share_s, socket_options=options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = httpcore.ConnectError(str(error))
        raise failure


def _literal(text: str) -> Address | None:
    """Only what is written the one canonical way is an address; `127.1` and `0x7f.1` are not."""
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _refuse_address(address: Address, shown: str) -> None:
    if not is_public(address):
        raise _refusal(shown)


def _refusal(host: str) -> ContractError:
    return ContractError(
        f"the answer leads to '{display(host, 100)}', which is no public address",
        code="address-refused",
        hint="it is not fetched; if the host is yours, name its origin in the route's settings",
    )
