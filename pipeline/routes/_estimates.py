"""What a call on a remote route may cost at worst: by the settings' own prices, else by the catalogue, else unknown.

Promises None wherever a price, a unit or a length is not known; never zero by guess. `prices` are USD per
`operation unit`, such as "speak character" or "complete output_token".
"""

import math
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation

from pipeline.core.errors import ConfigError
from pipeline.core.model import RouteId
from pipeline.core.operations import (
    Complete,
    EditImage,
    MakeImage,
    MakeVideo,
    Operation,
    Picture,
    Speak,
    Transcribe,
    operation_name,
)
from pipeline.routes import _chat_wire, _prices
from pipeline.routes._video_models import VideoModel
from pipeline.routes.catalogue import Catalogue

UNITS: Mapping[str, tuple[str, ...]] = {
    "speak": ("character", "byte", "request"),
    "transcribe": ("second", "minute", "request"),
    "make_image": ("image", "request"),
    "edit_image": ("image", "request"),
    "make_video": ("second", "clip"),
    "complete": ("input_token", "output_token", "request"),
}
TOKENS_PER_IMAGE = 2600
CHARS_PER_S = 10.0  # slow speech
_TIER_MEGAPIXELS = {"512": "0.3", "768": "0.6", "1k": "1.1", "1.5k": "2.4", "2k": "4.2", "4k": "16.8"}
_ANY_MEGAPIXELS = Decimal("4.2")


def read_prices(prices: Mapping[str, str], route: RouteId) -> dict[tuple[str, str], Decimal]:
    """The settings' prices, once, when the route is opened."""
    found = {}
    for name, text in prices.items():
        operation, _, unit = name.partition(" ")
        if unit not in UNITS.get(operation, ()):
            known = ", ".join(f"{each} {units[0]}" for each, units in UNITS.items())
            raise ConfigError(f"route {route} has a price for {name!r}", hint=f"there are: {known} ...")
        try:
            usd = Decimal(text)
        except InvalidOperation as error:
            raise ConfigError(f"the price of {name!r} on route {route} is no number", hint='write "0.006"') from error
        if not usd.is_finite() or usd < 0:
            raise ConfigError(f"the price of {name!r} on route {route} is {usd}", hint="write an amount in USD")
        found[operation, unit] = usd
    return found


def by_settings(operation: Operation, prices: Mapping[tuple[str, str], Decimal]) -> Decimal | None:
    """The sum over every unit that has a price; None where there is none, or where a count is not known."""
    name = operation_name(operation)
    priced = {unit: usd for (each, unit), usd in prices.items() if each == name}
    if not priced:
        return None
    total = Decimal(0)
    for unit, usd in priced.items():
        count = _count(operation, unit)
        if count is None:
            return None
        total += usd * count
    return total


def _count(operation: Operation, unit: str) -> int | None:
    if unit in ("request", "clip"):
        return 1
    match operation:
        case Speak():
            return len(operation.text) if unit == "character" else len(operation.text.encode("utf-8", "replace"))
        case Transcribe():
            seconds = operation.audio.seconds
            return None if seconds is None else math.ceil(seconds if unit == "second" else seconds / 60)
        case MakeImage() | EditImage():
            return operation.n
        case MakeVideo():
            return operation.seconds
        case Complete():
            return operation.max_tokens if unit == "output_token" else _tokens_in(operation)
        case _:
            return None


def _tokens_in(ask: Complete) -> int:
    return sum(map(_prices.tokens_in, (*_chat_wire.words_of(ask), ask.schema or ""))) + _media_tokens(ask)


def _media_tokens(ask: Complete) -> int:
    audio = math.ceil((ask.audio.seconds or 0) * _prices.AUDIO_TOKENS_PER_S) if ask.audio is not None else 0
    return TOKENS_PER_IMAGE * len(ask.images) + audio


def by_catalogue(operation: Operation, model: str, catalogue: Catalogue, *, video: VideoModel | None) -> Decimal | None:
    """By the dearest endpoint that the catalogue lists."""
    if model.endswith(":free"):
        return Decimal(0)
    match operation:
        case Speak():
            return _prices.speech_usd(model, operation.text, catalogue.endpoints(model))
        case Transcribe():
            return _prices.transcription_usd(model, operation.audio.seconds, catalogue.endpoints(model))
        case Complete():
            media = _media_tokens(operation)
            texts = (*_chat_wire.words_of(operation), operation.schema or "")
            endpoints = catalogue.endpoints(model)
            return _prices.chat_usd(texts, max_tokens=operation.max_tokens, media_tokens=media, endpoints=endpoints)
        case MakeImage() | EditImage():
            return _image_usd(operation, model, catalogue)
        case MakeVideo():
            return _video_usd(operation, model, catalogue, video)
        case _:
            return None


def _image_usd(ask: MakeImage | EditImage, model: str, catalogue: Catalogue) -> Decimal | None:
    references = len(ask.images) if isinstance(ask, EditImage) else 0
    rows, pixels = catalogue.image_prices(model), _megapixels(ask.picture)
    tokens = _prices.tokens_in(ask.prompt)
    return _prices.image_usd(rows, n=ask.n, references=references, megapixels=pixels, tokens=tokens)


def _megapixels(picture: Picture) -> Decimal:
    told = (picture.size or picture.resolution or "").lower()
    width, _, height = told.partition("x")
    if width.isdigit() and height.isdigit():
        return Decimal(int(width) * int(height)) / 1_000_000
    return Decimal(_TIER_MEGAPIXELS[told]) if told in _TIER_MEGAPIXELS else _ANY_MEGAPIXELS


def _video_usd(ask: MakeVideo, model: str, catalogue: Catalogue, known: VideoModel | None) -> Decimal | None:
    """What the job leaves open may be chosen as dear as the model's lists allow."""
    row = catalogue.video(model)
    seconds = ask.seconds or (max(known.durations) if known is not None and known.durations else None)
    if row is None or row.pricing_skus is None or seconds is None:
        return None
    open_to = (known.resolutions if known is not None else None) or (None,)
    width, _, height = (ask.size or "").partition("x")
    has_audio = ask.audio if ask.audio is not None else bool(known is not None and known.audio)
    amounts = [
        _prices.video_usd(
            row.pricing_skus,
            _prices.Clip(
                seconds=seconds,
                resolution=resolution,
                size=(int(width), int(height)) if width.isdigit() and height.isdigit() else None,
                has_audio=has_audio,
                frames=(ask.first_frame is not None) + (ask.last_frame is not None),
                references=len(ask.references),
            ),
        )
        for resolution in ((ask.resolution,) if ask.resolution else open_to)
    ]
    return _prices.dearest(amounts)


def audio_seconds(operation: Operation) -> float:
    match operation:
        case Speak():
            return len(operation.text) / CHARS_PER_S / max(operation.speed, 0.25)
        case Transcribe():
            return operation.audio.seconds or 0.0
        case _:
            return 0.0
