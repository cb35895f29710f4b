"""The openrouter driver: every operation that OpenRouter's API has, through its own endpoints.

Promises that whatever can be told beforehand is refused beforehand, with all reasons and no request, and that the model
that answers is the one that was asked for, or the exchange is told. Owns no memory, no money and no retry.
"""

from collections.abc import Collection, Mapping
from decimal import Decimal

from pipeline.core.drivers import DriverFacts, Exchange, Health, Known, Reply, RouteConfig, Voices
from pipeline.core.errors import MediaspoolError, UnsupportedOperation
from pipeline.core.hearing import Hearing
from pipeline.core.model import Binding, Estimate, Refusal
from pipeline.core.operations import (
    Complete,
    EditImage,
    MakeImage,
    MakeVideo,
    Operation,
    Speak,
    Transcribe,
    operation_name,
)
from pipeline.core.portions import Portion
from pipeline.routes import (
    _chat_wire,
    _clips,
    _estimates,
    _images_wire,
    _options,
    _remote,
    _showing,
    _speech_wire,
    _transcribe_wire,
    _video_wire,
    _voices,
)
from pipeline.routes._answers import object_of
from pipeline.routes._asking import Way, ask_chat, ask_pictures, ask_speech, ask_transcript
from pipeline.routes._body import JsonBody, JsonTree, MultipartBody
from pipeline.routes._image_models import is_image_only
from pipeline.routes._models import OPENROUTER, choose
from pipeline.routes._openrouter_models import Shelf
from pipeline.routes._tools import Tools
from pipeline.routes._transcript_forms import Asked
from pipeline.routes.catalogue import Catalogue, Mode
from pipeline.routes.http import Http

BASE_URL = "https://openrouter.ai/api/v1"
REAL_HOSTS = frozenset({"openrouter.ai", "eu.openrouter.ai"})
KEY = "OPENROUTER_API_KEY"
OWN_HEADERS = ("x-openrouter", "http-referer", "x-title")
OPERATIONS = frozenset({"speak", "transcribe", "make_image", "edit_image", "make_video", "complete"})
MEDIA_IN = _transcribe_wire.MEDIA_IN | _images_wire.IMAGES_IN
MEDIA_OUT = (
    frozenset({"audio/wav", "audio/mpeg", "application/json", "text/plain"})
    | _images_wire.IMAGES_OUT
    | _clips.VIDEOS_OUT
)
LISTINGS_OF: Mapping[str, tuple[str, ...]] = {
    "speak": ("speech",),
    "transcribe": ("transcription",),
    "make_image": ("image-models",),
    "edit_image": ("image-models",),
    "make_video": ("video-models",),
    "complete": ("text",),
}
MAX_CATALOGUE_BYTES = 8_000_000
MAX_GENERATION_BYTES = 1_000_000
_MEDIA_ROUTING = frozenset({"options", "zdr", "data_collection"})
_IMAGE_ROUTING = frozenset({"only", "order", "ignore", "sort", "allow_fallbacks", "options"})


def open_driver(route: RouteConfig, tools: Tools) -> "OpenRouter":
    return OpenRouter(route, tools)


class OpenRouter:
    """Implements `Driver`, `TellsPrices`, `Discovers`, `Portions` and `Closes` of `core.drivers`."""

    def __init__(self, route: RouteConfig, tools: Tools) -> None:
        _options.refuse_slips(route, _options.OPENROUTER, _options.OPENROUTER_WORDS)
        self.route = route
        self._tools = tools
        self._address = _remote.address_of(route, BASE_URL, REAL_HOSTS)
        self._prices = _estimates.read_prices(route.prices, route.id)
        self._http = self._open_http()
        self._speech_http = self._open_http(first=route.options.get("key.speak"))
        self._chat_http = self._open_http(extra=self._cache_headers())
        self.catalogue = self._open_catalogue()
        self._shelf = Shelf(catalogue=self.catalogue)
        _remote.refuse_bad_routing(route)
        self.facts = DriverFacts(
            name="openrouter",
            operations=_remote.operations_of(route, OPERATIONS),
            media_out=MEDIA_OUT,
            models=tuple(sorted({*OPENROUTER.defaults.values(), *route.models.values()})),
            paid=True,
        )

    def _open_http(self, *, first: str | None = None, extra: Mapping[str, str] = {}) -> Http:
        headers = _remote.headers_of(self.route, self._address, own=OWN_HEADERS)
        return Http(
            self._address.base_url,
            timeouts=self.route.timeouts,
            key=_remote.key_of(self.route, self._tools, first=first, default=self._default_key),
            headers={**headers, **extra},
            safe=self._tools.safe,
            files=self._tools.files,
        )

    @property
    def _default_key(self) -> str | None:
        return KEY if self._address.is_real else None

    def _cache_headers(self) -> dict[str, str]:
        """The provider keeps answers of chats for a while, if asked to; only the real host is asked."""
        options = self.route.options
        if not self._address.is_real or not _remote.is_on(options, "response_cache", "responseCache"):
            return {}
        seconds = options.get("response_cache_ttl_seconds") or options.get("responseCacheTtlSeconds")
        clear = _remote.is_on(options, "response_cache_clear", "responseCacheClear")
        return {
            "X-OpenRouter-Cache": "true",
            **({"X-OpenRouter-Cache-TTL": seconds} if seconds else {}),
            **({"X-OpenRouter-Cache-Clear": "true"} if clear else {}),
        }

    def _open_catalogue(self) -> Catalogue:
        async def get(path: str, query: Mapping[str, str]) -> bytes:
            return (await self._http.get(path, query=query, max_bytes=MAX_CATALOGUE_BYTES)).body

        mode: Mode = self.route.discovery or ("best-effort" if self._address.is_real else "off")
        tools = self._tools
        return Catalogue(self.route.id, tools.cache, mode=mode, get=get, now=tools.now, warn=tools.warn)

    async def prepare(self, wanted: Collection[tuple[str, str | None]]) -> None:
        able = [(operation, model) for operation, model in wanted if operation in self.facts.operations]
        await self.catalogue.refresh(dict.fromkeys(name for operation, _ in able for name in LISTINGS_OF[operation]))
        await self.catalogue.refresh(dict.fromkeys(name for pair in able for name in self._price_listings(*pair)))
        self._tell_of_ends({model for operation, asked in able if (model := self._chosen(operation, asked))})

    def _price_listings(self, operation: str, model: str | None) -> tuple[str, ...]:
        """Where the prices of everybody are told who may answer; a clip's are in the listing of its models."""
        chosen = self._chosen(operation, model)
        match operation:
            case _ if chosen is None:
                return ()
            case "make_video":
                return ()
            case "make_image" | "edit_image":
                return (f"image-endpoints:{chosen}",)
            case _:
                return (f"endpoints:{chosen}",)

    def _chosen(self, operation: str, model: str | None) -> str | None:
        try:
            return self.bind(operation, model).model
        except MediaspoolError:
            return None  # refused in the plan, with its reason

    def _tell_of_ends(self, models: Collection[str]) -> None:
        for model in sorted(models):
            row = self.catalogue.model(model)
            if row is not None and row.expiration_date:
                end = self._tools.safe(row.expiration_date)
                self._tools.warn(f"route {self.route.id}: {model} ends on {end}; name another model before")

    def known(self) -> tuple[Known, ...]:
        return _showing.known(self.route, OPENROUTER, self.facts.operations, self._shelf)

    def kept_s(self) -> float | None:
        return _showing.kept_s(self.catalogue)

    def voices_of(self, model: str) -> Voices:
        row = self.catalogue.model(model)
        is_listed = row is not None and bool(row.supported_voices)
        return _showing.voices(self._shelf.speech(model), _showing.CATALOGUE if is_listed else _showing.TABLE)

    def hearing(self, binding: Binding) -> Hearing:
        is_json = self.route.options.get("transcribe_body") == "json" or bool(self._routing(binding.model))
        return _transcribe_wire.openrouter_hearing(binding.model, is_json=is_json)

    def portion(self, binding: Binding) -> Portion:
        return _voices.portion(self._speech(binding.model))

    def _speech(self, model: str) -> _voices.SpeechModel:
        return _voices.bounded(self._shelf.speech(model), model, self.route.options)

    async def aclose(self) -> None:
        for http in (self._http, self._speech_http, self._chat_http):
            await http.aclose()

    def bind(self, operation: str, model: str | None) -> Binding:
        if operation not in self.facts.operations:
            why = "is switched off on" if operation in OPERATIONS else "is nothing for"
            raise UnsupportedOperation(f"{operation} {why} route {self.route.id}", hint="name another route")
        known = self._shelf.knowledge(operation, LISTINGS_OF[operation])
        choice = choose(self.route, OPENROUTER, operation, model, known=known)
        shaping = _options.shaping(self.route, _options.OPENROUTER, operation)
        engine = _remote.engine_of("openrouter", choice.model, self.route, shaping)
        return Binding(route=self.route.id, model=choice.model, engine=engine, paid=True, asked=choice.asked)

    def check(self, operation: Operation, binding: Binding) -> list[Refusal]:
        if operation_name(operation) not in self.facts.operations:
            message = f"route {self.route.id} cannot {operation_name(operation)}"
            return [Refusal(code="operation-unsupported", message=message, hint="name another route")]
        return [*self._wire_refusals(operation, binding.model), *self._routing_refusals(operation, binding.model)]

    def _wire_refusals(self, operation: Operation, model: str) -> list[Refusal]:
        shelf = self._shelf
        match operation:
            case Speak():
                return _speech_wire.refusals(operation, model, self._speech(model))
            case Transcribe():
                return _transcribe_wire.refusals(operation)
            case MakeImage() | EditImage():
                return self._picture_refusals(operation, model)
            case MakeVideo():
                return _video_wire.refusals(operation, model, shelf.video(model))
            case Complete():
                return _chat_wire.refusals(operation, model, self._manner(model))
            case _:
                return []

    def _picture_refusals(self, operation: MakeImage | EditImage, model: str) -> list[Refusal]:
        if not self._is_by_chat(model):
            fields = frozenset(_images_wire.FIELDS.values())
            return _images_wire.refusals(operation, model, self._shelf.parameters(model), fields=fields)
        reasons = _images_wire.refusals(operation, model, None, fields=frozenset(_images_wire.CHAT_FIELDS))
        if operation.n > 1:
            message = "a chat answers one picture at a time"
            reasons.append(Refusal(code="job-invalid", message=message, hint="set n = 1 and make a job for each"))
        return reasons

    def _routing_refusals(self, operation: Operation, model: str) -> list[Refusal]:
        """What stands in the routing and would have no effect on this kind of call."""
        allowed = {"speak": _MEDIA_ROUTING, "transcribe": _MEDIA_ROUTING, "make_video": frozenset({"options"})}
        pictures = _remote.ROUTING_KEYS if self._is_by_chat(model) else _IMAGE_ROUTING
        allowed |= {"make_image": pictures, "edit_image": pictures, "complete": _remote.ROUTING_KEYS}
        idle = sorted(set(_remote.routing_of(self.route, model)) - allowed[operation_name(operation)])
        if not idle:
            return []
        message = f"the routing of {model} has {', '.join(idle)}, which {operation_name(operation)} does not obey"
        return [
            Refusal(code="operation-unsupported", message=message, hint=f"take it out of routing on {self.route.id}")
        ]

    def _is_by_chat(self, model: str) -> bool:
        """The older dialect, where the settings say so for the route or for the model."""
        told = self.route.capabilities.get(model, self.route.capabilities.get("*", "")).split()
        return "chat-images" in told or self.route.options.get("image_dialect") == "chat"

    def _manner(self, model: str) -> _chat_wire.Manner:
        wants_marks = self._address.is_real and _remote.is_on(
            {"prompt_cache": "true", **self.route.options}, "prompt_cache"
        )
        return self._shelf.manner(model, cache_marks=wants_marks)

    def estimate(self, operation: Operation, binding: Binding) -> Estimate:
        usd = _estimates.by_settings(operation, self._prices)
        if usd is None:
            video = self._shelf.video(binding.model)
            usd = _estimates.by_catalogue(operation, binding.model, self.catalogue, video=video)
        return Estimate(usd=usd, audio_seconds=_estimates.audio_seconds(operation))

    def probe(self) -> Health:
        key = _remote.key_of(self.route, self._tools, first=None, default=self._default_key)
        return _remote.health(self._address, key, names=self.route.key or KEY, route=self.route)

    async def price_of(self, request_id: str) -> Decimal | None:
        """By `/generation`, which knows a call some minutes after it."""
        try:
            answer = await self._http.get("/generation", query={"id": request_id}, max_bytes=MAX_GENERATION_BYTES)
            data = object_of(answer.body).get("data")
        except MediaspoolError as error:
            if error.reach == "route" or error.retryable:
                raise
            return None
        return _chat_wire.cost({"usage": {"cost": data.get("total_cost")}}) if isinstance(data, dict) else None

    async def perform(self, operation: Operation, binding: Binding, exchange: Exchange) -> Reply:
        _remote.ensure_key(self.route, self._tools, operation=operation_name(operation), default=self._default_key)
        model = binding.model
        match operation:
            case Speak():
                return await self._speak(operation, model, exchange)
            case Transcribe():
                return await self._transcribe(operation, binding, exchange)
            case MakeImage() | EditImage():
                return await self._picture(operation, model, exchange)
            case MakeVideo():
                request = _video_wire.request(operation, model, self._shelf.video(model), self._routing(model))
                return await _clips.make(request, model, way=self._way(self._http), exchange=exchange)
            case Complete():
                return await self._complete(operation, model, exchange)
            case _:
                raise UnsupportedOperation(f"route {self.route.id} cannot {operation_name(operation)}")

    async def _speak(self, ask: Speak, model: str, exchange: Exchange) -> Reply:
        speech = self._speech(model)
        form = _speech_wire.wire_format(ask.format, speech)
        if form is None:
            raise UnsupportedOperation(f"{model} makes no {ask.format}", hint=f"ask for {', '.join(speech.formats)}")
        body = JsonBody.of({**_speech_wire.request(ask, model, speech), **self._provider(model)})
        return await ask_speech(body, model, form, way=self._way(self._speech_http), exchange=exchange)

    async def _transcribe(self, ask: Transcribe, binding: Binding, exchange: Exchange) -> Reply:
        model, routing = binding.model, self._routing(binding.model)
        form = self.hearing(binding).forms[0]
        choice = self.route.options.get("transcribe_body", "auto")
        if _transcribe_wire.is_multipart_better(ask.audio, choice=choice, has_options=bool(routing)):
            body: JsonBody | MultipartBody = _transcribe_wire.multipart(ask, model, form)
        else:
            body = JsonBody.of(_transcribe_wire.json_request(ask, model, form, routing))
        asked = Asked(seconds=ask.audio.seconds, language=ask.language, engine=binding.engine, model=model)
        strict = self.route.options.get("segments") == "strict"
        return await ask_transcript(body, form, asked, strict=strict, way=self._way(self._http), exchange=exchange)

    async def _picture(self, ask: MakeImage | EditImage, model: str, exchange: Exchange) -> Reply:
        has_mask = isinstance(ask, EditImage) and ask.mask is not None
        facts = {"mask": "not sent"} if has_mask else {}
        if self._is_by_chat(model):
            words_too = self._shelf.answers_words_too(model)
            is_only = is_image_only(model) if words_too is None else not words_too
            path, read = "/chat/completions", _images_wire.chat_pictures
            request = _images_wire.chat_request(ask, model, self._routing(model), is_image_only=is_only)
        else:
            path, read = "/images", _images_wire.pictures
            request = _images_wire.images_request(ask, model, self._routing(model))
        return await ask_pictures(
            path,
            JsonBody.of(request),
            model,
            read=read,
            n=ask.n,
            facts=facts,
            way=self._way(self._http),
            exchange=exchange,
        )

    async def _complete(self, ask: Complete, model: str, exchange: Exchange) -> Reply:
        manner, routing = self._manner(model), self._routing(model)
        if ask.schema is not None and manner.schema == "json_schema":
            routing = {**routing, "require_parameters": True}
        request = {**_chat_wire.request(ask, model, manner), **({"provider": routing} if routing else {})}
        facts = _chat_wire.effort_facts(ask.effort, manner)
        way = self._way(self._chat_http)
        return await ask_chat(JsonBody.of(request), ask, model, facts=facts, way=way, exchange=exchange)

    def _routing(self, model: str) -> dict[str, JsonTree]:
        return _remote.routing_of(self.route, model)

    def _provider(self, model: str) -> dict[str, JsonTree]:
        routing = self._routing(model)
        return {"provider": routing} if routing else {}

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
