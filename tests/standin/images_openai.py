"""Pictures in OpenAI's dialect: generations as JSON, edits as a form with a mask.

Older models answer with addresses on another port, which must be fetched without the key.
"""

import base64
import time
from decimal import Decimal

from tests.standin import pictures
from tests.standin.gate import need_fields, need_key, need_model
from tests.standin.images import PIXELS, TOKENS_A_PICTURE
from tests.standin.nouns import Answer, Asked, Part, Refused, json_answer, text_of, whole_of
from tests.standin.odd_images import odd_images
from tests.standin.problems import no_such_model, openai_problem
from tests.standin.world import World

MODELS = {
    "gpt-image-1": ("auto", "1024x1024", "1536x1024", "1024x1536"),
    "gpt-image-1-mini": ("auto", "1024x1024", "1536x1024", "1024x1536"),
    "dall-e-2": ("256x256", "512x512", "1024x1024"),
    "dall-e-3": ("1024x1024", "1792x1024", "1024x1792"),
}
EDITORS = ("gpt-image-1", "gpt-image-1-mini", "dall-e-2")
PROMPT = {"dall-e-2": 1000, "dall-e-3": 4000}
FORMATS = ("png", "jpeg", "webp")
MASK_BYTES = 4_000_000
MAX_IMAGES = 16
PRICE = Decimal("0.02")
ODD_ADDRESSES = {
    "url-metadata": "http://169.254.169.254/latest/meta-data/picture.png",
    "url-file": "file:///etc/passwd",
    "url-http": "http://example.com/picture.png",
    "url-private": "https://10.0.0.1/picture.png",
}


def generations(asked: Asked, world: World) -> Answer:
    need_key(asked)
    fields = need_fields(asked)
    wish = {name: text_of(fields, name) for name in ("prompt", "size", "output_format", "response_format")}
    model = _model(asked, tuple(MODELS))
    count = whole_of(fields, "n") or 1
    _check(model, wish, count)
    return _answer(asked, world, model, wish, count, None)


def edits(asked: Asked, world: World) -> Answer:
    need_key(asked)
    if asked.form is None:
        raise _wrong("Invalid multipart body", None)
    wish = {name: asked.part(name) for name in ("prompt", "size", "output_format", "response_format")}
    model = _model(asked, EDITORS)
    number = asked.part("n") or "1"
    count = int(number) if number.isdigit() else 0
    _check(model, wish, count)
    sizes = [_measured(part) for part in asked.form if part.name in ("image", "image[]")]
    if not 1 <= len(sizes) <= MAX_IMAGES:
        raise _wrong("You must provide 1 to 16 images.", "image")
    _check_mask(asked, sizes[0])
    return _answer(asked, world, model, wish, count, sizes[0])


def _wrong(message: str, param: str | None, code: str | None = None) -> Refused:
    return Refused(openai_problem(400, message, param=param, code=code))


def _model(asked: Asked, known: tuple[str, ...]) -> str:
    model = need_model(asked)
    if model not in known:
        raise no_such_model(asked, model)
    return model


def _check(model: str, wish: dict[str, str | None], count: int) -> None:
    prompt, size = wish["prompt"], wish["size"]
    if not prompt or len(prompt) > PROMPT.get(model, 32_000):
        raise _wrong("Invalid 'prompt': it is required and its length is limited.", "prompt")
    if size is not None and size not in MODELS[model]:
        message = f"Invalid value: '{size}'. Supported values are: {', '.join(MODELS[model])}."
        raise _wrong(message, "size", "invalid_value")
    if not 1 <= count <= (1 if model == "dall-e-3" else 10):
        raise _wrong("Invalid 'n': integer out of range.", "n", "invalid_value")
    if wish["response_format"] is not None and model not in ("dall-e-2", "dall-e-3"):
        raise _wrong("Unknown parameter: 'response_format'.", "response_format", "unknown_parameter")
    if wish["output_format"] not in (None, *FORMATS):
        raise _wrong("Invalid value for 'output_format'.", "output_format", "invalid_value")


def _measured(part: Part) -> tuple[int, int]:
    size = pictures.size_of(part.body)
    if size is None:
        raise _wrong("Invalid image file or mode for image.", "image", "invalid_image_file")
    return size


def _check_mask(asked: Asked, first: tuple[int, int]) -> None:
    mask = next((part for part in asked.form or () if part.name == "mask"), None)
    if mask is None:
        return
    size = pictures.png_size(mask.body)
    if size is None or len(mask.body) > MASK_BYTES:
        raise _wrong("Invalid mask: it must be a PNG of less than 4 MB.", "mask", "invalid_image_file")
    if size != first:
        message = f"Invalid mask: its size {size[0]}x{size[1]} is not that of the image, {first[0]}x{first[1]}."
        raise _wrong(message, "mask", "invalid_image_file")


def _answer(
    asked: Asked, world: World, model: str, wish: dict[str, str | None], count: int, first: tuple[int, int] | None
) -> Answer:
    found = PIXELS.fullmatch(wish["size"] or "")
    width, height = (int(found[1]), int(found[2])) if found else first or (1024, 1024)
    kind = wish["output_format"] or "png"
    is_address = model.startswith("dall-e") and wish["response_format"] != "b64_json"
    data: list[dict[str, object]] = [
        {"url": _address(asked, f"picture-{width}x{height}-{shade}.{kind}")}
        if is_address
        else {"b64_json": base64.b64encode(pictures.picture(kind, width, height, shade)).decode()}
        for shade in range(count)
    ]
    tokens = TOKENS_A_PICTURE * count
    body: dict[str, object] = {"created": int(time.time()), "data": data}
    if not model.startswith("dall-e"):
        usage = {"input_tokens": 50, "output_tokens": tokens, "total_tokens": 50 + tokens}
        body |= {"size": f"{width}x{height}", "quality": "low", "output_format": kind, "background": "opaque"}
        body["usage"] = {**usage, "input_tokens_details": {"image_tokens": 0, "text_tokens": 50}}
    if not is_address:
        body = odd_images(asked, body)
    return json_answer(body, usd=PRICE * count, x_request_id=world.new_id("req"))


def _address(asked: Asked, name: str) -> str:
    for odd, address in ODD_ADDRESSES.items():
        if asked.plays(odd):
            return address
    if asked.plays("url-expired"):
        return f"{asked.elsewhere}/files/expired?X-Expires=1"
    return f"{asked.origin if asked.plays('url-same-origin') else asked.elsewhere}/files/{name}"
