"""Notices over real HTTP on loopback: what arrives, how often, signed by whom; and what a deaf server costs."""

import hashlib
import hmac
import json
from collections.abc import Awaitable, Callable

import pytest
import trio

from pipeline.core.errors import ConfigError, MediaspoolError
from pipeline.core.notices import Event, Notice, NotifyTable, event_of, hook_body
from pipeline.core.secret import Secret
from pipeline.routes._guard import Resolve, resolve
from pipeline.routes.notify import LOOK_S, NOTICE_S, TRIES, Notifier
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


async def found_by(table: NotifyTable, secrets: dict[str, str], how: Resolve = resolve) -> list[MediaspoolError]:
    def find_key(name: str) -> Secret | None:
        return Secret(secrets[name]) if name in secrets else None

    notifier = Notifier(table, find_key=find_key, safe=lambda text: text, resolve=how)
    try:
        return await notifier.look()
    finally:
        await notifier.aclose()


async def looked(address: str, *, addresses: tuple[str, ...] | None = ("1.1.1.1",), **fields: object) -> list[str]:
    """What is found of a ping at this address, where the name service tells these addresses, nothing or never."""

    async def tell(_host: str, _port: int) -> list[str]:
        await trio.lowlevel.checkpoint()
        if addresses is None:
            await trio.sleep_forever()
        if not addresses:
            raise OSError("Name or service not known")
        return list(addresses)

    table = NotifyTable(**{"ping_key": "PING", **fields})  # type: ignore[arg-type]
    secrets = {"PING": address, "HOOK": "https://hooks.example.com/t0k3n"}
    errors = await found_by(table, secrets, tell)
    assert "uuid" not in " ".join(f"{error.message} {error.hint}" for error in errors)
    return [f"{error.code}: {error.message}" for error in errors]


async def test_a_look_at_notices_that_can_leave_finds_nothing_and_sends_nothing() -> None:
    async with serving(always(200)) as server:
        origin = f"http://127.0.0.1:{server.port}"
        assert await looked(f"{origin}/uuid", addresses=("127.0.0.1",), origins=(origin,)) == []
        assert await looked("https://pings.example.com/uuid", webhook_key="HOOK") == []
    assert server.connections == 0


@pytest.mark.parametrize(
    ("address", "addresses", "found"),
    [
        ("pings.example.com/uuid", ("1.1.1.1",), "config-invalid: the secret PING holds no http or https address"),
        (
            "https://me:uuid@a.example.com",
            ("1.1.1.1",),
            "config-invalid: the secret PING holds an address with a user in it",
        ),
        ("http://pings.example.com/uuid", ("1.1.1.1",), "config-invalid: the secret PING holds no https address"),
        ("https://10.0.0.1/uuid", ("10.0.0.1",), "config-invalid: the ping would go to no public address"),
        ("https://pings.example.com/uuid", ("10.0.0.1",), "config-invalid: the ping would go to no public address"),
        ("https://pings.example.com/uuid", (), "unreachable: the host of the ping is not known to the name service"),
    ],
)
async def test_a_look_at_notices_finds_an_address_that_nothing_would_reach(
    address: str, addresses: tuple[str, ...], found: str
) -> None:
    assert await looked(address, addresses=addresses) == [found]


async def test_a_name_that_cannot_be_one_is_not_asked_for() -> None:
    (error,) = await found_by(NotifyTable(ping_key="PING"), {"PING": "https://a..example.com/uuid"})
    assert error.code == "unreachable"


async def test_a_name_service_that_never_answers_is_not_waited_for(autojump_clock: trio.abc.Clock) -> None:
    found = await looked("https://pings.example.com/uuid", addresses=None)
    assert found == ["unreachable: the name service did not answer for the host of the ping"]
    assert trio.current_time() == LOOK_S


async def test_a_look_at_notices_finds_every_secret_that_is_lacking() -> None:
    found = await looked("https://a.example.com/uuid", ping_key="GONE", webhook_key="HOOK", webhook_secret="SIGN")
    assert found == ["config-invalid: there is no secret GONE", "config-invalid: there is no secret SIGN"]
