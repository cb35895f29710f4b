"""What a call may cost at worst, from what a catalogue says. Pure arithmetic on Decimal; unknown stays unknown.

The unit of a price is not in the catalogue: speech and transcription models are told apart by tables of families. Where
routing cannot be pinned the dearest endpoint counts. A price name that nobody knows makes the estimate unknown.
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal, InvalidOperation

import msgspec
from msgspec import Struct

HOUR_S = 3600
BYTES_PER_TOKEN = 2  # ordinary text has three or four; half of that is a bound that still lets a run begin
AUDIO_TOKENS_PER_S = 32
SPEECH_TOKENS_PER_CHAR = 2
FRAMES_PER_S, PIXELS_PER_TOKEN = 24, 1024
OVERLENGTH_S = Decimal("0.1")  # four seconds asked were 4.04 billed

# source of both tables: the models' own price pages as the catalogue of October 2026 showed them
SPEECH_UNITS: Mapping[str, str] = {
    "fish-audio/": "byte",
    "google/": "token",
    "bytedance-seed/": "output_second",
}
TRANSCRIPTION_UNITS: Mapping[str, str] = {
    "openai/whisper": "second",
    "deepgram/": "second",
    "x-ai/grok-stt": "second",
    "google/chirp": "second",
    "groq/whisper": "second",
    "microsoft/mai-transcribe": "hour",
    "openai/gpt-4o": "token",
    "openai/gpt-transcribe": "token",
    "google/gemini": "token",
}
_RESOLUTION_AREA = {
    "360p": 360,
    "480p": 480,
    "720p": 720,
    "768p": 768,
    "1080p": 1080,
    "1k": 1024,
    "2k": 1440,
    "4k": 2160,
}


class Rates(Struct, frozen=True, kw_only=True):
    """The prices of one endpoint: USD per unit by the catalogue's own names.

    `dearer` are prices for long requests, with the tokens from which on they hold; of those that hold at some hours
    only it is not asked when.
    """

    values: Mapping[str, Decimal]
    dearer: tuple[tuple[int, Mapping[str, Decimal]], ...] = ()

    def get(self, name: str, tokens: int = 0) -> Decimal | None:
        base = self.values.get(name)
        told = [more[name] for least, more in self.dearer if tokens >= least and name in more]
        return None if base is None else max([base, *told])


def rates(pricing: Mapping[str, object]) -> Rates:
    """Strings and numbers become Decimal; whatever is neither is left out, and so is unknown."""
    return Rates(values=_known(pricing), dearer=tuple(_dearer(pricing.get("overrides"))))


def _known(pricing: Mapping[str, object]) -> dict[str, Decimal]:
    known = {name: money(value) for name, value in pricing.items()}
    return {name: value for name, value in known.items() if value is not None}


def _dearer(overrides: object) -> Iterator[tuple[int, Mapping[str, Decimal]]]:
    for item in overrides if isinstance(overrides, Sequence) and not isinstance(overrides, str) else ():
        told = msgspec.json.decode(item) if isinstance(item, msgspec.Raw) else item
        if isinstance(told, Mapping):
            least = told.get("min_prompt_tokens")
            yield (least if isinstance(least, int) else 0), _known(told)


def money(value: object) -> Decimal | None:
    """A price, or None: routers announce "-1", which means that it depends on who answers."""
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        return None
    try:
        found = Decimal(str(value))
    except InvalidOperation:
        return None
    return found if found.is_finite() and found >= 0 else None


def dearest(amounts: Iterable[Decimal | None]) -> Decimal | None:
    """The largest; unknown if any is unknown or there are none."""
    listed = list(amounts)
    known = [amount for amount in listed if amount is not None]
    return max(known) if known and len(known) == len(listed) else None


def unit_of(model: str, units: Mapping[str, str], default: str | None) -> str | None:
    """By the longest family prefix that the model's id begins with."""
    prefixes = [prefix for prefix in units if model.startswith(prefix)]
    return units[max(prefixes, key=len)] if prefixes else default


def speech_usd(model: str, text: str, endpoints: Sequence[Rates]) -> Decimal | None:
    """Per character for most models, per UTF-8 byte, token or second of output for some families."""
    unit = unit_of(model, SPEECH_UNITS, "character")
    return dearest(_speech_at(unit, text, endpoint) for endpoint in endpoints)


def _speech_at(unit: str | None, text: str, endpoint: Rates) -> Decimal | None:
    prompt, completion = endpoint.get("prompt"), endpoint.get("completion")
    match unit:
        case "character":
            return None if prompt is None else prompt * len(text)
        case "byte":
            return None if prompt is None else prompt * len(text.encode("utf-8", "replace"))
        case "token" if prompt is not None and completion is not None:
            return prompt * tokens_in(text) + completion * SPEECH_TOKENS_PER_CHAR * len(text)
        case "output_second" if completion is not None:
            return completion * math.ceil(max(1, len(text) / 4))  # nobody speaks fewer than four letters a second
        case _:
            return None


def transcription_usd(model: str, seconds: float | None, endpoints: Sequence[Rates]) -> Decimal | None:
    """Whole seconds, rounded up as the dearest do; None where the unit or the length is not known."""
    unit = unit_of(model, TRANSCRIPTION_UNITS, None)
    if unit is None or seconds is None:
        return None
    return dearest(_transcription_at(unit, math.ceil(seconds), endpoint) for endpoint in endpoints)


def _transcription_at(unit: str, seconds: int, endpoint: Rates) -> Decimal | None:
    prompt, completion = endpoint.get("prompt"), endpoint.get("completion")
    if prompt is None:
        return None
    match unit:
        case "second":
            return prompt * seconds
        case "hour":
            return prompt * seconds / HOUR_S
        case _ if completion is not None:
            audio = endpoint.get("audio") or prompt
            return (audio * AUDIO_TOKENS_PER_S + completion * SPEECH_TOKENS_PER_CHAR * 20) * seconds
        case _:
            return None


def chat_usd(texts: Sequence[str], *, max_tokens: int, media_tokens: int, endpoints: Sequence[Rates]) -> Decimal | None:
    return dearest(_chat_at(sum(map(tokens_in, texts)) + media_tokens, max_tokens, endpoint) for endpoint in endpoints)


def _chat_at(tokens: int, max_tokens: int, endpoint: Rates) -> Decimal | None:
    prompt, completion = endpoint.get("prompt", tokens), endpoint.get("completion", tokens)
    if prompt is None or completion is None:
        return None
    return prompt * tokens + completion * max_tokens + (endpoint.get("request") or 0)


def tokens_in(text: str) -> int:
    return math.ceil(len(text.encode("utf-8", "replace")) / BYTES_PER_TOKEN) + 16


class ImagePrice(Struct, frozen=True, kw_only=True):
    """One row of an image endpoint's pricing: what is billed, per what, for how much."""

    billable: str
    unit: str
    cost_usd: float


def image_usd(
    rows: Sequence[ImagePrice], *, n: int, references: int, megapixels: Decimal, tokens: int
) -> Decimal | None:
    """The dearest variant of each billable thing, times how much of it there is; None for a unit nobody knows."""
    worst: dict[str, Decimal] = {}
    for row in rows:
        amount = _image_row(row, n=n, references=references, megapixels=megapixels, tokens=tokens)
        if amount is None:
            return None
        worst[row.billable] = max(worst.get(row.billable, Decimal(0)), amount)
    return sum(worst.values(), Decimal(0)) if "output_image" in worst else None


def _image_row(row: ImagePrice, *, n: int, references: int, megapixels: Decimal, tokens: int) -> Decimal | None:
    counts = {"output_image": n, "input_image": references, "input_reference": references, "input_font": 0}
    price = money(row.cost_usd)
    if price is None:
        return None
    if row.billable == "input_text":
        return price * tokens if row.unit == "token" else price
    if row.billable not in counts:
        return None
    tokens_a_megapixel = 4200  # 4,096 were billed for one megapixel
    amounts = {
        "image": Decimal(1),
        "request": Decimal(1),
        "megapixel": megapixels,
        "token": megapixels * tokens_a_megapixel,
    }
    return None if row.unit not in amounts else price * counts[row.billable] * amounts[row.unit]


class Clip(Struct, frozen=True, kw_only=True):
    """What decides the price of a video. `resolution` in the catalogue's words; `size` in pixels where it is known."""

    seconds: int
    resolution: str | None
    size: tuple[int, int] | None
    has_audio: bool
    frames: int
    references: int


def video_usd(skus: Mapping[str, object], clip: Clip) -> Decimal | None:
    """The first price name that fits, in the order that all known entries were billed by; None for unknown names."""
    prices = rates(skus).values
    if not prices or not all(_SKU.fullmatch(name) for name in prices):
        return None
    amount = _by_duration(prices, clip) or _by_tokens(prices, clip) or prices.get("generate")
    if amount is None:
        return None
    amount += prices.get("reference_images", Decimal(0)) * clip.references
    amount += prices.get("cents_per_image_input", Decimal(0)) / 100 * (clip.references + clip.frames)
    return max(amount, prices.get("minimum_cents_per_generation", Decimal(0)) / 100)


_SKU = re.compile(
    r"(duration_seconds|(text|image)_to_video_duration_seconds)(_with_audio|_without_audio)?(_\w{2,5})?"
    r"|cents_per_(video_output_second|second_output)(_\w{2,5})?|video_tokens(_\w{2,5})?(_without_audio)?(_with_video_input)?"
    r"|generate|reference_images|cents_per_image_input|minimum_cents_per_generation"
)


def _by_duration(prices: Mapping[str, Decimal], clip: Clip) -> Decimal | None:
    resolution = (clip.resolution or "").lower()
    audio = "with_audio" if clip.has_audio else "without_audio"
    source = "image" if clip.frames or clip.references else "text"
    names = (
        f"duration_seconds_{audio}_{resolution}",
        f"duration_seconds_{audio}",
        f"{source}_to_video_duration_seconds_{resolution}",
        f"duration_seconds_{resolution}",
        "duration_seconds",
    )
    for name in names:
        if name in prices:
            return prices[name] * clip.seconds
    for name in ("cents_per_video_output_second", "cents_per_second_output"):
        for wanted in (f"{name}_{resolution}", name):
            if wanted in prices:
                return prices[wanted] / 100 * clip.seconds
    return None


def _by_tokens(prices: Mapping[str, Decimal], clip: Clip) -> Decimal | None:
    """tokens = width x height x seconds x 24 / 1024, at the dearest token price that could apply."""
    resolution = (clip.resolution or "").lower()
    fitting = [price for name, price in prices.items() if name.startswith("video_tokens") and _fits(name, resolution)]
    if not fitting:
        return None
    width, height = clip.size or _largest(resolution)
    seconds = clip.seconds + OVERLENGTH_S
    tokens = width * height * seconds * FRAMES_PER_S / PIXELS_PER_TOKEN
    return max(fitting) * math.ceil(tokens)


def _fits(name: str, resolution: str) -> bool:
    named = [word for word in name.split("_") if word in _RESOLUTION_AREA]
    return not named or named == [resolution]


def _largest(resolution: str) -> tuple[int, int]:
    """21:9, the widest that is offered, at the asked height; 4K where nothing was asked."""
    height = _RESOLUTION_AREA.get(resolution, 2160)
    return math.ceil(height * 21 / 9), height
