"""What a route may be opened with, what every exception of httpx means, and the bounds in bytes and memory."""

import inspect
import sys
from pathlib import Path

import httpx
import pytest
import trio

from pipeline.core.drivers import Timeouts
from pipeline.core.errors import (
    ConfigError,
    ContractError,
    InDoubt,
    InputChanging,
    MediaspoolError,
    Rejected,
    ReplyTooLarge,
    RouteClosed,
    Unavailable,
    Unreachable,
)
from pipeline.routes._body import Base64File, JsonBody
from pipeline.routes._stream import Asked
from pipeline.routes.http import FAILURES, Http, failure_of
from tests.exchanges import RecordingExchange
from tests.routes.servers import (
    SOUND,
    Heard,
    answer,
    chunk,
    for_ever,
    head,
    listening,
    reaching,
    reset,
    serving,
    told,
)

pytestmark = pytest.mark.real_time
BODY = JsonBody.of({"input": "The quick brown fox."})
PATIENT = Timeouts(connect_s=5, first_byte_s=5, idle_s=5, total_s=20)
MEGABYTE = 1_000_000
ROOT = Path(__file__).parents[2]


def raised_by_httpx() -> list[type[Exception]]:
    found = [item for item in vars(httpx).values() if inspect.isclass(item) and issubclass(item, Exception)]
    return sorted(found, key=lambda kind: kind.__name__)


@pytest.mark.parametrize("kind", raised_by_httpx())
def test_every_exception_of_httpx_is_mapped_by_how_far_the_call_came(kind: type[Exception]) -> None:
    error = kind.__new__(kind)
    assert isinstance(error, FAILURES)
    post = Asked(path="/x", model=None, is_post=True, safe=str)
    get = Asked(path="/x", model=None, is_post=False, safe=str)
    assert type(failure_of(error, post, may_be_done=True)) is InDoubt
    assert type(failure_of(error, post, may_be_done=False)) in (Unavailable, Unreachable, Rejected)
    assert type(failure_of(error, get, may_be_done=True)) in (Unavailable, Rejected)


def test_httpx_has_the_exceptions_that_were_counted() -> None:
    assert len(raised_by_httpx()) >= 28


async def test_invariant_13_an_endless_answer_stops_at_the_cap() -> None:
    """K38."""

    async def endless(_heard: Heard, stream: trio.SocketStream) -> None:
        await stream.send_all(head())
        await for_ever(stream, chunk(bytes(65536)))

    async with (
        serving(endless) as server,
        reaching(server.base, timeouts=PATIENT) as http,
        http.post("/x", BODY, exchange=RecordingExchange(), expect=SOUND) as stream,
    ):
        with pytest.raises(ReplyTooLarge):
            await stream.read_all(1_000_000)
        assert stream.received <= 1_000_000 + 65536


@pytest.mark.parametrize("base", ["ftp://x/v1", "x", "https://u:p@x/v1", "https://x/v1?a=b", "https://x/v1/models"])
def test_a_base_url_that_is_none_is_refused_when_the_route_is_opened(base: str) -> None:
    with pytest.raises(ConfigError):
        Http(base, timeouts=Timeouts(), key=lambda: None, headers={}, safe=str)


@pytest.mark.parametrize("header", [("Authorization", "x"), ("Host", "x"), ("X-A", "a\r\nX-B: b"), ("X A", "b")])
def test_a_header_of_the_settings_cannot_forge_another(header: tuple[str, str]) -> None:
    with pytest.raises(ConfigError):
        Http("https://x/v1", timeouts=Timeouts(), key=lambda: None, headers=dict([header]), safe=str)


@pytest.mark.parametrize("key", ["sk\r\nX-Evil: 1", "schlüssel"])
async def test_a_key_that_is_none_is_never_sent(key: str) -> None:
    async with serving(answer()) as server, reaching(server.base, key=key) as http:
        with pytest.raises(RouteClosed) as closed:
            await send(http, BODY)
        assert key not in str(closed.value)
        assert server.bytes == 0


def a_file(folder: Path, size: int) -> Path:
    path = folder / "speech.wav"
    path.write_bytes(bytes(size))
    return path


def upload_of(path: Path) -> JsonBody:
    return JsonBody.of({"input_audio": {"data": Base64File(path=str(path), size=path.stat().st_size)}})


async def send(http: Http, body: JsonBody) -> None:
    async with http.post("/audio/transcriptions", body, exchange=RecordingExchange(), expect=None) as stream:
        await stream.read_all(MEGABYTE)


async def test_an_upload_that_breaks_before_its_last_byte_was_surely_not_executed(tmp_path: Path) -> None:
    async def give_up(stream: trio.SocketStream) -> None:
        await stream.receive_some(100_000)
        await reset(stream)

    async with listening(give_up) as base, reaching(base, timeouts=PATIENT) as http:
        with pytest.raises(Unavailable):
            await send(http, upload_of(a_file(tmp_path, 24 * MEGABYTE)))


async def test_a_server_that_takes_nothing_more_is_left_in_time(tmp_path: Path) -> None:
    async def deaf(_stream: trio.SocketStream) -> None:
        await trio.sleep_forever()

    async with listening(deaf) as base, reaching(base) as http:
        with pytest.raises(Unavailable, match="stopped taking"), trio.fail_after(2):
            await send(http, upload_of(a_file(tmp_path, 24 * MEGABYTE)))


async def test_an_answer_before_the_upload_is_whole_is_heard(tmp_path: Path) -> None:
    async def too_large(stream: trio.SocketStream) -> None:
        await stream.receive_some(100_000)
        await stream.send_all(told({"error": {"code": 413, "message": "Request payload too large"}}, status=413))
        while await stream.receive_some(1_000_000):
            pass

    async with listening(too_large) as base, reaching(base, timeouts=PATIENT) as http:
        with pytest.raises(Rejected, match="payload too large"):
            await send(http, upload_of(a_file(tmp_path, 24 * MEGABYTE)))


async def test_a_file_that_shrinks_under_way_is_never_taken_for_a_whole_request(tmp_path: Path) -> None:
    path = a_file(tmp_path, 24 * MEGABYTE)
    body = upload_of(path)

    class Cutting(RecordingExchange):
        async def sending(self) -> None:
            await super().sending()
            path.write_bytes(b"short")

    async with serving(answer()) as server, reaching(server.base, timeouts=PATIENT) as http:
        with pytest.raises(InputChanging):
            async with http.post("/x", body, exchange=Cutting(), expect=SOUND):
                pass
        assert server.heard == []


async def peak_kb(base: str, count: int, path: Path) -> int:
    command = [sys.executable, "-m", "tests.routes.uploads", base, str(count), str(path)]
    done = await trio.run_process(command, capture_stdout=True, cwd=ROOT)
    return int(done.stdout)


async def test_invariant_13_memory_is_flat_however_many_uploads_run_at_once(tmp_path: Path) -> None:
    path = a_file(tmp_path, 24 * MEGABYTE)
    peaks = {}
    async with serving(told({"text": "x"}), keep=False) as server:
        for count in (1, 8, 64):
            peaks[count] = await peak_kb(server.base, count, path) / 1000
        assert server.posts() == 73
        assert {request.size for request in server.heard} == {32 * MEGABYTE + len('{"input_audio":{"data":""}}')}
    print(f"invariant 13: peak memory in MB of a process with so many uploads of 24 MB at once: {peaks}")
    assert peaks[64] < 120
    assert peaks[64] - peaks[1] < 64 * 0.8


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate", "zstd", "gzip, gzip"])
async def test_invariant_13_an_encoded_answer_is_never_unpacked(encoding: str) -> None:
    body = answer(b"\x1f\x8b" + bytes(1000), kind="application/json", Content_Encoding=encoding)
    async with serving(body) as server, reaching(server.base) as http:
        with pytest.raises(ContractError, match="encoded"):
            await send(http, BODY)
        with pytest.raises(ContractError, match="encoded"):
            await http.get("/models", max_bytes=MEGABYTE)


@pytest.mark.parametrize("status", [200, 400, 500])
async def test_invariant_13_an_endless_error_is_read_no_further_than_its_bound(status: int) -> None:
    sent = 0

    async def endless(_heard: Heard, stream: trio.SocketStream) -> None:
        nonlocal sent
        await stream.send_all(head(status=status, kind="application/json") + chunk(b'{"error":{"message":"'))
        while True:
            await stream.send_all(chunk(b"x" * 10_000))
            sent += 10_000

    async with serving(endless) as server, reaching(server.base, timeouts=PATIENT) as http:
        with pytest.raises(MediaspoolError) as failed:
            await send(http, BODY)
        assert len(str(failed.value)) < 600
        assert sent < 12 * MEGABYTE  # a megabyte of ours, the rest lay in the buffers of the kernel


async def test_a_length_beyond_the_cap_needs_no_reading() -> None:
    async def large(_heard: Heard, stream: trio.SocketStream) -> None:
        await stream.send_all(head(kind="application/json", Content_Length="999999999") + bytes(100_000))
        await trio.sleep_forever()

    async with serving(large) as server, reaching(server.base, timeouts=PATIENT) as http:
        with pytest.raises(ReplyTooLarge), trio.fail_after(2):
            await http.get("/models", max_bytes=MEGABYTE)


async def test_headers_beyond_reason_are_refused() -> None:
    body = head(X_Large="x" * 200_000)
    async with serving(body) as server, reaching(server.base, timeouts=PATIENT) as http:
        with pytest.raises(InDoubt):
            await send(http, BODY)
