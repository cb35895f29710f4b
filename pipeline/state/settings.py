"""Settings: one TOML file, single values from the environment, and the routes they make with the built-in ones.

Strict: an unknown key is refused with the nearest known one. A secret is never a setting; settings name it, and
`find_secret` fetches it late into a value that prints stars. Reads files, writes none, decides nothing about jobs.
"""

import os
import pwd
import stat
import tomllib
from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from pipeline.core.choices import complaint
from pipeline.core.confine import display
from pipeline.core.decoding import from_plain
from pipeline.core.drivers import RouteConfig
from pipeline.core.errors import ConfigError
from pipeline.core.limits import parse_duration
from pipeline.core.model import Limits, RouteId
from pipeline.core.notices import MetricsTable, NotifyTable, check_notify
from pipeline.core.secret import Secret
from pipeline.state.pace_tables import PERIODS, CapTable, RateTable, caps_of
from pipeline.state.route_tables import (
    BUILT_IN,
    DEFAULT_WIDTH,
    GROUPS,
    Amount,
    Count,
    RouteLimitTable,
    RouteTable,
    TimeoutTable,
    expand_routes,
    megabytes,
    nearest,
    route_config,
)

__all__ = [
    "GROUPS",
    "DebugTable",
    "EngineTable",
    "LimitTable",
    "LogTable",
    "RouteTable",
    "Settings",
    "TimeoutTable",
    "expand_routes",
    "find_secret",
    "home_folder",
    "load_settings",
    "route_configs",
    "settings_path",
    "settings_schema",
    "state_home",
]

MAX_SETTINGS_BYTES = 1_000_000
MAX_SECRET_BYTES = 65_536
PREFIX = "MEDIASPOOL_"
NO_HOME = "~"


class LimitTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bounds on every job. A job, a route or a kind may only ask for less."""

    max_input_mb: Amount = 2000.0
    max_output_mb: Amount = 2000.0
    max_audio_minutes_per_file: Amount = 600.0
    max_pixels: Count = 100_000_000
    max_pages: Count = 5000
    max_chars: Count = 2_000_000


class DebugTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Debug artifacts: how much they tell, and how many are kept."""

    level: Literal["off", "digest", "redacted"] = "digest"
    max_kb: Count = 64
    max_count: Count = 2000
    max_age_days: Count = 14


class LogTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    level: Literal["debug", "info", "warning", "error"] = "warning"
    format: Literal["text", "json"] = "text"


class EngineTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Child processes. `workers` 0 follows cores and memory, `media_workers` 0 the workers; `memory_mb` bounds one."""

    workers: Annotated[int, Meta(ge=0, le=256)] = 0
    media_workers: Annotated[int, Meta(ge=0, le=256)] = 0
    memory_mb: Annotated[int, Meta(ge=100)] = 2500


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything a settings file may say. Durations are written like "2s" or "1h30m"."""

    roots: tuple[str, ...] = ()
    default_route: tuple[str, ...] = ("local",)
    limits: LimitTable = LimitTable()
    caps: CapTable = CapTable()
    debug: DebugTable = DebugTable()
    log: LogTable = LogTable()
    engines: EngineTable = EngineTable()
    notify: NotifyTable = NotifyTable()
    metrics: MetricsTable = MetricsTable()
    manifest_settle: str = "2s"
    low_disk_mb: Annotated[int, Meta(ge=0)] = 500
    doubt_per_call_usd: Decimal = Decimal("0.02")
    doubt_per_run_usd: Decimal = Decimal("0.25")
    pace_wait: str = "5m"
    drain_grace: str = "20s"
    job_timeout: str = "12h"
    routes: dict[str, RouteTable] = {}

    @property
    def manifest_settle_s(self) -> float:
        return parse_duration(self.manifest_settle)

    @property
    def drain_grace_s(self) -> float:
        return parse_duration(self.drain_grace)

    @property
    def pace_wait_s(self) -> float:
        return parse_duration(self.pace_wait)

    @property
    def job_limits(self) -> Limits:
        return _limits(self.limits, max_job_s=parse_duration(self.job_timeout))


_ROUTE_TABLES: dict[str, type[Struct]] = {"limits": RouteLimitTable, "timeouts": TimeoutTable, "rates": RateTable}
_TABLES: dict[str, type[Struct]] = {
    "limits": LimitTable,
    "caps": CapTable,
    "debug": DebugTable,
    "log": LogTable,
    "engines": EngineTable,
    "notify": NotifyTable,
    "metrics": MetricsTable,
}


def settings_path(path: str | None, environ: Mapping[str, str]) -> str:
    """The file that is read if it exists: the flag, MEDIASPOOL_CONFIG, or the user's own."""
    chosen = path or environ.get(f"{PREFIX}CONFIG")
    if chosen:
        return os.path.abspath(chosen)
    return os.path.join(_home(environ, "XDG_CONFIG_HOME", ".config"), "mediaspool", "mediaspool.toml")


def load_settings(path: str | None, environ: Mapping[str, str]) -> Settings:
    """Flag and environment name the file; MEDIASPOOL_<NAME> overrides single values. ConfigError says what is wrong."""
    must_exist = bool(path or environ.get(f"{PREFIX}CONFIG"))
    body = _read_settings(settings_path(path, environ), must_exist=must_exist)
    _override(body, environ)
    _refuse_unknown(body)
    try:
        settings = from_plain(body, Settings)
    except msgspec.ValidationError as error:
        wrong = complaint(error, body, Settings, name="the file")
        raise ConfigError(f"the settings are wrong: {wrong.what}", hint=wrong.hint) from error
    file = settings_path(path, environ)
    metrics = tuple(filter(None, (settings.metrics.file,)))
    settings = msgspec.structs.replace(
        settings,
        roots=_absolute(settings.roots, file),
        metrics=MetricsTable(file=next(iter(_absolute(metrics, file)), None)),
    )
    _check(settings)
    _refuse_unknown_variables(environ, secret_names(settings))
    return settings


def _absolute(paths: Sequence[str], file: str) -> tuple[str, ...]:
    """A relative path starts from the folder of the settings file, so that a folder can be moved with its settings."""
    return tuple(os.path.normpath(os.path.join(os.path.dirname(file), path)) for path in paths)


def settings_schema() -> dict[str, object]:
    """The JSON Schema of the settings file."""
    return dict(msgspec.json.schema(Settings))


def state_home(environ: Mapping[str, str]) -> str:
    """The spool of a run that names none. No absolute path where this user has no home."""
    return os.path.join(_home(environ, "XDG_STATE_HOME", ".local/state"), "mediaspool")


def _home(environ: Mapping[str, str], variable: str, default: str) -> str:
    """A relative XDG path is to be ignored, says the XDG specification."""
    given = environ.get(variable, "")
    return given if given.startswith("/") else os.path.join(home_folder(environ), default)


def home_folder(environ: Mapping[str, str]) -> str:
    """Of this user; `~` where there is none, which is no folder: it would be another one wherever one stands."""
    told = environ.get("HOME", "")
    if told.startswith("/"):
        return told
    try:
        return pwd.getpwuid(os.getuid()).pw_dir or NO_HOME
    except KeyError:
        return NO_HOME


def _read_settings(path: str, *, must_exist: bool) -> dict[str, object]:
    shown = display(path)
    try:
        with open(path, "rb") as file:
            body = file.read(MAX_SETTINGS_BYTES + 1)
    except FileNotFoundError as error:
        if must_exist:
            raise ConfigError(f"the settings file '{shown}' does not exist", hint="check the path") from error
        return {}
    except OSError as error:
        raise ConfigError(f"the settings file '{shown}' cannot be read: {error.strerror}") from error
    if len(body) > MAX_SETTINGS_BYTES:
        raise ConfigError(f"the settings file '{shown}' is larger than a megabyte", hint="is it the right file?")
    try:
        return tomllib.loads(body.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"the settings file '{shown}' is not TOML: {error}", hint="correct that place") from error


def _override(body: dict[str, object], environ: Mapping[str, str]) -> None:
    for name, field in _fields(Settings).items():
        if name in _TABLES:
            table = body.setdefault(name, {})
            for inner, inner_field in _fields(_TABLES[name]).items():
                if isinstance(table, dict):
                    _override_one(table, inner, inner_field, environ, f"{name}_{inner}")
        elif name != "routes":
            _override_one(body, name, field, environ, name)


def _override_one(
    table: dict[str, object], name: str, field: msgspec.structs.FieldInfo, environ: Mapping[str, str], variable: str
) -> None:
    text = environ.get(PREFIX + variable.upper())
    if text is None:
        return
    value: object = (
        [item.strip() for item in text.split(",") if item.strip()] if isinstance(field.default, tuple) else text
    )
    try:
        table[name] = msgspec.to_builtins(from_plain(value, field.type, strict=False))
    except msgspec.ValidationError as error:
        wrong = complaint(error, value, field.type, name=PREFIX + variable.upper())
        raise ConfigError(wrong.what, hint=f"{wrong.hint}, or unset it") from error


def _refuse_unknown_variables(environ: Mapping[str, str], secrets: Collection[str]) -> None:
    """Below the name of a table every variable is a setting or a secret: a cap with a slip in its name caps nothing."""
    known = {f"{PREFIX}{name}_{key}".upper() for name, kind in _TABLES.items() for key in _fields(kind)}
    ours = tuple(f"{PREFIX}{name}_".upper() for name in _TABLES)
    for name in sorted(environ):
        if name.startswith(ours) and name not in known and name.removesuffix("_FILE") not in secrets:
            raise ConfigError(
                f"there is no setting for the variable {display(name)}", hint=nearest(name, sorted(known))
            )


def _refuse_unknown(body: Mapping[str, object]) -> None:
    _refuse_keys(body, Settings, "")
    for name, kind in _TABLES.items():
        _refuse_keys(body.get(name), kind, f"{name}.")
    routes = body.get("routes")
    for route, table in routes.items() if isinstance(routes, dict) else ():
        _refuse_keys(table, RouteTable, f"routes.{route}.")
        for name, kind in _ROUTE_TABLES.items():
            inner = table.get(name) if isinstance(table, dict) else None
            _refuse_keys(inner, kind, f"routes.{route}.{name}.")


def _refuse_keys(table: object, kind: type[Struct], where: str) -> None:
    if not isinstance(table, dict):
        return
    known = list(_fields(kind))
    for key in table:
        if key not in known:
            raise ConfigError(f"the settings have no key '{display(where + str(key))}'", hint=nearest(str(key), known))


def _fields(kind: type[Struct]) -> dict[str, msgspec.structs.FieldInfo]:
    return {field.name: field for field in msgspec.structs.fields(kind)}


def _check(settings: Settings) -> None:
    """What types cannot say. Raises ConfigError as the values are first used."""
    for name in ("manifest_settle", "pace_wait", "drain_grace", "job_timeout"):
        parse_duration(getattr(settings, name), name)
    for money in (settings.doubt_per_call_usd, settings.doubt_per_run_usd):
        if not money.is_finite() or money < 0:
            raise ConfigError(f"the doubt allowance is {money}", hint="write an amount in USD, 0 to allow none")
    for period in PERIODS:
        caps_of(settings.caps, period)
    check_notify(settings.notify)
    expand_routes(settings.default_route, route_configs(settings))


def route_configs(settings: Settings, *, engine_workers: int | None = None) -> dict[RouteId, RouteConfig]:
    """Every configured route: the embedded ones, joined field by field with the settings' tables."""
    workers = engine_workers or settings.engines.workers or DEFAULT_WIDTH
    ids = [*BUILT_IN, *(name for name in settings.routes if name not in BUILT_IN)]
    tables = {name: settings.routes.get(name, RouteTable()) for name in ids}
    return {RouteId(name): route_config(name, table, workers=workers) for name, table in tables.items()}


def _limits(table: LimitTable, *, max_job_s: float) -> Limits:
    return Limits(
        max_input_bytes=megabytes(table.max_input_mb),
        max_output_bytes=megabytes(table.max_output_mb),
        max_seconds=table.max_audio_minutes_per_file * 60,
        max_pixels=table.max_pixels,
        max_pages=table.max_pages,
        max_chars=table.max_chars,
        max_job_s=max_job_s,
    )


def secret_names(settings: Settings) -> frozenset[str]:
    """Every secret that the settings name."""
    routes, notify = settings.routes.values(), settings.notify
    keys = [name for table in routes for name in (table.key, (table.options or {}).get("key.speak"))]
    return frozenset(filter(None, (*keys, notify.ping_key, notify.webhook_key, notify.webhook_secret)))


def find_secret(name: str, environ: Mapping[str, str]) -> Secret | None:
    """From $CREDENTIALS_DIRECTORY/name, the file that NAME_FILE names, or NAME itself, in this order."""
    folder, file = environ.get("CREDENTIALS_DIRECTORY"), environ.get(f"{name}_FILE")
    if folder and os.path.isfile(os.path.join(folder, name)):
        return _secret(name, _read_secret(os.path.join(folder, name), name, is_private=False))
    if file:
        return _secret(name, _read_secret(file, name, is_private=True))
    value = environ.get(name)
    return _secret(name, value) if value else None


def _read_secret(path: str, name: str, *, is_private: bool) -> str:
    """The service manager guards its own credentials; a file of the user's must be closed to others."""
    try:
        with open(path, "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            body = file.read(MAX_SECRET_BYTES)
    except OSError as error:
        raise ConfigError(
            f"the file of secret {name} cannot be read: {error.strerror}", hint="check its path"
        ) from error
    if is_private and mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigError(f"the file of secret {name} is open to others", hint="chmod 600 it")
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"the file of secret {name} is not text", hint="is it the right file?") from error


def _secret(name: str, text: str) -> Secret:
    value = text.rstrip("\r\n")
    if not value.isprintable() or not value.strip():
        raise ConfigError(f"secret {name} is empty or has line breaks in it", hint="store the key alone in it")
    return Secret(value)
