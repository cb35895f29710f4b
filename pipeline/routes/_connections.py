"""Connections: clients that are lent out in small groups, and why one could not be made. Knows no HTTP library.

A pool of connections takes time quadratic in their number: for each request it looks at all of them more than once. In
groups of four a request costs half of what it costs in groups of sixteen. So another client is opened when all are
full, and nobody waits for a connection.
"""

import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, Protocol, TypeVar

import trio

CONNECTIONS_PER_CLIENT = 4
CLOSE_S = 1.0


class Client(Protocol):
    """What can be closed."""

    async def aclose(self) -> None: ...


C = TypeVar("C", bound=Client)


class Clients(Generic[C]):
    """Clients of a few requests each, made when they are needed. Lent first is what was given back last: it is warm."""

    def __init__(self, make: Callable[[], C]) -> None:
        self._make = make
        self._in_use: dict[C, int] = {}
        self._with_room: list[C] = []

    @contextmanager
    def lend(self) -> Iterator[C]:
        client = self._taken()
        try:
            yield client
        finally:
            if client in self._in_use:  # it is not when all were closed meanwhile
                self._give_back(client)

    def _taken(self) -> C:
        if not self._with_room:
            self._with_room.append(self._make())
        client = self._with_room[-1]
        self._in_use[client] = self._in_use.get(client, 0) + 1
        if self._in_use[client] == CONNECTIONS_PER_CLIENT:
            self._with_room.pop()
        return client

    def _give_back(self, client: C) -> None:
        if self._in_use[client] == CONNECTIONS_PER_CLIENT:
            self._with_room.append(client)
        self._in_use[client] -= 1

    async def aclose(self) -> None:
        clients, self._in_use, self._with_room = list(self._in_use), {}, []
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
