"""Connections: clients that are lent out, the sockets below them, and why one could not be made.

A pool of connections takes time quadratic in their number: for each request it looks at all of them more than once. So
each client has one, another client is opened when all are lent, and nobody waits for a connection.
"""

import ssl
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Generic, Protocol, TypeVar

import httpcore
import trio

CLOSE_S = 1.0
READ_BYTES = 256 * 1024


class Network(httpcore.TrioBackend):
    """Trio's sockets, which give as much at a time as has come: a round through httpx costs more than its bytes."""

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  # the signature is httpcore's
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        return _Line(await super().connect_tcp(host, port, timeout, local_address, socket_options))


class _Line(httpcore.AsyncNetworkStream):
    """A stream of httpcore's that reads READ_BYTES at once, where httpcore asks for 64 KB. Its deadlines are ours."""

    def __init__(self, stream: httpcore.AsyncNetworkStream) -> None:
        self._stream = stream

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109  # as above
        return await self._stream.read(READ_BYTES, timeout)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109  # as above
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109  # as above
    ) -> httpcore.AsyncNetworkStream:
        return _Line(await self._stream.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> object:
        return self._stream.get_extra_info(info)


class Client(Protocol):
    """What can be closed."""

    async def aclose(self) -> None: ...


C = TypeVar("C", bound=Client)


class Clients(Generic[C]):
    """Clients of one connection, made when they are needed. Lent first is what was given back last: it is warm.

    One that is not fit to be used again, such as one cut off in the middle of an exchange, is closed instead.
    """

    def __init__(self, make: Callable[[], C], *, is_fit: Callable[[C], bool]) -> None:
        self._make = make
        self._is_fit = is_fit
        self._lent: set[C] = set()
        self._idle: list[C] = []

    @asynccontextmanager
    async def lend(self) -> AsyncIterator[C]:
        client = self._idle.pop() if self._idle else self._make()
        self._lent.add(client)
        try:
            yield client
        finally:
            if client in self._lent:  # it is not when all were closed meanwhile
                self._lent.remove(client)
                await self._take_back(client)

    async def _take_back(self, client: C) -> None:
        if self._is_fit(client):
            self._idle.append(client)
        else:
            await _close([client])

    async def aclose(self) -> None:
        clients, self._lent, self._idle = [*self._lent, *self._idle], set(), []
        await _close(clients)


async def _close(clients: Iterable[Client]) -> None:
    with trio.move_on_after(CLOSE_S, shield=True):
        for client in clients:
            await client.aclose()


def cause_of(error: BaseException | None) -> str:
    """The first cause that tells a person something, from the innermost outwards."""
    if error is None:
        return ""
    inner = [*error.exceptions] if isinstance(error, BaseExceptionGroup) else []
    for cause in (*inner, error.__cause__, error.__context__):
        if found := cause_of(cause):
            return found
    match error:
        case trio.socket.gaierror():
            return "the name of the host is not known"
        case ssl.SSLError():
            return f"TLS failed ({error.reason or 'no reason given'})"
        case ConnectionRefusedError():
            return "it was refused"
        case OSError():
            return error.strerror or ""
    return ""
