"""The stand-in server put together: two listeners on loopback, requests named and recorded, faults played.

The second listener is another origin: what is fetched there must come without the key.
"""

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import cast
from urllib.parse import parse_qsl, unquote, urlsplit

import trio
from msgspec.structs import replace

from tests.standin import control, forms, records
from tests.standin.faults import FAULTS, Fault
from tests.standin.nouns import Answer, Asked, Dialect, How, Options, Part, Refused
from tests.standin.problems import html, problem
from tests.standin.table import ROUTES, Route
from tests.standin.wire import Ended, Head, Line
from tests.standin.world import KEY_PREFIX, Seen, World

BASES: tuple[tuple[str, Dialect], ...] = (("/api/v1", "openrouter"), ("/v1", "openai"), ("/control", "control"))
FAULT_HEADER = "x-standin-fault"
FAULT_MODEL = "fault"


class Server:
    """Implements `wire.Host` for both listeners."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.origin = self.elsewhere = ""
        self._heads: dict[int, tuple[Head, str]] = {}

    async def serve(self, stream: trio.SocketStream) -> None:
        with trio.CancelScope() as scope:
            number = self.world.connect()
            self.world.lines[number] = scope
            try:
                await Line(stream, self, number).run()
            finally:
                self.world.lines.pop(number, None)

    def begin(self, head: Head, connection: int) -> Seen:
        dialect, path = _below(head.target)
        route, _ = _route(dialect, head.method, path)
        requests = self.world.memory.requests
        seen = Seen(
            number=requests[-1].number + 1 if requests else 1,
            operation=route.operation if route else "unknown",
            method=head.method,
            path=path,
            dialect=dialect,
            connection=connection,
            key=_key(head),
            at_s=time.monotonic(),
            headers={name: value for name, value in head.headers.items() if name != "authorization"},
            query=dict(parse_qsl(urlsplit(head.target).query, keep_blank_values=True)),
        )
        self._heads[id(seen)] = (head, dialect)
        if dialect == "control":
            self.world.lines.pop(connection, None)  # a reset hangs up on all but who asked for it
        else:
            self.world.see(seen)
        return seen

    def sudden(self, seen: Seen) -> How | None:
        """A fault that strikes before the body is read."""
        name = _of_header(seen) or self.world.would_take(operation=seen.operation, path=seen.path)
        fault = FAULTS.get(name or "")
        if fault is None or fault.sudden is None or seen.dialect == "control":
            return None
        self.world.take(operation=seen.operation, path=seen.path, model=None)
        seen.fault = fault.name
        return fault.sudden

    async def answer(self, seen: Seen, body: bytes) -> Answer:
        asked = self._asked(seen, body)
        if asked.dialect == "control":
            return await control.answer(asked, self.world)
        records.fill(seen, asked)
        seen.is_complete = True
        answer = self._delayed(self._numbered(seen, self._answer(seen, asked)))
        seen.status, seen.paid = answer.status, answer.usd is not None
        seen.usd = None if answer.usd is None else str(answer.usd)
        self.world.note()
        await trio.lowlevel.checkpoint()
        return answer

    def end(self, seen: Seen, how: Ended) -> None:
        self._heads.pop(id(seen), None)
        seen.ended, seen.ended_s = how, time.monotonic()
        if seen.dialect != "control":
            self.world.note()

    def _asked(self, seen: Seen, body: bytes) -> Asked:
        head, dialect = self._heads[id(seen)]
        _, named = _route(dialect, seen.method, seen.path)
        asked = Asked(
            number=seen.number,
            method=seen.method,
            dialect=cast("Dialect", dialect),  # written by `begin`
            path=seen.path,
            origin=self.origin,
            elsewhere=self.elsewhere,
            named=named,
            query=seen.query,
            headers=head.headers,
            body=body,
        )
        return replace(asked, fields=_fields(asked), form=_form(asked))

    def _answer(self, seen: Seen, asked: Asked) -> Answer:
        route, _ = _route(asked.dialect, asked.method, asked.path)
        fault, options, asked = self._fault(seen, asked)
        if fault is not None:
            seen.fault = fault.name
        if fault is not None and fault.instead is not None:
            return fault.instead(asked, options)
        if route is None:
            is_site = asked.dialect == "elsewhere"
            return html(404, "404: This page could not be found.") if is_site else problem(asked, 404, "Not Found")
        try:
            answer = route.handler(asked, self.world)
        except Refused as no:
            return no.answer
        return fault.change(answer, asked, options) if fault is not None and fault.change is not None else answer

    def _fault(self, seen: Seen, asked: Asked) -> tuple[Fault | None, Options, Asked]:
        """The fault to play: named in a header, in the model's id, or planted before."""
        name, asked = _named(seen, asked)
        found: tuple[str, Options] | None = (name, {}) if name in FAULTS else None
        found = found or self.world.take(operation=seen.operation, path=seen.path, model=asked.model)
        if found is None:
            return None, {}, asked
        return FAULTS[found[0]], found[1], replace(asked, variations={found[0]: found[1]})

    def _numbered(self, seen: Seen, answer: Answer) -> Answer:
        """Refused completions have a number too."""
        is_refused = answer.status >= 400 and (seen.dialect, seen.path) == ("openrouter", "/chat/completions")
        return answer.with_header("X-Generation-Id", self.world.new_id("gen")) if is_refused else answer

    def _delayed(self, answer: Answer) -> Answer:
        latency = self.world.memory.latency_s
        delivery = answer.delivery
        return replace(answer, delivery=replace(delivery, wait_s=delivery.wait_s + latency)) if latency else answer


@asynccontextmanager
async def serving(world: World, *, port: int = 0, host: str = "127.0.0.1") -> AsyncIterator[Server]:
    """The server with both its listeners open; they close with the block."""
    server = Server(world)
    async with trio.open_nursery() as nursery:
        listen = partial(trio.serve_tcp, server.serve, host=host)
        first = await nursery.start(listen, port)
        second = await nursery.start(listen, 0)
        server.origin, server.elsewhere = (
            f"http://{host}:{each[0].socket.getsockname()[1]}" for each in (first, second)
        )
        yield server
        nursery.cancel_scope.cancel()


def _below(target: str) -> tuple[Dialect, str]:
    path = urlsplit(target).path
    for base, dialect in BASES:
        if path == base or path.startswith(f"{base}/"):
            return dialect, path[len(base) :] or "/"
    return "elsewhere", path


def _route(dialect: str, method: str, path: str) -> tuple[Route | None, dict[str, str]]:
    for route in ROUTES:
        found = route.pattern.fullmatch(path) if (route.dialect, route.method) == (dialect, method) else None
        if found:
            return route, {name: unquote(value) for name, value in found.groupdict().items()}
    return None, {}


def _named(seen: Seen, asked: Asked) -> tuple[str, Asked]:
    """The fault that the request itself names, and the request without it."""
    mark, _, named = (asked.model or "").partition("/")
    name, _, rest = named.partition("/")
    if mark == FAULT_MODEL and name in FAULTS:
        return name, records.with_model(asked, rest or records.default_model(seen.operation, asked.dialect))
    return _of_header(seen), asked


def _of_header(seen: Seen) -> str:
    """`503`, or `503@poll` for one operation alone."""
    name, _, operation = seen.headers.get(FAULT_HEADER, "").partition("@")
    return name if operation in ("", seen.operation) else ""


def _key(head: Head) -> str:
    scheme, _, key = head.headers.get("authorization", "").partition(" ")
    if not scheme:
        return "none"
    return "right" if scheme.lower() == "bearer" and key.startswith(KEY_PREFIX) else "wrong"


def _fields(asked: Asked) -> dict[str, object] | None:
    if not asked.body or asked.content_type.startswith("multipart/"):
        return None
    try:
        found = json.loads(asked.body)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _form(asked: Asked) -> tuple[Part, ...] | None:
    if asked.content_type != "multipart/form-data":
        return None
    try:
        return forms.parts(asked.body, asked.headers["content-type"])
    except forms.BadForm:
        return None
