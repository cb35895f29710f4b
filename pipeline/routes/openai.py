"""The openai driver: any server that speaks OpenAI's dialect, told apart by nothing but its base URL.

What an unknown server or model can do stands in the route's settings, in the words of `capabilities`. Promises that
whatever can be told beforehand is refused beforehand, with all reasons and no request. Owns no memory, no money and no
retry. Video is another API there and no part of this dialect.

Words of `capabilities."model"` (or `"*"`): forms of transcripts (verbose_json diarized_json srt vtt json text), formats
of sound (wav pcm mp3 opus flac), `b64_json` (the image endpoint takes that wish) or `url` (it does not), `json_object`
or `words` in place of JSON schemas, `max_tokens` in place of `max_completion_tokens`, `no-effort`.
"""

from decimal import Decimal

import msgspec

from pipeline.core.drivers import DriverFacts, Exchange, Health, Known, Reply, RouteConfig, Voices
from pipeline.core.errors import ConfigError, UnsupportedOperation
from pipeline.core.hearing import Hearing
from pipeline.core.model import Binding, Estimate, Refusal
from pipeline.core.operations import (
    Complete,
    EditImage,
    MakeImage,
    Operation,
    Speak,
    Transcribe,
    operation_name,
)
from pipeline.core.portions import Portion
from pipeline.routes import (
    _chat_wire,
    _estimates,
    _images_wire,
    _options,
    _remote,
    _showing,
    _speech_wire,
    _transcribe_wire,
    _voices,
)
from pipeline.routes._asking import Way, ask_chat, ask_pictures, ask_speech, ask_transcript
from pipeline.routes._body import Body, JsonBody, MultipartBody
from pipeline.routes._models import OPENAI, choose
from pipeline.routes._tools import Tools
from pipeline.routes._transcript_forms import Asked
from pipeline.routes._voices import SpeechModel
from pipeline.routes.http import Http

BASE_URL = "https://api.openai.com/v1"
REAL_HOSTS = frozenset({"api.openai.com"})
KEY = "OPENAI_API_KEY"
OPERATIONS = frozenset({"speak", "transcribe", "make_image", "edit_image", "complete"})
MEDIA_IN = (_transcribe_wire.MEDIA_IN - {"audio/pcm"}) | _images_wire.IMAGES_IN
MEDIA_OUT = (
    frozenset({"audio/wav", "audio/mpeg", "audio/ogg", "audio/flac", "application/json", "text/plain"})
    | _images_wire.IMAGES_OUT
)
EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh")


def open_driver(route: RouteConfig, tools: Tools) -> "OpenAi":
    return OpenAi(route, tools)


class OpenAi:
    """Implements `core.drivers.Driver`, with `Shows`, `Portions` and `Closes`."""

    def __init__(self, route: RouteConfig, tools: Tools) -> None:
        if route.routing:
            raise ConfigError(
                f"route {route.id} has a provider routing, and driver openai knows none",
                hint="routing is for driver openrouter; take it out",
            )
        _options.refuse_slips(route, _options.OPENAI, _options.OPENAI_WORDS)
        self.route = route
        self._tools = tools
        self._is_free = _remote.is_on(route.options, "free")
        self._address = _remote.address_of(route, BASE_URL, REAL_HOSTS)
        self._prices = _estimates.read_prices(route.prices, route.id)
        self._http = self._open_http(first=None)
        self._speech_http = self._open_http(first=route.options.get("key.speak"))
        self.facts = DriverFacts(
            name="openai",
            operations=_remote.operations_of(route, OPERATIONS),
            media_out=MEDIA_OUT,
            models=tuple(sorted({*OPENAI.defaults.values(), *route.models.values()})),
            paid=not self._is_free,
        )

    def _open_http(self, *, first: str | None) -> Http:
        return Http(
            self._address.base_url,
            timeouts=self.route.timeouts,
            key=_remote.key_of(self.route, self._tools, first=first, default=self._default_key),
            headers=_remote.headers_of(self.route, self._address),
            safe=self._tools.safe,
            files=self._tools.files,
        )

    @property
    def _default_key(self) -> str | None:
        return KEY if self._address.is_real else None

    def known(self) -> tuple[Known, ...]:
        return _showing.known(self.route, OPENAI, self.facts.operations)

    def kept_s(self) -> None:
        """This dialect has no listing worth keeping."""

    def voices_of(self, model: str) -> Voices:
        source = _showing.SETTINGS if self.route.options.get("voices") else _showing.TABLE
        return _showing.voices(self._speech(model), source)

    async def aclose(self) -> None:
        await self._http.aclose()
        await self._speech_http.aclose()

    def bind(self, operation: str, model: str | None) -> Binding:
        if operation not in self.facts.operations:
            why = "is switched off on" if operation in OPERATIONS else "is nothing for"
            raise UnsupportedOperation(f"{operation} {why} route {self.route.id}", hint="name another route")
        choice = choose(self.route, OPENAI, operation, model, is_judged=self._address.is_real)
        shaping = _options.shaping(self.route, _options.OPENAI, operation)
        engine = _remote.engine_of("openai", choice.model, self.route, shaping)
        paid = not self._is_free
        return Binding(route=self.route.id, model=choice.model, engine=engine, paid=paid, asked=choice.asked)

    def check(self, operation: Operation, binding: Binding) -> list[Refusal]:
        model = binding.model
        if operation_name(operation) not in self.facts.operations:
            message = f"route {self.route.id} cannot {operation_name(operation)}"
            return [Refusal(code="operation-unsupported", message=message, hint="name another route")]
        match operation:
            case Speak():
                return _speech_wire.refusals(operation, model, self._speech(model))
            case Transcribe():
                return _transcribe_wire.refusals(operation)
            case MakeImage() | EditImage():
                fields = _images_wire.OPENAI_FIELDS
                reasons = _images_wire.refusals(operation, model, None, fields=fields)
                return [*reasons, *_images_wire.mask_refusals(operation)]
            case Complete():
                return _chat_wire.refusals(operation, model, self._manner(model))
            case _:
                return []

    def estimate(self, operation: Operation, binding: Binding) -> Estimate:
        usd = Decimal(0) if self._is_free else _estimates.by_settings(operation, self._prices)
        return Estimate(usd=usd, audio_seconds=_estimates.audio_seconds(operation))

    def probe(self) -> Health:
        key = _remote.key_of(self.route, self._tools, first=None, default=self._default_key)
        return _remote.health(self._address, key, names=self.route.key or KEY, route=self.route)

    async def perform(self, operation: Operation, binding: Binding, exchange: Exchange) -> Reply:
        _remote.ensure_key(self.route, self._tools, operation=operation_name(operation), default=self._default_key)
        model = binding.model
        match operation:
            case Speak():
                reply = await self._speak(operation, model, exchange)
            case Transcribe():
                reply = await self._transcribe(operation, binding, exchange)
            case MakeImage() | EditImage():
                reply = await self._picture(operation, model, exchange)
            case Complete():
                reply = await self._complete(operation, model, exchange)
            case _:
                raise UnsupportedOperation(f"route {self.route.id} cannot {operation_name(operation)}")
        return msgspec.structs.replace(reply, usd=self._usd(operation, reply))

    def _usd(self, operation: Operation, reply: Reply) -> Decimal | None:
        """What the server says, else nothing where the route is free, else what the settings make it; else unknown."""
        if reply.usd is not None or self._is_free:
            return reply.usd or Decimal(0)
        return None if isinstance(operation, Complete) else _estimates.by_settings(operation, self._prices)

    async def _speak(self, ask: Speak, model: str, exchange: Exchange) -> Reply:
        speech = self._speech(model)
        form = _speech_wire.wire_format(ask.format, speech)
        if form is None:
            raise UnsupportedOperation(f"{model} makes no {ask.format}", hint=f"ask for {', '.join(speech.formats)}")
        body = JsonBody.of(_speech_wire.request(ask, model, speech))
        return await ask_speech(body, model, form, way=self._way(self._speech_http), exchange=exchange)

    async def _transcribe(self, ask: Transcribe, binding: Binding, exchange: Exchange) -> Reply:
        model = binding.model
        form = self.hearing(binding).forms[0]
        body = _transcribe_wire.multipart(ask, model, form, prompt=self.route.options.get("transcribe_prompt"))
        asked = Asked(seconds=ask.audio.seconds, language=ask.language, engine=binding.engine, model=model)
        strict = self.route.options.get("segments") == "strict"
        return await ask_transcript(body, form, asked, strict=strict, way=self._way(self._http), exchange=exchange)

    async def _picture(self, ask: MakeImage | EditImage, model: str, exchange: Exchange) -> Reply:
        words = self._words(model)
        wants_field = "b64_json" in words or (model.startswith("dall-e") and "url" not in words)
        if isinstance(ask, EditImage):
            path, facts = "/images/edits", {"mask": "sent"} if ask.mask is not None else {}
            fields, files = _images_wire.edit_fields(ask, model), _images_wire.edit_files(ask)
            wish = (("response_format", "b64_json"),) if wants_field else ()
            body: Body = MultipartBody(fields=(*fields, *wish), files=files)
        else:
            path, facts = "/images/generations", {}
            body = JsonBody.of(_images_wire.generation_request(ask, model, wants_format_field=wants_field))
        return await ask_pictures(
            path,
            body,
            model,
            read=_images_wire.pictures,
            n=ask.n,
            facts=facts,
            way=self._way(self._http),
            exchange=exchange,
        )

    async def _complete(self, ask: Complete, model: str, exchange: Exchange) -> Reply:
        manner = self._manner(model)
        body, facts = JsonBody.of(_chat_wire.request(ask, model, manner)), _chat_wire.effort_facts(ask.effort, manner)
        return await ask_chat(body, ask, model, facts=facts, way=self._way(self._http), exchange=exchange)

    def _words(self, model: str) -> tuple[str, ...]:
        told = self.route.capabilities
        return tuple((told.get(model) or told.get("*") or "").split())

    def _speech(self, model: str) -> SpeechModel:
        """The table's opinion, with the formats and voices that the settings name."""
        known, words = _voices.openai_speech(model), self._words(model)
        formats = tuple(form for form in known.formats if form in words) or known.formats
        told = self.route.options.get("voices", "").split()
        voices = tuple(told) or known.voices
        voice = known.voice if not told or known.voice in told else told[0]
        told_of = msgspec.structs.replace(known, formats=formats, voices=voices, voice=voice)
        return _voices.bounded(told_of, model, self.route.options)

    def hearing(self, binding: Binding) -> Hearing:
        return _transcribe_wire.openai_hearing(binding.model, self._words(binding.model))

    def portion(self, binding: Binding) -> Portion:
        return _voices.portion(self._speech(binding.model))

    def _manner(self, model: str) -> _chat_wire.Manner:
        words = self._words(model)
        is_old = "max_tokens" in words or not (self._address.is_real or "max_completion_tokens" in words)
        return _chat_wire.Manner(
            tokens_field="max_tokens" if is_old else "max_completion_tokens",
            schema=next((word for word in ("json_object", "words") if word in words), "json_schema"),
            effort_object=False,
            efforts=() if "no-effort" in words else EFFORTS,
        )

    def _way(self, http: Http) -> Way:
        limits = self.route.limits
        return Way(
            http=http,
            base_url=self._address.base_url,
            lanes=self._tools.lanes,
            safe=self._tools.safe,
            max_bytes=limits.max_output_bytes,
            max_pixels=limits.max_pixels,
            origins=frozenset(self.route.options.get("result_origins", "").split()),
        )
