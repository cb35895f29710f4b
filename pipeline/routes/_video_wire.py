"""`/videos`: what is submitted, what is refused before, and what a poll says.

Owns the words of the job's life on their side. Promises that a status nobody knows means "go on asking", that a
failed poll is not a failed clip, and that nothing asked for is dropped or moved to the nearest value.
"""

from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal
from urllib.parse import quote

import msgspec
from msgspec import Struct

from pipeline.core.decoding import from_json
from pipeline.core.errors import ContractError, MediaspoolError, Rejected
from pipeline.core.model import Refusal
from pipeline.core.operations import MakeVideo, MediaRef
from pipeline.routes._body import JsonTree
from pipeline.routes._chat_wire import cost
from pipeline.routes._json_parts import data_url, encoded_size
from pipeline.routes._speech_wire import unsendable
from pipeline.routes._video_models import VideoModel

FIRST_WAIT_S, MAX_WAIT_S, GROWTH = 2.0, 30.0, 1.5
LOST_AFTER = 10
"""So many answers in a row that the job is unknown, over about two minutes, and the clip counts as lost."""
MAX_OUTPUTS = 8
MAX_PROMPT_CHARS = 8000
MAX_IMAGE_BYTES = 10 * 1024 * 1024
MAX_ID_CHARS = 300
IMAGES_IN = frozenset({"image/png", "image/jpeg", "image/webp"})
ENDED = frozenset({"failed", "cancelled", "expired"})


class Ticket(Struct, frozen=True, kw_only=True):
    """What finds the work again: the provider's id, and the address it gave for asking."""

    id: str
    polling_url: str | None = None


class Progress(Struct, frozen=True, kw_only=True):
    """What one poll says. `urls` are those of the finished clips, `reason` why it ended without any."""

    status: str
    urls: tuple[str, ...] = ()
    reason: str = ""
    usd: Decimal | None = None


Ask = Callable[[], Awaitable[Progress]]


def request(ask: MakeVideo, model: str, known: VideoModel | None, provider: Mapping[str, JsonTree]) -> JsonTree:
    audio = ask.audio if ask.audio is not None else known.audio if known is not None else None
    told: dict[str, JsonTree] = {
        "prompt": ask.prompt,
        "duration": ask.seconds,
        "resolution": _as_listed(ask.resolution, known),
        "aspect_ratio": ask.aspect_ratio,
        "size": ask.size,
        "generate_audio": audio,
        "seed": ask.seed,
        "frame_images": _frames(ask) or None,
        "input_references": [_image(ref) for ref in ask.references] or None,
        "provider": dict(provider) or None,
    }
    return {"model": model, **{name: value for name, value in told.items() if value is not None}}


def _as_listed(resolution: str | None, known: VideoModel | None) -> str | None:
    """The provider's spelling of it: 1080P and 4k are 1080p and 4K there."""
    listed = (known.resolutions or ()) if known is not None else ()
    return next((each for each in listed if resolution is not None and each.lower() == resolution.lower()), resolution)


def _frames(ask: MakeVideo) -> list[JsonTree]:
    ends = (("first_frame", ask.first_frame), ("last_frame", ask.last_frame))
    return [{**_image(ref), "frame_type": end} for end, ref in ends if ref is not None]


def _image(ref: MediaRef) -> dict[str, JsonTree]:
    return {"type": "image_url", "image_url": {"url": data_url(ref)}}


def refusals(ask: MakeVideo, model: str, known: VideoModel | None) -> list[Refusal]:
    """Everything against this request that can be told without sending it."""
    return [
        *_prompt_refusals(ask),
        *_value_refusals(ask, model, known),
        *_choice_refusals(ask, model, known),
        *_image_refusals(ask, model, known),
    ]


def _prompt_refusals(ask: MakeVideo) -> list[Refusal]:
    prompt = ask.prompt or ""
    reasons = unsendable(prompt)
    if not prompt.strip() and ask.first_frame is None and ask.last_frame is None:
        reasons.append(_refusal("neither a prompt nor a frame is given", "give one of them", code="job-invalid"))
    if len(prompt) > MAX_PROMPT_CHARS:
        message = f"a prompt of {len(prompt)} characters; {MAX_PROMPT_CHARS} are taken"
        reasons.append(_refusal(message, "shorten it", code="limit-chars"))
    return reasons


def _value_refusals(ask: MakeVideo, model: str, known: VideoModel | None) -> list[Refusal]:
    reasons = []
    if ask.seconds is not None and ask.seconds < 1:
        reasons.append(_refusal("a clip has at least one second", "give its seconds", code="job-invalid"))
    if ask.size is not None and (ask.resolution is not None or ask.aspect_ratio is not None):
        message = "a size beside a resolution or an aspect ratio"
        reasons.append(_refusal(message, "give either the one or the others", code="job-invalid"))
    if known is None:
        return reasons
    asked: tuple[tuple[str, str | int | None, tuple[str, ...] | tuple[int, ...] | None], ...] = (
        ("duration", ask.seconds, known.durations),
        ("resolution", ask.resolution, known.resolutions),
        ("aspect ratio", ask.aspect_ratio, known.aspect_ratios),
        ("size", ask.size, known.sizes),
    )
    for what, value, listed in asked:
        if value is not None and not _is_listed(value, listed):
            accepted = f"accepted: {', '.join(map(str, listed))}" if listed else "leave it out"
            reasons.append(_refusal(f"{model} takes no {what} of {value}", accepted))
    return reasons


def _is_listed(value: str | int, listed: tuple[str, ...] | tuple[int, ...] | None) -> bool:
    return listed is not None and str(value).lower() in {str(known).lower() for known in listed}


def _choice_refusals(ask: MakeVideo, model: str, known: VideoModel | None) -> list[Refusal]:
    reasons = []
    if known is not None and ask.audio and not known.audio:
        reasons.append(_refusal(f"{model} makes no sound", "set audio to false or leave it out"))
    if known is not None and ask.audio is False and known.audio is None:
        reasons.append(_refusal(f"sound cannot be chosen with {model}", "leave audio out"))
    if known is not None and ask.seed is not None and not known.seed:
        reasons.append(_refusal(f"{model} takes no seed", "leave it out"))
    return reasons


def _image_refusals(ask: MakeVideo, model: str, known: VideoModel | None) -> list[Refusal]:
    frames = [("first_frame", ask.first_frame), ("last_frame", ask.last_frame)]
    given = [ref for _, ref in frames if ref is not None]
    reasons = [reason for ref in (*given, *ask.references) for reason in _media_refusals(ref)]
    if given and ask.references:
        message = "frames and references in one clip: the frames would win unasked"
        reasons.append(_refusal(message, "give either frames or references", code="job-invalid"))
    for end, ref in frames:
        if ref is not None and known is not None and end not in (known.frames or ()):
            reasons.append(_refusal(f"{model} takes no {end.replace('_', ' ')}", "leave it out, or name another model"))
    return reasons


def _media_refusals(ref: MediaRef) -> list[Refusal]:
    media_type = ref.media.media_type
    if ref.media.family in ("video", "audio"):
        message = f"a reference of {media_type}: the provider takes text and pictures only"
        return [_refusal(message, "give a picture, such as a frame of it", code="input-type")]
    if media_type not in IMAGES_IN:
        return [_refusal(f"{media_type} is not sent", "give png, jpeg or webp", code="input-type")]
    if encoded_size(ref.size) > MAX_IMAGE_BYTES:
        message = f"a picture of {encoded_size(ref.size)} bytes as it is sent; {MAX_IMAGE_BYTES} are taken"
        return [_refusal(message, "make it smaller", code="limit-bytes")]
    return []


def _refusal(message: str, hint: str, *, code: str = "operation-unsupported") -> Refusal:
    return Refusal(code=code, message=message, hint=hint)


def ticket_of(body: Mapping[str, object]) -> Ticket | None:
    """From the answer to a submission; None where it has no id that could be asked for."""
    told, url = body.get("id"), body.get("polling_url")
    if not isinstance(told, str) or not told.strip() or len(told) > MAX_ID_CHARS or not told.isprintable():
        return None
    return Ticket(id=told, polling_url=url if isinstance(url, str) and len(url) <= 2000 else None)


def write_ticket(ticket: Ticket) -> str:
    return msgspec.json.encode(ticket).decode()


def read_ticket(text: str) -> Ticket:
    try:
        return from_json(text, Ticket)
    except (msgspec.DecodeError, UnicodeEncodeError) as error:
        raise ContractError(
            "the ticket of this clip cannot be read", hint="mediaspool retry submits it anew"
        ) from error


def job_path(ticket: Ticket) -> str:
    return f"/videos/{quote(ticket.id, safe='')}"


def content_path(ticket: Ticket, index: int) -> str:
    return f"{job_path(ticket)}/content?index={index}"


def progress(body: Mapping[str, object]) -> Progress:
    status, reason, urls = body.get("status"), body.get("error"), body.get("unsigned_urls")
    if isinstance(reason, Mapping):
        reason = reason.get("message")
    return Progress(
        status=status if isinstance(status, str) else "",
        urls=tuple(url for url in urls if isinstance(url, str))[:MAX_OUTPUTS] if isinstance(urls, list) else (),
        reason=reason if isinstance(reason, str) else "",
        usd=cost(body),
    )


async def watch(ask: Ask, *, safe: Callable[[str], str], pause: Callable[[float], Awaitable[None]]) -> Progress:
    """Ask until it is completed, less and less often. Rejected where it ended badly, ContractError where it is lost.

    Has no end of its own: whoever waits sets the deadline, or raises in a `pause`, and the ticket outlives it.
    """
    wait, unknown = FIRST_WAIT_S, 0
    while True:
        try:
            found = await ask()
        except MediaspoolError as error:
            if error.reach in ("route", "run"):
                raise
            unknown = unknown + 1 if isinstance(error, Rejected) else unknown
            if unknown >= LOST_AFTER:
                what = "the provider knows nothing of this clip any more"
                raise ContractError(what, hint="mediaspool retry submits it anew") from error
        else:
            unknown = 0
            if found.status == "completed":
                return found
            if found.status in ENDED:
                raise _ended(found, safe)
        await pause(wait)
        wait = min(wait * GROWTH, MAX_WAIT_S)


def _ended(found: Progress, safe: Callable[[str], str]) -> MediaspoolError:
    why = safe(found.reason) if found.reason else "without a reason"
    return Rejected(
        f"the clip ended as {found.status}: {why}", hint="change the job, then mediaspool retry", usd=found.usd
    )
