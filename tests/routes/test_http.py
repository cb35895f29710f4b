"""The one POST: when it is announced, that it is never repeated, and what each way of failing means."""

import time
from collections.abc import Awaitable, Callable

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from pipeline.core.drivers import Timeouts
from pipeline.core.errors import (
    ContractError,
    InDoubt,
    LedgerError,
    MediaspoolError,
    Rejected,
    RouteClosed,
    Throttled,
    Unavailable,
    Unreachable,
)
from pipeline.routes._body import JsonBody
from pipeline.routes.http import Http
from tests.exchanges import RecordingExchange
from tests.routes.servers import (
    FRAME,
    JSON,
    KEY,
    SOUND,
    Heard,
    Server,
    answer,
    chunk,
    for_ever,
    head,
    reaching,
    reset,
    serving,
    told,
)

pytestmark = pytest.mark.real_time
BODY = JsonBody.of({"input": "The quick brown fox.", "model": "hexgrad/kokoro-82m"})
PATIENT = Timeouts(connect_s=5, first_byte_s=5, idle_s=5, total_s=10)


async def speak(http: Http, *, exchange: RecordingExchange | None = None, max_bytes: int = 1_000_000) -> bytes:
    asked = exchange or RecordingExchange()
    async with http.post("/audio/speech", BODY, exchange=asked, expect=SOUND, model="one") as stream:
        return await stream.read_all(max_bytes)


async def failing(server: Server, **options: Timeouts) -> MediaspoolError:
    async with reaching(server.base, **options) as http:  # type: ignore[arg-type]  # one kind of option
        with pytest.raises(MediaspoolError) as failed:
            await speak(http)
    return failed.value


class Watching(RecordingExchange):
    """Notes what the server has seen at the moment of `sending`."""

    def __init__(self, server: Server) -> None:
        super().__init__()
        self.server = server
        self.seen: list[tuple[int, int]] = []

    async def sending(self) -> None:
        await wait_all_tasks_blocked(0.005)
        self.seen.append((self.server.connections, self.server.bytes))
        await super().sending()


async def test_sending_is_awaited_after_connecting_and_before_the_first_byte() -> None:
    async with serving(answer()) as server, reaching(server.base, timeouts=PATIENT) as http:
        exchange = Watching(server)
        before = []
        for _ in range(20):
            before.append(server.bytes)
            await speak(http, exchange=exchange)
    assert exchange.seen == [(1, size) for size in before]
    assert exchange.steps == ["sending"] * 20
    assert before[0] == 0
    assert before[-1] > 0
    print(f"nothing left before the ledger's mark: {len(before)}/{len(before)}, 19 of them on a kept connection")


async def test_a_connection_is_announced_before_it_is_made_and_a_kept_one_is_not() -> None:
    class Announced(RecordingExchange):
        async def connecting(self) -> None:
            await wait_all_tasks_blocked(0.005)
            seen.append((len(self.steps), server.connections))

    seen: list[tuple[int, int]] = []
    async with serving(answer()) as server, reaching(server.base, timeouts=PATIENT) as http:
        exchange = Announced()
        for _ in range(3):
            await speak(http, exchange=exchange)
        assert (seen, server.connections) == ([(0, 0)], 1)


async def test_when_the_mark_cannot_be_made_the_server_sees_no_byte() -> None:
    class Broken(RecordingExchange):
        async def sending(self) -> None:
            await trio.lowlevel.checkpoint()
            raise LedgerError("no room")

    async with serving(answer()) as server, reaching(server.base) as http:
        with pytest.raises(LedgerError):
            await speak(http, exchange=Broken())
        await wait_all_tasks_blocked(0.01)
        assert (server.connections, server.bytes) == (1, 0)


async def test_the_generation_id_is_told_before_the_body_is_read() -> None:
    async def slowly(_heard: Heard, stream: trio.SocketStream) -> None:
        await stream.send_all(head(X_Generation_Id="gen-tts-1"))
        await told_first.wait()
        await stream.send_all(chunk(FRAME) + b"0\r\n\r\n")

    class Noting(RecordingExchange):
        async def identified(self, request_id: str) -> None:
            await super().identified(request_id)
            told_first.set()

    told_first, exchange = trio.Event(), Noting()
    async with serving(slowly) as server, reaching(server.base, timeouts=PATIENT) as http:
        assert await speak(http, exchange=exchange) == FRAME
    assert exchange.steps == ["sending", "identified gen-tts-1"]


async def test_headers_of_a_request_are_ours_and_the_body_is_whole() -> None:
    """G18, O18."""
    async with serving(answer()) as server, reaching(f"{server.base}/", headers={"X-OpenRouter-Title": "t"}) as http:
        await speak(http)
    (heard,) = server.heard
    assert heard.target == "/api/v1/audio/speech"
    assert heard.body == b'{"input":"The quick brown fox.","model":"hexgrad/kokoro-82m"}'
    assert heard.headers["authorization"] == f"Bearer {KEY}"
    assert heard.headers["accept-encoding"] == "identity"
    assert heard.headers["x-openrouter-title"] == "t"
    assert heard.headers["content-length"] == str(len(heard.body))


async def _reset(_heard: Heard, stream: trio.SocketStream) -> None:
    await reset(stream)


async def _reset_in_body(_heard: Heard, stream: trio.SocketStream) -> None:
    await stream.send_all(head() + chunk(FRAME))
    await reset(stream)


async def _cut_in_chunk(_heard: Heard, stream: trio.SocketStream) -> None:
    await stream.send_all(head() + b"1000\r\n" + FRAME)
    await stream.aclose()


async def _lie_about_length(_heard: Heard, stream: trio.SocketStream) -> None:
    await stream.send_all(head(Content_Length="100000") + FRAME)
    await stream.aclose()


async def _no_http(_heard: Heard, stream: trio.SocketStream) -> None:
    await stream.send_all(b"220 mail.example ESMTP\r\n")
    await stream.aclose()


async def _close(_heard: Heard, stream: trio.SocketStream) -> None:
    await stream.aclose()


async def _hang(_heard: Heard, _stream: trio.SocketStream) -> None:
    await trio.sleep_forever()


async def _drip(_heard: Heard, stream: trio.SocketStream) -> None:
    await stream.send_all(head())
    await for_ever(stream, chunk(b"\xff"), every_s=0.1)


async def _drip_headers(_heard: Heard, stream: trio.SocketStream) -> None:
    await stream.send_all(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    await for_ever(stream, b"x", every_s=0.05)


async def _hang_at_the_end(_heard: Heard, stream: trio.SocketStream) -> None:
    await stream.send_all(head() + chunk(FRAME))
    await trio.sleep_forever()


async def _stall(_heard: Heard, stream: trio.SocketStream) -> None:
    await stream.send_all(head(Content_Length="100000") + FRAME)
    await trio.sleep_forever()


async def _hang_in_an_error(_heard: Heard, stream: trio.SocketStream) -> None:
    await stream.send_all(head(status=400, Content_Length="100000") + b"{")
    await trio.sleep_forever()


Misbehaviour = Callable[[Heard, trio.SocketStream], Awaitable[None]]
PAGE = b"<!doctype html><title>502 Bad gateway</title>"
LOST: dict[str, Misbehaviour | bytes] = {
    "reset after the request": _reset,
    "reset in the body": _reset_in_body,
    "cut inside a chunk": _cut_in_chunk,
    "a length that lies": _lie_about_length,
    "no HTTP": _no_http,
    "closed without a word": _close,
    "hangs before headers": _hang,
    "drips headers": _drip_headers,
    "drips the body": _drip,
    "stalls in the body": _stall,
    "hangs at the end": _hang_at_the_end,
    "page of a gateway, 502": answer(PAGE, status=502, kind="text/html"),
    "page of a gateway, 524": answer(PAGE, status=524, kind="text/html"),
    "page with 200": answer(PAGE, kind="text/html"),
    "page with 200 that says it is sound": answer(b"\n " + PAGE),
    "500 in JSON": told({"error": {"code": 500, "message": "Internal Server Error"}}, status=500),
    "504 in JSON": told({"error": {"code": 504, "message": "timeout"}}, status=504),
    "408": told({"error": {"code": 408, "message": "Operation timed out."}}, status=408),
    "303": answer(b"", status=303, Location="/other"),
}


@pytest.mark.parametrize("how", LOST)
async def test_a_paid_call_without_a_verdict_is_in_doubt_and_was_sent_once(how: str) -> None:
    what = LOST[how]
    async with serving(what) as server:
        error = await failing(server)
        assert isinstance(error, InDoubt), error
        assert server.posts() == 1


ONCE: dict[str, tuple[bytes, type[MediaspoolError]]] = {
    "429": (told({"error": {"code": 429, "message": "slow"}}, status=429, Retry_After="0"), Throttled),
    "503 with a hint": (told({"error": {"code": 503}}, status=503, Retry_After="1"), Throttled),
    "502 of speech": (told({"error": {"code": 502}}, status=502), Unavailable),
    "401": (told({"error": {"code": 401}}, status=401), RouteClosed),
    "301": (answer(b"", status=301, Location="/api/v1/audio/speech"), RouteClosed),
    "307": (answer(b"", status=307, Location="/api/v1/audio/speech"), RouteClosed),
    "308": (answer(b"", status=308, Location="/api/v1/audio/speech"), RouteClosed),
    "400": (told({"error": {"code": 400}}, status=400), Rejected),
    "404": (told({"error": {"code": 404}}, status=404), Rejected),
    "413": (answer(b"<html>413", status=413, kind="text/html"), Rejected),
    "200 with an error": (told({"error": {"code": 400, "message": "no"}}), Rejected),
    "200 as sound with an error": (answer(b'{"error":{"code":429}}'), Throttled),
    "200 with other JSON": (told({"text": "hello"}), ContractError),
    "200 and nothing": (answer(b""), ContractError),
    "gzip": (answer(b"\x1f\x8b", Content_Encoding="gzip"), ContractError),
    "a page by its type": (answer(FRAME, kind="text/html"), ContractError),
    "a film": (answer(FRAME, kind="video/mp4"), ContractError),
}


@pytest.mark.parametrize("how", ONCE)
async def test_invariant_24_an_answer_becomes_the_error_it_stands_for_after_one_post(how: str) -> None:
    """T24, T26, T27."""
    body, kind = ONCE[how]
    async with serving(body) as server:
        error = await failing(server)
        assert type(error) is kind, error
        assert server.posts() == 1


async def test_no_failure_of_any_kind_is_followed_by_a_second_post() -> None:
    total = 0
    for what in [*LOST.values(), *(body for body, _ in ONCE.values())]:
        async with serving(what) as server:
            await failing(server)
            total += server.begun == server.posts() == 1
    assert total == len(LOST) + len(ONCE)
    print(f"one POST: {total}/{len(LOST) + len(ONCE)}")


GOOD = {
    "as asked": answer(),
    "by its bytes": answer(kind="application/octet-stream"),
    "no type at all": answer(kind=""),
    "after a comment": answer(b": OPENROUTER PROCESSING\n\n" + FRAME),
    "PCM that begins like JSON": answer(b'{"' + FRAME),
}


@pytest.mark.parametrize("how", GOOD)
async def test_what_may_be_the_sound_is_handed_on_whole(how: str) -> None:
    async with serving(GOOD[how]) as server, reaching(server.base) as http:
        assert GOOD[how].endswith(await speak(http))


async def test_json_in_many_forms_is_read_and_its_parameters_are_kept() -> None:
    text = b'\xef\xbb\xbf\n: OPENROUTER PROCESSING\n\n{"text":"","choices":[{"message":1}]}'
    async with (
        serving(answer(text, kind='Application/JSON; charset="utf-8"')) as server,
        reaching(server.base) as http,
        http.post("/x", BODY, exchange=RecordingExchange(), expect=JSON) as stream,
    ):
        assert stream.media_type.type == "application/json"
        assert stream.media_type.parameters == {"charset": "utf-8"}
        assert await stream.read_all(1000) == text


async def test_a_body_without_an_end_mark_is_told_apart() -> None:
    async def until_close(_heard: Heard, stream: trio.SocketStream) -> None:
        await stream.send_all(head(Connection="close") + FRAME)
        await stream.aclose()

    for what, framed in ((until_close, False), (answer(), True)):
        async with (
            serving(what) as server,
            reaching(server.base) as http,
            http.post("/x", BODY, exchange=RecordingExchange(), expect=SOUND) as stream,
        ):
            assert await stream.read_all(1000) == FRAME
            assert stream.is_framed is framed


async def test_a_connection_that_was_dropped_between_calls_costs_nothing() -> None:
    async def once_per_connection(_heard: Heard, stream: trio.SocketStream) -> None:
        await stream.send_all(answer())
        await stream.aclose()

    async with serving(once_per_connection) as server, reaching(server.base) as http:
        for _ in range(5):
            await speak(http)
            await wait_all_tasks_blocked(0.01)
        assert server.posts() == server.connections == 5


async def test_invariant_14_whatever_hangs_ends_with_its_deadline() -> None:
    hanging = (_hang, _drip_headers, _drip, _stall, _hang_at_the_end, _hang_in_an_error)
    late = []
    for what in hanging:
        async with serving(what) as server:
            started = time.monotonic()
            await failing(server, timeouts=Timeouts(connect_s=0.5, first_byte_s=0.4, idle_s=0.4, total_s=0.7))
            late.append(time.monotonic() - started)
    assert max(late) < 0.7 + 1.0
    print(f"invariant 14: ended within the deadline and a second: {len(late)}/{len(hanging)}, worst {max(late):.2f} s")


async def test_a_caller_that_gives_up_closes_the_connection_at_once() -> None:
    async with serving(_drip) as server, reaching(server.base, timeouts=PATIENT) as http:
        with trio.move_on_after(0.2):
            await speak(http)
        with trio.fail_after(1):
            while server.closed < 1:
                await trio.sleep(0.01)


@pytest.mark.parametrize(
    ("base", "words", "kind"),
    [
        ("http://127.0.0.1:1", "refused", Unreachable),
        ("http://nowhere.invalid", "name of the host", Unreachable),
        ("http://" + "a" * 70 + ".invalid", "Error", Rejected),
    ],
)
async def test_what_cannot_be_reached_was_surely_not_executed(
    base: str, words: str, kind: type[MediaspoolError]
) -> None:
    exchange = RecordingExchange()
    async with reaching(base, timeouts=PATIENT) as http:
        with pytest.raises(kind, match=words):
            await speak(http, exchange=exchange)
    assert exchange.steps == []


async def test_a_question_that_finds_nobody_slows_no_route() -> None:
    async with reaching("http://127.0.0.1:1", timeouts=Timeouts(total_s=0.2)) as http:
        with pytest.raises(Unavailable) as caught:
            await http.get("/models", max_bytes=10)
    assert not caught.value.slows


async def test_a_server_without_tls_behind_https_is_told_apart() -> None:
    async with serving(answer()) as server, reaching(server.base.replace("http:", "https:")) as http:
        with pytest.raises(Unreachable, match="TLS"):
            await speak(http)
        assert server.heard == []


@pytest.mark.parametrize("what", [_hang, _drip_headers, _stall, _hang_at_the_end])
async def test_each_stage_has_its_own_deadline_within_the_whole(what: Misbehaviour) -> None:
    """O11: a slow model gets the time that its route allows, stage by stage."""
    stages = Timeouts(connect_s=5, first_byte_s=0.2, idle_s=0.2, total_s=60)
    async with serving(what) as server:
        with trio.fail_after(5):
            assert isinstance(await failing(server, timeouts=stages), InDoubt)
