"""HTTP/1.1 on a socket: requests in, answers out, and every way in which an answer can fail to arrive.

Owns one connection. Knows nothing of what is asked: a `Host` names, answers and records it. Answers are chunked and
have no Content-Length, as the real service's are.
"""

import socket
import struct
from collections.abc import Iterator
from tempfile import SpooledTemporaryFile
from typing import Literal, Protocol

import h11
import trio
from msgspec import Struct

from tests.standin.nouns import Answer, How
from tests.standin.world import Seen

READ = 65_536
IN_MEMORY = 1_000_000
MAX_BODY = 400_000_000
LIE = 1000
ENDLESS = 256 * 1024 * 1024  # enough to pass every bound of a test, too little to fill a machine
GARBAGE = b"\x16\x03\x01\x00\x02\x02\x28 this is not HTTP\r\n\r\n"
Ended = Literal["whole", "cut", "left"]


class Head(Struct, frozen=True, kw_only=True):
    """A request line and its headers; names in small letters."""

    method: str
    target: str
    headers: dict[str, str]


class Host(Protocol):
    """Whoever stands behind the connections."""

    def begin(self, head: Head, connection: int) -> Seen: ...

    def sudden(self, seen: Seen) -> How | None: ...

    async def answer(self, seen: Seen, body: bytes) -> Answer: ...

    def end(self, seen: Seen, how: Ended) -> None: ...


class Line:
    """One connection, from accept to close."""

    def __init__(self, stream: trio.SocketStream, host: Host, number: int) -> None:
        self._stream = stream
        self._host = host
        self._number = number
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=READ)
        self._early = b""

    async def run(self) -> None:
        try:
            while await self._one():
                pass
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        finally:
            await trio.aclose_forcefully(self._stream)

    async def _one(self) -> bool:
        """One request and its answer; False when there will be no other on this connection."""
        head = await self._head()
        if head is None:
            return False
        seen = self._host.begin(head, self._number)
        if self._host.sudden(seen):
            self._reset()
            self._host.end(seen, "cut")
            return False
        body = await self._body()
        if body is None:
            self._host.end(seen, "left")
            return False
        ended = await self._deliver(await self._host.answer(seen, body))
        self._host.end(seen, ended)
        return ended == "whole" and self._next()

    def _next(self) -> bool:
        if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
            return False
        self._http.start_next_cycle()
        if self._early:
            self._http.receive_data(self._early)
            self._early = b""
        return True

    async def _head(self) -> Head | None:
        event = await self._event()
        if not isinstance(event, h11.Request):
            return None
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in event.headers}
        return Head(method=event.method.decode("ascii"), target=event.target.decode("latin-1"), headers=headers)

    async def _body(self) -> bytes | None:
        """The whole body; None when the client left in the middle of it. A long one waits on disk."""
        if self._http.they_are_waiting_for_100_continue:
            await self._stream.send_all(self._http.send(h11.InformationalResponse(status_code=100, headers=[])) or b"")
        with SpooledTemporaryFile(max_size=IN_MEMORY) as file:
            while isinstance(event := await self._event(), h11.Data):
                file.write(event.data)
                if file.tell() > MAX_BODY:
                    return None
            if not isinstance(event, h11.EndOfMessage):
                return None
            file.seek(0)
            return file.read()

    async def _event(self) -> h11.Event | None:
        """The next event of the client; None at the end of what it sends, however it ends."""
        try:
            while (event := self._http.next_event()) is h11.NEED_DATA:
                self._http.receive_data(await self._stream.receive_some(READ))
        except (trio.BrokenResourceError, h11.RemoteProtocolError):
            return None
        return None if isinstance(event, h11.ConnectionClosed) or not isinstance(event, h11.Event) else event

    async def _deliver(self, answer: Answer) -> Ended:
        """Send while listening: a client that leaves ends it at once."""
        ended: Ended = "left"
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._listen, nursery.cancel_scope)
            try:
                ended = await self._send(answer)
            except trio.BrokenResourceError:
                ended = "left"
            nursery.cancel_scope.cancel()
        return ended

    async def _listen(self, scope: trio.CancelScope) -> None:
        try:
            while data := await self._stream.receive_some(READ):
                self._early += data
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        scope.cancel()

    async def _send(self, answer: Answer) -> Ended:
        await trio.sleep(answer.delivery.wait_s)
        if answer.delivery.how == "silent":
            await trio.sleep_forever()
        match answer.delivery.how:
            case "closed":
                return "cut"
            case "reset":
                self._reset()
                return "cut"
            case "garbage":
                await self._stream.send_all(GARBAGE)
                return "cut"
            case "lying-length":
                await self._stream.send_all(_plain_head(answer) + answer.body)
                return "cut"
            case _:
                return await self._send_chunks(answer)

    async def _send_chunks(self, answer: Answer) -> Ended:
        kind = [("Content-Type", answer.media_type)] if answer.media_type else []
        headers = [*kind, *answer.headers, ("Transfer-Encoding", "chunked")]
        await self._event_out(h11.Response(status_code=answer.status, headers=headers))
        how = answer.delivery.how
        for piece in _pieces(answer):
            await self._event_out(h11.Data(data=piece))
            await trio.sleep(answer.delivery.pause_s)
        match how:
            case "stalled":
                await trio.sleep_forever()
            case "reset-midway":
                self._reset()
                return "cut"
            case "cut-in-chunk":
                rest = answer.body[len(answer.body) // 2 :]
                await self._stream.send_all(b"%x\r\n" % (len(rest) + LIE) + rest)
                return "cut"
        await self._event_out(h11.EndOfMessage())
        return "cut" if how == "whole-then-closed" else "whole"

    async def _event_out(self, event: h11.Event) -> None:
        await self._stream.send_all(self._http.send(event) or b"")

    def _reset(self) -> None:
        """Close so that the peer is told of a reset, not of an end."""
        self._stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._stream.socket.close()


def _pieces(answer: Answer) -> Iterator[bytes]:
    """What goes out as whole chunks before the end, good or bad."""
    body, size, how = answer.body, answer.chunk, answer.delivery.how
    if how in ("stalled", "reset-midway", "cut-in-chunk"):
        body = body[: max(1, len(body) // 2)]
    if how == "dripping":
        size = 1
    rounds = ENDLESS // len(body) if how == "endless" and body else 1
    for _ in range(rounds):
        yield from (body[start : start + size] for start in range(0, len(body), size))


def _plain_head(answer: Answer) -> bytes:
    """A head whose length promises more than will come."""
    lines = [f"HTTP/1.1 {answer.status} OK", f"Content-Type: {answer.media_type}"]
    lines += [f"{name}: {value}" for name, value in answer.headers]
    return "\r\n".join([*lines, f"Content-Length: {len(answer.body) + LIE}", "", ""]).encode("latin-1")
