"""`/audio/transcriptions` in both its bodies: what is sent, what is refused before, and how an answer is read.

Owns which form of answer is asked of which model, and the limits that no catalogue tells. Promises that a recording is
refused by its content, bytes and seconds before a request opens, and that an answer without a text is never success.
"""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

from msgspec.structs import replace

from pipeline.core.errors import ContractError
from pipeline.core.hearing import PARTS, SOUNDS, Hearing, Times, sounds
from pipeline.core.model import Refusal
from pipeline.core.operations import MediaRef, Transcribe
from pipeline.routes._body import FilePart, JsonTree, MultipartBody
from pipeline.routes._json_parts import base64_of
from pipeline.routes._languages import two_letters
from pipeline.routes._transcript_forms import FORMS, JSON_FORMS, TEXT_FORMS, TIMED, Asked, Heard, from_json

MAX_FILE_BYTES = 25 * 1024 * 1024
MAX_BODY_BYTES = 25_000_000
MAX_MULTIPART_BYTES = MAX_BODY_BYTES - 1024
MULTIPART_FROM_BYTES = 4_000_000
"""From here up the third that base64 adds is worth another kind of body."""
USUAL_S, QUICK_S = 600.0, 1500.0
"""Servers give a request a minute upstream: what is longer does not come back in time. Some models are quick."""
CHUNKED_FROM_S = 30.0
FORMATS: Mapping[str, str] = {
    media_type: word for word, kinds in SOUNDS.items() if word != "mkv" for media_type in kinds
}
MEDIA_IN = frozenset(FORMATS)

_ROW = Hearing(takes=MEDIA_IN, forms=("verbose_json", "json"), max_seconds=USUAL_S, rate_unit="second")
_TEXT_ALONE = replace(_ROW, forms=("json",), times="none")
_OPENROUTER: tuple[tuple[str, Hearing], ...] = (
    ("openai/gpt-*transcribe*", replace(_TEXT_ALONE, rate_unit="token")),
    ("openai/whisper*", replace(_ROW, max_seconds=QUICK_S)),
    ("microsoft/mai-transcribe-1.5", _TEXT_ALONE),
    ("microsoft/mai-transcribe*", replace(_ROW, rate_unit="hour")),
    ("google/chirp*", replace(_TEXT_ALONE, takes=MEDIA_IN - sounds(["mp3"]), max_seconds=60.0, part=PARTS["opus"])),
    ("google/gemini-*transcribe*", replace(_ROW, rate_unit="token")),
    ("assemblyai/universal*", replace(_ROW, max_seconds=120.0)),
    ("*/muse-voice-transcribe*", replace(_ROW, takes=sounds(["wav"]), part=PARTS["wav"])),
)
_LARGER = ("openai/*",)
"""Models whose provider bounds the file alone: a larger JSON body than others take is made for them."""
_OPENAI_ROW = Hearing(
    takes=MEDIA_IN - sounds(["aac", "pcm"]), forms=("json",), times="none", max_bytes=MAX_MULTIPART_BYTES
)
_GPT_ROW = replace(_OPENAI_ROW, max_seconds=1400.0, rate_unit="token")
_OPENAI_DIALECT: tuple[tuple[str, Hearing], ...] = (
    (
        "gpt-4o-transcribe-diarize",
        replace(_GPT_ROW, forms=("diarized_json", "json", "text"), times="segment"),
    ),
    ("gpt-*transcribe*", _GPT_ROW),
    (
        "whisper-1",
        replace(_OPENAI_ROW, forms=("verbose_json", "srt", "vtt", "json", "text"), times="word", rate_unit="second"),
    ),
)
_UNKNOWN_COMPATIBLE = replace(
    _OPENAI_ROW,
    takes=MEDIA_IN - sounds(["pcm"]),
    forms=("verbose_json", "json", "srt", "vtt", "text"),
    times="word",
)


def openrouter_hearing(model: str, *, is_json: bool) -> Hearing:
    """`is_json`: the settings leave only the body that carries sound as base64."""
    found = _row(_OPENROUTER, model) or _ROW
    if any(fnmatchcase(model.lower(), pattern) for pattern in _LARGER):
        return replace(found, max_bytes=MAX_FILE_BYTES)
    return replace(found, is_base64=is_json, max_bytes=MAX_BODY_BYTES if is_json else MAX_MULTIPART_BYTES)


def openai_hearing(model: str, words: Sequence[str] = ()) -> Hearing:
    """`words` are what the settings say of the model: the forms among them replace those of the table."""
    found = _row(_OPENAI_DIALECT, model) or _UNKNOWN_COMPATIBLE
    told = tuple(form for form in FORMS if form in words)
    if not told:
        return found
    times: Times = "word" if told[0] == "verbose_json" else "segment" if told[0] in TIMED else "none"
    return replace(found, forms=told, times=times)


def refusals(ask: Transcribe) -> list[Refusal]:
    """What no preparation cures. The bounds of a call are the row's."""
    audio = ask.audio
    reasons = []
    if audio.media.media_type not in MEDIA_IN and audio.media.demuxer is None:
        message, hint = f"{audio.media.media_type} is not sent for transcription", "convert it to wav, mp3 or flac"
        reasons.append(Refusal(code="input-type", message=message, hint=hint))
    if audio.size <= 0 or audio.seconds == 0:
        reasons.append(Refusal(code="input-empty", message="the recording has no sound", hint="record it again"))
    return [*reasons, *_language_refusals(ask.language)]


def _language_refusals(language: str | None) -> list[Refusal]:
    if language is None or len(two_letters(language)) == 2:
        return []
    message, hint = f"{language} has no code of two letters", "leave the language out to detect it"
    return [Refusal(code="language-unsupported", message=message, hint=hint)]


def is_multipart_better(audio: MediaRef, *, choice: str, has_options: bool) -> bool:
    """Where both bodies are taken: multipart sends a third less, JSON carries options and more than 25 MB."""
    fits = audio.size <= MAX_MULTIPART_BYTES
    if choice in ("json", "multipart"):
        return choice == "multipart" and fits
    return fits and audio.size >= MULTIPART_FROM_BYTES and not has_options


def json_request(ask: Transcribe, model: str, form: str, provider: Mapping[str, JsonTree]) -> dict[str, JsonTree]:
    return {
        "model": model,
        "input_audio": {"data": base64_of(ask.audio), "format": FORMATS[ask.audio.media.media_type]},
        **({"language": two_letters(ask.language)} if ask.language else {}),
        "response_format": form,
        **({"timestamp_granularities": _granularities(ask)} if form == "verbose_json" else {}),
        **({"provider": dict(provider)} if provider else {}),
    }


def multipart(ask: Transcribe, model: str, form: str, *, prompt: str | None = None) -> MultipartBody:
    audio, media = ask.audio, ask.audio.media
    file = FilePart(
        name="file",
        media_type=media.media_type,
        extension=FORMATS[media.media_type],
        path=audio.path,
        size=audio.size,
        sha256=audio.sha256,
    )
    return MultipartBody(fields=tuple(multipart_fields(ask, model, form, prompt=prompt)), files=(file,))


def multipart_fields(ask: Transcribe, model: str, form: str, *, prompt: str | None = None) -> list[tuple[str, str]]:
    """The text parts, in order; the file goes beside them."""
    fields = [("model", model), ("response_format", form)]
    if ask.language:
        fields.append(("language", two_letters(ask.language)))
    if form == "verbose_json":
        fields += [("timestamp_granularities[]", name) for name in _granularities(ask)]
    if form == "diarized_json" and (ask.audio.seconds is None or ask.audio.seconds > CHUNKED_FROM_S):
        fields.append(("chunking_strategy", "auto"))
    if prompt and form != "diarized_json":
        fields.append(("prompt", prompt))
    return fields


def _granularities(ask: Transcribe) -> list[str]:
    return ["segment", "word"] if ask.words else ["segment"]


def read(body: Mapping[str, object] | str, form: str, asked: Asked) -> Heard:
    """An answer as the form that was asked for; a server that wraps text in JSON all the same is understood."""
    if not isinstance(body, str):
        return from_json(body, asked)
    if form in JSON_FORMS:
        raise ContractError("the answer is text, not JSON", code="reply-type", hint="name another response format")
    return TEXT_FORMS[form](body, asked)


def _row(rows: Sequence[tuple[str, Hearing]], model: str) -> Hearing | None:
    name = model.partition(":")[0].lower()
    return next((row for pattern, row in rows if fnmatchcase(name, pattern)), None)
