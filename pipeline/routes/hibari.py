"""The hibari route: English speech in a warm child, no key, no network.

Takes English only and says so: it would read any other language by English rules. One voice is in the package; the
others would be downloaded, so they do not exist here. Answers 24 kHz mono WAV, the same bytes for the same text.
"""

from pipeline.children.lanes import Lanes
from pipeline.children.weights import HIBARI
from pipeline.core.drivers import DriverFacts, Exchange, Health, Reply, RouteConfig
from pipeline.core.errors import UnsupportedOperation
from pipeline.core.model import Binding, Estimate, Refusal
from pipeline.core.operations import Operation, Speak
from pipeline.routes import _local, _options, _speech
from pipeline.routes._tools import Tools

DISTRIBUTION = "hibari-tts"
PROFILE = "p1"  # raise it when the stage would give other bytes for the same text
VOICES = {"heart": "en"}
LANGUAGES = frozenset({"en", "en-us"})
BOOTH = _speech.Booth(lane="engine", stage="hibari_stage:speak", max_chars=2000, deadline_s=300.0)
FACTS = DriverFacts(
    name="hibari",
    operations=frozenset({"speak"}),
    media_out=frozenset({"audio/wav"}),
    languages=frozenset({"en", "en-US"}),
    voices=VOICES,
    models=(HIBARI.name,),
)


def open_driver(route: RouteConfig, tools: Tools) -> "Hibari":
    return Hibari(route, tools.lanes)


class Hibari:
    """Implements `core.drivers.Driver`."""

    def __init__(self, route: RouteConfig, lanes: Lanes) -> None:
        _options.refuse_slips(route, _options.NONE)
        self.route = route
        self.facts = FACTS
        self._lanes = lanes

    def bind(self, operation: str, model: str | None) -> Binding:
        _local.require_known(FACTS, operation, model)
        _local.require_extra(DISTRIBUTION, (HIBARI,))
        engine = f"{DISTRIBUTION} {_local.version(DISTRIBUTION)} {HIBARI.identity} {PROFILE}"
        return Binding(route=self.route.id, model=HIBARI.name, engine=engine, paid=False)

    def check(self, operation: Operation, binding: Binding) -> list[Refusal]:
        if not isinstance(operation, Speak):
            return [Refusal(code="operation-unsupported", message="hibari only speaks")]
        reasons = _local.missing_extra(DISTRIBUTION, (HIBARI,))
        if operation.language.replace("_", "-").lower() not in LANGUAGES:
            message = f"hibari speaks American English, not {operation.language}"
            hint = "name a route that has the language; pico has de, es, fr, it and en-GB"
            return [*reasons, Refusal(code="language-unsupported", message=message, hint=hint)]
        reasons += _speech.ask_refusals(operation, VOICES)
        return reasons + _speech.text_refusals(operation.text, single_greek=True)

    def estimate(self, operation: Operation, binding: Binding) -> Estimate:
        return _speech.estimate(operation) if isinstance(operation, Speak) else Estimate()

    def probe(self) -> Health:
        return _local.health(DISTRIBUTION, (HIBARI,))

    async def perform(self, operation: Operation, binding: Binding, exchange: Exchange) -> Reply:
        if not isinstance(operation, Speak):
            raise UnsupportedOperation("hibari only speaks")
        voice = operation.voice or HIBARI.name
        seconds = await _speech.speak(self._lanes, BOOTH, operation, voice=voice, exchange=exchange)
        return Reply(media_type="audio/wav", model=binding.model, usd=_local.FREE, seconds=seconds)
