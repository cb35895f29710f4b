"""Pictures by OpenRouter's endpoint: what a model does not list is refused in the real service's words.

`input_references` make it an edit; there is no mask. The answer is base64, in the model's format unless it lists the
one that was asked for.
"""

import base64
import binascii
import re
from decimal import Decimal

from tests.standin import pictures
from tests.standin.catalogue import is_known
from tests.standin.catalogue_images import IMAGES, ImageModel, parameters
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
    text_of,
    whole_of,
)
from tests.standin.odd_images import odd_images
from tests.standin.problems import no_such_model, refuse, zod
from tests.standin.world import Generation, World, money

KNOWN = frozenset(
    names(
        "model prompt n resolution aspect_ratio size quality output_format background output_compression seed stream"
        " input_references provider user session_id trace"
    )
)
ROUTING = frozenset(names("only order ignore sort allow_fallbacks options"))
SIDES = {"512": 512, "768": 768, "1K": 1024, "1.5K": 1536, "2K": 2048, "4K": 4096}
PIXELS = re.compile(r"(\d{2,5})x(\d{2,5})")
TOKENS_A_PICTURE = 1290
SMALLEST = 16
FUNNEL = [{"step": "Initial Endpoints", "endpoint_count": 1}]


def openrouter(asked: Asked, world: World) -> Answer:
    need_key(asked)
    fields = need_fields(asked)
    _schema(asked, fields)
    model = _model(asked)
    _against_model(asked, model, fields)
    references = _references(asked, fields)
    count = whole_of(fields, "n") or 1
    width, height = _size(fields)
    kind = text_of(fields, "output_format") or model.default_format
    is_clear = text_of(fields, "background") == "transparent"
    bodies = [pictures.picture(kind, width, height, shade, is_clear=is_clear) for shade in range(count)]
    usd = _price(model, width, height, count, references)
    number = world.new_id("gen-img")
    world.remember_cost(Generation(id=number, api_type="image", model=model.id, usd=str(usd), hidden=0))
    body = odd_images(asked, _body(asked, bodies, kind, usd))
    if fields.get("stream") is True and model.maker == "OpenAI":
        return _events(body, number, usd)
    answer = json_answer(body, usd=usd, X_Generation_Id=number)
    return answer.with_header("X-Provider-Name", model.maker)


def _body(asked: Asked, bodies: list[bytes], kind: str, usd: Decimal) -> dict[str, object]:
    tokens_in, tokens_out = len(asked.body) // 4, TOKENS_A_PICTURE * len(bodies)
    return {
        "created": 0,
        "data": [{"b64_json": base64.b64encode(body).decode(), "media_type": pictures.TYPES[kind]} for body in bodies],
        "usage": {
            "prompt_tokens": tokens_in,
            "completion_tokens": tokens_out,
            "total_tokens": tokens_in + tokens_out,
            "cost": money(usd),
            "is_byok": False,
            "prompt_tokens_details": {"cached_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0, "image_tokens": tokens_out},
        },
    }


def _events(body: dict[str, object], number: str, usd: Decimal) -> Answer:
    """The same as events; only some makers stream, the others answer as ever."""
    rows = [row for row in list_of(body, "data") if isinstance(row, dict)]
    events = [{"type": "image_generation.partial_image", "partial_image_index": 0, "b64_json": rows[0]["b64_json"]}]
    events += [{"type": "image_generation.completed", **row, "created": 0, "usage": body["usage"]} for row in rows]
    lines = [b": \n\n", *(b"data: " + dumped(event) + b"\n\n" for event in events), b"data: [DONE]\n\n"]
    headers = (("X-Generation-Id", number),)
    return Answer(media_type="text/event-stream", body=b"".join(lines), headers=headers, usd=usd)


def _schema(asked: Asked, fields: Fields) -> None:
    if not text_of(fields, "prompt"):
        raise Refused(zod("prompt"))
    unknown = sorted(set(fields) - KNOWN)
    if unknown:
        raise Refused(zod(unknown[0], message=f"Unrecognized key: {unknown[0]}"))
    for place, reference in enumerate(list_of(fields, "input_references")):
        if not isinstance(reference, dict) or text_of(fields_of(reference, "image_url"), "url") is None:
            raise Refused(zod(f"input_references.{place}", expected="object"))
    misplaced = sorted(set(fields_of(fields, "provider")) - ROUTING)
    if misplaced:
        raise refuse(asked, 400, f"provider: Unrecognized key: {misplaced[0]!r}")


def _model(asked: Asked) -> ImageModel:
    name = need_model(asked)
    if name in IMAGES:
        return IMAGES[name]
    if is_known(name):
        message = "No endpoints found that support the requested output modalities: image"
        raise refuse(asked, 404, message, routing_funnel=FUNNEL)
    raise no_such_model(asked, name)


def _against_model(asked: Asked, model: ImageModel, fields: Fields) -> None:
    """Every parameter against the model's list, then those that contradict each other."""
    offered = parameters(model)
    named = ("aspect_ratio", "resolution", "quality", "output_format", "background")
    ranged = ("n", "output_compression")
    for name in (*named, *ranged, "seed", "size"):
        if name in fields and not _fits(offered.get(name), fields[name]):
            _reject(asked, model, name, fields[name], _accepted(offered.get(name)))
    count = len(list_of(fields, "input_references"))
    low, high = model.references or (0, 0)
    if not low <= count <= high:
        accepted = f"must have between {low} and {high} items" if high else "not supported"
        _reject(asked, model, "input_references", count, accepted)
    size = text_of(fields, "size")
    if size is not None and {"aspect_ratio", "resolution"} & set(fields):
        raise refuse(asked, 400, "size conflicts with aspect_ratio or resolution; send only one of them")
    kind = text_of(fields, "output_format") or model.default_format
    if text_of(fields, "background") == "transparent" and kind not in ("png", "webp"):
        raise refuse(asked, 400, "background transparent requires output_format png or webp")
    if "output_compression" in fields and kind not in ("jpeg", "webp"):
        raise refuse(asked, 400, "output_compression requires output_format jpeg or webp")


def _fits(offered: object, value: object) -> bool:
    if not isinstance(offered, dict):
        return False
    match offered["type"]:
        case "enum":
            return value in offered["values"]
        case "range":
            return isinstance(value, int) and int(offered["min"]) <= value <= int(offered["max"])
        case _:
            return True


def _accepted(offered: object) -> str:
    if not isinstance(offered, dict):
        return "not supported"
    if offered["type"] == "enum":
        return f"not supported. Accepted: {', '.join(offered['values'])}"
    if offered["min"] == offered["max"]:
        return f"must be exactly {offered['max']}"
    return f"must be between {offered['min']} and {offered['max']}"


def _reject(asked: Asked, model: ImageModel, name: str, value: object, accepted: str) -> None:
    message = (
        f'No provider for {model.id} supports the requested parameter(s): {name} "{value}". '
        f"Provider rejections: {model.maker}: {name}: {accepted}"
    )
    step = "Filter by Image Capabilities"
    raise refuse(asked, 400, message, routing_funnel=FUNNEL, failed_routing_step=step)


def _references(asked: Asked, fields: Fields) -> int:
    """How many pictures were sent; every one must be a picture and large enough."""
    found = [item for item in list_of(fields, "input_references") if isinstance(item, dict)]
    for reference in found:
        check_picture(asked, text_of(fields_of(reference, "image_url"), "url") or "")
    return len(found)


def check_picture(asked: Asked, url: str) -> None:
    """A data URL is decoded; an https address is believed, since nothing here goes out."""
    if url.startswith("https://"):
        return
    head, comma, data = url.partition(",")
    if not (head.startswith("data:image/") and comma):
        raise refuse(asked, 400, "Image URL must be https or a data URL", error_type="image_download_failed")
    try:
        size = pictures.size_of(base64.b64decode(data, validate=True))
    except (binascii.Error, ValueError):
        size = None
    if size is None:
        raise refuse(asked, 400, "Invalid image", error_type="invalid_image")
    if min(size) < SMALLEST:
        raise refuse(asked, 400, f"Image is too small: {size[0]}x{size[1]}", error_type="image_too_small")


def _size(fields: Fields) -> tuple[int, int]:
    """Pixels from a size, or from a tier and an aspect; both sides whole sixteens."""
    size = text_of(fields, "size") or ""
    if found := PIXELS.fullmatch(size):
        return int(found[1]), int(found[2])
    side = SIDES.get(text_of(fields, "resolution") or size, 1024)
    across, _, down = (text_of(fields, "aspect_ratio") or "1:1").replace("auto", "1:1").partition(":")
    ratio = float(across) / float(down)
    width, height = side * ratio**0.5, side / ratio**0.5
    return round(width / 16) * 16, round(height / 16) * 16


def _price(model: ImageModel, width: int, height: int, count: int, references: int) -> Decimal:
    match model.unit:
        case "image":
            usd = model.cost * count
        case "megapixel":
            usd = (model.cost * width * height / 1_000_000 * count) + Decimal("0.001") * references
        case "token":
            usd = model.cost * TOKENS_A_PICTURE * count
    return usd.quantize(Decimal("0.000001"))
