"""What a remote route knows of models, for a person to look at: kept listings first, then settings and built-in tables.

Promises that each model is named once, with the best source that names it. Fetches nothing.
"""

from collections.abc import Iterable, Iterator

from pipeline.core.drivers import Known, RouteConfig, Voices
from pipeline.routes._models import SORTS, Dialect, Sort, sort_of
from pipeline.routes._openrouter_models import Shelf
from pipeline.routes._voices import SpeechModel
from pipeline.routes.catalogue import LISTINGS, Catalogue

CATALOGUE, SETTINGS, TABLE = "the catalogue", "the settings", "the built-in table"


def known(route: RouteConfig, dialect: Dialect, able: frozenset[str], shelf: Shelf | None = None) -> tuple[Known, ...]:
    """All models that something names: `able` are the operations of the route."""
    found = {item.id: item for item in _told(route, dialect, able)}
    if shelf is not None:
        found |= {item.id: item for item in _listed(shelf, able)}
    return tuple(found[model] for model in sorted(found))


def kept_s(catalogue: Catalogue) -> float | None:
    ages = [age for name in LISTINGS if catalogue.rows(name) is not None and (age := catalogue.age_s(name)) is not None]
    return max(ages, default=None)


def voices(speech: SpeechModel, source: str) -> Voices:
    return Voices(names=speech.voices, usual=speech.voice, formats=speech.formats, source=source)


def _told(route: RouteConfig, dialect: Dialect, able: frozenset[str]) -> Iterator[Known]:
    """The tables first, so that what the settings name overrides them."""
    for operation, model in dialect.defaults.items():
        yield Known(id=model, source=TABLE, operations=_for((SORTS[operation],), able))
    for model in (*route.models.values(), *route.aliases.values(), *route.options.get("models", "").split()):
        named = {SORTS[name] for name, told in route.models.items() if told == model and name in SORTS}
        sort = sort_of(model)
        yield Known(id=model, source=SETTINGS, operations=_for(named or ((sort,) if sort else ()), able))


def _listed(shelf: Shelf, able: frozenset[str]) -> Iterator[Known]:
    catalogue, sorts = shelf.catalogue, shelf.catalogue.knowledge().sorts
    for model in sorted({model for name in LISTINGS for model in catalogue.rows(name) or {}}):
        row = catalogue.model(model) or catalogue.image(model) or catalogue.video(model)
        yield Known(
            id=model,
            name=row.name if row is not None else "",
            source=CATALOGUE,
            operations=_for(sorts(model) or (), able),
            denied=_denied(shelf, model),
            notes=tuple(_notes(shelf, model)) if "chat" in (sorts(model) or ()) else (),
        )


def _denied(shelf: Shelf, model: str) -> dict[str, str]:
    """A model for pictures that takes none cannot edit; one that needs some cannot do without."""
    row = shelf.catalogue.image(model)
    if row is None or row.supported_parameters is None:
        return {}
    inputs = row.supported_parameters.get("input_references")
    if inputs is None:
        return {"edit_image": "it takes no pictures"}
    return {"make_image": "it needs a picture to begin with"} if (inputs.min or 0) >= 1 else {}


def _notes(shelf: Shelf, model: str) -> Iterator[str]:
    manner = shelf.manner(model, cache_marks=False)
    yield "takes pictures" if manner.takes_images else "takes no pictures"
    yield "takes sound" if manner.takes_audio else "takes no sound"
    yield {"json_schema": "answers by schema", "json_object": "answers JSON"}.get(manner.schema, "answers words alone")


def _for(sorts: Iterable[Sort], able: frozenset[str]) -> frozenset[str]:
    wanted = set(sorts)
    return frozenset(operation for operation, sort in SORTS.items() if sort in wanted) & able
