"""Settings: what a person may write, what wins over what, and that a secret is never shown."""

import copy
import json
import os
import pickle
import traceback
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.drivers import Timeouts
from pipeline.core.errors import ConfigError
from pipeline.core.model import RouteId
from pipeline.core.secret import Secret
from pipeline.state.settings import (
    GROUPS,
    Settings,
    expand_routes,
    find_secret,
    load_settings,
    route_configs,
    settings_path,
    settings_schema,
)

Load = Callable[..., Settings]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Load settings from a text, with an environment."""

    def from_text(text: str, **environ: str) -> Settings:
        path = tmp_path / "mediaspool.toml"
        path.write_text(text, encoding="utf-8")
        return load_settings(str(path), {"HOME": str(tmp_path), **environ})

    return from_text


# files and precedence


def test_without_any_file_the_defaults_stand(tmp_path: Path) -> None:
    assert load_settings(None, {"HOME": str(tmp_path)}) == Settings()


def test_the_embedded_routes_are_the_default() -> None:
    assert Settings().default_route == ("local",)


def test_the_flag_wins_over_the_environment_and_that_over_the_users_own_file(tmp_path: Path) -> None:
    environ = {"HOME": "/h", "XDG_CONFIG_HOME": "/c", "MEDIASPOOL_CONFIG": "/e.toml"}
    assert settings_path("/f.toml", environ) == "/f.toml"
    assert settings_path(None, environ) == "/e.toml"
    del environ["MEDIASPOOL_CONFIG"]
    assert settings_path(None, environ) == "/c/mediaspool/mediaspool.toml"
    environ["XDG_CONFIG_HOME"] = "relative/is/ignored"
    assert settings_path(None, environ) == "/h/.config/mediaspool/mediaspool.toml"


def test_a_named_file_that_is_missing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        load_settings(str(tmp_path / "none.toml"), {})
    with pytest.raises(ConfigError, match="does not exist"):
        load_settings(None, {"MEDIASPOOL_CONFIG": str(tmp_path / "none.toml")})


def test_the_environment_overrides_single_values_of_the_file(load: Load) -> None:
    found = load(
        'low_disk_mb = 1\n[debug]\nlevel = "off"\nmax_kb = 7\n[limits]\nmax_pages = 9',
        MEDIASPOOL_LOW_DISK_MB="2",
        MEDIASPOOL_DEBUG_LEVEL="redacted",
        MEDIASPOOL_LIMITS_MAX_INPUT_MB="5.5",
        MEDIASPOOL_ROOTS="/a, /b",
        MEDIASPOOL_DOUBT_PER_CALL_USD="0.03",
    )
    assert (found.low_disk_mb, found.debug.level, found.debug.max_kb) == (2, "redacted", 7)
    assert (found.limits.max_input_mb, found.limits.max_pages) == (5.5, 9)
    assert (found.roots, found.doubt_per_call_usd) == (("/a", "/b"), Decimal("0.03"))


def test_a_key_in_the_environment_starts_nothing(load: Load) -> None:
    found = load("", MEDIASPOOL_OPENROUTER_KEY="sk-secret", OPENAI_API_KEY="sk-secret")
    assert found == Settings()


def test_money_is_exact(load: Load) -> None:
    assert load("doubt_per_run_usd = 0.1").doubt_per_run_usd == Decimal("0.1")


def test_one_limit_in_the_file_leaves_the_other_defaults(load: Load) -> None:
    limits = load("[limits]\nmax_audio_minutes_per_file = 2").job_limits
    assert (limits.max_seconds, limits.max_input_bytes, limits.max_job_s) == (120.0, 2_000_000_000, 43_200.0)


def test_a_relative_root_starts_from_the_folder_of_the_settings(tmp_path: Path) -> None:
    (tmp_path / "mediaspool.toml").write_text('roots = [".", "../beside", "/abs"]')
    found = load_settings(str(tmp_path / "mediaspool.toml"), {})
    assert found.roots == (str(tmp_path), str(tmp_path.parent / "beside"), "/abs")


# what is refused

WRONG = [
    ("rots = []", "rots", "did you mean 'roots'"),
    ("[limits]\nmax_input = 3", "limits.max_input", "did you mean 'max_input_mb'"),
    ("[routes.x]\ndriver = 'a'\nbase_uri = ''", "routes.x.base_uri", "did you mean 'base_url'"),
    ("[routes.x]\ndriver = 'a'\n[routes.x.limits]\npages = 1", "routes.x.limits.pages", "max_pages"),
    ("zzz = 1", "zzz", "there are:"),
    ("low_disk_mb = 'much'", "low_disk_mb", ""),
    ("[debug]\nlevel = 'loud'", "level", ""),
    ("debug = 3", "debug", ""),
    ("routes = 3", "routes", ""),
    ("[limits]\nmax_pages = 0", "max_pages", ""),
    ("[limits]\nmax_input_mb = inf", "max_input_mb", ""),
    ("manifest_settle = 'soon'", "'soon' is not a duration", "30s"),
    ("[routes.x]\ndriver = 'a'\ncall_timeout = 'soon'", "'soon' is not a duration", ""),
    ("[routes.x]\ndriver = 'a'\ncall_timeouts = {make_image = 'soon'}", "'soon' is not a duration", ""),
    ("[routes.x]\ndriver = 'a'\ncall_timeouts = {make_images = '1m'}", "names no operation", "make_image"),
    ("doubt_per_call_usd = -1", "doubt allowance", ""),
    ("default_route = ['wisper']", "no route 'wisper'", "did you mean 'whisper'"),
    ("[routes.x]\nwidth = 2", "names no driver", "routes.x"),
    ("[routes.x]\ndriver = 'a'\nwidth = 0", "width", ""),
    ("[routes.local]\ndriver = 'a'", "'local' cannot be", ""),
    ("[routes.'a/b']\ndriver = 'a'", "'a/b' cannot be", ""),
    ("[routes.x]\ndriver = 'a'\ntimeouts.idel = '1s'", "routes.x.timeouts.idel", "did you mean 'idle'"),
    ("[routes.x]\ndriver = 'a'\ntimeouts.idle = 'soon'", "'soon' is not a duration", ""),
    ("[routes.x]\ndriver = 'a'\ncan.speek = false", "names no operation: speek", "did you mean 'speak'"),
    ("[routes.x]\ndriver = 'a'\nmodels.image = 'm'", "names no operation: image", "make_image"),
    ("[routes.x]\ndriver = 'a'\ndiscovery = 'always'", "discovery", ""),
    ("[routes.x]\ndriver = 'a'\nheaders.'A b' = '1'", "header 'A b'", "without spaces"),
    ('[routes.x]\ndriver = "a"\nheaders.A = "1\\r\\nB: 2"', "header 'A'", "one line"),
    ("[routes.x]\ndriver = 'a'\nprices.'speak character' = -1", "the price of 'speak character'", "amount"),
    ("[routes.x]\ndriver = 'a'\nprices.'speak character' = inf", "the price of 'speak character'", "amount"),
    ("[routes.x]\ndriver = 'a'\nrouting.m = 'azure'", "routing", ""),
    ("[routes.x]\ndriver = 'a'\nrouting.m.order = [nan]", "routing", ""),
    ("a = ", "not TOML", ""),
    ("a = 1\na = 2", "not TOML", ""),
]


@pytest.mark.parametrize(("text", "what", "hint"), WRONG)
def test_a_mistake_is_named_with_a_way_out(load: Load, text: str, what: str, hint: str) -> None:
    with pytest.raises(ConfigError) as error:
        load(text)
    assert what in error.value.message
    assert hint in error.value.hint


def test_a_wrong_value_names_the_route_that_has_it(load: Load) -> None:
    routes = '[routes.good]\ndriver = "loopback"\n[routes.bad]\ndriver = "loopback"\n[routes.bad.rates]\n'
    with pytest.raises(ConfigError, match=r"wrong: routes\.bad\.rates\.requests_per_day is not a number above 0$"):
        load(f"{routes}requests_per_day = 0")


def test_a_wrong_value_in_the_environment_names_its_variable(load: Load) -> None:
    with pytest.raises(ConfigError, match=r"^MEDIASPOOL_LOW_DISK_MB is text, not a whole number$"):
        load("", MEDIASPOOL_LOW_DISK_MB="much")


def test_a_cap_with_a_slip_in_the_name_of_its_variable_is_refused_and_a_secret_is_not(load: Load) -> None:
    with pytest.raises(ConfigError, match=r"MEDIASPOOL_CAPS_MAX_SPEND_USD_PER_DAYS$") as error:
        load("", MEDIASPOOL_CAPS_MAX_SPEND_USD_PER_DAYS="5")
    assert "MEDIASPOOL_CAPS_MAX_SPEND_USD_PER_DAY" in error.value.hint
    load('[notify]\nping_key = "MEDIASPOOL_NOTIFY_PING"', MEDIASPOOL_NOTIFY_PING_FILE="/key", MEDIASPOOL_OTHER="x")


def test_a_key_written_into_the_settings_is_refused_without_repeating_it(load: Load) -> None:
    with pytest.raises(ConfigError, match="not the name of a secret") as error:
        load("[routes.x]\ndriver = 'a'\nkey = 'sk-or-v1-abc'")
    assert "sk-or" not in str(error.value) + error.value.hint


@pytest.mark.parametrize("body", [b"\xff\xfe", b"a = " + b"[" * 100_000, b"# " + b"x" * 1_000_001], ids=len)
def test_a_file_that_is_no_settings_file_is_refused(tmp_path: Path, body: bytes) -> None:
    path = tmp_path / "x.toml"
    path.write_bytes(body)
    with pytest.raises(ConfigError):
        load_settings(str(path), {})


def test_a_byte_order_mark_is_tolerated(load: Load) -> None:
    assert load("\ufefflow_disk_mb = 3").low_disk_mb == 3


KEYS = st.sampled_from(["roots", "limits", "routes", "debug", "manifest_settle", "low_disk_mb", "x", "driver"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(KEYS, VALUES, max_size=4))
@settings(max_examples=150)
def test_any_content_loads_or_is_a_config_error(
    tmp_path_factory: pytest.TempPathFactory, body: dict[str, object]
) -> None:
    path = tmp_path_factory.mktemp("settings") / "x.toml"
    path.write_text("\n".join(_toml(body)), encoding="utf-8", errors="replace")
    try:
        found: Settings | None = load_settings(str(path), {})
    except ConfigError:
        found = None
    assert found is None or found.job_limits.max_job_s


def _toml(body: dict[str, object]) -> list[str]:
    """Inline TOML; JSON's strings, numbers and lists are TOML's own, tables are not."""
    return [f"{key} = {_inline(value)}" for key, value in body.items()]


def _inline(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_inline(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_inline(inner) for inner in value) + "]"
    return '""' if value is None else msgspec.json.encode(value).decode().replace("null", "nan")


# routes


def test_the_built_in_routes_are_the_embedded_engines() -> None:
    configs = route_configs(Settings())
    assert {name: config.driver for name, config in configs.items()} == {name: name for name in GROUPS["local"]}
    assert configs[RouteId("pico")].width == 2


def test_engine_routes_are_as_wide_as_there_are_engine_workers(load: Load) -> None:
    assert route_configs(load("[engines]\nworkers = 3"))[RouteId("whisper")].width == 3
    assert route_configs(Settings(), engine_workers=5)[RouteId("hibari")].width == 5


def test_a_table_overrides_single_fields_of_a_built_in_route(load: Load) -> None:
    text = "[routes.whisper]\nwidth = 1\ncall_timeout = '5m'\nmodels = {transcribe = 'tiny.en'}\n"
    config = route_configs(load(text + "[routes.whisper.limits]\nmax_audio_minutes_per_file = 1"))[RouteId("whisper")]
    assert (config.driver, config.width, config.call_timeout_s) == ("whisper", 1, 300.0)
    assert (config.models, config.limits.max_seconds) == ({"transcribe": "tiny.en"}, 60.0)


def test_a_new_route_carries_what_its_table_says(load: Load) -> None:
    text = "[routes.mine]\ndriver = 'openai'\nbase_url = 'http://localhost'\nkey = 'MY_KEY'\noptions = {a = 'b'}"
    config = route_configs(load(text))[RouteId("mine")]
    assert (config.driver, config.base_url, config.key, config.options) == (
        "openai",
        "http://localhost",
        "MY_KEY",
        {"a": "b"},
    )


REMOTE = """
[routes.mine]
driver = "openrouter"
models = { speak = "vendor/voice" }
aliases = { tts-1 = "vendor/voice" }
can = { make_video = false }
timeouts = { connect = "5s", total = "1h" }
headers = { X-Title = "notes" }
call_timeouts = { make_image = "180s" }
prices = { "speak character" = 0.000015, "transcribe second" = "0.0001" }
capabilities = { "vendor/voice" = "mp3 wav" }
discovery = "required"
[routes.mine.routing]
"vendor/one" = { order = ["azure"], allow_fallbacks = false }
"vendor/two" = ["azure", "other"]
"""


def test_a_remote_route_carries_what_its_table_says(load: Load) -> None:
    """K3, O11: a route is a table, with deadlines of its own."""
    config = route_configs(load(REMOTE))[RouteId("mine")]
    assert config.timeouts == Timeouts(connect_s=5, first_byte_s=300, idle_s=60, total_s=3600)
    assert config.call_timeouts_s == {"make_image": 180.0}
    assert (config.models, config.aliases) == ({"speak": "vendor/voice"}, {"tts-1": "vendor/voice"})
    assert (config.can, config.headers, config.discovery) == ({"make_video": False}, {"X-Title": "notes"}, "required")
    assert config.prices == {"speak character": "0.000015", "transcribe second": "0.0001"}
    assert config.capabilities == {"vendor/voice": "mp3 wav"}
    assert {model: json.loads(text) for model, text in config.routing.items()} == {
        "vendor/one": {"order": ["azure"], "allow_fallbacks": False},
        "vendor/two": ["azure", "other"],
    }


def test_timeouts_of_settings_and_routes_have_the_same_defaults(load: Load) -> None:
    assert route_configs(load("[routes.mine]\ndriver = 'a'"))[RouteId("mine")].timeouts == Timeouts()


def test_no_value_of_a_header_is_repeated_in_an_error(load: Load) -> None:
    with pytest.raises(ConfigError) as error:
        load('[routes.x]\ndriver = "a"\nheaders.A = "sk-secret\\n"')
    assert "sk-secret" not in str(error.value) + error.value.hint


def test_a_group_is_written_out_and_repeats_are_dropped() -> None:
    configs = route_configs(Settings())
    assert expand_routes(("pico", "local", "whisper/tiny.en"), configs) == (
        "pico",
        *(route for route in GROUPS["local"] if route != "pico"),
        "whisper/tiny.en",
    )


@pytest.mark.parametrize("name", ["locl", "locl/base", "local/base", ""])
def test_an_unknown_route_has_its_own_code(name: str) -> None:
    with pytest.raises(ConfigError) as error:
        expand_routes((name,), route_configs(Settings()))
    assert error.value.code == "route-unknown"


# schema


def test_the_schema_knows_every_key() -> None:
    text = msgspec.json.encode(settings_schema()).decode()
    assert all(f'"{name}"' in text for name in Settings.__struct_fields__)


# secrets


def test_a_secret_comes_from_the_credentials_first_then_its_file_then_the_variable(tmp_path: Path) -> None:
    (tmp_path / "KEY").write_text("credential\n")
    (tmp_path / "file").write_text("file\r\n")
    (tmp_path / "file").chmod(0o600)
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path), "KEY_FILE": str(tmp_path / "file"), "KEY": "variable"}
    found = []
    for gone in ("CREDENTIALS_DIRECTORY", "KEY_FILE", "KEY"):
        secret = find_secret("KEY", environ)
        found.append(secret.reveal() if secret else None)
        del environ[gone]
    assert found == ["credential", "file", "variable"]
    assert find_secret("KEY", environ) is None


def test_a_secret_is_never_shown() -> None:
    secret = Secret("hunter2")
    shown = [repr(secret), str(secret), f"{secret}", f"{secret!r:>40}", repr([secret]), repr({"k": secret})]
    assert not any("hunter2" in text for text in shown)


@pytest.mark.parametrize("take", [pickle.dumps, copy.copy, copy.deepcopy])
def test_a_secret_is_not_copied_elsewhere(take: Callable[[Secret], object]) -> None:
    with pytest.raises(TypeError):
        take(Secret("hunter2"))


def test_a_traceback_with_a_secret_among_its_locals_does_not_show_it() -> None:
    def fail(secret: Secret) -> None:
        raise ValueError(str(secret))

    value = "".join(("hun", "ter", "2"))  # whole only at run time: a traceback also quotes the source
    with pytest.raises(ValueError) as error:
        fail(Secret(value))
    trace = error.value.__traceback__
    assert trace is not None
    shown = traceback.TracebackException(ValueError, error.value, trace.tb_next, capture_locals=True)
    assert "secret = Secret(********)" in "".join(shown.format())
    assert value not in "".join(shown.format())


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660])
def test_a_key_file_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "key"
    path.write_text("hunter2")
    path.chmod(mode)
    with pytest.raises(ConfigError, match="open to others") as error:
        find_secret("KEY", {"KEY_FILE": str(path)})
    assert "hunter2" not in str(error.value)


@pytest.mark.parametrize("body", [b"", b"\n", b"a\nb", b"\xff", b"a\x00b"])
def test_a_key_file_with_anything_but_one_key_is_refused_and_not_shown(tmp_path: Path, body: bytes) -> None:
    path = tmp_path / "key"
    path.write_bytes(body)
    path.chmod(0o600)
    with pytest.raises(ConfigError, match="KEY"):
        find_secret("KEY", {"KEY_FILE": str(path)})


def test_a_missing_key_file_is_an_error_not_a_missing_key(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        find_secret("KEY", {"KEY_FILE": os.fspath(tmp_path / "none"), "KEY": "fallback"})


def test_a_queue_of_long_recordings_does_not_run_into_the_deadline_of_an_embedded_route(load: Load) -> None:
    """Waiting for a child counts towards a call; what hangs is ended by the child's own deadline."""
    configs = route_configs(load('[routes.far]\ndriver = "openai"\nbase_url = "http://127.0.0.1:9/v1"\n'))
    assert configs[RouteId("whisper")].call_timeout_s == 12 * 3600.0
    assert configs[RouteId("far")].call_timeout_s == 3600.0
