"""The catalogue as it is listed: tables of models turned into JSON, with the nulls and oddities of the real one."""

from collections.abc import Iterator

from tests.standin.catalogue import CHAT, SPEECH, TRANSCRIBERS
from tests.standin.catalogue_images import IMAGES, parameters, pricing
from tests.standin.catalogue_videos import VIDEOS
from tests.standin.nouns import Answer, Asked, Refused, json_answer, names
from tests.standin.problems import refuse, zod
from tests.standin.world import World

MODALITIES = frozenset(names("text image audio embeddings video rerank speech transcription decisions"))
CREATED = 1_785_000_000
OPENAI_IDS = (
    "tts-1",
    "tts-1-hd",
    "gpt-4o-mini-tts",
    "whisper-1",
    "gpt-4o-transcribe",
    "gpt-4o-mini-transcribe",
    "gpt-4o-transcribe-diarize",
    "gpt-image-1",
    "dall-e-2",
    "dall-e-3",
    "gpt-4.1-mini",
)
CACHING = "public, max-age=120, stale-while-revalidate=3600, stale-if-error=3600"


def models(asked: Asked, world: World) -> Answer:
    """Text models only, unless other outputs are asked for."""
    wanted = {word for word in asked.query.get("output_modalities", "text").split(",") if word}
    if wanted - MODALITIES - {"all"}:
        raise Refused(zod("output_modalities", message="Invalid option"))
    found = [row for row in _rows() if "all" in wanted or wanted & set(_outputs(row))]
    start, limit = int(asked.query.get("offset", "0")), int(asked.query.get("limit", "100000"))
    rest = f"{asked.base}/models?offset={start + limit}&limit={limit}" if start + limit < len(found) else None
    body = {"data": found[start : start + limit], "total_count": len(found), "links": {"next": rest}}
    return json_answer(body, Cache_Control=CACHING)


def model(asked: Asked, world: World) -> Answer:
    row = next((row for row in _rows() if row["id"] == asked.named["model"]), None)
    if row is None:
        raise refuse(asked, 404, f"Model {asked.named['model']} not found")
    return json_answer({"data": row})


def count(asked: Asked, world: World) -> Answer:
    return json_answer({"data": {"count": len(list(_rows()))}})


def endpoints(asked: Asked, world: World) -> Answer:
    """Two endpoints a model; the second is the dearer one, and the one that is billed."""
    number = asked.named["model"]
    row = next((row for row in _rows() if row["id"] == number), None)
    if row is None:
        raise refuse(asked, 404, f"Model {number} not found")
    listed = row["pricing"]
    dear = {"prompt": str(SPEECH[number].billed)} if number in SPEECH else {}
    found = [
        _endpoint(number, "cheap", listed if isinstance(listed, dict) else {}),
        _endpoint(number, "dear", {**(listed if isinstance(listed, dict) else {}), **dear}),
    ]
    return json_answer({"data": {**row, "endpoints": found}})


def image_models(asked: Asked, world: World) -> Answer:
    rows = [
        {
            "id": each.id,
            "name": each.id,
            "description": "Self-made pictures of the stand-in",
            "created": CREATED,
            "architecture": {"input_modalities": ["text", "image"], "output_modalities": list(each.outputs)},
            "supported_parameters": parameters(each),
            "supports_streaming": each.maker == "OpenAI",
            "endpoints": f"/api/v1/images/models/{each.id}/endpoints",
            "field_of_the_future": {"deep": [1, None]},
        }
        for each in IMAGES.values()
    ]
    return json_answer({"data": rows})


def image_endpoints(asked: Asked, world: World) -> Answer:
    found = IMAGES.get(asked.named["model"])
    if found is None:
        raise refuse(asked, 404, f"Model {asked.named['model']} not found")
    slug = found.maker.lower().replace(" ", "-")
    endpoint = {
        "provider_name": found.maker,
        "provider_slug": slug,
        "provider_tag": slug,
        "supported_parameters": parameters(found),
        "allowed_passthrough_parameters": [],
        "supports_streaming": False,
        "pricing": pricing(found),
    }
    return json_answer({"id": found.id, "endpoints": [endpoint]})


def video_models(asked: Asked, world: World) -> Answer:
    rows = [
        {
            "id": each.id,
            "canonical_slug": f"{each.id}-20260901",
            "name": each.id,
            "description": "Self-made films of the stand-in",
            "created": CREATED,
            "hugging_face_id": None,
            "supported_resolutions": each.resolutions,
            "supported_aspect_ratios": each.aspects,
            "supported_sizes": each.sizes,
            "supported_durations": each.durations,
            "supported_frame_images": each.frames,
            "generate_audio": each.has_audio,
            "seed": each.has_seed,
            "upscale_factor": {"min": each.upscale[0], "max": each.upscale[1]} if each.upscale else None,
            "creativity": None,
            "pricing_skus": each.skus,
            "allowed_passthrough_parameters": each.passthrough,
        }
        for each in VIDEOS.values()
    ]
    return json_answer({"data": rows})


def openai_models(asked: Asked, world: World) -> Answer:
    rows = [{"id": name, "object": "model", "created": CREATED, "owned_by": "stand-in"} for name in OPENAI_IDS]
    return json_answer({"object": "list", "data": rows})


def _rows() -> Iterator[dict[str, object]]:
    for speaker in SPEECH.values():
        prices = {"prompt": speaker.listed, "completion": speaker.completion}
        voices = None if speaker.voices is None else list(speaker.voices)
        row = _row(speaker.id, ["text"], ["speech"], prices, [])
        yield {**row, "context_length": speaker.context, "supported_voices": voices}
    for hearer in TRANSCRIBERS.values():
        prices = {"prompt": hearer.listed, "completion": hearer.completion}
        yield {**_row(hearer.id, ["audio"], ["transcription"], prices, []), "context_length": 0}
    for talker in CHAT.values():
        prices = {"prompt": talker.prompt, "completion": talker.completion, "request": "0"}
        row = _row(talker.id, list(talker.inputs), list(talker.outputs), prices, list(talker.parameters))
        top = {"context_length": talker.context, "max_completion_tokens": talker.max_out, "is_moderated": False}
        reasoning = {"mandatory": talker.must_reason, "supported_efforts": list(talker.efforts)}
        more: dict[str, object] = {"reasoning": reasoning} if talker.efforts else {}
        yield {**row, "context_length": talker.context, "top_provider": top, **more}
    for painter in IMAGES.values():
        yield _row(painter.id, ["text", "image"], list(painter.outputs), {"prompt": "0", "completion": "0"}, ["seed"])
    for film in VIDEOS.values():
        yield _row(film.id, list(film.inputs), ["video"], {"prompt": "0", "completion": "0"}, [])


def _row(
    number: str, inputs: list[str], outputs: list[str], prices: dict[str, str], parameters: list[str]
) -> dict[str, object]:
    modality = f"{'+'.join(inputs)}->{'+'.join(outputs)}"
    return {
        "id": number,
        "canonical_slug": f"{number.removesuffix(':free')}-20260901",
        "hugging_face_id": "",
        "name": number,
        "created": CREATED,
        "description": "A model of the stand-in; no model answers",
        "context_length": None,
        "architecture": {
            "modality": modality,
            "input_modalities": inputs,
            "output_modalities": outputs,
            "tokenizer": "Other",
            "instruct_type": None,
        },
        "pricing": prices,
        "top_provider": {"context_length": None, "max_completion_tokens": None, "is_moderated": False},
        "per_request_limits": None,
        "supported_parameters": parameters,
        "default_parameters": None,
        "supported_voices": None,
        "expiration_date": "2026-12-31" if number == "liquid/lfm-2.5-2.6b:free" else None,
        "field_of_the_future": None,
    }


def _outputs(row: dict[str, object]) -> list[str]:
    architecture = row["architecture"]
    found = architecture.get("output_modalities") if isinstance(architecture, dict) else None
    return [str(word) for word in found] if isinstance(found, list) else []


def _endpoint(number: str, name: str, prices: dict[str, object]) -> dict[str, object]:
    return {
        "name": f"{name} | {number}",
        "model_id": number,
        "model_name": number,
        "provider_name": name.title(),
        "tag": name,
        "context_length": None,
        "max_completion_tokens": None,
        "max_prompt_tokens": None,
        "pricing": {**prices, "discount": 0},
        "quantization": "unknown",
        "status": 0 if name == "cheap" else -1,
        "supported_parameters": [],
        "uptime_last_30m": None,
    }
