"""Which model answers: defaults, short names, models that are gone, and what sort of model an id is.

Owns the local tables behind a catalogue: a dated snapshot, used where nothing newer is known. Promises that a model is
never exchanged silently: `choose` says what was asked where another one answers, and refuses what is gone by name.
"""

import re
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from typing import Literal

from msgspec import Struct

from pipeline.core.confine import display
from pipeline.core.drivers import RouteConfig
from pipeline.core.errors import UnsupportedOperation

Sort = Literal["speech", "transcription", "image", "video", "chat"]
SORTS: Mapping[str, Sort] = {
    "speak": "speech",
    "transcribe": "transcription",
    "make_image": "image",
    "edit_image": "image",
    "make_video": "video",
    "complete": "chat",
}
MAX_ID_CHARS = 200
_VENDOR_ID = re.compile(r"~?[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*(?::[A-Za-z0-9._-]+)?")
_PLAIN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]*")

_PATTERNS: tuple[tuple[Sort, str], ...] = (
    ("video", "*video*|*/veo-*|*/sora*|*/kling*|*/hailuo*|*/seedance*|*/wan-*|*/happyhorse*|runway/*|heygen/*|sora-*"),
    ("transcription", "*whisper*|*transcribe*|*-stt-*|deepgram/nova*|*/chirp-*|*parakeet*|*scribe*|*universal-*"),
    ("speech", "*tts*|*kokoro*|*voice*|*/aura-*|fish-audio/*|elevenlabs/eleven*|*seed-audio*|*orpheus*"),
    ("image", "*image*|*flux*|*seedream*|*recraft*|*riverflow*|*krea-*|*dall-e*|*imagen*|*stable-diffusion*|*sdxl*"),
    ("chat", "*/gpt-*|gpt-*|anthropic/*|claude-*|google/gemini*|gemini-*|google/gemma*|meta-llama/*|mistralai/*"),
    ("chat", "deepseek/*|qwen/*|x-ai/grok*|cohere/*|moonshotai/*|z-ai/*|liquid/*|nvidia/*|openrouter/auto|o1*|o3*|o4*"),
)
"""The first row that fits decides; an id that fits none is of no known sort."""


class Dialect(Struct, frozen=True, kw_only=True):
    """The tables of one driver. `gone` maps a model that is no more to the one that took its place."""

    name: str
    defaults: Mapping[str, str]
    aliases: Mapping[str, str]
    gone: Mapping[str, str]
    needs_vendor: bool


OPENROUTER = Dialect(
    name="openrouter",
    needs_vendor=True,
    defaults={
        "speak": "hexgrad/kokoro-82m",
        "transcribe": "openai/gpt-4o-mini-transcribe",
        "make_image": "google/gemini-3.1-flash-image",
        "edit_image": "google/gemini-3.1-flash-image",
        "make_video": "google/veo-3.1-fast",
        "complete": "openai/gpt-5.4-mini",
    },
    aliases={
        **dict.fromkeys(("tts-1", "tts-1-hd", "gpt-4o-mini-tts"), "openai/gpt-4o-mini-tts-2025-12-15"),
        "kokoro": "hexgrad/kokoro-82m",
        "whisper-1": "openai/whisper-1",
        "whisper-large-v3": "openai/whisper-large-v3",
        "whisper-large-v3-turbo": "openai/whisper-large-v3-turbo",
        "gpt-4o-transcribe": "openai/gpt-4o-transcribe",
        "gpt-4o-mini-transcribe": "openai/gpt-4o-mini-transcribe",
    },
    gone={"openai/gpt-4o-mini-tts-2025-12-15": "hexgrad/kokoro-82m"},
)
OPENAI = Dialect(
    name="openai",
    needs_vendor=False,
    defaults={
        "speak": "gpt-4o-mini-tts",
        "transcribe": "whisper-1",
        "make_image": "gpt-image-1",
        "edit_image": "gpt-image-1",
        "complete": "gpt-5.4-mini",
    },
    aliases={},
    gone={},
)


class Choice(Struct, frozen=True, kw_only=True):
    """The model that answers, and what was asked for where that is another one."""

    model: str
    asked: str | None = None


class Knowledge(Struct, frozen=True, kw_only=True):
    """What a catalogue says: of what sorts a model is (None: it says nothing of it), and whether it lists it."""

    sorts: Callable[[str], frozenset[Sort] | None]
    lists: Callable[[str], bool | None]


NOTHING_KNOWN = Knowledge(sorts=lambda _model: None, lists=lambda _model: None)


def choose(
    route: RouteConfig,
    dialect: Dialect,
    operation: str,
    model: str | None,
    *,
    known: Knowledge = NOTHING_KNOWN,
    is_judged: bool = True,
) -> Choice:
    """The model for an operation. UnsupportedOperation where there is none; every exchange is told.

    `is_judged` False: a server of the person's own, whose names mean what they mean there and are never exchanged.
    """
    default = route.models.get(operation) or dialect.defaults[operation]
    wish = model or default
    named = _resolved(route, dialect, wish, known)
    wanted, sorts = SORTS[operation], (known.sorts(named) or _sorts(named)) if is_judged else frozenset[Sort]()
    if wanted in sorts or not sorts:
        return Choice(model=named, asked=wish if named != wish else None)
    if sorts == {"chat"}:
        return Choice(model=_replacement(route, dialect, operation, known), asked=wish)
    raise UnsupportedOperation(
        f"{named} is a model for {' and '.join(sorted(sorts))}, not for {wanted}",
        hint=f"leave the model out for {default}, or name a model for {wanted}",
    )


def sort_of(model: str) -> Sort | None:
    """What an id looks like, by the first fitting pattern."""
    name = model.lower().lstrip("~")
    for sort, patterns in _PATTERNS:
        if any(fnmatchcase(name, pattern) for pattern in patterns.split("|")):
            return sort
    return None


def _sorts(model: str) -> frozenset[Sort]:
    sort = sort_of(model)
    return frozenset((sort,)) if sort else frozenset()


def _replacement(route: RouteConfig, dialect: Dialect, operation: str, known: Knowledge) -> str:
    """For a chat model on a media job: the route's own default, unless that is the chat model, then the kind's."""
    own = route.models.get(operation)
    if own is not None and SORTS[operation] in (known.sorts(own) or _sorts(own)):
        return _resolved(route, dialect, own, known)
    return _resolved(route, dialect, dialect.defaults[operation], known)


def _alias(route: RouteConfig, dialect: Dialect, name: str) -> str:
    """The settings' own aliases first."""
    return route.aliases.get(name) or dialect.aliases.get(name) or name


def _resolved(route: RouteConfig, dialect: Dialect, wish: str, known: Knowledge) -> str:
    named = _alias(route, dialect, wish)
    shape = _VENDOR_ID if dialect.needs_vendor else _PLAIN_ID
    if len(named) > MAX_ID_CHARS or not shape.fullmatch(named):
        form = "vendor/model" if dialect.needs_vendor else "letters, digits and . _ : / -"
        raise _unknown(f"'{display(named)}' is not the id of a model", f"write it as {form}")
    is_listed = known.lists(named)
    successor = dialect.gone.get(named)
    if successor is not None and not is_listed:
        what = f"{named} (asked for as {wish})" if named != wish else named
        raise _unknown(f"{what} is gone from {dialect.name}", f"its successor is {successor}; name that one")
    if is_listed is False:
        raise _unknown(f"route {route.id} lists no model {named}", f"see: mediaspool models --route {route.id}")
    if route.options.get("models") and named not in route.options["models"].split():
        raise _unknown(f"route {route.id} has no model {named}", f"models here: {route.options['models']}")
    return named


def _unknown(message: str, hint: str) -> UnsupportedOperation:
    return UnsupportedOperation(message, code="model-unknown", hint=hint)
