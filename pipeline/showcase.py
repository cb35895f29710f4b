"""`models`, `voices` and `routes show`: what each route can do here, model by model, and why or why not.

Version 2 of the matrix of capabilities: it speaks of this route as it is set up on this machine, never of what a vendor
could do in theory. Everything comes from kept listings, settings and built-in tables; nothing is sent.
"""

from collections.abc import Iterator, Mapping
from typing import get_args

from msgspec import Struct

from pipeline.answer import SCHEMA, Answer, counted, joined
from pipeline.core.confine import display
from pipeline.core.drivers import Driver, Health, Known, RouteConfig, Shows, Voices
from pipeline.core.errors import ConfigError, MediaspoolError, UnsupportedOperation
from pipeline.core.model import RouteId
from pipeline.core.operations import Operation
from pipeline.runtime import Drivers, load_kinds, look_at, open_drivers
from pipeline.seat import Seat
from pipeline.state.route_tables import GROUPS

MATRIX_VERSION = 2
OPERATIONS: tuple[str, ...] = tuple(sorted(str(each.__struct_config__.tag) for each in get_args(Operation)))
HOUR_S = 3600


class Ability(Struct, frozen=True, kw_only=True):
    """One yes or no. `model` is the one that answers where none is named."""

    able: bool
    reason: str
    model: str | None = None


class ModelLine(Struct, frozen=True, kw_only=True):
    """One model on one route. `notes` are words on what it takes."""

    route: str
    id: str
    name: str
    source: str
    operations: dict[str, Ability]
    notes: tuple[str, ...] = ()


class Models(Struct, frozen=True, kw_only=True):
    """The object of `models`. `kept_s` is the age of the kept listings by route; None where there are none."""

    schema: int = SCHEMA
    matrix: int = MATRIX_VERSION
    models: tuple[ModelLine, ...]
    kept_s: dict[str, float | None]


class RouteSheet(Struct, frozen=True, kw_only=True):
    """The object of `routes show`."""

    schema: int = SCHEMA
    matrix: int = MATRIX_VERSION
    id: str
    driver: str
    ok: bool
    summary: str
    hint: str
    operations: dict[str, Ability]
    models: tuple[ModelLine, ...]
    kept_s: float | None


class VoiceLine(Struct, frozen=True, kw_only=True):
    """The voices of a model on one route. `voices` None: not known here."""

    route: str
    model: str
    asked: str | None
    voices: tuple[str, ...] | None
    usual: str | None
    formats: tuple[str, ...]
    source: str


class AllVoices(Struct, frozen=True, kw_only=True):
    """The object of `voices`."""

    schema: int = SCHEMA
    routes: tuple[VoiceLine, ...]


def models(seat: Seat, route: str | None = None, kind: str | None = None, search: str | None = None) -> Answer:
    """Every known model that is able to do something of the kind, or of any."""
    asked = _asked(kind)
    with open_drivers(seat.settings, seat.root, seat.world) as drivers:
        sheets = [_sheet(drivers, name, seat) for name in _named(drivers, route)]
    lines = tuple(line for sheet in sheets for line in sheet.models if _is_wanted(line, asked, search))
    found = Models(models=lines, kept_s={sheet.id: sheet.kept_s for sheet in sheets})
    return Answer(text=joined(_models_text(found, asked)), record=found)


def show(seat: Seat, route: str) -> Answer:
    """One route, with all its models."""
    with open_drivers(seat.settings, seat.root, seat.world) as drivers:
        if route not in drivers.configs:
            raise _no_route(drivers, route)
        sheet = _sheet(drivers, route, seat)
    return Answer(text=joined(_sheet_text(sheet)), record=sheet)


def voices(seat: Seat, model: str, route: str | None = None) -> Answer:
    """The voices of a model on each route that has it; UnsupportedOperation where none has."""
    with open_drivers(seat.settings, seat.root, seat.world) as drivers:
        first, _, rest = model.partition("/")
        if route is None and rest and RouteId(first) in drivers.configs:
            route, model = first, rest
        found: list[VoiceLine] = []
        errors: list[MediaspoolError] = []
        names = _named(drivers, route)
        for name in names:
            try:
                found.append(_voice_line(drivers(name), name, model))
            except MediaspoolError as error:
                errors.append(error)
    if not found and len(names) == 1:
        raise errors[0]
    if not found:
        message = f"no route speaks with a model {display(model)}"
        raise UnsupportedOperation(message, code="model-unknown", hint="mediaspool models --kind tts")
    made = AllVoices(routes=tuple(found))
    return Answer(text=joined(_voices_text(made)), record=made)


def _named(drivers: Drivers, route: str | None) -> tuple[str, ...]:
    """The routes meant: one, the members of a group, or all."""
    if route is None:
        return tuple(map(str, drivers.configs))
    return tuple(dict.fromkeys(name.partition("/")[0] for name in drivers.expand((route,))))


def _no_route(drivers: Drivers, route: str) -> ConfigError:
    members = GROUPS.get(route, ())
    what = f"{route} is a group of routes" if members else f"there is no route {display(route)}"
    hint = f"name one of them: {', '.join(members)}" if members else f"routes here: {', '.join(drivers.configs)}"
    return ConfigError(what, code="route-unknown", hint=hint)


def _asked(kind: str | None) -> frozenset[str]:
    """The operations of a kind."""
    kinds = load_kinds()
    if kind is None:
        return frozenset(OPERATIONS)
    if kind not in kinds:
        raise ConfigError(f"there is no kind {display(kind)}", hint=f"kinds are: {', '.join(sorted(kinds))}")
    return kinds[kind].asks


def _sheet(drivers: Drivers, route: str, seat: Seat) -> RouteSheet:
    config = drivers.configs[RouteId(route)]
    driver, health, _ = look_at(drivers, route, seat.world)
    abilities = {name: _ability(config, driver, health, name) for name in OPERATIONS}
    known = _known(driver) if driver is not None else ()
    return RouteSheet(
        id=route,
        driver=config.driver,
        ok=health.ok,
        summary=display(health.summary),
        hint=display(health.hint),
        operations=abilities,
        models=tuple(_model_line(driver, route, item, abilities) for item in known if driver is not None),
        kept_s=driver.kept_s() if isinstance(driver, Shows) else None,
    )


def _ability(config: RouteConfig, driver: Driver | None, health: Health, operation: str) -> Ability:
    """May this route do it at all, as it is set up here?"""
    if driver is not None and operation not in driver.facts.operations:
        is_off = config.can.get(operation) is False
        return _no("the settings switch it off" if is_off else f"driver {config.driver} has nothing for it")
    if driver is None or not health.ok:
        return _no(health.summary)
    try:
        binding = driver.bind(operation, None)
    except MediaspoolError as error:
        return _no(error.message)
    reason = f"driver {config.driver} has it"
    return Ability(able=True, reason=reason, model=display(binding.model))


def _known(driver: Driver) -> tuple[Known, ...]:
    if isinstance(driver, Shows):
        return driver.known()
    return tuple(
        Known(id=name, source="the driver itself", operations=driver.facts.operations) for name in driver.facts.models
    )


def _model_line(driver: Driver, route: str, item: Known, abilities: Mapping[str, Ability]) -> ModelLine:
    return ModelLine(
        route=route,
        id=display(item.id),
        name=display(item.name),
        source=item.source,
        operations={name: _model_ability(driver, item, name, abilities[name]) for name in OPERATIONS},
        notes=item.notes,
    )


def _model_ability(driver: Driver, item: Known, operation: str, whole: Ability) -> Ability:
    """What the route cannot do, no model of it can; what is left is narrowed by what is known of the model."""
    if operation not in driver.facts.operations:
        return whole
    if item.operations and operation not in item.operations:
        return _no(f"{item.source} has it for {', '.join(sorted(item.operations))}")
    if operation in item.denied:
        return _no(item.denied[operation])
    try:
        binding = driver.bind(operation, item.id)
    except MediaspoolError as error:
        return _no(error.message)
    if binding.model != item.id:
        return _no(f"{binding.model} answers in its place")
    if not whole.able:
        return _no(whole.reason)
    known = f"{item.source} has it for this" if item.operations else "nothing says what it is for; it is asked as named"
    return Ability(able=True, reason=known)


def _no(reason: str) -> Ability:
    return Ability(able=False, reason=display(reason))


def _is_wanted(line: ModelLine, asked: frozenset[str], search: str | None) -> bool:
    text = f"{line.route}/{line.id} {line.name}".lower()
    return (search is None or search.lower() in text) and any(line.operations[name].able for name in asked)


def _voice_line(driver: Driver, route: str, model: str) -> VoiceLine:
    binding = driver.bind("speak", model)
    if isinstance(driver, Shows):
        told = driver.voices_of(binding.model)
    else:
        told = Voices(names=tuple(driver.facts.voices), source="the driver itself", formats=("wav",))
    return VoiceLine(
        route=route,
        model=display(binding.model),
        asked=None if binding.asked is None else display(binding.asked),
        voices=None if told.names is None else tuple(map(display, told.names)),
        usual=told.usual,
        formats=told.formats,
        source=told.source,
    )


def _models_text(found: Models, asked: frozenset[str]) -> Iterator[str]:
    for line in found.models:
        able = " ".join(name for name in sorted(asked) if line.operations[name].able)
        notes = f"; {', '.join(line.notes)}" if line.notes else ""
        yield f"{line.route}/{line.id}: {able} ({line.source}{notes})"
    yield counted(len(found.models), "model")
    for route, age in found.kept_s.items():
        if age is not None:
            yield f"the listings of {route} were fetched {counted(round(age / HOUR_S), 'hour')} ago"


def _sheet_text(sheet: RouteSheet) -> Iterator[str]:
    yield f"{sheet.id}: driver {sheet.driver}, {'works' if sheet.ok else 'does not work'}; {sheet.summary}"
    if sheet.hint:
        yield f"  {sheet.hint}"
    for name, ability in sheet.operations.items():
        model = f"; {ability.model} where none is named" if ability.model else ""
        yield f"  {'yes' if ability.able else 'no '} {name}: {ability.reason}{model}"
    for line in sheet.models:
        yield f"  {line.id} ({line.source})"
        for name, ability in line.operations.items():
            if ability.able or sheet.operations[name].able:
                yield f"    {'yes' if ability.able else 'no '} {name}: {ability.reason}"


def _voices_text(found: AllVoices) -> Iterator[str]:
    for line in found.routes:
        asked = f" (asked for as {line.asked})" if line.asked else ""
        yield f"{line.route}/{line.model}{asked}: formats {' '.join(line.formats)}"
        yield "  " + (" ".join(line.voices) if line.voices is not None else "not known here; the server decides")
        yield f"  from {line.source}" + (f"; {line.usual} where none is named" if line.usual else "")
