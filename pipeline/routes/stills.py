"""The stills route: a clip of one or two pictures, by moving over the one or fading to the other; no key, no network.

It is no video model and never says so: every pixel is one of the stills', and the receipt and the file's metadata name
what it was made from. The prompt is one of a closed list of motions; any other wish is refused, never approximated.
"""

import re

from pipeline.children.lanes import Lanes
from pipeline.children.picture_work import READABLE
from pipeline.children.stage import FileRef, StageLimits, StageSpec, packed
from pipeline.children.video_work import (
    CROSSFADE,
    MADE_FROM,
    MAX_SECONDS,
    MAX_SIDE,
    MIN_SECONDS,
    MIN_SIDE,
    MOTIONS,
    StillsFacts,
    StillsParams,
)
from pipeline.core.decoding import from_json
from pipeline.core.drivers import DriverFacts, Exchange, Health, Reply, RouteConfig
from pipeline.core.errors import UnsupportedOperation
from pipeline.core.model import Binding, Estimate, Refusal
from pipeline.core.operations import MakeVideo, MediaRef, Operation
from pipeline.routes import _local, _options
from pipeline.routes._tools import Tools

DISTRIBUTION = "av"
PICTURES = "pillow"
PROFILE = "p1"  # raise it when the stage would give other bytes for the same stills
MODEL = "stills"
DEFAULT_SECONDS = 5
DEFAULT_MOTION = "zoom in"
MAX_OUTPUT_BYTES = 1_000_000_000
RESOLUTIONS = {"360p": 360, "480p": 480, "720p": 720, "1080p": 1080}
ASPECTS = {
    name: (int(name.partition(":")[0]), int(name.partition(":")[2]))
    for name in ("16:9", "9:16", "1:1", "4:3", "3:4", "3:2", "2:3", "21:9", "9:21")
}
_SIZE = re.compile(r"(\d{2,4})x(\d{2,4})")
FACTS = DriverFacts(
    name="stills",
    operations=frozenset({"make_video"}),
    media_out=frozenset({"video/mp4"}),
    models=(MODEL,),
)


def open_driver(route: RouteConfig, tools: Tools) -> "Stills":
    return Stills(route, tools.lanes)


class Stills:
    """Implements `core.drivers.Driver`."""

    def __init__(self, route: RouteConfig, lanes: Lanes) -> None:
        _options.refuse_slips(route, _options.NONE)
        self.route = route
        self.facts = FACTS
        self._lanes = lanes

    def bind(self, operation: str, model: str | None) -> Binding:
        _local.require_known(FACTS, operation, model)
        engine = f"{DISTRIBUTION} {_local.version(DISTRIBUTION)} {PICTURES} {_local.version(PICTURES)} {PROFILE}"
        return Binding(route=self.route.id, model=MODEL, engine=engine, paid=False)

    def check(self, operation: Operation, binding: Binding) -> list[Refusal]:
        if not isinstance(operation, MakeVideo):
            return [_refusal("stills only makes videos of pictures", "name another route")]
        return [
            *_against_frames(operation),
            *_against_motion(operation),
            *_against_size(operation),
            *_against_wishes(operation),
        ]

    def estimate(self, operation: Operation, binding: Binding) -> Estimate:
        return Estimate()

    def probe(self) -> Health:
        details = (f"motions: {', '.join((*MOTIONS, CROSSFADE))}",)
        return Health(ok=True, summary=f"{DISTRIBUTION} {_local.version(DISTRIBUTION)}", details=details)

    async def perform(self, operation: Operation, binding: Binding, exchange: Exchange) -> Reply:
        if not isinstance(operation, MakeVideo) or operation.first_frame is None:
            raise UnsupportedOperation("stills only makes videos of pictures")
        with _local.scratch(self._lanes, ".mp4") as target:
            await exchange.sending()
            spec = self._spec(operation, operation.first_frame, target)
            result = await self._lanes.run("media", spec, line=exchange.in_line)
            await _local.hand_over(exchange, self._lanes.path(target))
        found = from_json(result.facts, StillsFacts)
        facts = {
            "made_from": MADE_FROM,
            "motion": motion_of(operation),
            "size": f"{found.width}x{found.height}",
            "frames": str(found.frames),
        }
        return Reply(media_type="video/mp4", model=binding.model, usd=_local.FREE, seconds=found.seconds, facts=facts)

    def _spec(self, ask: MakeVideo, first: MediaRef, target: FileRef) -> StageSpec:
        stills = [first, *([ask.last_frame] if ask.last_frame else [])]
        params = StillsParams(
            motion=motion_of(ask),
            seconds=ask.seconds or DEFAULT_SECONDS,
            media_types=tuple(still.media.media_type for still in stills),
            size=_size(ask.size),
            short_side=RESOLUTIONS[ask.resolution or "720p"],
            aspect=ASPECTS[ask.aspect_ratio] if ask.aspect_ratio else None,
            max_pixels=self.route.limits.max_pixels,
        )
        return StageSpec(
            stage="video_stages:stills",
            inputs=tuple(self._lanes.ref(still.path) for still in stills),
            output=target,
            params=packed(params),
            limits=StageLimits(max_output_bytes=MAX_OUTPUT_BYTES),
            deadline_s=self.route.call_timeout_s,
        )


def motion_of(ask: MakeVideo) -> str:
    return ask.prompt or (CROSSFADE if ask.last_frame else DEFAULT_MOTION)


def _refusal(message: str, hint: str) -> Refusal:
    return Refusal(code="operation-unsupported", message=message, hint=hint)


def _against_frames(ask: MakeVideo) -> list[Refusal]:
    if ask.first_frame is None:
        return [_refusal("there is no picture to make a video of", "give a first frame; a prompt alone needs a model")]
    frames = [ask.first_frame, *([ask.last_frame] if ask.last_frame else [])]
    return [
        Refusal(code="input-type", message=f"{frame.media.media_type} is no picture", hint="give a picture")
        for frame in frames
        if frame.media.media_type not in READABLE
    ]


def _against_motion(ask: MakeVideo) -> list[Refusal]:
    motion = motion_of(ask)
    allowed = (CROSSFADE,) if ask.last_frame else MOTIONS
    if motion in allowed:
        return []
    hint = f"here the prompt is one of: {', '.join(allowed)}; name a route with a video model for anything else"
    return [_refusal("stills are moved, not imagined: the prompt is no motion for these frames", hint)]


def _against_size(ask: MakeVideo) -> list[Refusal]:
    reasons = []
    if ask.size is not None and _size(ask.size) is None:
        hint = f"write WIDTHxHEIGHT, even, from {MIN_SIDE} to {MAX_SIDE}"
        reasons.append(_refusal("the size cannot be made here", hint))
    if ask.resolution is not None and ask.resolution not in RESOLUTIONS:
        reasons.append(_refusal("the resolution cannot be made here", f"one of {', '.join(RESOLUTIONS)}"))
    if ask.aspect_ratio is not None and ask.aspect_ratio not in ASPECTS:
        reasons.append(_refusal("the aspect ratio cannot be made here", f"one of {', '.join(ASPECTS)}"))
    if ask.size is not None and (ask.resolution or ask.aspect_ratio):
        reasons.append(_refusal("size contradicts resolution or aspect_ratio", "give size alone, or the others"))
    return reasons


def _against_wishes(ask: MakeVideo) -> list[Refusal]:
    reasons = []
    if ask.seconds is not None and not MIN_SECONDS <= ask.seconds <= MAX_SECONDS:
        reasons.append(_refusal(f"{ask.seconds} seconds", f"{MIN_SECONDS} to {MAX_SECONDS} are made here"))
    if ask.references:
        reasons.append(_refusal("references are for models", "give first_frame and last_frame"))
    if ask.audio:
        reasons.append(_refusal("a video of stills is silent", "leave audio out"))
    if ask.seed is not None:
        reasons.append(_refusal("there is nothing random in it", "leave seed out"))
    return reasons


def _size(text: str | None) -> tuple[int, int] | None:
    match = _SIZE.fullmatch(text or "")
    if match is None:
        return None
    wide, high = int(match[1]), int(match[2])
    is_fit = all(MIN_SIDE <= side <= MAX_SIDE and side % 2 == 0 for side in (wide, high))
    return (wide, high) if is_fit else None
