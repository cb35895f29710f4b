"""`/audio/transcriptions` in both its bodies: what is sent, what is refused before, and how an answer is read.

Owns which form of answer is asked of which model, and the limits that no catalogue tells. Promises that a recording is
refused by its content, bytes and seconds before a request opens, and that an answer without a text is never success.
"""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

from msgspec import Struct

from pipeline.core.errors import ContractError
from pipeline.core.model import Refusal
from pipeline.core.operations import MediaRef, Transcribe
from pipeline.routes._body import FilePart, JsonTree, MultipartBody
from pipeline.routes._json_parts import base64_of
from pipeline.routes._languages import two_letters
from pipeline.routes._transcript_forms import FORMS, JSON_FORMS, TEXT_FORMS, Asked, Heard, from_json

MAX_BYTES = 25 * 1024 * 1024
MAX_MULTIPART_BYTES = 25_000_000 - 1024
MULTIPART_FROM_BYTES = 4_000_000
"""From here up the third that base64 adds is worth another kind of body."""
MAX_SECONDS = 1500.0
"""Servers give a request a minute upstream; what is longer than this does not come back in time."""
CHUNKED_FROM_S = 30.0
FORMATS: Mapping[str, str] = {
    "audio/wav": "wav",
    "audio/mpeg": "mp3",
    "audio/mp4": "m4a",
    "video/mp4": "m4a",
    "audio/ogg": "ogg",
    "audio/webm": "webm",
    "video/webm": "webm",
    "audio/flac": "flac",
    "audio/aac": "aac",
    "audio/pcm": "pcm",
}
MEDIA_IN = frozenset(FORMATS)


class HearingModel(Struct, frozen=True, kw_only=True):
    """What a transcription model takes and answers. `refuses` are formats of FORMATS that it does not read."""

    forms: tuple[str, ...] = ("verbose_json", "json")
    refuses: frozenset[str] = frozenset()
    max_seconds: float = MAX_SECONDS
    max_bytes: int = MAX_BYTES


_JSON_ONLY = ("json",)
_OPENROUTER: tuple[tuple[str, HearingModel], ...] = (
    ("openai/gpt-*transcribe*", HearingModel(forms=_JSON_ONLY)),
    ("microsoft/mai-transcribe-1.5", HearingModel(forms=_JSON_ONLY)),
    ("google/chirp*", HearingModel(forms=_JSON_ONLY, refuses=frozenset({"mp3"}), max_seconds=60.0)),
    ("google/gemini-*transcribe*", HearingModel(max_seconds=MAX_SECONDS)),
    ("assemblyai/universal*", HearingModel(max_seconds=120.0)),
    ("*/muse-voice-transcribe*", HearingModel(refuses=frozenset(FORMATS.values()) - {"wav"}, max_seconds=600.0)),
)
_NOT_OPENAI = frozenset({"aac", "pcm"})
_OPENAI_DIALECT: tuple[tuple[str, HearingModel], ...] = (
    (
        "gpt-4o-transcribe-diarize",
        HearingModel(forms=("diarized_json", "json", "text"), refuses=_NOT_OPENAI),
    ),
    ("gpt-*transcribe*", HearingModel(forms=_JSON_ONLY, refuses=_NOT_OPENAI)),
    ("whisper-1", HearingModel(forms=("verbose_json", "srt", "vtt", "json", "text"), refuses=_NOT_OPENAI)),
)
_UNKNOWN_COMPATIBLE = HearingModel(
    forms=("verbose_json", "json", "srt", "vtt", "text"), refuses=frozenset({"pcm"}), max_seconds=24 * 3600.0
)


def openrouter_hearing(model: str) -> HearingModel:
    return _row(_OPENROUTER, model) or HearingModel()


def openai_hearing(model: str, words: Sequence[str] = ()) -> HearingModel:
    """`words` are what the settings say of the model: the forms among them replace those of the table."""
    found = _row(_OPENAI_DIALECT, model) or _UNKNOWN_COMPATIBLE
    told = tuple(form for form in FORMS if form in words)
    if not told:
        return found
    return HearingModel(forms=told, refuses=found.refuses, max_seconds=found.max_seconds, max_bytes=found.max_bytes)


def refusals(ask: Transcribe, model: str, hearing: HearingModel) -> list[Refusal]:
    """Everything against this request that can be told without sending it."""
    return [
        *_recording_refusals(ask.audio, model, hearing),
        *_length_refusals(ask.audio, model, hearing),
        *_language_refusals(ask.language),
        *_track_refusals(ask.track),
    ]


def _recording_refusals(audio: MediaRef, model: str, hearing: HearingModel) -> list[Refusal]:
    form = FORMATS.get(audio.media.media_type)
    if form is None:
        message, hint = f"{audio.media.media_type} is not sent for transcription", "convert it to wav, mp3 or flac"
        return [Refusal(code="input-type", message=message, hint=hint)]
    if form in hearing.refuses:
        return [Refusal(code="input-type", message=f"{model} takes no {form}", hint="convert it to wav or flac")]
    return []


def _length_refusals(audio: MediaRef, model: str, hearing: HearingModel) -> list[Refusal]:
    reasons = []
    if audio.size <= 0 or audio.seconds == 0:
        reasons.append(Refusal(code="input-empty", message="the recording has no sound", hint="record it again"))
    if audio.size > hearing.max_bytes:
        message = f"{audio.size} bytes, and {model} takes {hearing.max_bytes}"
        reasons.append(Refusal(code="limit-bytes", message=message, hint="encode it smaller or split it"))
    if audio.seconds is not None and audio.seconds > hearing.max_seconds:
        message = f"{audio.seconds:.0f} seconds, and {model} takes {hearing.max_seconds:.0f}"
        reasons.append(Refusal(code="limit-seconds", message=message, hint="split the recording at a silence"))
    return reasons


def _language_refusals(language: str | None) -> list[Refusal]:
    if language is None or len(two_letters(language)) == 2:
        return []
    message, hint = f"{language} has no code of two letters", "leave the language out to detect it"
    return [Refusal(code="language-unsupported", message=message, hint=hint)]


def _track_refusals(track: int) -> list[Refusal]:
    if track == 0:
        return []
    message, hint = f"track {track} cannot be chosen on a server", "extract it first, or use the local route"
    return [Refusal(code="operation-unsupported", message=message, hint=hint)]


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
    media, path, size = ask.audio.media, ask.audio.path, ask.audio.size
    extension = FORMATS[media.media_type]
    file = FilePart(name="file", media_type=media.media_type, extension=extension, path=path, size=size)
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


def _row(rows: Sequence[tuple[str, HearingModel]], model: str) -> HearingModel | None:
    name = model.partition(":")[0].lower()
    return next((row for pattern, row in rows if fnmatchcase(name, pattern)), None)
