"""From one table of a manifest to Jobs: the recipe that is the same for every input, then the job at one input.

A recipe holds everything that needs no file: spec, routes, limits, template. A folder makes a recipe once per step and
applies it to each of its files. Every reason against a table is collected before it is refused.
"""

import datetime
import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol, TypeVar

import msgspec
from msgspec import Struct

from pipeline.core.confine import display
from pipeline.core.errors import InputError
from pipeline.core.kinds import Kind, beside_of, further_inputs
from pipeline.core.limits import smallest
from pipeline.core.model import Family, Further, Job, JobId, Limits, Media, OnFailure, Place, Refusal, Sha256
from pipeline.manifest_model import (
    JOB_KEYS,
    STEP_KEYS,
    Header,
    ItemKeys,
    JobInvalid,
    JobLimitKeys,
    convert,
    invalid,
    job_limits,
    keys_of,
    routes_of,
    seconds,
    spec_keys,
    unknown,
)
from pipeline.manifest_paths import DEFAULT_JOB_OUT, Places, Template, check_template, parse_template
from pipeline.manifest_text import ManifestLimits, Table

T = TypeVar("T")

AUTO = "auto"
INDEX_DIGITS = 4
PLACE_DIGITS = 32
_NO_LIMITS = Limits()


class Intake(Protocol):
    """Facts about content, cached by the caller."""

    def media(self, path: str) -> Media | None: ...

    def sha256(self, path: str) -> Sha256: ...


class Reading(Struct, frozen=True, kw_only=True):
    """What every step of reading one manifest needs. `manifest` is its own real path."""

    base: str
    manifest: str
    header: Header
    kinds: Mapping[str, Kind]
    default_routes: tuple[str, ...]
    places: Places
    intake: Intake
    now: float
    limits: ManifestLimits


class Recipe(Struct, frozen=True, kw_only=True):
    """A job without its input and its place. `parent`, `needs` and `further` are as written."""

    id: str
    kind: str
    spec: Struct
    products: tuple[str, ...]
    template: Template | None
    routes: tuple[str, ...]
    on_failure: OnFailure
    model: str | None
    call_timeout_s: float | None
    limits: Limits
    input: str | None
    parent: str | None
    needs: tuple[str, ...]
    further: tuple[tuple[str, str], ...]
    language: str


class Subject(Struct, frozen=True, kw_only=True):
    """What one job is about, for the fields of its template. `path` is the real path of the input file, if any."""

    id: str
    step: str
    index: int
    name: str
    stem: str
    reldir: str = ""
    path: str | None = None


class Wiring(Struct, frozen=True, kw_only=True):
    """How one job hangs together with others. `siblings` are the steps of the same file by their own names."""

    parent: JobId | None = None
    siblings: Mapping[str, JobId] = {}
    needs: tuple[JobId, ...] = ()
    accept: tuple[Family, ...] = ()


def read_recipe(table: Table, reading: Reading, *, out: Template | None = None, is_step: bool = False) -> Recipe:
    """JobInvalid with every reason that the table itself gives. `out` holds where the table has none of its own."""
    kind = _kind(table, reading)
    known = STEP_KEYS if is_step else JOB_KEYS
    common = {key: value for key, value in table.items() if key in known}
    own = {key: value for key, value in table.items() if key not in known}
    reasons = unknown(own, known | spec_keys(kind), f"the {kind.name} key")
    bounds = common.get("limits")
    reasons += unknown(bounds if isinstance(bounds, dict) else (), keys_of(JobLimitKeys), "the limits key")
    own = {key: value for key, value in own.items() if key in spec_keys(kind)}
    keys = _gather(reasons, lambda: convert({**common, "kind": kind.name}, ItemKeys, "job"))
    own_out = common.get("out")
    template = _gather(reasons, lambda: parse_template(own_out) if isinstance(own_out, str) else out)
    spec = _gather(reasons, lambda: convert(_spec_table(own, kind, template, reading.header), kind.spec, kind.name))
    if keys is None or spec is None or reasons:
        raise JobInvalid(reasons)
    return _recipe(keys, kind, spec, template, reading)


def _gather(reasons: list[Refusal], read: Callable[[], T]) -> T | None:
    try:
        return read()
    except JobInvalid as error:
        reasons += error.reasons
        return None


def _kind(table: Table, reading: Reading) -> Kind:
    name = table.get("kind", reading.header.kind)
    if name is None:
        raise invalid("the job has no kind", "add kind = one of: " + ", ".join(sorted(reading.kinds)))
    if not isinstance(name, str) or name not in reading.kinds:
        raise JobInvalid(unknown([str(name)], reading.kinds, "the kind"))
    return reading.kinds[name]


def _spec_table(own: Table, kind: Kind, template: Template | None, header: Header) -> Table:
    """What the job says, then what the extension of its `out` says, then the manifest's defaults."""
    table = {key: value for key, value in header.fields.items() if key in spec_keys(kind)}
    ext = template.literal_extension if template is not None and "ext" not in template.fields else ""
    if ext and "format" in spec_keys(kind):
        table["format"] = ext
    if ext and "formats" in spec_keys(kind):
        table["formats"] = [ext]
    return table | own


def _recipe(keys: ItemKeys, kind: Kind, spec: Struct, template: Template | None, reading: Reading) -> Recipe:
    products = kind.products(spec)
    if template is not None:
        check_template(template, products)
    header = reading.header
    parent = _reference(keys.from_, "from") if keys.from_ else _input_reference(keys.input)
    return Recipe(
        id=checked_id(keys.id),
        kind=kind.name,
        spec=spec,
        products=products,
        template=template,
        routes=routes_of(keys.route) or header.routes or reading.default_routes,
        on_failure=keys.on_failure or header.on_failure,
        model=keys.model or header.model,
        call_timeout_s=seconds(keys.call_timeout),
        limits=_joined(header.limits, job_limits(keys.limits)),
        input=None if parent else keys.input,
        parent=parent,
        needs=tuple(_reference(need, "needs") for need in routes_of(keys.needs)),
        further=tuple(further_inputs(kind, spec).items()),
        language=_language(spec, header),
    )


def checked_id(text: str) -> str:
    if not text.isprintable() or text != text.strip() or text.startswith("@"):
        raise invalid(f"the id '{display(text)}' cannot be used", "use letters, digits, dots and dashes")
    return text


def _reference(text: str, key: str) -> str:
    """An id that another job is called by; the @ is optional where only ids can stand."""
    return checked_id(text.removeprefix("@")) if text != "@" else checked_id(text)


def _input_reference(text: str | None) -> str | None:
    if text is None or not text.startswith("@"):
        return None
    return _reference(text, "input")


def _joined(of_manifest: Limits, of_job: Limits) -> Limits:
    if of_job == _NO_LIMITS:
        return of_manifest
    return smallest([("manifest", of_manifest), ("job", of_job)]).limits


def _language(spec: Struct, header: Header) -> str:
    asked = getattr(spec, "language", None) or header.fields.get("language")
    return asked if isinstance(asked, str) else AUTO


def build_job(recipe: Recipe, subject: Subject, wiring: Wiring, reading: Reading, template: Template) -> Job:
    """The job of one recipe at one subject; JobInvalid or InputError when its products cannot be placed."""
    values = _values(template.fields, subject, recipe, reading)
    further = tuple(_further(slot, text, wiring, reading) for slot, text in recipe.further)
    further += tuple(_beside(recipe, subject, reading))
    parents = (wiring.parent, *wiring.needs, *(item.parent for item in further))
    return Job(
        id=JobId(subject.id),
        place=place_of(reading.base, reading.header.name, subject.id),
        kind=recipe.kind,
        spec=recipe.spec,
        products=reading.places.products(template, values, recipe.products),
        routes=recipe.routes,
        on_failure=recipe.on_failure,
        model=recipe.model,
        call_timeout_s=recipe.call_timeout_s,
        input=None if wiring.parent else subject.path,
        parent=wiring.parent,
        further=further,
        needs=tuple(dict.fromkeys(parent for parent in parents if parent)),
        accept=wiring.accept,
        limits=recipe.limits,
    )


def _further(slot: str, text: str, wiring: Wiring, reading: Reading) -> Further:
    parent = _input_reference(text)
    if parent is not None:
        return Further(slot=slot, parent=wiring.siblings.get(parent, JobId(parent)))
    return Further(slot=slot, path=reading.places.input(_checked_input(text)), asked=os.path.join(reading.base, text))


def _beside(recipe: Recipe, subject: Subject, reading: Reading) -> Iterator[Further]:
    """Files beside the input that belong to it by name, unless the job names another one."""
    named = {slot for slot, _ in recipe.further}
    for slot, ending in beside_of(reading.kinds[recipe.kind]).items():
        path = os.path.splitext(subject.path)[0] + ending if subject.path is not None else ""
        if slot not in named and path and os.path.isfile(path):
            yield Further(slot=slot, path=reading.places.input(path), asked=path)


def place_of(base: str, manifest: str, job_id: str) -> Place:
    """Stable from run to run: the base folder, the manifest's name and the job's id."""
    body = b"\0".join([os.fsencode(base), manifest.encode(), job_id.encode()])
    return Place(hashlib.sha256(body).hexdigest()[:PLACE_DIGITS])


def read_job(table: Table, index: int, reading: Reading) -> Job:
    """One `[[job]]` or line."""
    recipe = read_recipe(table, reading)
    path = None if recipe.input is None else reading.places.input(_checked_input(recipe.input))
    parent = JobId(recipe.parent) if recipe.parent else None
    wiring = Wiring(parent=parent, needs=tuple(map(JobId, recipe.needs)))
    template = recipe.template or parse_template(DEFAULT_JOB_OUT)
    subject = _job_subject(recipe, index, path, _reldir(recipe, reading) if "reldir" in template.fields else "")
    return build_job(recipe, subject, wiring, reading, template)


def _checked_input(text: str) -> str:
    if "://" in text:
        raise invalid("an input is an address", "download it first; inputs are files")
    return text


def _job_subject(recipe: Recipe, index: int, path: str | None, reldir: str) -> Subject:
    name = os.path.basename(recipe.input) if recipe.input else recipe.id
    stem = os.path.splitext(name)[0] if recipe.input else recipe.id
    return Subject(id=recipe.id, step=recipe.id, index=index, name=name, stem=stem, reldir=reldir, path=path)


def _reldir(recipe: Recipe, reading: Reading) -> str:
    """The folder of the input as seen from the manifest; empty when it does not lie below it."""
    beside = os.path.relpath(os.path.join(reading.base, recipe.input or ""), reading.base)
    return "" if beside.startswith("..") else os.path.dirname(beside)


def _values(fields: frozenset[str], subject: Subject, recipe: Recipe, reading: Reading) -> dict[str, str]:
    """Only what the template asks for: a hash costs reading the file."""
    return {field: _MAKERS[field](subject, recipe, reading) for field in fields if field != "ext"}


def _plain(language: str) -> str:
    if not language.replace("-", "").isalnum():
        raise invalid(f"the language '{display(language)}' cannot be part of a name", "write a tag such as en or pt-BR")
    return language


def _date(subject: Subject) -> str:
    if subject.path is None:
        raise invalid("{date} needs an input file", "leave {date} out of this job's template")
    try:
        changed = os.stat(subject.path).st_mtime
        return datetime.datetime.fromtimestamp(changed, tz=datetime.UTC).date().isoformat()
    except (OSError, OverflowError, ValueError) as error:
        raise InputError(
            f"'{display(subject.name)}' has no usable time", code="input-unreadable", hint="leave {date} out of `out`"
        ) from error


def _hash8(subject: Subject, recipe: Recipe, intake: Intake) -> str:
    if subject.path is not None:
        return intake.sha256(subject.path)[:8]
    if recipe.parent is not None:
        raise invalid("{hash8} needs an input file", "the input is made by another job: leave {hash8} out")
    text = getattr(recipe.spec, "text", None)
    body = text.encode() if isinstance(text, str) else msgspec.json.encode(recipe.spec)
    return hashlib.sha256(body).hexdigest()[:8]


_MAKERS: dict[str, Callable[[Subject, Recipe, Reading], str]] = {
    "id": lambda subject, _recipe, _reading: subject.id,
    "stem": lambda subject, _recipe, _reading: subject.stem,
    "name": lambda subject, _recipe, _reading: subject.name,
    "reldir": lambda subject, _recipe, _reading: subject.reldir,
    "step": lambda subject, _recipe, _reading: subject.step,
    "lang": lambda _subject, recipe, _reading: _plain(recipe.language),
    "index": lambda subject, _recipe, _reading: f"{subject.index:0{INDEX_DIGITS}d}",
    "date": lambda subject, _recipe, _reading: _date(subject),
    "hash8": lambda subject, recipe, reading: _hash8(subject, recipe, reading.intake),
}
