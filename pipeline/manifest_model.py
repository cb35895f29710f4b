"""The vocabulary of a manifest: which keys there are, what they may hold, and the JSON Schema of all of it.

Keys of a job that are not in this vocabulary belong to its kind's Spec. A word that nobody knows is refused with the
nearest known one. Nothing here looks at a file.
"""

import difflib
import functools
import itertools
from collections.abc import Collection, Iterable, Mapping
from decimal import Decimal
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta, Struct

from pipeline.core.choices import complaint
from pipeline.core.confine import display
from pipeline.core.decoding import from_plain
from pipeline.core.errors import ConfigError, ManifestError, MediaspoolError
from pipeline.core.kinds import Kind
from pipeline.core.limits import MEGABYTE, parse_duration
from pipeline.core.model import Caps, Family, Limits, OnFailure, Refusal
from pipeline.manifest_text import ITEM_TABLES, SCHEMA, Table

S = TypeVar("S", bound=Struct)

DEFAULT_FOLDER_SETTLE_S = 2.0
MAX_ID_CHARS = 1000
MAX_UNKNOWN = 20
_SECRET_WORDS = ("secret", "token", "password", "api_key", "apikey", "authorization")

Name = Annotated[str, Meta(min_length=1, max_length=200)]
Text = Annotated[str, Meta(min_length=1, max_length=4096)]
Megabytes = Annotated[float, Meta(gt=0, le=1_000_000_000)]
Minutes = Annotated[float, Meta(gt=0, le=1_000_000_000)]
Count = Annotated[int, Meta(ge=1)]
Routes = Text | Annotated[tuple[Text, ...], Meta(min_length=1, max_length=32)]


class JobLimitKeys(Struct, frozen=True, kw_only=True):
    """`limits` of a job or step."""

    max_input_mb: Megabytes | None = None
    max_output_mb: Megabytes | None = None
    max_audio_minutes: Minutes | None = None
    max_pixels: Count | None = None
    max_pages: Count | None = None
    max_chars: Count | None = None
    max_runtime: Text | None = None


class RunLimitKeys(Struct, frozen=True, kw_only=True):
    """`[limits]` of the manifest: the caps of one run, and bounds on each of its jobs."""

    max_spend_usd: Annotated[float, Meta(ge=0, le=1_000_000_000)] | None = None
    max_audio_minutes: Minutes | None = None
    max_images: Annotated[int, Meta(ge=0)] | None = None
    max_requests: Annotated[int, Meta(ge=0)] | None = None
    unknown_price_usd: Annotated[float, Meta(ge=0, le=1_000_000_000)] | None = None
    max_runtime: Text | None = None
    max_input_mb: Megabytes | None = None
    max_output_mb: Megabytes | None = None
    max_audio_minutes_per_file: Minutes | None = None
    max_pixels: Count | None = None
    max_pages: Count | None = None
    max_chars: Count | None = None


class ItemKeys(Struct, frozen=True, kw_only=True):
    """The common keys of jobs and steps; `from` is for steps, `input` for jobs."""

    id: Annotated[str, Meta(min_length=1, max_length=MAX_ID_CHARS)]
    kind: str
    input: Text | None = None
    from_: Text | None = msgspec.field(default=None, name="from")
    out: Text | None = None
    needs: Text | tuple[Text, ...] = ()
    route: Routes | None = None
    on_failure: OnFailure | None = None
    model: Text | None = None
    call_timeout: Text | None = None
    limits: JobLimitKeys = JobLimitKeys()


class FolderKeys(Struct, frozen=True, kw_only=True):
    """The keys of a folder beside its steps."""

    id: Annotated[str, Meta(min_length=1, max_length=MAX_ID_CHARS)]
    glob: Text
    accept: Annotated[tuple[Family, ...], Meta(min_length=1)] | None = None
    exclude: tuple[Text, ...] = ()
    settle: Text | None = None
    out: Text | None = None


class DefaultKeys(Struct, frozen=True, kw_only=True):
    """`[defaults]`, beside the fields of kinds: what a job has that does not say it itself."""

    route: Routes | None = None
    on_failure: OnFailure = "stop"
    model: Text | None = None
    kind: str | None = None
    settle: Text | None = None


class HeaderKeys(Struct, frozen=True, kw_only=True):
    """What stands above the jobs. `schema` was checked when the text was read."""

    schema: int
    name: Name | None = None
    defaults: dict[str, object] = {}
    limits: dict[str, object] = {}


class Header(Struct, frozen=True, kw_only=True):
    """The header, understood. `fields` are defaults for fields of kinds."""

    name: str
    caps: Caps
    limits: Limits
    routes: tuple[str, ...]
    on_failure: OnFailure
    model: str | None
    kind: str | None
    settle_s: float | None
    fields: Table


class JobInvalid(ManifestError):
    """One item of a manifest cannot become a job; it carries every reason. Caught where items are read."""

    default_code = "job-invalid"

    def __init__(self, reasons: Iterable[Refusal]) -> None:
        self.reasons = tuple(reasons)
        super().__init__("; ".join(reason.message for reason in self.reasons))


def invalid(message: str, hint: str, code: str = "job-invalid") -> JobInvalid:
    return JobInvalid([Refusal(code=code, message=message, hint=hint)])


def reasons_of(error: MediaspoolError) -> tuple[Refusal, ...]:
    if isinstance(error, JobInvalid):
        return error.reasons
    return (Refusal(code=error.code, message=error.message, hint=error.hint),)


@functools.cache
def keys_of(struct: type[Struct]) -> frozenset[str]:
    return frozenset(struct.__struct_encode_fields__)


def spec_keys(kind: Kind) -> frozenset[str]:
    return keys_of(kind.spec)


JOB_KEYS = keys_of(ItemKeys) - {"from"}
STEP_KEYS = keys_of(ItemKeys) - {"input"}


def unknown(words: Iterable[str], known: Collection[str], what: str) -> list[Refusal]:
    """A refusal for each of the first words that are not known, with the nearest known one. No value is repeated."""
    odd = itertools.islice((word for word in words if word not in known), MAX_UNKNOWN)
    return [_unknown_word(word, sorted(known), what) for word in odd]


def _unknown_word(word: str, known: list[str], what: str) -> Refusal:
    near = difflib.get_close_matches(word[:64], known, n=1)
    hint = f'did you mean "{near[0]}"?' if near else "known here: " + ", ".join(known)
    if not near and any(secret in word.lower() for secret in _SECRET_WORDS):
        hint = "a manifest holds no secrets; the settings name them per route"
    return Refusal(code="job-invalid", message=f"{what} '{display(word, 64)}' is not known", hint=hint)


def convert(table: Mapping[str, object], into: type[S], what: str) -> S:
    """Strictly `into`; JobInvalid says which key is wrong and what it must be."""
    reasons = unknown(table, keys_of(into), f"{what} key")
    if reasons:
        raise JobInvalid(reasons)
    try:
        return from_plain(table, into)
    except msgspec.ValidationError as error:
        wrong = complaint(error, dict(table), into, name="it")
        raise invalid(f"{what}: {wrong.what}", wrong.hint) from error


def seconds(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        return parse_duration(text)
    except ConfigError as error:
        raise invalid(display(error.message), error.hint) from error


def routes_of(route: str | tuple[str, ...] | None) -> tuple[str, ...]:
    if route is None:
        return ()
    return (route,) if isinstance(route, str) else route


def job_limits(keys: JobLimitKeys) -> Limits:
    return Limits(
        max_input_bytes=_bytes(keys.max_input_mb),
        max_output_bytes=_bytes(keys.max_output_mb),
        max_seconds=_seconds_of(keys.max_audio_minutes),
        max_pixels=keys.max_pixels,
        max_pages=keys.max_pages,
        max_chars=keys.max_chars,
        max_job_s=seconds(keys.max_runtime),
    )


def _bytes(megabytes: float | None) -> int | None:
    return None if megabytes is None else max(1, int(megabytes * MEGABYTE))


def _seconds_of(minutes: float | None) -> float | None:
    return None if minutes is None else minutes * 60


def read_header(table: Table, file_name: str, kinds: Mapping[str, Kind]) -> Header:
    """ManifestError for anything wrong: a header misread could start what a cap was to stop."""
    try:
        return _header(table, file_name, kinds)
    except JobInvalid as error:
        first = error.reasons[0]
        raise ManifestError(error.message, hint=first.hint) from error


def _header(table: Table, file_name: str, kinds: Mapping[str, Kind]) -> Header:
    reasons = unknown(table, {*keys_of(HeaderKeys), *ITEM_TABLES}, "manifest key")
    if reasons:
        raise JobInvalid(reasons)
    keys = convert(table, HeaderKeys, "manifest")
    limits = convert(keys.limits, RunLimitKeys, "limits")
    written = table.get("defaults")
    fields = dict(written) if isinstance(written, dict) else {}
    common = {key: fields.pop(key) for key in keys_of(DefaultKeys) if key in fields}
    reasons = unknown(fields, {*keys_of(DefaultKeys), *_all_spec_keys(kinds)}, "defaults key") if fields else []
    if reasons:
        raise JobInvalid(reasons)
    defaults = convert(common, DefaultKeys, "defaults")
    return Header(
        name=_name(keys.name or file_name.rpartition(".")[0] or file_name),
        caps=_caps(limits),
        limits=_limits_of_each_job(limits),
        routes=routes_of(defaults.route),
        on_failure=defaults.on_failure,
        model=defaults.model,
        kind=defaults.kind,
        settle_s=seconds(defaults.settle),
        fields=fields,
    )


def _all_spec_keys(kinds: Mapping[str, Kind]) -> set[str]:
    return {key for kind in kinds.values() for key in spec_keys(kind)}


def _name(name: str) -> str:
    return name if name.isprintable() else display(name)


def _caps(keys: RunLimitKeys) -> Caps:
    return Caps(
        max_spend_usd=_usd(keys.max_spend_usd),
        max_audio_minutes=keys.max_audio_minutes,
        max_images=keys.max_images,
        max_requests=keys.max_requests,
        unknown_price_usd=_usd(keys.unknown_price_usd),
        max_runtime_s=seconds(keys.max_runtime),
    )


def _usd(amount: float | None) -> Decimal | None:
    return None if amount is None else Decimal(str(amount))


def _limits_of_each_job(keys: RunLimitKeys) -> Limits:
    return Limits(
        max_input_bytes=_bytes(keys.max_input_mb),
        max_output_bytes=_bytes(keys.max_output_mb),
        max_seconds=_seconds_of(keys.max_audio_minutes_per_file),
        max_pixels=keys.max_pixels,
        max_pages=keys.max_pages,
        max_chars=keys.max_chars,
    )


def manifest_schema(kinds: Mapping[str, Kind]) -> dict[str, object]:
    """A JSON Schema of the TOML and JSON form, for editors; the same kinds always give the same schema."""
    names = sorted(kinds)
    structs = [FolderKeys, ItemKeys, RunLimitKeys, DefaultKeys]
    _, parts = msgspec.json.schema_components(structs, ref_template="#/$defs/{name}")
    props = {name: part["properties"] for name, part in parts.items()}
    defaults = dict(props["DefaultKeys"])
    defs: dict[str, object] = {"JobLimitKeys": {**parts["JobLimitKeys"], "additionalProperties": False}}
    for name in names:
        properties, more = _spec_schema(kinds[name])
        defs |= more
        defaults = {**properties, **defaults}
        for item, keys in (("job", JOB_KEYS), ("step", STEP_KEYS)):
            common = {key: value for key, value in props["ItemKeys"].items() if key in keys}
            defs[f"{item}.{name}"] = _closed({**properties, **common, "kind": {"const": name}}, ["id", "kind"])
    folder = {**props["FolderKeys"], "step": _one_of("step", names)}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "mediaspool manifest",
        **_closed(
            {
                "schema": {"const": SCHEMA},
                "name": msgspec.json.schema(Name),
                "defaults": _closed(defaults, []),
                "limits": _closed(props["RunLimitKeys"], []),
                "folder": {"type": "array", "items": _closed(folder, ["id", "glob", "step"])},
                "job": _one_of("job", names),
            },
            ["schema"],
        ),
        "$defs": dict(sorted(defs.items())),
    }


def _spec_schema(kind: Kind) -> tuple[dict[str, object], dict[str, object]]:
    """The properties of a kind's Spec, and the definitions that they refer to."""
    _, parts = msgspec.json.schema_components([kind.spec], ref_template="#/$defs/" + kind.name + ".{name}")
    own = parts[kind.spec.__name__]["properties"]
    return own, {f"{kind.name}.{name}": part for name, part in parts.items() if name != kind.spec.__name__}


def _one_of(item: str, names: list[str]) -> dict[str, object]:
    return {"type": "array", "items": {"oneOf": [{"$ref": f"#/$defs/{item}.{name}"} for name in names]}}


def _closed(properties: Mapping[str, object], required: list[str]) -> dict[str, object]:
    return {"type": "object", "properties": dict(properties), "required": required, "additionalProperties": False}
