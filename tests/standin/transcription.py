"""Speech to text in both dialects. Nobody listens: the words count along with the length of what was sent.

Silence gives an empty text. The length is measured from the bytes, so a file that is not what it is said to be gets
the opaque refusal that real providers give.
"""

import base64
import binascii
import math
from decimal import Decimal

from msgspec import Struct

from tests.standin import sound
from tests.standin.catalogue import TRANSCRIBERS, Transcriber, is_known
from tests.standin.gate import need_fields, need_key, need_model
from tests.standin.nouns import Answer, Asked, Part, Refused, fields_of, json_answer, names, text_of
from tests.standin.oddities import odd_transcript
from tests.standin.problems import TOO_LARGE, no_such_model, openai_problem, problem, refuse
from tests.standin.world import Generation, World, money

MULTIPART_BYTES = 25_000_000
WORDS_PER_S = 2.0
WORDS = names("this is the stand in server counting along one two three four five six seven eight nine ten")
FORMATS = ("json", "verbose_json")
NO_SPEAKERS = (
    "The selected model does not support diarize. Remove the field or choose a model whose provider supports it."
)
OPENAI_MODELS = {
    "whisper-1": ("json", "text", "srt", "verbose_json", "vtt"),
    "gpt-4o-transcribe": ("json",),
    "gpt-4o-mini-transcribe": ("json",),
    "gpt-4o-transcribe-diarize": ("json", "text", "diarized_json"),
}
TYPES = {
    "audio/mpeg": "mp3",
    "audio/mp3": "mp3",
    "audio/wav": "wav",
    "audio/x-wav": "wav",
    "audio/flac": "flac",
    "audio/ogg": "ogg",
    "audio/webm": "webm",
    "audio/mp4": "m4a",
    "audio/aac": "aac",
}
TEXT_TYPES = {"text": "text/plain", "srt": "text/plain", "vtt": "text/plain"}


class Wish(Struct, frozen=True, kw_only=True):
    """What both forms of the request come to."""

    body: bytes
    kind: str
    model: str
    format: str
    wants_words: bool
    wants_segments: bool
    language: str | None


def openrouter(asked: Asked, world: World) -> Answer:
    need_key(asked)
    wish = _from_form(asked) if asked.content_type == "multipart/form-data" else _from_json(asked)
    model = _model(asked, wish)
    if wish.format not in FORMATS:
        message = f'Unsupported response_format "{wish.format}". Only "json" and "verbose_json" are supported.'
        raise refuse(asked, 400, message)
    if wish.format == "verbose_json" and not model.is_verbose:
        raise refuse(asked, 400, "The selected model does not support verbose_json.")
    heard = _heard(asked, wish)
    seconds = math.ceil(heard.seconds) if model.rounds_up or asked.plays("rounded-up") else round(heard.seconds, 2)
    usd = (model.per_second * Decimal(str(seconds))).quantize(Decimal("0.0000000001"))
    body = _transcript(wish, heard, leads_with_space=model.leads_with_space, tells_language=model.tells_language)
    body = {"text": body.pop("text"), "usage": _usage(model, seconds, usd), **body}
    number = world.new_id("gen-stt")
    world.remember_cost(Generation(id=number, api_type="stt", model=model.id, usd=str(usd), hidden=0))
    return json_answer(odd_transcript(asked, body), usd=usd, X_Generation_Id=number)


def openai(asked: Asked, world: World) -> Answer:
    """Multipart only; also text, srt and vtt, and speakers where a model tells them apart."""
    need_key(asked)
    if asked.content_type != "multipart/form-data":
        raise Refused(openai_problem(415, "Unsupported Media Type: send multipart/form-data", code="unsupported"))
    wish = _from_form(asked)
    allowed = OPENAI_MODELS.get(wish.model)
    if allowed is None:
        raise no_such_model(asked, wish.model)
    if wish.format not in allowed:
        message = (
            f"response_format '{wish.format}' is not compatible with model '{wish.model}-api-ev3'. "
            f"Use {' or '.join(repr(each) for each in allowed)} instead."
        )
        raise Refused(openai_problem(400, message, param="response_format", code="unsupported_value"))
    heard = _heard(asked, wish)
    if wish.format == "diarized_json" and heard.seconds > 30 and asked.part("chunking_strategy") is None:
        message = "chunking_strategy is required for diarization models when audio is over 30 seconds."
        raise Refused(openai_problem(400, message, param="chunking_strategy"))
    usd = Decimal("0.0001") * Decimal(str(round(heard.seconds, 2)))
    body = _transcript(wish, heard, leads_with_space=False, tells_language=True)
    body["usage"] = {"type": "duration", "seconds": math.ceil(heard.seconds)}
    return _in_format(asked, wish, body, usd, world)


def _in_format(asked: Asked, wish: Wish, body: dict[str, object], usd: Decimal, world: World) -> Answer:
    number = world.new_id("req")
    segments = body.get("segments")
    rows = [row for row in segments if isinstance(row, dict)] if isinstance(segments, list) else []
    match wish.format:
        case "text" | "srt" | "vtt":
            text = {
                "text": f"{body['text']}\n",
                "srt": _captions(rows, ","),
                "vtt": f"WEBVTT\n\n{_captions(rows, '.')}",
            }
            return Answer(
                media_type=TEXT_TYPES[wish.format],
                body=text[wish.format].encode(),
                headers=(("x-request-id", number),),
                usd=usd,
            )
        case "diarized_json":
            named = [
                {
                    "id": f"seg_{place:03d}",
                    "type": "transcript.text.segment",
                    "start": row["start"],
                    "end": row["end"],
                    "text": row["text"],
                    "speaker": "AB"[place % 2],
                }
                for place, row in enumerate(rows, start=1)
            ]
            body = {**body, "segments": named}
    if wish.format == "json":
        body = {name: value for name, value in body.items() if name in ("text", "usage")}
    return json_answer(odd_transcript(asked, body), usd=usd, x_request_id=number)


def _from_json(asked: Asked) -> Wish:
    fields = need_fields(asked)
    sound_fields = fields_of(fields, "input_audio")
    data, kind = text_of(sound_fields, "data"), text_of(sound_fields, "format")
    if data is None:
        raise refuse(asked, 400, "input_audio.data: Invalid input: expected string, received undefined")
    if kind is None:
        raise refuse(asked, 400, "input_audio.format: Invalid input: expected string, received undefined")
    if data.startswith("data:"):
        raise refuse(asked, 400, "input_audio.data must be raw base64, not a data URI")
    if "diarize" in fields:
        raise refuse(asked, 400, NO_SPEAKERS)
    try:
        body = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        raise refuse(asked, 400, "input_audio.data is not valid base64") from None
    asks = fields.get("timestamp_granularities")
    granularities = asks if isinstance(asks, list) else []
    return Wish(
        body=body,
        kind=kind.lower(),
        model=need_model(asked),
        format=text_of(fields, "response_format") or "json",
        wants_words="word" in granularities,
        wants_segments="segment" in granularities or not granularities,
        language=text_of(fields, "language"),
    )


def _from_form(asked: Asked) -> Wish:
    if len(asked.body) > MULTIPART_BYTES:
        raise Refused(problem(asked, 413, TOO_LARGE))
    if asked.form is None:
        raise refuse(asked, 400, "Invalid multipart body")
    file = next((part for part in asked.form if part.name == "file" and part.file_name is not None), None)
    if (file is None) == (asked.part("source_url") is None) or file is None:
        raise refuse(asked, 400, 'Exactly one of "file" or "source_url" is required')
    if not file.body:
        raise refuse(asked, 400, "The file is empty")
    granularities = [part.text for part in asked.form if part.name == "timestamp_granularities[]"]
    return Wish(
        body=file.body,
        kind=_kind(asked, file),
        model=need_model(asked),
        format=asked.part("response_format") or "json",
        wants_words="word" in granularities,
        wants_segments="segment" in granularities or not granularities,
        language=asked.part("language"),
    )


def _kind(asked: Asked, file: Part) -> str:
    """From the ending of the file's name, else from the type of its part."""
    _, dot, ending = (file.file_name or "").rpartition(".")
    known = ending.lower() if dot and ending.lower() in sound.DEMUXERS else TYPES.get(file.content_type or "", "")
    if not known:
        raise refuse(asked, 400, "Unsupported file format")
    return known


def _model(asked: Asked, wish: Wish) -> Transcriber:
    if wish.model not in TRANSCRIBERS:
        if is_known(wish.model):
            raise refuse(asked, 400, f"Model {wish.model} does not support transcription.")
        raise no_such_model(asked, wish.model)
    return TRANSCRIBERS[wish.model]


def _heard(asked: Asked, wish: Wish) -> sound.Heard:
    try:
        return sound.hear(wish.body, wish.kind)
    except sound.Unheard:
        raise refuse(asked, 400, "Provider returned 400") from None


def _usage(model: Transcriber, seconds: float, usd: Decimal) -> dict[str, object]:
    if not model.counts_tokens:
        return {"seconds": seconds, "cost": money(usd)}
    heard = max(1, round(seconds * 10))
    said = max(1, round(seconds * 3))
    return {"input_tokens": heard, "output_tokens": said, "total_tokens": heard + said, "cost": money(usd)}


def _transcript(wish: Wish, heard: sound.Heard, *, leads_with_space: bool, tells_language: bool) -> dict[str, object]:
    """`json` has the text alone; the other formats follow from segments of five words."""
    space = " " if leads_with_space else ""
    count = 0 if heard.is_silent else max(1, round(heard.seconds * WORDS_PER_S))
    said = [WORDS[place % len(WORDS)] for place in range(count)]
    step = heard.seconds / count if count else 0.0
    # The last word ends after its segment, as the real service had it.
    words = [
        {"word": f"{space}{word}", "start": round(place * step, 3), "end": round((place + 0.9) * step, 3)}
        for place, word in enumerate(said)
    ]
    text = space + " ".join(said) if said else ""
    if wish.format == "json":
        return {"text": text}
    body: dict[str, object] = {"text": text, "duration": round(heard.seconds, 2)}
    if tells_language:
        body |= {"task": "transcribe", "language": wish.language or "en"}
    if wish.wants_segments or wish.format != "verbose_json":
        body["segments"] = [_segment(place, said, step, space) for place in range(0, count, 5)]
    if wish.wants_words:
        body["words"] = words
    return body


def _segment(place: int, said: list[str], step: float, space: str) -> dict[str, object]:
    part = said[place : place + 5]
    return {
        "id": place // 5,
        "seek": 0,
        "start": round(place * step, 3),
        "end": round((place + len(part) - 0.3) * step, 3),
        "text": space + " ".join(part),
        "tokens": [440, 1702],
        "temperature": 0,
        "avg_logprob": -0.108,
        "compression_ratio": 0.865,
        "no_speech_prob": 0,
    }


def _captions(rows: list[dict[str, object]], point: str) -> str:
    return "\n".join(
        f"{number}\n{_clock(row['start'], point)} --> {_clock(row['end'], point)}\n{row['text']}\n"
        for number, row in enumerate(rows, start=1)
    )


def _clock(seconds: object, point: str) -> str:
    whole = round(float(str(seconds)) * 1000)
    return f"{whole // 3_600_000:02d}:{whole // 60_000 % 60:02d}:{whole // 1000 % 60:02d}{point}{whole % 1000:03d}"
