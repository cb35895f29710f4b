"""The pillow route: exact changes of one picture by steps, no key, no network, nothing invented.

Size, crop, turn, colour, blur, text, overlay, another format. The same picture and steps give the same bytes. A prompt
is not understood here and never guessed at: only `retouch` is offered.
"""

from pipeline.children.lanes import Lanes
from pipeline.children.picture_work import READABLE, WRITABLE, RetouchParams, SaveFacts, parse_steps, target_type
from pipeline.children.stage import FileRef, StageLimits, StageSpec, packed
from pipeline.core.decoding import from_json
from pipeline.core.drivers import DriverFacts, Exchange, Health, Reply, RouteConfig
from pipeline.core.errors import InputError, UnsupportedOperation
from pipeline.core.model import Binding, Estimate, Refusal
from pipeline.core.operations import Operation, Retouch
from pipeline.routes import _local, _options
from pipeline.routes._tools import Tools

DISTRIBUTION = "pillow"
PROFILE = "p1"  # raise it when a step would give other pixels for the same picture
MODEL = "steps"
MAX_OUTPUT_BYTES = 1_000_000_000
DEADLINE_S = 120.0
FACTS = DriverFacts(
    name="pillow",
    operations=frozenset({"retouch"}),
    media_out=frozenset(WRITABLE.values()),
    models=(MODEL,),
)


def open_driver(route: RouteConfig, tools: Tools) -> "Pillow":
    return Pillow(route, tools.lanes)


class Pillow:
    """Implements `core.drivers.Driver`."""

    def __init__(self, route: RouteConfig, lanes: Lanes) -> None:
        _options.refuse_slips(route, _options.NONE)
        self.route = route
        self.facts = FACTS
        self._lanes = lanes

    def bind(self, operation: str, model: str | None) -> Binding:
        _local.require_known(FACTS, operation, model)
        engine = f"{DISTRIBUTION} {_local.version(DISTRIBUTION)} {PROFILE}"
        return Binding(route=self.route.id, model=MODEL, engine=engine, paid=False)

    def check(self, operation: Operation, binding: Binding) -> list[Refusal]:
        if not isinstance(operation, Retouch):
            return [Refusal(code="operation-unsupported", message="pillow only retouches by steps")]
        pictures = [operation.image, *([operation.overlay] if operation.overlay else [])]
        reasons = [
            Refusal(code="input-type", message=f"{picture.media.media_type} is not read here", hint="give a picture")
            for picture in pictures
            if picture.media.media_type not in READABLE
        ]
        if operation.format is not None and operation.format not in WRITABLE:
            hint = f"formats are: {', '.join(WRITABLE)}"
            reasons.append(Refusal(code="operation-unsupported", message="the format is not written here", hint=hint))
        return reasons + _against_steps(operation)

    def estimate(self, operation: Operation, binding: Binding) -> Estimate:
        return Estimate()

    def probe(self) -> Health:
        return Health(ok=True, summary=f"{DISTRIBUTION} {_local.version(DISTRIBUTION)}")

    async def perform(self, operation: Operation, binding: Binding, exchange: Exchange) -> Reply:
        if not isinstance(operation, Retouch):
            raise UnsupportedOperation("pillow only retouches by steps")
        media_type = target_type(operation.image.media.media_type, operation.format)
        with _local.scratch(self._lanes, ".picture") as target:
            await exchange.sending()
            spec = self._spec(operation, media_type, target)
            result = await self._lanes.run("media", spec, line=exchange.in_line)
            await _local.hand_over(exchange, self._lanes.path(target))
        found = from_json(result.facts, SaveFacts)
        facts = {"steps": str(len(operation.steps)), "size": f"{found.width}x{found.height}"}
        return Reply(media_type=media_type, model=binding.model, usd=_local.FREE, facts=facts)

    def _spec(self, ask: Retouch, media_type: str, target: FileRef) -> StageSpec:
        params = RetouchParams(
            media_type=ask.image.media.media_type,
            steps=ask.steps,
            target_type=media_type,
            overlay_type=ask.overlay.media.media_type if ask.overlay else None,
            max_pixels=self.route.limits.max_pixels,
        )
        pictures = [ask.image, *([ask.overlay] if ask.overlay else [])]
        return StageSpec(
            stage="picture_stages:retouch",
            inputs=tuple(self._lanes.ref(picture.path) for picture in pictures),
            output=target,
            params=packed(params),
            limits=StageLimits(max_output_bytes=MAX_OUTPUT_BYTES),
            deadline_s=min(DEADLINE_S, self.route.call_timeout_s),
        )


def _against_steps(ask: Retouch) -> list[Refusal]:
    try:
        parse_steps(ask.steps)
    except InputError as error:
        return [Refusal(code=error.code, message=error.message, hint=error.hint)]
    return []
