"""What the openrouter driver reads from its settings: address, keys, headers, routing, prices, discovery."""

from decimal import Decimal

import msgspec
import pytest

from pipeline.children.lanes import Lanes
from pipeline.core.errors import ConfigError, RouteClosed
from pipeline.core.secret import Secret
from pipeline.routes import _remote
from pipeline.routes.openai import OpenAi
from pipeline.routes.openrouter import BASE_URL, KEY, OWN_HEADERS, REAL_HOSTS, OpenRouter, open_driver
from tests.exchanges import tools
from tests.routes.conftest import say
from tests.routes.remote import KEYS, Desk, ask, at, refused

OWN = {"HTTP-Referer": "https://example.org", "X-OpenRouter-Title": "spool", "X-OpenRouter-Categories": "cli-agent"}


def opened(lanes: Lanes, keys: dict[str, str] = KEYS, **changes: object) -> OpenRouter:
    return open_driver(msgspec.structs.replace(at("openrouter", None), **changes), tools(lanes, keys=keys))


def test_k8_without_an_address_the_public_api_is_meant() -> None:
    address = _remote.address_of(msgspec.structs.replace(at("openrouter", None), base_url=None), BASE_URL, REAL_HOSTS)
    assert (address.base_url, address.is_real) == ("https://openrouter.ai/api/v1", True)


@pytest.mark.parametrize(
    "base_url",
    [
        "http://127.0.0.1:99999/v1",
        "http://127.0.0.1:port/v1",
        "http://[::1/v1",
        "http://[not-an-address]/v1",
        "https://openrouter.ai/api/v1/chat/completions",
        "openrouter.ai/api/v1",
        "https://key@openrouter.ai/api/v1",
        "https://openrouter.ai/api/v1?key=x",
        "ftp://openrouter.ai",
    ],
)
def test_a_slip_in_the_address_is_told_and_not_tried(lanes: Lanes, base_url: str) -> None:
    with pytest.raises(ConfigError) as wrong:
        opened(lanes, base_url=base_url)
    assert wrong.value.hint
    assert "key@" not in wrong.value.message


async def test_a_slash_at_the_end_of_the_address_does_no_harm(desk: Desk) -> None:
    await desk.ask(desk.openrouter(base_url=f"{desk.standin.base_url}/"), say("Good morning."))
    assert desk.standin.count("speak") == 1


@pytest.mark.parametrize("base_url", ["http://openrouter.ai/api/v1", "https://openrouter.ai.example.org/v1"])
def test_g20_o20_v16_only_the_real_host_over_tls_is_the_real_host(base_url: str) -> None:
    route = msgspec.structs.replace(at("openrouter", None), base_url=base_url, key=None)
    assert not _remote.address_of(route, BASE_URL, REAL_HOSTS).is_real


FAR = (
    "api.example.com",
    "8.8.8.8",
    "[2a00::1]",
    "[::ffff:8.8.8.8]",
    "0x08080808",
    "134744072",
    "local.example.com",
    "gpu。example。com",
)
NEAR = (
    "localhost",
    "127.0.0.2",
    "10.1.2.3",
    "192.168.7.7",
    "100.101.102.103",
    "[::1]",
    "[fd00::1]",
    "gpu",
    "gpu.local",
    "gpu.home.arpa",
    "localhost.",
    "4090-box",
    "0.0.0.0",
    "[::]",
    "[::ffff:192.168.7.7]",
    "[fe80::1%eth0]",
)


@pytest.mark.parametrize("host", FAR)
def test_a_key_is_not_sent_in_plain_text_over_networks_of_others(lanes: Lanes, host: str) -> None:
    for named in ({"key": "TEST_KEY"}, {"key": None, "options": {"key.speak": "TEST_KEY"}}):
        with pytest.raises(ConfigError, match="unencrypted") as wrong:
            opened(lanes, base_url=f"http://{host}/v1", **named)
        assert "https://" in wrong.value.hint
        assert 'key_over_http = "true" into [routes.openrouter.options]' in wrong.value.hint
    opened(lanes, base_url=f"http://{host}/v1", key=None)
    opened(lanes, base_url=f"http://{host}/v1", options={"key_over_http": "true"})
    opened(lanes, base_url=f"https://{host}/v1")


@pytest.mark.parametrize("host", NEAR)
def test_a_key_goes_in_plain_text_to_a_server_of_ones_own(lanes: Lanes, host: str) -> None:
    opened(lanes, base_url=f"http://{host}:8000/v1")


@pytest.mark.parametrize(("base_url", "expected"), [(None, OWN), ("http://127.0.0.1:9/api/v1", {})])
def test_g19_g20_o19_o20_t33_v16_attribution_goes_to_the_real_host_and_nowhere_else(
    base_url: str | None, expected: dict[str, str]
) -> None:
    route = msgspec.structs.replace(at("openrouter", None), base_url=base_url, headers={**OWN, "X-Team": "spool"})
    address = _remote.address_of(route, BASE_URL, REAL_HOSTS)
    assert _remote.headers_of(route, address, own=OWN_HEADERS) == {**expected, "X-Team": "spool"}


async def test_g20_v16_a_foreign_server_sees_no_special_header_and_no_cache_mark(desk: Desk) -> None:
    driver = desk.openrouter(headers=OWN, options={"response_cache": "true"})
    await desk.ask(driver, ask(), "anthropic/claude-sonnet-4")
    seen = desk.standin.requests("complete")[-1]
    assert not [name for name in OWN_HEADERS if name in str(seen["headers"]).lower()]
    assert "cache_control" not in str(seen["fields"])


@pytest.mark.parametrize("name", ["Authorization", "api-key", "Cookie"])
def test_a_key_is_never_taken_from_a_header_of_the_settings(lanes: Lanes, name: str) -> None:
    with pytest.raises(ConfigError, match="not set by hand"):
        opened(lanes, headers={name: "sk-or-v1-abc"})


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, {}),
        ({"response_cache": "true"}, {"X-OpenRouter-Cache": "true"}),
        (
            {"responseCache": "true", "responseCacheTtlSeconds": "300", "responseCacheClear": "true"},
            {"X-OpenRouter-Cache": "true", "X-OpenRouter-Cache-TTL": "300", "X-OpenRouter-Cache-Clear": "true"},
        ),
    ],
)
def test_v17_v18_v19_v20_the_response_cache_is_asked_for_only_where_the_settings_say_so(
    lanes: Lanes, options: dict[str, str], expected: dict[str, str]
) -> None:
    assert opened(lanes, base_url=None, options=options)._cache_headers() == expected


@pytest.mark.parametrize(
    ("present", "found"),
    [
        ({"TTS": "one", "TEST_KEY": "two", KEY: "three"}, "one"),
        ({"TEST_KEY": "two", KEY: "three"}, "two"),
        ({KEY: "three"}, "three"),
        ({}, None),
    ],
)
def test_g6_g17_o6_o17_v14_t5_keys_are_looked_for_in_order(
    lanes: Lanes, present: dict[str, str], found: str | None
) -> None:
    find = _remote.key_of(at("openrouter", None), tools(lanes, keys=present), first="TTS", default=KEY)
    secret = find()
    assert (secret.reveal() if secret else None) == found


async def test_g17_speech_uses_its_own_key_where_there_is_one(desk: Desk) -> None:
    driver = desk.openrouter(key=None, options={"key.speak": "TEST_KEY"})
    await desk.ask(driver, say("Good morning."))
    assert desk.standin.count("speak") == 1


async def test_k5_g18_o18_the_key_goes_as_a_bearer_token(desk: Desk) -> None:
    await desk.ask(desk.openrouter(), say("Good morning."))
    assert desk.standin.requests("speak")[0]["key"] == "right"


@pytest.mark.parametrize("dialect", ["openrouter", "openai"])
async def test_k5_nothing_is_sent_without_the_key_that_the_settings_name(desk: Desk, dialect: str) -> None:
    def opened(**options: str) -> OpenRouter | OpenAi:
        open_one = desk.openrouter if dialect == "openrouter" else desk.openai
        return open_one(key="NO_SUCH_KEY", options=options)

    with pytest.raises(RouteClosed, match="there is no key NO_SUCH_KEY"):
        await desk.ask(opened(), say("Good morning."))
    assert desk.standin.count("speak") == 0
    await desk.ask(opened(**{"key.speak": "TEST_KEY"}), say("Good morning."))


def test_the_usual_key_is_not_offered_to_a_foreign_server(lanes: Lanes) -> None:
    health = opened(lanes, keys={KEY: "sk-or-v1-abc"}, key=None).probe()
    assert "without a key" in health.details


def test_k5_without_a_key_the_real_host_is_not_ready_and_the_hint_names_the_key(lanes: Lanes) -> None:
    health = opened(lanes, base_url=None, keys={}, key=None).probe()
    assert not health.ok
    assert KEY in health.hint


def test_t32_a_key_prints_as_stars(lanes: Lanes) -> None:
    driver = opened(lanes, keys={"TEST_KEY": "sk-or-v1-abc"})
    assert "sk-or-v1-abc" not in f"{vars(driver)} {Secret('sk-or-v1-abc')!r} {driver.probe()}"


@pytest.mark.parametrize("routing", ['["together", "groq"]', '{"order": ["together"], "allow_fallbacks": true}'])
def test_t12_g25_o25_v26_routing_is_sent_with_the_models_requests(lanes: Lanes, routing: str) -> None:
    driver = opened(lanes, routing={"openai/gpt-5.4-mini": routing})
    told = _remote.routing_of(driver.route, "openai/gpt-5.4-mini")
    assert told["order"]


async def test_t19_a_list_of_providers_is_an_order_without_fallbacks(desk: Desk) -> None:
    driver = desk.openrouter(routing={"openai/gpt-5.4-mini": '["together", "groq"]'})
    await desk.ask(driver, ask())
    assert desk.sent("complete")["provider"] == {"order": ["together", "groq"], "allow_fallbacks": False}


@pytest.mark.parametrize("routing", ["[]", '[""]', '[" "]', '{"order": []}', '{"only": [1]}'])
def test_t14_a_routing_names_at_least_one_provider(lanes: Lanes, routing: str) -> None:
    with pytest.raises(ConfigError, match="names no provider"):
        opened(lanes, routing={"openai/gpt-5.4-mini": routing})


@pytest.mark.parametrize("routing", ["not json", "3", '{"ordre": ["together"]}'])
def test_a_routing_that_cannot_be_read_is_told_when_the_route_is_opened(lanes: Lanes, routing: str) -> None:
    with pytest.raises(ConfigError):
        opened(lanes, routing={"openai/gpt-5.4-mini": routing})


def test_a_routing_that_speech_would_not_obey_is_refused(lanes: Lanes) -> None:
    driver = opened(lanes, routing={"hexgrad/kokoro-82m": '["together"]'})
    assert refused(driver, say("Good morning.")) == ["operation-unsupported"]


def test_t22_without_a_price_the_estimate_is_unknown_and_not_zero(lanes: Lanes) -> None:
    driver = opened(lanes)
    assert driver.estimate(say("Good morning."), driver.bind("speak", None)).usd is None


def test_t4_the_settings_prices_make_an_estimate(lanes: Lanes) -> None:
    driver = opened(lanes, prices={"speak character": "0.000004"})
    assert driver.estimate(say("ten chars."), driver.bind("speak", None)).usd == Decimal("0.00004")


@pytest.mark.parametrize("prices", [{"speak letter": "1"}, {"speak character": "cheap"}, {"speak character": "-1"}])
def test_a_price_that_cannot_be_used_is_told_when_the_route_is_opened(lanes: Lanes, prices: dict[str, str]) -> None:
    with pytest.raises(ConfigError):
        opened(lanes, prices=prices)


@pytest.mark.parametrize(("base_url", "mode"), [(None, "best-effort"), ("http://127.0.0.1:9/api/v1", "off")])
def test_k17_discovery_is_best_effort_on_the_real_host_and_off_elsewhere(
    lanes: Lanes, base_url: str | None, mode: str
) -> None:
    assert opened(lanes, base_url=base_url).catalogue.mode == mode


@pytest.mark.parametrize("mode", ["off", "best-effort", "required"])
def test_k16_discovery_follows_the_settings(lanes: Lanes, mode: str) -> None:
    assert opened(lanes, discovery=mode).catalogue.mode == mode


def test_an_origin_of_results_without_its_scheme_is_refused_before_anything_is_paid(lanes: Lanes) -> None:
    with pytest.raises(ConfigError, match=r"result_origins of route .* has '127\.0\.0\.1:9000'"):
        opened(lanes, options={"result_origins": "http://127.0.0.1:8000 127.0.0.1:9000"})
