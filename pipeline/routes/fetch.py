"""Downloads from addresses that came in an answer: to public hosts over https, or to the route's own origin.

Every hop is judged anew: scheme, host as written, and each address that its name resolves to, which is then the one
that is connected to. The key goes with hops on the route's own origin, and never again once a hop has left it. What is
no media (a page, an error of a storage server, JSON) is never handed on; bytes are counted, waits are bounded.
"""

from collections.abc import Awaitable, Callable

import trio
from msgspec import Struct

from pipeline.core.errors import ContractError, MediaspoolError, Rejected
from pipeline.core.limits import Meter
from pipeline.routes._headers import MediaType
from pipeline.routes._stream import Asked, Stream, ensure_answer
from pipeline.routes.http import Http

MAX_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_GONE = frozenset({401, 403, 404, 410})


class Fetched(Struct, frozen=True, kw_only=True):
    """What came. `is_framed` False: only the content can tell whether it is whole."""

    media_type: MediaType
    size: int
    is_framed: bool


class _Hop(Struct, frozen=True, kw_only=True):
    """Where to go next; `keyed` as long as no hop has left the route's own origin."""

    url: str
    keyed: bool
    number: int = 0


async def download(
    url: str,
    *,
    http: Http,
    write: Callable[[bytes], Awaitable[None]],
    max_bytes: int | None,
    expect: frozenset[str] | None = None,
    origins: frozenset[str] = frozenset(),
) -> Fetched:
    """Hand the bytes at `url` to `write`. Nothing was handed on if it raises before the first byte.

    `origins`, such as "http://127.0.0.1:9000", are what the route's settings name beside its own: they get no key.
    ContractError `address-refused` for an address that is not fetched; Rejected when the link is dead or has expired;
    Unavailable when the server failed or broke off, so that the whole download may be tried again.
    """
    start = http.join(url)
    hop = _Hop(url=start, keyed=http.is_own(start))
    deadline = trio.current_time() + http.timeouts.total_s
    while True:
        async with http.fetching(hop.url, keyed=hop.keyed, also=origins, deadline=deadline) as (stream, asked):
            if stream.status not in _REDIRECTS:
                return await _receive(stream, asked, hop, write=write, max_bytes=max_bytes, expect=expect)
            hop = _next_hop(http, hop, stream)


async def _receive(
    stream: Stream,
    asked: Asked,
    hop: _Hop,
    *,
    write: Callable[[bytes], Awaitable[None]],
    max_bytes: int | None,
    expect: frozenset[str] | None,
) -> Fetched:
    if stream.status in _GONE and not hop.keyed:
        raise _expired(stream.status, asked)
    await ensure_answer(stream, asked, expect)
    meter = Meter(max_bytes, unit="bytes of download")
    _refuse_early(stream, max_bytes)
    while chunk := await stream.receive_some():
        meter.add(len(chunk))
        await write(chunk)
    if not meter.used:
        raise ContractError("the download is empty", code="reply-empty")
    return Fetched(media_type=stream.media_type, size=round(meter.used), is_framed=stream.is_framed)


def _next_hop(http: Http, hop: _Hop, stream: Stream) -> _Hop:
    location = stream.headers.get("location", "")
    if not location or hop.number >= MAX_REDIRECTS:
        what = "leads nowhere" if not location else f"was redirected more than {MAX_REDIRECTS} times"
        raise ContractError(f"the download {what}", code="address-refused", hint="report it to the provider")
    url = http.join(location, against=hop.url)
    return _Hop(url=url, keyed=hop.keyed and http.is_own(url), number=hop.number + 1)


def _expired(status: int, asked: Asked) -> MediaspoolError:
    return Rejected(
        f"the link of the result was refused with {status} ({asked.path})",
        hint="links expire: ask the route for the result again",
    )


def _refuse_early(stream: Stream, max_bytes: int | None) -> None:
    """A declared length beyond the bound needs no reading."""
    declared = stream.headers.get("content-length", "")
    if max_bytes is not None and declared.isdigit():
        Meter(max_bytes, unit="bytes of download").add(int(declared))
