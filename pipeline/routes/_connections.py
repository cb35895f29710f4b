"""Connections: clients that are lent out in small groups, and why one could not be made. Knows no HTTP library.

A pool of connections takes time quadratic in their number: two hundred in one client were eight times slower than in
groups of 25. So another client is opened when all are full, and nobody waits for a connection.
"""

import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, Protocol, TypeVar

import trio

CONNECTIONS_PER_CLIENT = 25
CLOSE_S = 1.0


class Client(Protocol):
    """What can be closed."""

    async def aclose(self) -> None: ...


C = TypeVar("C", bound=Client)


class Clients(Generic[C]):
    """Clients of at most 25 requests each, made when they are needed."""

    def __init__(self, make: Callable[[], C]) -> None:
        self._make = make
        self._in_use: dict[C, int] = {}

    @contextmanager
    def lend(self) -> Iterator[C]:
        client = next((client for client, used in self._in_use.items() if used < CONNECTIONS_PER_CLIENT), None)
        client = client or self._make()
        self._in_use[client] = self._in_use.get(client, 0) + 1
        try:
            yield client
        finally:
            if client in self._in_use:  # it is not when all were closed meanwhile
                self._in_use[client] -= 1

    async def aclose(self) -> None:
        clients, self._in_use = list(self._in_use), {}
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
