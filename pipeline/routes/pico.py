"""The pico route: German, Spanish, French, Italian and British English speech, no key, no network.

A plain voice that is quick and small. Every piece of at most 500 characters is spoken by a fresh child with a time
limit, because the engine can hang. Answers 16 kHz mono WAV.
"""

import hashlib

from pipeline.children.lanes import Lanes
from pipeline.children.weights import PICO
from pipeline.core.drivers import DriverFacts, Exchange, Health, Reply, RouteConfig
from pipeline.core.errors import UnsupportedOperation
from pipeline.core.model import Binding, Estimate, Refusal
from pipeline.core.operations import Operation, Speak
from pipeline.routes import _local, _options, _speech
from pipeline.routes._tools import Tools

DISTRIBUTION = "py-nanotts"
PROFILE = "p1"  # raise it when the stage would give other bytes for the same text
MODEL = "pico"
VOICES = {voice: voice for voice in sorted(PICO)}
PIECE_DEADLINE_S = 30.0
BOOTH = _speech.Booth(lane="once", stage="pico_stage:speak", max_chars=500, deadline_s=PIECE_DEADLINE_S)
_WEIGHTS = hashlib.sha256("".join(model.identity for model in PICO.values()).encode()).hexdigest()[:8]
_OWN_LANGUAGE = {"de": "de-DE", "es": "es-ES", "fr": "fr-FR", "it": "it-IT"}
FACTS = DriverFacts(
    name="pico",
    operations=frozenset({"speak"}),
    media_out=frozenset({"audio/wav"}),
    languages=frozenset(_OWN_LANGUAGE) | frozenset(PICO),
    voices=VOICES,
    models=(MODEL,),
)


def open_driver(route: RouteConfig, tools: Tools) -> "Pico":
    return Pico(route, tools.lanes)


def voice_for(language: str) -> str | None:
    """The voice of a language. English is spoken only where British English is asked for."""
    if language.replace("_", "-").lower() == "en-gb":
        return "en-GB"
    return _OWN_LANGUAGE.get(_local.primary(language))


class Pico:
    """Implements `core.drivers.Driver`."""

    def __init__(self, route: RouteConfig, lanes: Lanes) -> None:
        _options.refuse_slips(route, _options.NONE)
        self.route = route
        self.facts = FACTS
        self._lanes = lanes

    def bind(self, operation: str, model: str | None) -> Binding:
        _local.require_known(FACTS, operation, model)
        _local.require_extra(DISTRIBUTION, PICO.values())
        engine = f"{DISTRIBUTION} {_local.version(DISTRIBUTION)} {_WEIGHTS} {PROFILE}"
        return Binding(route=self.route.id, model=MODEL, engine=engine, paid=False)

    def check(self, operation: Operation, binding: Binding) -> list[Refusal]:
        if not isinstance(operation, Speak):
            return [Refusal(code="operation-unsupported", message="pico only speaks")]
        reasons = _local.missing_extra(DISTRIBUTION, PICO.values())
        voice = voice_for(operation.language)
        if voice is None:
            message = f"pico does not speak {operation.language}"
            hint = f"languages here: {', '.join(sorted(FACTS.languages or ()))}"
            return [*reasons, Refusal(code="language-unsupported", message=message, hint=hint)]
        reasons += _speech.ask_refusals(operation, {voice: voice})
        return reasons + _speech.text_refusals(operation.text, single_greek=False)

    def estimate(self, operation: Operation, binding: Binding) -> Estimate:
        return _speech.estimate(operation) if isinstance(operation, Speak) else Estimate()

    def probe(self) -> Health:
        return _local.health(DISTRIBUTION, PICO.values())

    async def perform(self, operation: Operation, binding: Binding, exchange: Exchange) -> Reply:
        voice = voice_for(operation.language) if isinstance(operation, Speak) else None
        if not isinstance(operation, Speak) or voice is None:
            raise UnsupportedOperation("pico only speaks its own languages")
        seconds = await _speech.speak(self._lanes, BOOTH, operation, voice=voice, exchange=exchange)
        return Reply(media_type="audio/wav", model=binding.model, usd=_local.FREE, seconds=seconds)
