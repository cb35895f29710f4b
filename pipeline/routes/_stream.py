"""The answer to one request while it arrives: headers, media type, bytes as they come, and the verdict on its head.

`ensure_answer` lets only an answer through: a failure status, an error inside a 2xx, a web page, an encoded or an empty
body become the error they stand for, with never more than 64 KiB held. What was looked at is handed out again, so the
reader misses no byte. Knows no HTTP library: the wire under it is a protocol.
"""

import re
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Protocol

import trio
from msgspec import Struct

from pipeline.core.confine import display
from pipeline.core.errors import ContractError, InDoubt, MediaspoolError, ReplyTooLarge, Unavailable, Unreachable
from pipeline.routes._errors import MAX_ERROR_BYTES, RESOLVE, error_inside, error_of, is_page, named, read_error
from pipeline.routes._headers import Headers, MediaType, is_encoded
from pipeline.routes._json import JsonValue, read_json

HEAD_BYTES = 32
ERROR_BODY_S = 10.0
_ID = re.compile(r"[\x21-\x7e]{1,200}")
_PAGES = frozenset({"text/html", "application/xhtml+xml"})
_MARKUP = frozenset({"image/svg+xml", "application/xml", "text/xml", "text/html"})
_SAYS_LITTLE = frozenset({"", "application/octet-stream", "binary/octet-stream", "text/plain"})
_MEDIA = frozenset({"audio", "video", "image"})
_JSON = "application/json"


class Asked(Struct, frozen=True, kw_only=True):
    """What was asked, as far as errors speak of it."""

    path: str
    model: str | None
    is_post: bool
    safe: Callable[[str], str]

    def refusal(self, status: int, headers: Mapping[str, str], body: bytes, *, may_be_done: bool) -> MediaspoolError:
        return error_of(
            status,
            headers,
            body,
            path=self.path,
            model=self.model,
            sent=may_be_done,
            is_post=self.is_post,
            safe=self.safe,
        )

    def lost(self, what: str, *, may_be_done: bool) -> MediaspoolError:
        """No verdict came: perhaps paid when it was a POST that the server can have had whole."""
        if self.is_post and may_be_done:
            return InDoubt(f"{what} (POST {named(self.path)})", hint=RESOLVE)
        return Unavailable(f"{what} ({named(self.path)})", hint="nothing was executed: mediaspool retry, later")

    def unreached(self, what: str) -> MediaspoolError:
        """No connection was made. A GET belongs to work that has begun, which has its own patience."""
        if self.is_post:
            return Unreachable(f"{what} ({named(self.path)})", hint="nothing was sent: run again when the server is up")
        return self.lost(what, may_be_done=False)


class Wire(Protocol):
    """One answer under way."""

    status: int
    headers: Headers
    may_be_done: bool

    async def next(self) -> bytes:
        """The next bytes; b"" at a clean end. MediaspoolError when they stop coming."""


class Answer(Struct, frozen=True, kw_only=True):
    """A whole answer, within the bytes that were allowed."""

    status: int
    headers: Headers
    body: bytes
    media_type: MediaType

    def json(self) -> JsonValue:
        return read_json(self.body)


class Stream:
    """The body of one answer. Lives inside the block of the request that opened it."""

    def __init__(self, wire: Wire) -> None:
        self.status = wire.status
        self.headers = wire.headers
        self.may_be_done = wire.may_be_done
        self.media_type = MediaType.of(wire.headers.get("content-type", ""))
        self.received = 0
        self._wire = wire
        self._peeked: deque[bytes] = deque()
        self._is_over = False

    @property
    def is_framed(self) -> bool:
        """Does the protocol tell where the body ends? If not, one cut short looks whole: look into the content."""
        return "content-length" in self.headers or "chunked" in self.headers.get("transfer-encoding", "").lower()

    @property
    def request_id(self) -> str | None:
        """The provider's name of this call, for its own records; None when it gave none that can be kept."""
        for name in ("x-generation-id", "x-request-id", "request-id"):
            if _ID.fullmatch(self.headers.get(name, "")):
                return self.headers[name]
        return None

    @property
    def generation_id(self) -> str | None:
        value = self.headers.get("x-generation-id", "")
        return value if _ID.fullmatch(value) else None

    async def receive_some(self) -> bytes:
        """The next bytes as they came, b"" at the end. An end that is none is an error."""
        if self._peeked:
            return self._peeked.popleft()
        return await self._more()

    async def read_all(self, max_bytes: int) -> bytes:
        """The rest, whole. ReplyTooLarge, before reading where a length is declared, when it is more."""
        declared = self.headers.get("content-length", "")
        if declared.isdigit() and int(declared) > max_bytes:
            raise _too_long(max_bytes)
        parts, size = [], 0
        while chunk := await self.receive_some():
            parts.append(chunk)
            size += len(chunk)
            if size > max_bytes:
                raise _too_long(max_bytes)
        return b"".join(parts)

    async def peek(self, wanted: int) -> bytes:
        """At least `wanted` bytes, or all there are; they will be handed out again."""
        while sum(map(len, self._peeked)) < wanted and (chunk := await self._more()):
            self._peeked.append(chunk)
        body = b"".join(self._peeked)
        self._peeked = deque((body,) if body else ())
        return body

    @property
    def is_over(self) -> bool:
        """Has the end of the body arrived?"""
        return self._is_over

    async def error_body(self) -> bytes:
        """What there is of the body of a failure: bounded in bytes and time, and whatever breaks it off."""
        if is_encoded(self.headers):
            return b""
        with trio.move_on_after(ERROR_BODY_S):
            with suppress(MediaspoolError):  # the status alone decides then
                await self.peek(MAX_ERROR_BYTES)
        return b"".join(self._peeked)[:MAX_ERROR_BYTES]

    async def _more(self) -> bytes:
        if self._is_over:
            return b""
        chunk = await self._wire.next()
        self.received += len(chunk)
        self._is_over = not chunk
        return chunk


async def ensure_answer(stream: Stream, asked: Asked, expect: frozenset[str] | None) -> None:
    """Return when the body may be what was asked for; raise what it stands for when it cannot be."""
    if not 200 <= stream.status < 300:
        body = await stream.error_body()
        raise asked.refusal(stream.status, stream.headers, body, may_be_done=stream.may_be_done)
    if is_encoded(stream.headers):
        raise ContractError("the answer is encoded although plain bytes were asked for", code="reply-type")
    head = await stream.peek(HEAD_BYTES)
    while not head.strip() and len(head) < MAX_ERROR_BYTES and not stream.is_over:
        head = await stream.peek(len(head) + 1)
    if not head and expect is not None and "text/plain" not in expect:
        raise ContractError("the answer is empty", code="reply-empty")
    if is_page(head) and not _MARKUP & (expect or frozenset()):
        raise asked.lost("a web page came instead of an answer", may_be_done=stream.may_be_done)
    is_object = head.lstrip()[:1] in (b"{", b":")
    if stream.media_type.is_json or is_object:
        await _ensure_no_error(stream, asked, expect)
    if not (is_object and _JSON in (expect or ())):  # what was asked for is there, whatever it is called
        _ensure_family(stream.media_type, expect)


async def _ensure_no_error(stream: Stream, asked: Asked, expect: frozenset[str] | None) -> None:
    """An error is short: what is longer than its bound is none."""
    body = await stream.peek(MAX_ERROR_BYTES)
    if not stream.is_over:
        return
    if error_inside(body):
        raise asked.refusal(stream.status, stream.headers, body, may_be_done=stream.may_be_done)
    if expect and all(kind.partition("/")[0] in _MEDIA for kind in expect) and _is_json(body):
        said = asked.safe(read_error(body).words)
        what = f"the answer is JSON, not {' or '.join(sorted(expect))}" + (f": {said}" if said else "")
        raise ContractError(what, code="reply-type")


def _is_json(body: bytes) -> bool:
    try:
        return isinstance(read_json(body), dict | list)
    except ContractError:
        return False


def _ensure_family(declared: MediaType, expect: frozenset[str] | None) -> None:
    """A type of the same family, or one that says little, is for the bytes to decide."""
    found = declared.type
    if expect is None or found in expect or found in _SAYS_LITTLE or declared.is_json:
        return
    families = {kind.partition("/")[0] for kind in expect}
    if found in _PAGES or found.partition("/")[0] not in families:
        message = f"the answer is declared as {display(found, 80)}, not {' or '.join(sorted(expect))}"
        raise ContractError(message, code="reply-type")


def _too_long(max_bytes: int) -> ReplyTooLarge:
    return ReplyTooLarge(f"the answer has more than {max_bytes} bytes", hint="raise max_output_mb")
