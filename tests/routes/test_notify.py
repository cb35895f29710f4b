"""Notices over real HTTP on loopback: what arrives, how often, signed by whom; and what a deaf server costs."""

import hashlib
import hmac
import json
from collections.abc import Awaitable, Callable

import pytest
import trio

from pipeline.core.errors import ConfigError
from pipeline.core.notices import Event, Notice, NotifyTable, event_of, hook_body
from pipeline.core.secret import Secret
from pipeline.routes.notify import NOTICE_S, TRIES, Notifier
from tests.routes.servers import Heard, Server, answer, serving

pytestmark = pytest.mark.real_time
SECRETS = {"PING": "", "HOOK": "", "SIGN": "a-signing-key"}


def notice(event: Event = "success", **fields: object) -> Notice:
    plain = {"run": "r1", "started_at": "2026-01-01T00:00:00+00:00", "exit_code": 0, "summary": "3 done; exit code 0"}
    return Notice(event=event, **{**plain, **fields})  # type: ignore[arg-type]  # makers take what a notice takes


async def told(server: Server, what: Notice, *, base: str = "/ping/0123-uuid", **fields: object) -> list[str]:
    origin = f"http://127.0.0.1:{server.port}"
    secrets = {**SECRETS, "PING": f"{origin}{base}", "HOOK": f"{origin}/hook?token=t0k3n"}
    table = NotifyTable(**{"ping_key": "PING", "origins": (origin,), **fields})  # type: ignore[arg-type]
    notifier = Notifier(table, find_key=lambda name: Secret(secrets[name]), safe=lambda text: text)
    try:
        return await notifier.tell(what)
    finally:
        await notifier.aclose()


def always(status: int) -> Callable[[Heard, trio.SocketStream], Awaitable[bytes | None]]:
    async def tell(_heard: Heard, _stream: trio.SocketStream) -> bytes:
        await trio.lowlevel.checkpoint()
        return answer(b"OK", status=status, kind="text/plain")

    return tell


@pytest.mark.parametrize(("event", "path"), [("start", "/start"), ("success", ""), ("fail", "/fail"), ("log", "/log")])
async def test_each_event_has_its_own_ping(event: Event, path: str) -> None:
    async with serving(always(200)) as server:
        assert await told(server, notice(event)) == []
    (heard,) = server.heard
    assert (heard.method, heard.target) == ("POST", f"/ping/0123-uuid{path}")
    assert heard.body == b"3 done; exit code 0"
    assert "authorization" not in heard.headers


async def test_a_busy_server_is_asked_a_few_times_and_no_more() -> None:
    async with serving(always(503)) as server:
        lost = await told(server, notice())
    assert lost == ["the ping did not get through: status 503"]
    assert len(server.heard) == TRIES


async def test_a_server_that_refuses_is_asked_once_and_its_address_is_told_to_nobody() -> None:
    async with serving(always(404)) as server:
        lost = await told(server, notice())
    assert len(server.heard) == 1
    assert lost == ["the ping did not get through: status 404"]


async def test_a_server_that_never_answers_costs_no_more_than_the_bound(autojump_clock: trio.abc.Clock) -> None:
    """On the virtual clock: the connection stands, and then nothing comes."""
    started = trio.current_time()

    async def silent(_heard: Heard, _stream: trio.SocketStream) -> bytes | None:
        await trio.sleep_forever()

    async with serving(silent) as server:
        lost = await told(server, notice())
    assert trio.current_time() - started <= NOTICE_S + 1
    assert len(lost) == 1


async def test_a_webhook_is_signed_over_time_and_body_and_has_an_id() -> None:
    async with serving(always(204)) as server:
        assert await told(server, notice(has_news=True), ping_key=None, webhook_key="HOOK", webhook_secret="SIGN") == []
    (heard,) = server.heard
    signed = f"{heard.headers['x-mediaspool-timestamp']}.".encode() + heard.body
    expected = hmac.new(b"a-signing-key", signed, hashlib.sha256).hexdigest()
    assert heard.headers["x-mediaspool-signature"] == f"sha256={expected}"
    assert heard.headers["x-mediaspool-delivery"] == "r1-success"
    assert json.loads(heard.body)["counts"] == {}


@pytest.mark.parametrize(
    ("when", "fields", "count"),
    [
        ("always", {}, 1),
        ("news", {}, 0),
        ("news", {"has_news": True}, 1),
        ("problems", {"has_news": True}, 0),
        ("problems", {"exit_code": 3}, 1),
    ],
)
async def test_a_webhook_is_sent_when_it_is_wanted(when: str, fields: dict[str, object], count: int) -> None:
    async with serving(always(200)) as server:
        await told(server, notice(**fields), ping_key=None, webhook_key="HOOK", webhook_when=when)  # type: ignore[arg-type]
    assert len(server.heard) == count


async def test_no_notice_goes_to_an_address_of_this_network_unless_its_origin_is_named() -> None:
    async with serving(always(200)) as server:
        lost = await told(server, notice(), origins=())
    assert server.connections == 0
    assert len(lost) == 1
    assert "uuid" not in lost[0]


async def test_a_host_of_ones_own_that_hangs_up_is_told_with_its_scheme() -> None:
    async def hang_up(_heard: Heard, _stream: trio.SocketStream) -> bytes | None:
        await trio.lowlevel.checkpoint()
        return None

    async with serving(hang_up) as server:
        (lost,) = await told(server, notice())
    assert "(http://127.0.0.1)" in lost
    assert "uuid" not in lost


async def test_a_missing_secret_is_named_and_nothing_is_sent() -> None:
    notifier = Notifier(NotifyTable(ping_key="PING"), find_key=lambda _name: None, safe=lambda text: text)
    assert await notifier.tell(notice()) == ["the ping did not get through: there is no secret PING"]


def test_a_template_takes_fields_as_json() -> None:
    body = hook_body('{"text": $summary, "code": $exit_code}', notice(summary='he said "no"\n'))
    assert json.loads(body) == {"text": 'he said "no"\n', "code": 0}


@pytest.mark.parametrize("template", ['{"text": $nothing}', '{"text": "$summary"}', "$", "not json"])
def test_a_template_that_makes_no_json_is_refused(template: str) -> None:
    with pytest.raises(ConfigError):
        hook_body(template, notice())


@pytest.mark.parametrize(("code", "event"), [(0, "success"), (4, "success"), (3, "fail"), (74, "fail"), (143, "log")])
def test_the_exit_code_decides_what_is_told(code: int, event: str) -> None:
    assert event_of(code) == event
