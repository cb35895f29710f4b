"""Small real servers on loopback for the tests of HTTP: they count what they hear and misbehave as they are told.

An answer is a function of the request and the raw connection; it returns the bytes of a whole answer, or None when it
wrote, broke or kept the connection itself.
"""

import json
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial

import h11
import trio
from msgspec import Struct

from pipeline.core.drivers import Timeouts
from pipeline.core.secret import Secret
from pipeline.routes._guard import Guard
from pipeline.routes.http import Http

KEY = "sk-or-v1-0123456789abcdef"
QUICK = Timeouts(connect_s=5, first_byte_s=0.4, idle_s=0.4, total_s=2.0)
SOUND = frozenset({"audio/mpeg"})
JSON = frozenset({"application/json"})
FRAME = b"\xff\xfb\x90\xc4" + bytes(413)


class Heard(Struct, frozen=True, kw_only=True):
    """One request as the server got it."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    size: int


Answer = Callable[[Heard, trio.SocketStream], Awaitable[bytes | None]]


class Server:
    """What a server has seen: connections, bytes, whole requests, and requests that were begun."""

    def __init__(self, answer: Answer, *, keep: bool) -> None:
        self.heard: list[Heard] = []
        self.connections = self.bytes = self.begun = self.closed = 0
        self.port = 0
        self._answer = answer
        self._keep = keep

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}/api/v1"

    def posts(self) -> int:
        return sum(request.method == "POST" for request in self.heard)

    async def serve(self, stream: trio.SocketStream) -> None:
        self.connections += 1
        try:
            while await self._one(stream):
                pass
        except (trio.BrokenResourceError, trio.ClosedResourceError, h11.RemoteProtocolError):
            pass
        finally:
            self.closed += 1

    async def _one(self, stream: trio.SocketStream) -> bool:
        wire = h11.Connection(h11.SERVER)
        request = await self._event(wire, stream)
        if not isinstance(request, h11.Request):
            return False
        self.begun += 1
        parts, size = [], 0
        while isinstance(event := await self._event(wire, stream), h11.Data):
            size += len(event.data)
            if self._keep:
                parts.append(bytes(event.data))
        if not isinstance(event, h11.EndOfMessage):
            return False
        heard = Heard(
            method=request.method.decode(),
            target=request.target.decode(),
            headers={name.decode(): value.decode() for name, value in request.headers},
            body=b"".join(parts),
            size=size,
        )
        self.heard.append(heard)
        answer = await self._answer(heard, stream)
        if answer is not None:
            await stream.send_all(answer)
        return answer is not None

    async def _event(self, wire: h11.Connection, stream: trio.SocketStream) -> object:
        while (event := wire.next_event()) is h11.NEED_DATA:
            data = await stream.receive_some(65536)
            self.bytes += len(data)
            wire.receive_data(data)
        return event


@asynccontextmanager
async def serving(answer: Answer | bytes, *, keep: bool = True) -> AsyncIterator[Server]:
    async def always(_heard: Heard, _stream: trio.SocketStream) -> bytes | None:
        await trio.lowlevel.checkpoint()
        assert isinstance(answer, bytes)
        return answer

    server = Server(always if isinstance(answer, bytes) else answer, keep=keep)
    async with trio.open_nursery() as nursery:
        (listener,) = await nursery.start(partial(trio.serve_tcp, server.serve, 0, host="127.0.0.1"))
        server.port = listener.socket.getsockname()[1]
        yield server
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def serving_tls(body: bytes, context: ssl.SSLContext) -> AsyncIterator[Server]:
    """The same answer to everybody, behind TLS."""

    async def always(_heard: Heard, _stream: trio.SocketStream) -> bytes:
        await trio.lowlevel.checkpoint()
        return body

    async def serve(stream: trio.SSLStream[trio.SocketStream]) -> None:
        await server.serve(stream)  # type: ignore[arg-type]  # it reads and writes like one

    server = Server(always, keep=True)
    async with trio.open_nursery() as nursery:
        open_it = partial(trio.serve_ssl_over_tcp, serve, 0, context, host="127.0.0.1", https_compatible=True)
        (listener,) = await nursery.start(open_it)
        server.port = listener.transport_listener.socket.getsockname()[1]
        yield server
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def listening(handler: Callable[[trio.SocketStream], Awaitable[object]]) -> AsyncIterator[str]:
    """A server that speaks no HTTP of its own; gives the base URL."""
    async with trio.open_nursery() as nursery:
        (listener,) = await nursery.start(partial(trio.serve_tcp, handler, 0, host="127.0.0.1"))
        yield f"http://127.0.0.1:{listener.socket.getsockname()[1]}/v1"
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def reaching(
    base: str,
    *,
    timeouts: Timeouts = QUICK,
    key: str | None = KEY,
    headers: Mapping[str, str] = {},
    guard: Guard | None = None,
    tls: Callable[[], ssl.SSLContext] = ssl.create_default_context,
) -> AsyncIterator[Http]:
    secret = None if key is None else Secret(key)
    http = Http(
        base,
        timeouts=timeouts,
        key=lambda: secret,
        headers=headers,
        safe=lambda text: text[:300],
        guard=guard,
        tls=tls,
    )
    try:
        yield http
    finally:
        await http.aclose()


def answer(body: bytes = FRAME, *, status: int = 200, kind: str = "audio/mpeg", **headers: str) -> bytes:
    """A whole answer with Content-Length; underscores in header names are dashes."""
    return head(status=status, kind=kind, Content_Length=str(len(body)), **headers) + body


def told(value: object, *, status: int = 200, **headers: str) -> bytes:
    return answer(json.dumps(value).encode(), status=status, kind="application/json", **headers)


def head(*, status: int = 200, kind: str = "audio/mpeg", **headers: str) -> bytes:
    """The beginning of an answer: chunked, unless a length or another end is given."""
    lines = [f"HTTP/1.1 {status} Told", f"Content-Type: {kind}"]
    if not {"Content_Length", "Connection"} & set(headers):
        lines.append("Transfer-Encoding: chunked")
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def chunk(body: bytes) -> bytes:
    return f"{len(body):x}\r\n".encode() + body + b"\r\n"


async def reset(stream: trio.SocketStream) -> None:
    """End a connection the rude way."""
    stream.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_LINGER, struct.pack("ii", 1, 0))
    await stream.aclose()


async def for_ever(stream: trio.SocketStream, piece: bytes, *, every_s: float = 0.0) -> None:
    while True:
        await stream.send_all(piece)
        await trio.sleep(every_s)
