"""Every fault of the stand-in can be asked for, shows on the wire, and is counted: what was paid is known."""

import base64
import contextlib
import json
import socket
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
import trio

from tests.standin.faults import FAULTS, Fault
from tests.standin.fixture import StandIn
from tests.standin.sound import beeps
from tests.standin.world import KEY

pytestmark = pytest.mark.real_time
SPEECH = {"model": "hexgrad/kokoro-82m", "input": "Hello there.", "voice": "af_sky"}
SOUND = base64.b64encode(beeps(1.0, 16_000)).decode()
HEARING = {
    "model": "openai/whisper-1",
    "input_audio": {"data": SOUND, "format": "pcm"},
    "response_format": "verbose_json",
    "timestamp_granularities": ["segment", "word"],
}
ASKS: dict[str, tuple[str, str, dict[str, object]]] = {
    "speak": ("POST", "/audio/speech", dict(SPEECH)),
    "transcribe": ("POST", "/audio/transcriptions", dict(HEARING)),
    "complete": (
        "POST",
        "/chat/completions",
        {"model": "openai/gpt-5.4-mini", "messages": [{"role": "user", "content": "Hello"}]},
    ),
    "make_image": ("POST", "/images", {"model": "meta/muse-image", "prompt": "x"}),
    "make_video": ("POST", "/videos", {"model": "x-ai/grok-imagine-video", "prompt": "x", "duration": 1}),
    "models": ("GET", "/models", {}),
    "key": ("GET", "/key", {}),
    "credits": ("GET", "/credits", {}),
}
PAID = ("speak", "transcribe", "complete", "make_image", "make_video")
HASTY = httpx.Timeout(5, read=0.3)


def send(client: httpx.Client, operation: str, **more: object) -> httpx.Response:
    method, path, body = ASKS[operation]
    return client.request(method, path, json={**body, **more} if body else None)


def taste(client: httpx.Client, operation: str) -> bytes:
    """The first hundred kilobytes of an answer, whatever becomes of the rest."""
    method, path, body = ASKS[operation]
    got = b""
    with (
        contextlib.suppress(httpx.HTTPError),
        client.stream(method, path, json=body or None, timeout=HASTY) as reply,
    ):
        for chunk in reply.iter_raw():
            got += chunk
            if len(got) > 100_000:
                break
    return got


def operations(fault: Fault) -> list[str]:
    """What to try a fault on; one that applies to everything is tried on one of each sort."""
    return [name for name in ASKS if name in (fault.operations or ("speak", "models"))]


@pytest.mark.parametrize(
    ("name", "operation"),
    [(fault.name, operation) for fault in FAULTS.values() for operation in operations(fault)],
)
def test_a_fault_is_played_once_counted_and_changes_the_answer(
    client: httpx.Client, standin: StandIn, name: str, operation: str
) -> None:
    standin.fault(name, path=operation, times=1, seconds=2)
    spoilt = taste(client, operation)
    standin.wait(operation, ended=True)
    seen = standin.requests(operation)
    assert [each["fault"] for each in seen] == [name]
    assert standin.paid(operation) == int(operation in PAID and FAULTS[name].is_paid)
    whole = taste(client, operation)
    assert FAULTS[name].change is None or spoilt != whole or _shows_in_head(name)


def _shows_in_head(name: str) -> bool:
    """Faults whose bytes are those of the good answer."""
    return (
        name.startswith(
            (
                "type-",
                "echo-answer",
                "pcm-rate",
                "slow-chunks",
                "gzip-bad",
                "brotli",
                "close-idle",
                "lying-length",
                "cut-in-chunk",
            )
        )
        or name == "endless"
    )


def test_every_row_of_the_contract_has_a_fault() -> None:
    rows = {fault.row for fault in FAULTS.values()}
    assert len(rows) > 30
    assert all(name == fault.name for name, fault in FAULTS.items())


@pytest.mark.parametrize(
    ("fault", "path", "length"),
    [("cut-clean", "content", 0.5), ("html-200", "poll", None), ("502", "content", None), ("empty", "content", 0.0)],
)
def test_a_film_can_be_spoilt_where_it_is_asked_after_or_fetched(
    client: httpx.Client, standin: StandIn, fault: str, path: str, length: float | None
) -> None:
    standin.fault("video-at-once")
    number = send(client, "make_video").json()["id"]
    way = f"/videos/{number}" if path == "poll" else f"/videos/{number}/content"
    client.get(f"/videos/{number}")
    whole = client.get(way).content
    standin.fault(fault, path=path, times=1)
    spoilt = client.get(way).content
    assert spoilt == (whole[: int(len(whole) * length)] if length is not None else spoilt) != whole
    assert client.get(way).content == whole


def test_a_path_that_is_none_of_the_api_gets_a_page_of_the_website(client: httpx.Client, standin: StandIn) -> None:
    site = httpx.get(f"{standin.elsewhere}/chat/completions", trust_env=False)
    assert (site.status_code, site.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert client.post("/images/edits", json={}).json() == {"error": {"message": "Not Found", "code": 404}}


# selection


def test_failures_come_in_the_planted_order_and_then_stop(client: httpx.Client, standin: StandIn) -> None:
    standin.fault("503", path="speak", times=2)
    standin.fault("429-retry-after", path="speak", times=1)
    assert [send(client, "speak").status_code for _ in range(4)] == [503, 503, 429, 200]
    assert (standin.count("speak"), standin.paid("speak")) == (4, 1)


def test_a_fault_keeps_to_its_path_its_model_and_its_place(client: httpx.Client, standin: StandIn) -> None:
    standin.fault("500", path="/images*")
    standin.fault("502", model="openai/whisper-1", after=1)
    asked = ("speak", "make_image", "transcribe", "transcribe")
    assert [send(client, each).status_code for each in asked] == [200, 500, 200, 502]


@pytest.mark.parametrize(
    ("model", "status"), [("fault/503", 503), ("fault/503/hexgrad/kokoro-82m", 503), ("fault/no", 400)]
)
def test_a_fault_can_stand_in_the_name_of_the_model(client: httpx.Client, model: str, status: int) -> None:
    assert send(client, "speak", model=model).status_code == status


def test_a_fault_can_stand_in_a_header(client: httpx.Client, standin: StandIn) -> None:
    client.headers["X-Standin-Fault"] = "html-200"
    assert send(client, "speak").headers["content-type"].startswith("text/html")
    assert standin.paid("speak") == 1


def test_an_unknown_fault_cannot_be_planted(standin: StandIn) -> None:
    with pytest.raises(ValueError, match="no-such-fault"):
        standin.fault("no-such-fault")


# waits


def header(client: httpx.Client, standin: StandIn, fault: str) -> httpx.Response:
    standin.fault(fault, times=1, seconds=7)
    return send(client, "speak")


def test_every_way_to_say_when_to_come_again(client: httpx.Client, standin: StandIn) -> None:
    at = parsedate_to_datetime(header(client, standin, "429-date").headers["retry-after"]).timestamp()
    body = header(client, standin, "429-body")
    assert header(client, standin, "429-retry-after").headers["retry-after"] == "7"
    assert 5 <= at - time.time() <= 8
    assert "retry-after" not in body.headers
    assert body.json()["error"]["metadata"]["retry_after_seconds"] == 7
    assert header(client, standin, "429-absurd").headers["retry-after"] == "86400"
    assert header(client, standin, "429-free-daily").headers["x-ratelimit-reset"] == "1790467200000"
    assert header(client, standin, "402-in-flight").headers["retry-after"] == "7"


# the wire


@pytest.mark.parametrize(
    ("fault", "error", "paid"),
    [
        ("reset-before-body", httpx.TransportError, 0),
        ("reset-after-body", httpx.ReadError, 1),
        ("reset-midway", httpx.ReadError, 1),
        ("close-after-body", httpx.RemoteProtocolError, 1),
        ("not-http", httpx.RemoteProtocolError, 1),
        ("cut-in-chunk", httpx.RemoteProtocolError, 1),
        ("lying-length", httpx.RemoteProtocolError, 1),
        ("stall", httpx.ReadTimeout, 1),
        ("no-answer", httpx.ReadTimeout, 1),
        ("gzip-bad", httpx.DecodingError, 1),
    ],
)
def test_a_broken_connection_breaks_as_its_name_says(
    client: httpx.Client, standin: StandIn, fault: str, error: type[Exception], paid: int
) -> None:
    client.timeout = HASTY
    standin.fault(fault, times=1)
    with pytest.raises(error):
        send(client, "speak")
    assert standin.paid("speak") == paid


def test_a_slow_drip_comes_byte_by_byte(client: httpx.Client, standin: StandIn) -> None:
    standin.fault("slow-drip", seconds=0.01)
    with client.stream("POST", "/audio/speech", json=SPEECH) as reply:
        pieces = reply.iter_raw()
        assert [len(next(pieces)) for _ in range(5)] == [1] * 5


async def test_the_server_sees_at_once_that_a_client_left(standin: StandIn) -> None:
    standin.fault("stall")
    async with httpx.AsyncClient(base_url=standin.base_url, trust_env=False) as client:
        headers = {"Authorization": f"Bearer {standin.key}"}
        with trio.move_on_after(0.2):
            await client.post("/audio/speech", json=SPEECH, headers=headers)
        left_at = time.monotonic()
        await standin.ended("speak")
    seen = standin.requests("speak")[0]
    assert seen["ended"] == "left"
    assert float(str(seen["ended_s"])) - left_at < 1


def test_an_upload_that_breaks_off_is_seen_and_never_counted(standin: StandIn) -> None:
    where = urlsplit(standin.base_url)
    head = (
        f"POST /api/v1/audio/speech HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\nAuthorization: Bearer {KEY}\r\n\r\n"
    )
    with socket.create_connection((where.hostname, where.port)) as line:
        line.sendall(head.encode() + b'{"input":')
    standin.wait("speak", ended=True)
    assert (standin.count("speak"), standin.requests()[0]["ended"]) == (0, "left")


def test_an_idle_connection_is_dropped_after_a_whole_answer(client: httpx.Client, standin: StandIn) -> None:
    standin.fault("close-idle", times=1)
    assert send(client, "speak").status_code == 200
    with contextlib.suppress(httpx.ReadError, httpx.RemoteProtocolError):  # the drop may meet a request on its way
        send(client, "speak")
    assert send(client, "speak").status_code == 200
    assert len({each["connection"] for each in standin.requests()}) == 2


def test_a_connection_is_kept_between_good_answers(client: httpx.Client, standin: StandIn) -> None:
    assert [send(client, "speak").status_code for _ in range(3)] == [200] * 3
    assert len({each["connection"] for each in standin.requests()}) == 1


def test_a_bomb_is_small_on_the_wire(client: httpx.Client, standin: StandIn) -> None:
    standin.fault("gzip-bomb")
    with client.stream("POST", "/audio/speech", json=SPEECH) as reply:
        assert reply.headers["content-encoding"] == "gzip"
        assert sum(len(chunk) for chunk in reply.iter_raw()) < 100_000


def test_an_endless_answer_ends_when_the_client_leaves(client: httpx.Client, standin: StandIn) -> None:
    standin.fault("endless", times=1)
    with client.stream("POST", "/audio/speech", json=SPEECH) as reply:
        chunks = reply.iter_raw()
        assert sum(len(next(chunks)) for _ in range(100)) > 100_000
    standin.wait("speak", ended=True)
    assert standin.requests()[0]["ended"] == "left"


@pytest.mark.parametrize(
    ("fault", "where"),
    [("redirect-302", "elsewhere"), ("redirect-loop", "/audio/speech"), ("redirect-metadata", "169.254.169.254")],
)
def test_a_redirect_leads_where_its_name_says(client: httpx.Client, standin: StandIn, fault: str, where: str) -> None:
    standin.fault(fault)
    target = send(client, "speak").headers["location"]
    assert (standin.elsewhere if where == "elsewhere" else where) in target


# bodies


def test_an_echo_gives_away_the_key_and_the_text(client: httpx.Client, standin: StandIn) -> None:
    standin.fault("echo")
    said = send(client, "speak").text
    assert standin.key in said
    assert SPEECH["input"] in said


def test_the_record_of_a_request_has_no_key_in_it(client: httpx.Client, standin: StandIn) -> None:
    send(client, "speak")
    assert standin.key not in json.dumps(standin.requests())
    assert standin.requests()[0]["key"] == "right"


def _spoilt(name: str) -> Callable[[bytes], bool]:
    return {
        "bom": lambda body: body.startswith(b"\xef\xbb\xbf{"),
        "sse-comments": lambda body: body.startswith(b": OPENROUTER PROCESSING\n\n"),
        "nan": lambda body: b"NaN" in body,
        "duplicate-keys": lambda body: body.count(b'"text":') > 1,
        "invalid-utf8": lambda body: b"\xff\xfe" in body,
        "transcript-null": lambda body: b'"text":null' in body,
        "segments-nan": lambda body: b'"start":NaN' in body,
        "empty": lambda body: body == b"",
    }[name]


@pytest.mark.parametrize(
    "name", ["bom", "sse-comments", "nan", "duplicate-keys", "invalid-utf8", "transcript-null", "segments-nan", "empty"]
)
def test_json_is_spoilt_as_the_name_says(client: httpx.Client, standin: StandIn, name: str) -> None:
    standin.fault(name)
    assert _spoilt(name)(send(client, "transcribe").content)


# memory


def test_counts_and_films_outlive_a_power_cut_where_there_is_a_state_file(tmp_path: Path) -> None:
    server = StandIn(state=str(tmp_path / "state.json"))
    try:
        with httpx.Client(base_url=server.base_url, trust_env=False, headers={"Authorization": f"Bearer {KEY}"}) as one:
            number = send(one, "make_video").json()["id"]
        server.stop()
        server.start()
        with httpx.Client(base_url=server.base_url, trust_env=False, headers={"Authorization": f"Bearer {KEY}"}) as two:
            assert two.get(f"/videos/{number}").json()["status"] == "pending"
        assert (server.paid("make_video"), server.count("poll")) == (1, 1)
    finally:
        server.stop()


def test_a_reset_forgets_everything_and_hangs_up(client: httpx.Client, standin: StandIn) -> None:
    standin.fault("500")
    send(client, "speak")
    standin.reset()
    assert standin.requests() == []
    assert send(client, "speak").status_code == 200


def test_latency_delays_every_answer(client: httpx.Client, standin: StandIn) -> None:
    standin.latency(0.1)
    started = time.monotonic()
    send(client, "speak")
    assert time.monotonic() - started >= 0.1
