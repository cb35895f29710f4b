"""The whisper route: speech to text in warm children, no key, no network.

Models are the packaged `base` (99 languages) and `tiny.en`, and any CTranslate2 folder that the settings name: option
`folder.<model name> = "/path"`. Option `multilingual = "false"` keeps to the first language;
`models.transcribe` is the model where a job names none. Answers a Transcript as JSON; no speech is an empty one.
"""

from pipeline.children import weights
from pipeline.children.lanes import Lanes
from pipeline.children.stage import FileRef, StageLimits, StageSpec, packed
from pipeline.children.whisper_work import WhisperFacts, WhisperParams
from pipeline.core.decoding import from_json
from pipeline.core.drivers import DriverFacts, Exchange, Health, Reply, RouteConfig
from pipeline.core.errors import UnsupportedOperation
from pipeline.core.hearing import PARTS, Hearing
from pipeline.core.kinds import MAX_TRANSCRIPT_BYTES
from pipeline.core.model import Binding, Estimate, Limits, Refusal
from pipeline.core.operations import Operation, Transcribe
from pipeline.media.av import demuxer_of
from pipeline.routes import _local, _options
from pipeline.routes._tools import Tools

DISTRIBUTION = "faster-whisper"
PROFILE = "p3"  # raise it when the stage would give another transcript of the same recording
DEFAULT_MODEL = "base"
ENGLISH_ONLY = ".en"
SLACK_SHARE, SLACK_S = 1.1, 30.0
UNKNOWN_LENGTH_S = 24 * 3600.0
_CODES = (
    "af am ar as az ba be bg bn bo br bs ca cs cy da de el en es et eu fa fi fo fr gl gu ha haw he hi hr ht hu hy id "
    "is it ja jw ka kk km kn ko la lb ln lo lt lv mg mi mk ml mn mr ms mt my ne nl nn no oc pa pl ps pt ro ru sa sd "
    "si sk sl sn so sq sr su sv sw ta te tg th tk tl tr tt uk ur uz vi yi yo zh"
)
LANGUAGES = frozenset(_CODES.split())
_OTHER_NAMES = {"nb": "no", "fil": "tl", "iw": "he", "in": "id", "jv": "jw", "cmn": "zh", "ji": "yi"}
_MEDIA_TYPES = (
    "audio/wav audio/mpeg audio/ogg audio/flac audio/aac audio/mp4 video/mp4 audio/webm video/webm audio/x-matroska "
    "video/x-matroska"
)
MEDIA_IN = frozenset(_MEDIA_TYPES.split())

PART_S = 300.0
SHARE = 4
"""Parts come in a number that one, two or four children can share evenly, however many there are in this run."""
HEARING = Hearing(takes=MEDIA_IN, part_seconds=PART_S, has_tracks=True, part=PARTS["flac"], share=SHARE)


def open_driver(route: RouteConfig, tools: Tools) -> "Whisper":
    return Whisper(route, tools.lanes)


def language_code(language: str) -> str:
    """Whisper's code of a BCP 47 tag."""
    code = _local.primary(language)
    return _OTHER_NAMES.get(code, code)


class Whisper:
    """Implements `core.drivers.Driver`."""

    def __init__(self, route: RouteConfig, lanes: Lanes) -> None:
        _options.refuse_slips(route, _options.WHISPER)
        self.route = route
        self._lanes = lanes
        self._folders = {
            name.removeprefix(_options.FOLDER): path
            for name, path in route.options.items()
            if name.startswith(_options.FOLDER)
        }
        self._multilingual = route.options.get("multilingual", "").lower() != "false"
        self.facts = DriverFacts(
            name="whisper",
            operations=frozenset({"transcribe"}),
            media_out=frozenset({"application/json"}),
            languages=LANGUAGES,
            models=(*weights.WHISPER, *self._folders),
        )

    def bind(self, operation: str, model: str | None) -> Binding:
        chosen = model or self.route.models.get(operation, DEFAULT_MODEL)
        _local.require_known(self.facts, operation, chosen)
        _local.require_extra(DISTRIBUTION, self._packaged(chosen))
        return Binding(route=self.route.id, model=chosen, engine=self._engine(chosen), paid=False)

    def check(self, operation: Operation, binding: Binding) -> list[Refusal]:
        if not isinstance(operation, Transcribe):
            return [Refusal(code="operation-unsupported", message="whisper only transcribes")]
        return [
            *_local.missing_extra(DISTRIBUTION, self._packaged(binding.model)),
            *_media_refusals(operation),
            *_language_refusals(operation.language, binding.model),
        ]

    def hearing(self, binding: Binding) -> Hearing:
        return HEARING

    def estimate(self, operation: Operation, binding: Binding) -> Estimate:
        return Estimate(audio_seconds=(operation.audio.seconds or 0.0) if isinstance(operation, Transcribe) else 0.0)

    def probe(self) -> Health:
        return _local.health(DISTRIBUTION, weights.WHISPER.values())

    async def perform(self, operation: Operation, binding: Binding, exchange: Exchange) -> Reply:
        if not isinstance(operation, Transcribe):
            raise UnsupportedOperation("whisper only transcribes")
        with _local.scratch(self._lanes, ".json") as target:
            spec = self._spec(operation, binding, target, exchange.limits)
            await exchange.sending()
            result = await self._lanes.run("engine", spec, line=exchange.in_line)
            await _local.hand_over(exchange, self._lanes.path(target))
        facts = from_json(result.facts, WhisperFacts)
        told = {"windows": str(facts.windows), "segments": str(facts.segments), "engine_s": f"{result.seconds:.3f}"}
        return Reply(
            media_type="application/json", model=binding.model, usd=_local.FREE, seconds=facts.seconds, facts=told
        )

    def _spec(self, ask: Transcribe, binding: Binding, target: FileRef, limits: Limits) -> StageSpec:
        params = WhisperParams(
            model=self._folders.get(binding.model, binding.model),
            name=binding.model,
            engine=binding.engine,
            demuxer=demuxer_of(ask.audio.media),
            language=language_code(ask.language) if ask.language else None,
            words=ask.words,
            track=ask.track,
            multilingual=self._multilingual,
            expected_seconds=ask.audio.seconds,
        )
        return StageSpec(
            stage="whisper_stage:transcribe",
            inputs=(self._lanes.ref(ask.audio.path),),
            output=target,
            params=packed(params),
            limits=StageLimits(max_output_bytes=MAX_TRANSCRIPT_BYTES, max_seconds=max_seconds(ask, limits)),
            deadline_s=self.route.call_timeout_s,
        )

    def _packaged(self, model: str) -> tuple[weights.Model, ...]:
        return (weights.WHISPER[model],) if model in weights.WHISPER and model not in self._folders else ()

    def _engine(self, model: str) -> str:
        packaged = self._packaged(model)
        identity = packaged[0].identity if packaged else f"{model} {weights.fingerprint(self._folders[model])}"
        many = "" if self._multilingual else " one-language"
        return f"{DISTRIBUTION} {_local.version(DISTRIBUTION)} {identity} {PROFILE}{many}"


def max_seconds(ask: Transcribe, limits: Limits) -> float:
    """What was declared and a little more: bytes that decode to more than that are a bomb. Else what the job allows."""
    if ask.audio.seconds is not None:
        return ask.audio.seconds * SLACK_SHARE + SLACK_S
    return min(UNKNOWN_LENGTH_S, limits.max_seconds or UNKNOWN_LENGTH_S)


def _media_refusals(ask: Transcribe) -> list[Refusal]:
    media = ask.audio.media
    if media.media_type not in MEDIA_IN or media.demuxer is None:
        hint = "give it a recording; what the file is was told by its content"
        return [Refusal(code="input-type", message=f"{media.media_type} has no speech in it", hint=hint)]
    return []


def _language_refusals(language: str | None, model: str) -> list[Refusal]:
    known = {"en"} if model.endswith(ENGLISH_ONLY) else LANGUAGES
    if language is None or language_code(language) in known:
        return []
    hint = "leave the language out to detect it, or name another model"
    return [Refusal(code="language-unsupported", message=f"model {model} does not know {language}", hint=hint)]
