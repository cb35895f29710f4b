"""HTTP for the drivers of remote routes; the only module that knows httpx.

A POST is one request: never repeated, never redirected, and `exchange.sending()` is awaited between the connection and
the first byte. A GET may be repeated. The key goes to the scheme, host and port of the base URL and nowhere else; every
other address goes through the guard of `_guard`. Nothing is opened before the first request; no environment is read.
"""

import math
import random
import re
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from functools import cache, lru_cache, partial

import httpcore
import httpx
import trio

from pipeline.core.confine import display
from pipeline.core.drivers import Exchange, Timeouts
from pipeline.core.errors import ConfigError, ContractError, MediaspoolError, Rejected, RouteClosed
from pipeline.core.model import Runner
from pipeline.core.retry import delay_s
from pipeline.core.secret import Secret
from pipeline.routes._body import Body, Upload, opened
from pipeline.routes._connections import CLOSE_S, Clients, Network, cause_of
from pipeline.routes._errors import named
from pipeline.routes._guard import Guard
from pipeline.routes._headers import Headers, checked, is_sendable
from pipeline.routes._stream import Answer, Asked, Stream, ensure_answer

KEEP_IDLE_S = 4.0  # common servers drop an idle connection after five seconds
MAX_GET_TRIES = 3
_ONE = httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=KEEP_IDLE_S)
FAILURES = (httpx.HTTPError, httpx.InvalidURL, httpx.CookieConflict, httpx.StreamError, UnicodeError)
"""Every exception that httpx raises of its own; host names that cannot be encoded come as the last."""
_NOT_REACHED = (httpx.ConnectError, httpx.ConnectTimeout)
# Most of a megabyte in small pieces, and 15 ms: all routes and runs of a process trust the same ones.
_authorities = cache(lambda: httpx.create_ssl_context(trust_env=False))
_NOT_SENDABLE = (httpx.UnsupportedProtocol, httpx.LocalProtocolError)
_WORDS: tuple[tuple[type[Exception], str], ...] = (
    (httpx.ConnectTimeout, "no connection in time"),
    (httpx.PoolTimeout, "no free connection in time"),
    (httpx.WriteTimeout, "the server stopped taking the request"),
    (httpx.ReadTimeout, "the server stopped answering"),
    (httpx.ConnectError, "no connection"),
    (httpx.ProxyError, "a proxy is in the way"),
    (httpx.RemoteProtocolError, "the connection ended before the answer did, or the server speaks no HTTP"),
    (httpx.NetworkError, "the connection broke"),
)
_ODD = re.compile(r"[\x00-\x20\x7f\\]|^[A-Za-z][\w+.-]*:(?!//[^/])")  # what two readers could read apart
Origin = tuple[str, str, int]


class Http:
    """One base URL and what is reached from it. Made cheaply; closed once, after the last request."""

    def __init__(
        self,
        base_url: str,
        *,
        timeouts: Timeouts,
        key: Callable[[], Secret | None],
        headers: Mapping[str, str],
        safe: Callable[[str], str],
        guard: Guard | None = None,
        tls: Callable[[], ssl.SSLContext] = _authorities,
        files: Runner = trio.to_thread.run_sync,
    ) -> None:
        self._base = _base_url(base_url)
        self._origin = _origin(self._base)
        self.timeouts = timeouts
        self._key = key
        self._headers = checked(headers)
        self._safe = safe
        self._tls = tls
        self._context: ssl.SSLContext | None = None
        self._files = files
        self._url = lru_cache(maxsize=100)(self._read_url)  # endpoints come again, and reading an address takes long
        network = Network()
        self._open = Clients(partial(self._client, network), is_fit=_is_fit)
        self._guarded = Clients(partial(self._client, guard or Guard(network=network)), is_fit=_is_fit)

    async def aclose(self) -> None:  # may be called twice, and while cancelled
        await self._open.aclose()
        await self._guarded.aclose()

    @asynccontextmanager
    async def post(
        self,
        path: str,
        body: Body,
        *,
        exchange: Exchange,
        expect: frozenset[str] | None = None,
        model: str | None = None,
    ) -> AsyncIterator[Stream]:
        """One request, never another. The block gets an answer that may be what was asked for, or is not entered.

        `expect` are the media types that would do; the bytes have the last word. `model` is for messages.
        """
        url = self._url(path)
        asked = Asked(path=path, model=model, is_post=True, safe=self._safe)
        async with opened(body, self._files) as upload:
            exchange.sent = upload.sent
            flight = _Flight(asked, self.timeouts.stretched(exchange.call_s), upload, exchange)
            async with self._fly(self._open, self._request(url, flight, body), flight) as stream:
                if stream.generation_id is not None:
                    await exchange.identified(stream.generation_id)
                await ensure_answer(stream, asked, expect)
                yield stream

    async def get(self, path_or_url: str, *, query: Mapping[str, str] = {}, max_bytes: int) -> Answer:
        """The whole answer. Asked a few times when nobody answered, never longer than the total time of the route."""
        url = self._url(path_or_url)
        url = url.copy_merge_params(dict(query)) if query else url
        deadline, tries = trio.current_time() + self.timeouts.total_s, 0
        while True:
            tries += 1
            try:
                return await self._get_once(url, max_bytes, deadline)
            except MediaspoolError as error:
                wait = delay_s(error, tries=tries, jitter=random.random())  # noqa: S311  # spreads load, guards nothing
                if wait is None or tries >= MAX_GET_TRIES or trio.current_time() + wait >= deadline:
                    raise
            await trio.sleep(wait)

    @asynccontextmanager
    async def fetching(
        self,
        url: str,
        *,
        keyed: bool = True,
        also: frozenset[str] = frozenset(),
        deadline: float = math.inf,
        body: Body | None = None,
        headers: Mapping[str, str] = {},
    ) -> AsyncIterator[tuple[Stream, Asked]]:
        """One GET, whatever its status. `also` are origins that the settings name: no guard and no key for them.

        With a body it is one POST, of something that may be told twice; `headers` go with it.
        """
        there = _parsed(url)
        origin = _origin(there)
        is_own = origin == self._origin
        clients = self._open if is_own or origin in {_origin(_parsed(text)) for text in also} else self._guarded
        if there.userinfo or (clients is self._guarded and there.scheme != "https"):
            raise _no_address(f"{there.scheme}://{there.host}")
        path = there.path if is_own else f"{there.scheme}://{display(there.host, 100)}"
        asked = Asked(path=path, model=None, is_post=False, safe=self._safe)
        async with opened(body, self._files) as upload:
            flight = _Flight(asked, self.timeouts, upload, deadline=deadline)
            request = self._request(there, flight, body, extra=headers, keyed=keyed and is_own, own=is_own)
            async with self._fly(clients, request, flight) as stream:
                yield stream, asked

    def join(self, reference: str, against: str | None = None) -> str:
        """What a reference in an answer means: absolute, or relative to `against` or the base URL's origin."""
        if _ODD.search(reference):
            raise _no_address(reference)
        base = _parsed(against or f"{str(self._base).rstrip('/')}/")  # without the slash its last part would be lost
        try:
            return str(base.join(reference))
        except (httpx.InvalidURL, ValueError) as error:
            raise _no_address(reference) from error

    def is_own(self, url: str) -> bool:
        """Is this the origin of the base URL, the only one that gets the key?"""
        return _origin(_parsed(url)) == self._origin

    async def _get_once(self, url: httpx.URL, max_bytes: int, deadline: float) -> Answer:
        async with self.fetching(str(url), deadline=deadline) as (stream, asked):
            await ensure_answer(stream, asked, None)
            body = await stream.read_all(max_bytes)
            return Answer(status=stream.status, headers=stream.headers, body=body, media_type=stream.media_type)

    @asynccontextmanager
    async def _fly(
        self, clients: "Clients[httpx.AsyncHTTPTransport]", request: httpx.Request, flight: "_Flight"
    ) -> AsyncIterator[Stream]:
        async with clients.lend() as client:
            wire = _Wire(await flight.send(client, request), flight)
            try:
                yield Stream(wire)
            finally:
                await wire.close()

    def _request(
        self,
        url: httpx.URL,
        flight: "_Flight",
        body: Body | None,
        *,
        extra: Mapping[str, str] = {},
        keyed: bool = True,
        own: bool = True,
    ) -> httpx.Request:
        headers = {
            "Host": url.netloc.decode("ascii"),
            "Accept": "*/*",
            "Accept-Encoding": "identity",
            "User-Agent": "mediaspool",
            **(self._headers if own else {}),
            **(self._bearer() if keyed else {}),
            **(
                {} if body is None else {"Content-Type": body.content_type, "Content-Length": str(flight.upload.length)}
            ),
            **extra,
        }
        method, feed = "GET" if body is None else "POST", _Feed(flight.upload)
        return httpx.Request(method, url, headers=headers, stream=feed, extensions=flight.extensions)

    def _bearer(self) -> dict[str, str]:
        secret = self._key()
        value = "" if secret is None else secret.reveal().strip()
        if not is_sendable(value):
            raise RouteClosed("the key has a character that no key has", hint="store the key alone, in plain ASCII")
        return {"Authorization": f"Bearer {value}"} if value else {}

    def _read_url(self, path_or_url: str) -> httpx.URL:
        """Paths are appended to the base; one that begins with the base's own path is whole already."""
        if re.match(r"\s*([A-Za-z][\w+.-]*:|//)", path_or_url):
            return _parsed(self.join(path_or_url))
        base = self._base.path.rstrip("/")
        path = path_or_url if base and path_or_url.startswith(f"{base}/") else f"{base}/{path_or_url.lstrip('/')}"
        return _parsed(f"{self._base.scheme}://{self._base.netloc.decode('ascii')}{path}")

    def _client(self, network: httpcore.AsyncNetworkBackend) -> httpx.AsyncHTTPTransport:
        """Bare transports: no cookies, no redirects, no log lines with whole addresses, no environment."""
        client = httpx.AsyncHTTPTransport(verify=self._ssl(), trust_env=False, limits=_ONE, retries=0)
        client._pool._network_backend = network  # httpx has no parameter for it; its version is pinned
        return client

    def _ssl(self) -> ssl.SSLContext:
        if self._context is None:
            self._context = self._tls()
        return self._context


class _Feed(httpx.AsyncByteStream):
    """An upload as httpx wants it."""

    def __init__(self, upload: Upload) -> None:
        self._upload = upload

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._upload


class _Flight:
    """One request under way: how far it came decides what its failure means."""

    def __init__(
        self,
        asked: Asked,
        timeouts: Timeouts,
        upload: Upload,
        exchange: Exchange | None = None,
        *,
        deadline: float = math.inf,
    ) -> None:
        self.asked = asked
        self.upload = upload
        self.timeouts = timeouts
        self.deadline = min(deadline, trio.current_time() + timeouts.total_s)
        self._exchange = exchange
        self._is_sent = False
        self._scope = trio.CancelScope(deadline=self.deadline)

    @property
    def may_be_done(self) -> bool:
        """Can the server have had the whole request? A body with its last bytes missing is none to any server."""
        return self._is_sent and self.upload.is_whole

    @property
    def extensions(self) -> dict[str, object]:
        idle, connect = self.timeouts.idle_s, self.timeouts.connect_s
        return {"timeout": {"connect": connect, "pool": connect, "write": idle, "read": None}, "trace": self._trace}

    async def send(self, client: httpx.AsyncHTTPTransport, request: httpx.Request) -> httpx.Response:
        with self._scope:
            try:
                return await client.handle_async_request(request)
            except FAILURES as error:
                raise self.failure(error) from error
        raise self.late("no answer")

    async def _trace(self, event: str, _info: Mapping[str, object]) -> None:
        if event == "connection.connect_tcp.started" and self._exchange is not None:
            await self._exchange.connecting()
        elif event == "http11.send_request_headers.started":
            if self._is_sent:
                raise self.late("a request was about to be sent twice")
            if self._exchange is not None:
                await self._exchange.sending()
            self._is_sent = True
        elif event == "http11.receive_response_headers.started":
            self._scope.deadline = min(self.deadline, trio.current_time() + self.timeouts.first_byte_s)

    def failure(self, error: Exception) -> MediaspoolError:
        return failure_of(error, self.asked, may_be_done=self.may_be_done)

    def late(self, what: str) -> MediaspoolError:
        return self.asked.lost(f"{what} in time", may_be_done=self.may_be_done)


class _Wire:
    """Implements `_stream.Wire` over a response of httpx."""

    def __init__(self, response: httpx.Response, flight: _Flight) -> None:
        assert isinstance(response.stream, httpx.AsyncByteStream)
        self.status = response.status_code
        self.headers = Headers(response.headers.multi_items())
        self.may_be_done = flight.may_be_done
        self._flight = flight
        self._body = response.stream
        self._chunks = aiter(response.stream)
        self._is_over = self._is_begun = False

    async def next(self) -> bytes:
        if self._is_over:
            return b""
        self._is_begun = True
        with trio.CancelScope(deadline=min(self._flight.deadline, trio.current_time() + self._flight.timeouts.idle_s)):
            try:
                return await anext(self._chunks)
            except StopAsyncIteration:
                self._is_over = True
                return b""
            except FAILURES as error:
                self._is_over = True
                raise self._flight.failure(error) from error
        self._is_over = True
        raise self._flight.late("the answer did not go on")

    async def close(self) -> None:
        """Back to the pool when the whole body is here; else the connection is closed.

        Reading on while cancelled takes what is here and then fails: this ends httpx's nested generators in order.
        """
        if self._is_begun and not self._is_over:
            with trio.CancelScope(shield=True) as gone, suppress(StopAsyncIteration, *FAILURES):
                gone.cancel()
                while True:
                    await anext(self._chunks)
        with trio.move_on_after(CLOSE_S, shield=True):
            await self._body.aclose()


def _is_fit(client: httpx.AsyncHTTPTransport) -> bool:
    """A connection that was cut off just as it was made is neither at rest nor closed, and httpcore keeps it so."""
    return all(each.is_idle() or each.is_closed() for each in client._pool.connections)


def failure_of(error: Exception, asked: Asked, *, may_be_done: bool) -> MediaspoolError:
    """What an exception of httpx means for the call. None of its own words are kept: addresses stand in them."""
    words = next((words for kind, words in _WORDS if isinstance(error, kind)), type(error).__name__)
    why = cause_of(error)
    what = f"{words}: {why}" if why else words
    if isinstance(error, _NOT_REACHED) and not may_be_done:
        return asked.unreached(what)
    if isinstance(error, httpx.TransportError) and not isinstance(error, _NOT_SENDABLE):
        return asked.lost(what, may_be_done=may_be_done)
    if may_be_done and asked.is_post:
        return asked.lost(what, may_be_done=True)
    what = f"the request cannot be sent: {what} ({named(asked.path)})"
    return Rejected(what, hint="check base_url and the route's headers")


def _parsed(text: str) -> httpx.URL:
    try:
        url = httpx.URL(text)
    except (httpx.InvalidURL, ValueError) as error:
        raise _no_address(text) from error
    if url.scheme not in ("http", "https") or not url.host:
        raise _no_address(text)
    return url


def _no_address(text: str) -> ContractError:
    shown = display(re.sub(r"[?#].*", "", text, flags=re.DOTALL), 100)
    return ContractError(f"{shown!r} is no address to fetch", code="address-refused", hint="https and a public host")


def _base_url(text: str) -> httpx.URL:
    hint = 'write it like "https://openrouter.ai/api/v1", without /chat/completions, key or query'
    try:
        url = _parsed(text.strip())
    except ContractError as error:
        raise ConfigError("base_url is no http or https address", hint=hint) from error
    ends_in_endpoint = re.search(r"/(completions|speech|transcriptions|images|videos|models)/*$", url.path)
    if url.userinfo or url.query or url.fragment or ends_in_endpoint:
        raise ConfigError("base_url has more in it than the base of the API", hint=hint)
    return url.copy_with(path=url.path.rstrip("/"))


def _origin(url: httpx.URL) -> Origin:
    port = url.port or (443 if url.scheme == "https" else 80)
    return url.scheme, url.raw_host.decode("ascii").lower(), port
