"""Pictures on the wire: three dialects of asking, what is refused before, and the pictures in an answer.

Promises that every picture leaves in the bytes that the model made, each one looked at as a whole before it is handed
over; a broken one among good ones is left out and counted. Never decodes pixels: sizes are read from the structure.
"""

import base64
import binascii
import io
from collections.abc import Mapping, Sequence
from contextlib import suppress

from msgspec import Struct

from pipeline.core.drivers import Exchange
from pipeline.core.errors import ContractError, ReplyTooLarge
from pipeline.core.model import Refusal
from pipeline.core.operations import EditImage, MakeImage, MediaRef, Picture
from pipeline.media.containers import examine
from pipeline.routes._body import FilePart, JsonTree
from pipeline.routes._chat_wire import first_message
from pipeline.routes._image_models import Parameters
from pipeline.routes._json_parts import data_url, encoded_size
from pipeline.routes._speech_wire import unsendable

Ask = MakeImage | EditImage
MAX_PROMPT_CHARS = 8000
MAX_REFERENCES = 16
MAX_ENCODED_BYTES = 32 * 1024 * 1024
MAX_N = 10
MAX_PIXELS = 100_000_000
MAX_MASK_BYTES = 4_000_000
MAX_ANSWER_BYTES = 256 * 1024 * 1024
CHUNK_BYTES = 1 << 16
_OF_ADDRESSES = str.maketrans("-_", "+/")
IMAGES_IN = frozenset({"image/png", "image/jpeg", "image/webp", "image/gif"})
IMAGES_OUT = frozenset({"image/png", "image/jpeg", "image/webp", "image/gif"})
FIELDS: Mapping[str, str] = {
    "size": "size",
    "aspect_ratio": "aspect_ratio",
    "resolution": "resolution",
    "quality": "quality",
    "background": "background",
    "format": "output_format",
    "compression": "output_compression",
    "seed": "seed",
}
"""Our word for a property of a picture, and the wire's."""
OPENAI_FIELDS = frozenset({"size", "quality", "background", "output_format", "output_compression"})
CHAT_FIELDS: Mapping[str, str] = {"aspect_ratio": "aspect_ratio", "resolution": "image_size", "quality": "quality"}


class Found(Struct, frozen=True, kw_only=True):
    """One picture of an answer: its bytes, or the address where they lie."""

    body: bytes | None = None
    url: str | None = None


class Taken(Struct, frozen=True, kw_only=True):
    """What was handed over: the type of the last picture, and what the receipt may tell."""

    media_type: str
    facts: dict[str, str]


class Looked(Struct, frozen=True, kw_only=True):
    """The verdict on one picture: its type and size, or why it is none."""

    media_type: str = ""
    size: str = ""
    fault: str = ""


def told_fields(picture: Picture) -> dict[str, str | int]:
    """What the job says of the picture, in the wire's words."""
    told = {wire: getattr(picture, name) for name, wire in FIELDS.items()}
    return {wire: value for wire, value in told.items() if value is not None}


def images_request(ask: Ask, model: str, provider: Mapping[str, JsonTree]) -> dict[str, JsonTree]:
    """For `POST /images`: references make it an edit, and a mask has no field."""
    return {
        "model": model,
        "prompt": ask.prompt,
        **({"n": ask.n} if ask.n != 1 else {}),
        **told_fields(ask.picture),
        **({"input_references": [_url_part(ref) for ref in ask.images]} if isinstance(ask, EditImage) else {}),
        **({"provider": dict(provider)} if provider else {}),
    }


def chat_request(ask: Ask, model: str, provider: Mapping[str, JsonTree], *, is_image_only: bool) -> dict[str, JsonTree]:
    """The older way, through a chat: one picture an answer."""
    told = told_fields(ask.picture)
    config = {wire: told[name] for name, wire in CHAT_FIELDS.items() if name in told}
    text: JsonTree = {"type": "text", "text": ask.prompt}
    images = [_url_part(ref) for ref in ask.images] if isinstance(ask, EditImage) else []
    return {
        "model": model,
        "messages": [{"role": "user", "content": [text, *images]}],
        "modalities": ["image"] if is_image_only else ["image", "text"],
        **({"image_config": config} if config else {}),
        **({"provider": dict(provider)} if provider else {}),
    }


def generation_request(ask: MakeImage, model: str, *, wants_format_field: bool) -> dict[str, JsonTree]:
    """For OpenAI's `/images/generations`. Only the older models take a wish for base64; the newer refuse the field."""
    return {
        "model": model,
        "prompt": ask.prompt,
        **({"n": ask.n} if ask.n != 1 else {}),
        **told_fields(ask.picture),
        **({"response_format": "b64_json"} if wants_format_field else {}),
    }


def edit_fields(ask: EditImage, model: str) -> tuple[tuple[str, str], ...]:
    """For OpenAI's `/images/edits`: the text parts of the form."""
    told = told_fields(ask.picture) | ({"n": ask.n} if ask.n != 1 else {})
    return (("model", model), ("prompt", ask.prompt), *((name, str(value)) for name, value in told.items()))


def edit_files(ask: EditImage) -> tuple[FilePart, ...]:
    name = "image" if len(ask.images) == 1 else "image[]"
    mask = (_file_part("mask", ask.mask),) if ask.mask is not None else ()
    return (*(_file_part(name, ref) for ref in ask.images), *mask)


def _file_part(name: str, ref: MediaRef) -> FilePart:
    media = ref.media
    extension, path = media.extension, ref.path
    return FilePart(
        name=name, media_type=media.media_type, extension=extension, path=path, size=ref.size, sha256=ref.sha256
    )


def _url_part(ref: MediaRef) -> JsonTree:
    return {"type": "image_url", "image_url": {"url": data_url(ref)}}


def refusals(ask: Ask, model: str, known: Parameters | None, *, fields: frozenset[str]) -> list[Refusal]:
    """Everything against this request that can be told without sending it. `fields` are those that the dialect has."""
    return [
        *_prompt_refusals(ask.prompt),
        *_picture_refusals(ask.picture, model, known, fields=fields),
        *_contradictions(ask.picture),
        *_count_refusals(ask.n, model, known),
        *_reference_refusals(ask, model, known),
    ]


def _prompt_refusals(prompt: str) -> list[Refusal]:
    reasons = unsendable(prompt)
    if not prompt.strip():
        reasons.append(_refusal("the prompt is blank", "say what the picture should show", code="job-invalid"))
    if len(prompt) > MAX_PROMPT_CHARS:
        message = f"a prompt of {len(prompt)} characters; {MAX_PROMPT_CHARS} are taken"
        reasons.append(_refusal(message, "shorten it", code="limit-chars"))
    return reasons


def _picture_refusals(
    picture: Picture, model: str, known: Parameters | None, *, fields: frozenset[str]
) -> list[Refusal]:
    reasons = []
    for name, value in told_fields(picture).items():
        if name not in fields or (known is not None and name not in known):
            reasons.append(_refusal(f"{model} takes no {name} here", "leave it out, or name another model"))
        elif known is not None:
            reasons += _value_refusals(name, value, model, known)
    return reasons


def _value_refusals(name: str, value: str | int, model: str, known: Parameters) -> list[Refusal]:
    rule = known[name]
    if rule.values is not None and str(value) not in rule.values:
        return [_refusal(f"{model} takes no {name} of {value}", f"accepted: {', '.join(rule.values)}")]
    if rule.low is not None and rule.high is not None and not _lies_between(value, rule.low, rule.high):
        return [_refusal(f"{model} takes no {name} of {value}", f"accepted: {rule.low} to {rule.high}")]
    return []


def _lies_between(value: str | int, low: int, high: int) -> bool:
    """A word such as 2K lies nowhere."""
    return (isinstance(value, int) or value.isdecimal()) and low <= int(value) <= high


def _contradictions(picture: Picture) -> list[Refusal]:
    reasons = []
    if picture.size is not None and (picture.aspect_ratio is not None or picture.resolution is not None):
        message = "a size beside an aspect ratio or a resolution"
        reasons.append(_refusal(message, "give either the one or the others", code="job-invalid"))
    if picture.background == "transparent" and picture.format not in (None, "png", "webp"):
        message = f"{picture.format} has no transparent background"
        reasons.append(_refusal(message, "ask for png or webp", code="job-invalid"))
    if picture.compression is not None and picture.format not in ("jpeg", "webp"):
        reasons.append(_refusal("compression is for jpeg and webp", "name such a format", code="job-invalid"))
    if picture.format == "svg":
        reasons.append(_refusal("svg is not kept here", "ask for png, jpeg or webp"))
    return reasons


def _count_refusals(n: int, model: str, known: Parameters | None) -> list[Refusal]:
    rule = known.get("n") if known is not None else None
    most = 1 if known is not None and rule is None else rule.high if rule is not None and rule.high else MAX_N
    if 1 <= n <= most:
        return []
    return [_refusal(f"{n} pictures at once; {model} makes 1 to {most}", "make a job for each", code="job-invalid")]


def _reference_refusals(ask: Ask, model: str, known: Parameters | None) -> list[Refusal]:
    refs = ask.images if isinstance(ask, EditImage) else ()
    rule = known.get("input_references") if known is not None else None
    least, most = (rule.low or 0, rule.high) if rule is not None else (0, 0 if known is not None else MAX_REFERENCES)
    reasons = [*(_type_refusal(ref) for ref in refs if ref.media.media_type not in IMAGES_IN)]
    if isinstance(ask, EditImage) and not refs:
        reasons.append(_refusal("there is no picture to edit", "give one", code="input-missing"))
    if not least <= len(refs) <= (MAX_REFERENCES if most is None else most):
        message = f"{len(refs)} pictures given; {model} takes {least} to {most}"
        reasons.append(_refusal(message, "change their number, or name another model"))
    total = sum(encoded_size(ref.size) for ref in refs)
    if total > MAX_ENCODED_BYTES:
        message = f"{total} bytes of pictures as they are sent; {MAX_ENCODED_BYTES} are taken"
        reasons.append(_refusal(message, "send smaller pictures", code="limit-bytes"))
    return reasons


def mask_refusals(ask: Ask) -> list[Refusal]:
    """For a dialect that sends the mask: a PNG as large as the first picture.

    Which side is which is seen once a picture that a camera marked as turned is upright: the kind looks then.
    """
    if not isinstance(ask, EditImage) or ask.mask is None or not ask.images:
        return []
    mask, reasons = ask.mask, list[Refusal]()
    if mask.media.media_type != "image/png" or mask.size > MAX_MASK_BYTES:
        message = f"the mask is {mask.media.media_type} of {mask.size} bytes"
        reasons.append(_refusal(message, "give a PNG under 4 MB with transparent places", code="input-type"))
    first, second = _size_of(ask.images[0]), _size_of(mask)
    if first and second and sorted(first) != sorted(second):
        message = "the mask is {}x{} pixels, the picture {}x{}".format(*second, *first)
        reasons.append(_refusal(message, "make them the same size", code="input-type"))
    return reasons


def _size_of(ref: MediaRef) -> tuple[int, ...]:
    try:
        with open(ref.path, "rb") as file:
            facts = examine(file, ref.size).facts
    except OSError:
        return ()
    return tuple(int(facts[side]) for side in ("width", "height") if side in facts)


def _type_refusal(ref: MediaRef) -> Refusal:
    return _refusal(f"{ref.media.media_type} is not sent", "give png, jpeg, webp or gif", code="input-type")


def _refusal(message: str, hint: str, *, code: str = "operation-unsupported") -> Refusal:
    return Refusal(code=code, message=message, hint=hint)


def pictures(body: Mapping[str, object]) -> list[Found]:
    """The pictures of `/images` or `/images/generations`, in order; ContractError where there are none."""
    rows = body.get("data")
    found = [_found(row) for row in rows if isinstance(row, Mapping)] if isinstance(rows, list) else []
    if not found:
        raise ContractError("the answer has no picture in it", code="reply-empty", hint="mediaspool retry")
    return found


def chat_pictures(body: Mapping[str, object]) -> list[Found]:
    """The pictures of a chat answer. Words alone are a refusal, whatever they say."""
    _, message = first_message(body)
    rows = message.get("images")
    found = []
    for row in rows if isinstance(rows, list) else []:
        place = row.get("image_url") if isinstance(row, Mapping) else None
        url = place.get("url") if isinstance(place, Mapping) else place
        if isinstance(url, str):
            found.append(_from_data_url(url) if url.startswith("data:") else Found(url=url))
    if not found:
        raise ContractError(
            "the model answered with words and no picture", code="rejected", hint="change the prompt or the model"
        )
    return found


def _found(row: Mapping[str, object]) -> Found:
    encoded, url = row.get("b64_json"), row.get("url")
    if isinstance(encoded, str) and (encoded or not url):
        return _from_data_url(encoded) if encoded.startswith("data:") else Found(body=_decoded(encoded))
    if isinstance(url, str):
        return _from_data_url(url) if url.startswith("data:") else Found(url=url)
    return Found()


def _from_data_url(url: str) -> Found:
    head, _, encoded = url.partition(",")
    return Found(body=_decoded(encoded) if head.endswith(";base64") else b"")


def _decoded(encoded: str) -> bytes:
    """Base64 as any server writes it: also in lines, in the alphabet of addresses, or without its padding."""
    for read in (str, _plain):
        try:
            return base64.b64decode(read(encoded), validate=True)
        except (binascii.Error, ValueError):
            continue
    return b""


def _plain(encoded: str) -> str:
    joined = "".join(encoded.split()).translate(_OF_ADDRESSES)
    return joined + "=" * (-len(joined) % 4)


def look(body: bytes, *, max_pixels: int | None) -> Looked:
    """Is this a whole picture of a kind that is kept, and not larger than allowed? Sizes come before any decoding."""
    if not body:
        return Looked(fault="it is not base64 of anything")
    found = examine(io.BytesIO(body), len(body))
    if not found.ok or found.media is None:
        return Looked(fault=found.reason)
    if found.media.media_type not in IMAGES_OUT:
        return Looked(fault=f"it is {found.media.media_type}")
    limit = min(max_pixels or MAX_PIXELS, MAX_PIXELS)
    if found.pixels is not None and found.pixels > limit:
        return Looked(fault=f"it has {found.pixels} pixels, {limit} are allowed")
    size = f"{found.facts.get('width', '?')}x{found.facts.get('height', '?')}"
    return Looked(media_type=found.media.media_type, size=size)


async def _set_aside(bodies: Sequence[bytes], exchange: Exchange) -> None:
    """The first picture that is of no use was paid for all the same: the caller keeps it apart, for a person."""
    with suppress(ContractError, ReplyTooLarge):
        await exchange.write(next((body for body in bodies if body), b""))


async def hand_over(bodies: Sequence[bytes], asked: int, *, exchange: Exchange, max_pixels: int | None) -> Taken:
    """Every whole picture, one a part. ContractError with the first reason where none is whole."""
    looked = [(body, look(body, max_pixels=max_pixels)) for body in bodies]
    good = [(body, found) for body, found in looked if not found.fault]
    if not good:
        await _set_aside(bodies, exchange)
        raise ContractError(f"the answer's picture is of no use: {looked[0][1].fault}", code="reply-damaged")
    for number, (body, _) in enumerate(good):
        if number:
            await exchange.next_part()
        for start in range(0, len(body), CHUNK_BYTES):
            await exchange.write(body[start : start + CHUNK_BYTES])
    facts = {"pictures": str(len(good)), "asked": str(asked), "sizes": " ".join(found.size for _, found in good)}
    broken = len(looked) - len(good)
    return Taken(media_type=good[-1][1].media_type, facts=facts | ({"broken": str(broken)} if broken else {}))
