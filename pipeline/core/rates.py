"""Rates: how much of a unit a route takes per minute, hour and day, in sliding windows.

What was taken is kept in slots of a sixtieth of the window. A slot counts until all of it has left the window, so no
window of that length ever holds more than the rate, whatever the order of arrival; the price is a wait that is longer
by a slot at most. Pure: moments come in, in seconds.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Literal, get_args

from msgspec import Struct

from pipeline.core.operations import Complete, EditImage, MakeImage, Operation, Speak, Transcribe, texts_of
from pipeline.core.portions import estimated_tokens

Unit = Literal["requests", "tokens", "characters", "images", "audio_seconds"]
Span = Literal["minute", "hour", "day"]
UNITS: tuple[Unit, ...] = get_args(Unit)
SPANS_S: Mapping[Span, int] = {"minute": 60, "hour": 3600, "day": 86_400}
SLOTS = 60
AUDIO_TOKENS_PER_S = 32
TOKENS_PER_IMAGE = 2600
_GRAIN = 1e-9

Slots = dict[int, float]
"""How much was taken, by slot number: the start of the slot over its length."""


class Rate(Struct, frozen=True, kw_only=True):
    """`most` of a unit in any stretch of `span`."""

    unit: Unit
    span: Span
    most: float

    @property
    def span_s(self) -> int:
        return SPANS_S[self.span]

    @property
    def slot_s(self) -> float:
        return self.span_s / SLOTS

    @property
    def words(self) -> str:
        return f"{self.most:g} {self.unit.replace('_', '-')} per {self.span}"


def load_of(operation: Operation) -> dict[Unit, float]:
    """What one request with this operation takes of each unit, at most."""
    texts = texts_of(operation)
    load: dict[Unit, float] = {"requests": 1, "characters": sum(map(len, texts))}
    match operation:
        case Speak():
            load["tokens"] = _tokens(texts)
        case Transcribe():
            load["audio_seconds"] = operation.audio.seconds or 0.0
        case MakeImage() | EditImage():
            load |= {"images": operation.n, "tokens": _tokens(texts)}
        case Complete():
            seconds = (operation.audio.seconds or 0.0) if operation.audio is not None else 0.0
            media = TOKENS_PER_IMAGE * len(operation.images) + math.ceil(AUDIO_TOKENS_PER_S * seconds)
            load |= {"audio_seconds": seconds, "tokens": _tokens(texts) + media + operation.max_tokens}
        case _:
            pass
    return load


def _tokens(texts: Iterable[str]) -> int:
    return sum(map(estimated_tokens, texts))


def kept(rate: Rate, slots: Slots, now: float) -> Slots:
    """The slots that still count. What a clock set back has put into the future counts as taken now."""
    current, live = math.floor(now / rate.slot_s), Slots()
    for slot, amount in slots.items():
        if (slot + 1) * rate.slot_s > now - rate.span_s:
            live[min(slot, current)] = live.get(min(slot, current), 0.0) + amount
    return live


def wait_s(rate: Rate, live: Slots, now: float, more: float) -> float:
    """Seconds until `more` fits; 0 when it does, infinity when it never will."""
    if more > rate.most + _GRAIN:
        return math.inf
    excess = sum(live.values()) + more - rate.most
    for slot in sorted(live):
        if excess <= _GRAIN:
            break
        excess -= live[slot]
        if excess <= _GRAIN:
            return (slot + 1) * rate.slot_s + rate.span_s - now
    return 0.0


def taken(rate: Rate, live: Slots, now: float, more: float) -> Slots:
    slot = math.floor(now / rate.slot_s)
    return {**live, slot: live.get(slot, 0.0) + more}
