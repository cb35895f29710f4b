"""Chat completions in both dialects. Nobody thinks: the answer counts what came in or fits a schema.

Also the older way to pictures, and answers as events.
"""

import base64
import hashlib
import json
import time
from decimal import Decimal

from tests.standin import pictures
from tests.standin.catalogue import CHAT, SPEECH, TRANSCRIBERS, ChatModel
from tests.standin.catalogue_images import IMAGES
from tests.standin.examples import example
from tests.standin.gate import need_fields, need_key, need_model
from tests.standin.nouns import (
    Answer,
    Asked,
    Fields,
    Refused,
    dumped,
    fields_of,
    json_answer,
    list_of,
    names,
    objects_of,
    text_of,
    whole_of,
)
from tests.standin.odd_chats import odd_completion
from tests.standin.problems import no_such_model, refuse
from tests.standin.world import Generation, World, money

ROUTING = frozenset(
    names(
        "order only ignore allow_fallbacks require_parameters data_collection zdr enforce_distillable_text"
        " quantizations sort max_price preferred_min_throughput preferred_max_latency options"
    )
)
CHARACTERS_PER_TOKEN = 4
OPENAI_MODELS = ("gpt-4.1-mini", "gpt-4o-mini")
FUNNEL = [{"step": "Initial Endpoints", "endpoint_count": 1}]
SLOW = ": OPENROUTER PROCESSING\n\n"


def complete(asked: Asked, world: World) -> Answer:
    need_key(asked)
    fields = need_fields(asked)
    if not objects_of(fields, "messages"):
        raise refuse(asked, 400, 'Input required: specify "prompt" or "messages"')
    model = _model(asked, need_model(asked))
    _against_model(asked, model, fields)
    body = _completion(asked, model, fields, world)
    usd = Decimal(str(fields_of(body, "usage").get("cost", 0)))
    number = str(body["id"])
    world.remember_cost(Generation(id=number, api_type="completions", model=model.id, usd=str(usd), hidden=0))
    if fields.get("stream") is True:
        return Answer(
            media_type="text/event-stream", body=_events(body), headers=(("X-Generation-Id", number),), usd=usd
        )
    return _cached(asked, json_answer(body, usd=usd, X_Generation_Id=number), world)


def openai(asked: Asked, world: World) -> Answer:
    need_key(asked)
    fields = need_fields(asked)
    model = need_model(asked)
    if model not in OPENAI_MODELS:
        raise no_such_model(asked, model)
    if not objects_of(fields, "messages"):
        raise refuse(asked, 400, "Missing required parameter: 'messages'.")
    stand = ChatModel(id=model, prompt="0.0000004", completion="0.0000016", inputs=("text", "image", "audio"))
    body = _completion(asked, stand, fields, world)
    usage = {name: value for name, value in fields_of(body, "usage").items() if name not in ("cost", "is_byok")}
    usd = Decimal(str(fields_of(body, "usage").get("cost", 0)))
    plain = {name: value for name, value in body.items() if name != "provider"}
    return json_answer({**plain, "usage": usage}, usd=usd, x_request_id=world.new_id("req"))


def _model(asked: Asked, name: str) -> ChatModel:
    if name in CHAT:
        return CHAT[name]
    if name in IMAGES:
        painter = IMAGES[name]
        return ChatModel(id=name, prompt="0", completion="0.00003", inputs=("text", "image"), outputs=painter.outputs)
    if name in SPEECH or name in TRANSCRIBERS:
        right = "/api/v1/audio/speech" if name in SPEECH else "/api/v1/audio/transcriptions"
        found = {"code": "wrong_endpoint", "retryable": False, "requested_models": [name]}
        error = {
            "message": f"{name} cannot be used with chat completions",
            "availability": {**found, "constraint": {"field": "endpoint", "detail": right}},
        }
        raise Refused(json_answer({"error": error}, status=400))
    if asked.dialect == "openrouter":
        raise refuse(asked, 400, f"{name} is not a valid model ID")
    raise no_such_model(asked, name)


def _against_model(asked: Asked, model: ChatModel, fields: Fields) -> None:
    unknown = set(fields_of(fields, "provider")) - ROUTING
    if unknown:
        raise refuse(asked, 400, f"provider: Unrecognized key: {sorted(unknown)[0]!r}")
    wanted = [str(word) for word in list_of(fields, "modalities")]
    if "image" in wanted and set(wanted) - set(model.outputs):
        message = f"No endpoints found that support the requested output modalities: {', '.join(wanted)}"
        raise refuse(
            asked, 404, message, routing_funnel=FUNNEL, failed_routing_step="Filter by Model Output Modalities"
        )
    kinds = {
        text_of(part, "type") for message in objects_of(fields, "messages") for part in objects_of(message, "content")
    }
    for kind, needed, words in (
        ("input_audio", "audio", "input audio"),
        ("image_url", "image", "image input"),
        ("video_url", "video", "video input"),
    ):
        if kind in kinds and needed not in model.inputs:
            raise refuse(asked, 404, f"No endpoints found that support {words}", routing_funnel=FUNNEL)
    _against_reasoning(asked, model, fields)
    is_strict = fields_of(fields, "provider").get("require_parameters") is True
    if is_strict and _schema(fields) is not None and "structured_outputs" not in model.parameters:
        message = "No endpoints found that can handle the requested parameters."
        raise refuse(asked, 404, message, routing_funnel=FUNNEL, failed_routing_step="Filter by Parameters")


def _against_reasoning(asked: Asked, model: ChatModel, fields: Fields) -> None:
    effort = text_of(fields_of(fields, "reasoning"), "effort") or text_of(fields, "reasoning_effort")
    if effort == "none" and model.must_reason:
        raise refuse(asked, 400, "Reasoning is mandatory for this endpoint and cannot be disabled.")
    if effort is not None and model.efforts and effort not in model.efforts:
        message = f"Invalid reasoning effort {effort!r}. Supported: {', '.join(model.efforts)}"
        raise refuse(asked, 400, message, error_type="invalid_request")


def _completion(asked: Asked, model: ChatModel, fields: Fields, world: World) -> dict[str, object]:
    said = _answer(fields)
    limit = whole_of(fields, "max_completion_tokens") or whole_of(fields, "max_tokens") or model.max_out
    is_cut = len(said) > limit * CHARACTERS_PER_TOKEN
    said = said[: limit * CHARACTERS_PER_TOKEN]
    message: dict[str, object] = {"role": "assistant", "content": said, "refusal": None, "reasoning": None}
    if "image" in list_of(fields, "modalities"):
        message |= {"content": "", "images": _images(model)}
    reason = "length" if is_cut else "stop"
    body: dict[str, object] = {
        "id": world.new_id("gen"),
        "object": "chat.completion",
        "created": int(time.time()),
        "model": f"{model.id}-20260901" if asked.plays("canonical-model") else model.id,
        "provider": "Stand-in",
        "system_fingerprint": None,
        "service_tier": None,
        "choices": [
            {"index": 0, "logprobs": None, "finish_reason": reason, "native_finish_reason": reason, "message": message}
        ],
        "usage": _usage(model, len(asked.body), len(said), is_image="images" in message),
    }
    return odd_completion(asked, body)


def _answer(fields: Fields) -> str:
    schema = _schema(fields)
    if schema is not None:
        return json.dumps(example(schema))
    wanted = fields_of(fields, "response_format").get("type")
    characters = sum(len(text) for text in _texts(fields))
    if wanted == "json_object":
        return json.dumps({"stand_in": True, "characters": characters})
    return f"This is the stand-in server. It received {characters} characters and no model read them."


def _schema(fields: Fields) -> dict[str, object] | None:
    wanted = fields_of(fields, "response_format")
    found = fields_of(wanted, "json_schema").get("schema") if wanted.get("type") == "json_schema" else None
    return found if isinstance(found, dict) else None


def _texts(fields: Fields) -> list[str]:
    contents = [message.get("content") for message in objects_of(fields, "messages")]
    plain = [content for content in contents if isinstance(content, str)]
    parts = [part for message in objects_of(fields, "messages") for part in objects_of(message, "content")]
    return plain + [text for part in parts if (text := text_of(part, "text")) is not None]


def _images(model: ChatModel) -> list[dict[str, object]]:
    kind = "jpeg" if model.outputs == ("image",) else "png"
    body = base64.b64encode(pictures.picture(kind, 256, 256)).decode()
    return [{"type": "image_url", "image_url": {"url": f"data:image/{kind};base64,{body}"}, "index": 0}]


def _usage(model: ChatModel, size_in: int, size_out: int, *, is_image: bool) -> dict[str, object]:
    tokens_in, tokens_out = size_in // CHARACTERS_PER_TOKEN + 1, size_out // CHARACTERS_PER_TOKEN + 1
    painted = 1290 if is_image else 0
    prices = (max(Decimal(0), Decimal(price)) for price in (model.prompt, model.completion))
    cost = sum(
        (price * count for price, count in zip(prices, (tokens_in, tokens_out + painted), strict=True)), Decimal(0)
    )
    return {
        "prompt_tokens": tokens_in,
        "completion_tokens": tokens_out + painted,
        "total_tokens": tokens_in + tokens_out + painted,
        "cost": money(cost),
        "is_byok": False,
        "prompt_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0, "audio_tokens": 0, "video_tokens": 0},
        "cost_details": {"upstream_inference_cost": None},
        "completion_tokens_details": {"reasoning_tokens": 0, "image_tokens": painted, "audio_tokens": 0},
    }


def _cached(asked: Asked, answer: Answer, world: World) -> Answer:
    """Response caching where a header asks for it: a hit is free and uses nothing."""
    if asked.headers.get("x-openrouter-cache", "").lower() != "true":
        return answer
    key = hashlib.sha256(asked.body).hexdigest()
    is_fresh = asked.headers.get("x-openrouter-cache-clear", "").lower() != "true"
    if key in world.memory.cached and is_fresh:
        usage = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0, "cost": 0}
        return json_answer({**answer.fields(), "usage": usage}, X_OpenRouter_Cache_Status="HIT")
    world.memory.cached.append(key)
    return answer.with_header("X-OpenRouter-Cache-Status", "MISS")


def _events(body: dict[str, object]) -> bytes:
    """The same answer in pieces, with the comments that come before slow ones."""
    choice = objects_of(body, "choices")[0]
    said = str(fields_of(choice, "message").get("content") or "")
    shared = {name: body[name] for name in ("id", "created", "model", "provider")} | {"object": "chat.completion.chunk"}
    pieces = [said[start : start + 20] for start in range(0, len(said), 20)]
    chunks = [
        {**shared, "choices": [{"index": 0, "delta": {"content": piece}, "finish_reason": None}]} for piece in pieces
    ]
    last = {**shared, "choices": [{"index": 0, "delta": {}, "finish_reason": choice["finish_reason"]}]}
    lines = [b"data: " + dumped(chunk) + b"\n\n" for chunk in [*chunks, last, {**last, "usage": body["usage"]}]]
    return SLOW.encode() * 2 + b"".join(lines) + b"data: [DONE]\n\n"
