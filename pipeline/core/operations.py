"""Operations: provider-neutral requests. A driver translates them; a kind never knows who answers.

An operation is exact under JSON, so its canonical form can be hashed into a call key. Media inside an operation is
named by content hash; the path is where the bytes lie today and is not part of the key.
"""

import hashlib
from typing import Literal

import msgspec
from msgspec import Struct

from pipeline.core.model import CallKey, Media, Sha256, Source

AudioFormat = Literal["wav", "mp3", "opus", "flac", "m4a"]
CALL_KEY_VERSION = 1


class MediaRef(Struct, frozen=True, kw_only=True):
    """Bytes to send: `sha256` identifies them, `path` finds them, `seconds` is None when not known."""

    sha256: Sha256
    path: str
    size: int
    media: Media
    seconds: float | None = None


def ref_of(source: Source) -> MediaRef:
    """An input, to be sent as it is."""
    return MediaRef(
        sha256=source.sha256, path=source.path, size=source.size, media=source.media, seconds=source.seconds
    )


class Speak(Struct, frozen=True, kw_only=True, tag="speak"):
    """Text to speech. `language` is a BCP 47 tag; `speed` 1.0 is the voice's own pace. The answer is audio.

    `format` "wav" stands for samples; a model that makes none may answer in another format, under its true name.
    """

    text: str
    language: str
    voice: str | None = None
    speed: float = 1.0
    format: AudioFormat = "wav"


class Transcribe(Struct, frozen=True, kw_only=True, tag="transcribe"):
    """Speech to text. `language` None means detect. The answer is a `Transcript` as JSON."""

    audio: MediaRef
    language: str | None = None
    words: bool = True
    track: int = 0


class Picture(Struct, frozen=True, kw_only=True):
    """How a picture should be. Only what the model lists may be set; None leaves it to the model.

    `size` is "WIDTHxHEIGHT" in pixels or a tier such as "2K"; it is not combined with `aspect_ratio` or `resolution`.
    """

    size: str | None = None
    aspect_ratio: str | None = None
    resolution: str | None = None
    quality: str | None = None
    background: str | None = None
    format: str | None = None
    compression: int | None = None
    seed: int | None = None


class MakeImage(Struct, frozen=True, kw_only=True, tag="make_image"):
    """Text to `n` pictures at most. The answer is one part per picture, in the bytes the model made."""

    prompt: str
    n: int = 1
    picture: Picture = Picture()


class EditImage(Struct, frozen=True, kw_only=True, tag="edit_image"):
    """A change of pictures by an instruction. `mask` (alpha 0 = change) belongs to the first of `images`."""

    prompt: str
    images: tuple[MediaRef, ...]
    mask: MediaRef | None = None
    n: int = 1
    picture: Picture = Picture()


class Retouch(Struct, frozen=True, kw_only=True, tag="retouch"):
    """Deterministic changes of one picture, step after step, each as `name argument ...`; nothing is invented."""

    image: MediaRef
    steps: tuple[str, ...]
    overlay: MediaRef | None = None
    format: str | None = None


class MakeVideo(Struct, frozen=True, kw_only=True, tag="make_video"):
    """A clip from a prompt, frames or references. `seconds` must be one that the model lists; nothing is snapped."""

    prompt: str | None = None
    seconds: int | None = None
    resolution: str | None = None
    aspect_ratio: str | None = None
    size: str | None = None
    first_frame: MediaRef | None = None
    last_frame: MediaRef | None = None
    references: tuple[MediaRef, ...] = ()
    audio: bool | None = None
    seed: int | None = None


class Complete(Struct, frozen=True, kw_only=True, tag="complete"):
    """One prompt over one document. `document` is data, fenced by the driver, never an instruction.

    `schema` is a JSON Schema as text that the answer must fit; `max_tokens` bounds the answer and so its price.
    """

    prompt: str
    document: str | None = None
    images: tuple[MediaRef, ...] = ()
    audio: MediaRef | None = None
    schema: str | None = None
    max_tokens: int = 4096
    temperature: float | None = None
    effort: str | None = None


Operation = Speak | Transcribe | MakeImage | EditImage | Retouch | MakeVideo | Complete
"""The closed union of operations: one struct here, then a branch in each driver that can; others refuse."""


class Word(Struct, frozen=True, kw_only=True):
    """One word with its times in seconds from the start of the source."""

    start: float
    end: float
    text: str
    probability: float | None = None


class Segment(Struct, frozen=True, kw_only=True):
    """A stretch of speech with its times in seconds from the start of the source.

    `speaker` is a label where somebody told the voices apart; a label means the same voice only within one part.
    """

    start: float
    end: float
    text: str
    words: tuple[Word, ...] = ()
    avg_logprob: float | None = None
    no_speech_prob: float | None = None
    speaker: str | None = None


class Span(Struct, frozen=True, kw_only=True):
    """A stretch of time in seconds from the start of the source."""

    start: float
    end: float


class Transcript(Struct, frozen=True, kw_only=True):
    """What every transcription route answers, whoever made it.

    `speech` is where voice activity detection heard somebody, in order and without overlap, and `speech_seconds` its
    sum; both are None where nobody listened for it. `languages` are seconds of speech in each language that was heard,
    also where `language` is another one that was asked for; None where the engine tells nothing of it. `gaps` are
    stretches of which nobody knows what was said.
    """

    schema: int
    language: str | None
    language_probability: float | None
    seconds: float
    speech_seconds: float | None
    segments: tuple[Segment, ...]
    engine: str
    model: str
    speech: tuple[Span, ...] | None = None
    languages: dict[str, float] | None = None
    gaps: tuple[Span, ...] = ()


def operation_name(operation: Operation) -> str:
    return str(type(operation).__struct_config__.tag)


def media_of(operation: Operation) -> tuple[MediaRef, ...]:
    """The media that would be sent, in order."""
    match operation:
        case Transcribe():
            return (operation.audio,)
        case EditImage():
            return (*operation.images, *_present(operation.mask))
        case Retouch():
            return (operation.image, *_present(operation.overlay))
        case MakeVideo():
            return (*_present(operation.first_frame, operation.last_frame), *operation.references)
        case Complete():
            return (*operation.images, *_present(operation.audio))
        case Speak() | MakeImage():
            return ()


def texts_of(operation: Operation) -> tuple[str, ...]:
    """The person's own words in it: they are counted, and never shown."""
    match operation:
        case Speak():
            return (operation.text,)
        case MakeImage() | EditImage():
            return (operation.prompt,)
        case MakeVideo():
            return (operation.prompt,) if operation.prompt else ()
        case Complete():
            return (operation.prompt, *((operation.document,) if operation.document else ()))
        case Retouch():
            return operation.steps
        case Transcribe():
            return ()


def _present(*refs: MediaRef | None) -> tuple[MediaRef, ...]:
    return tuple(ref for ref in refs if ref is not None)


def call_key(operation: Operation, *, route: str, model: str, engine: str) -> CallKey:
    """The identity of a call: same key, same answer, paid at most once. Paths and limits have no part in it."""
    body = {"version": CALL_KEY_VERSION, "route": route, "model": model, "engine": engine, "operation": operation}
    plain = _without_paths(msgspec.to_builtins(body))
    return CallKey(hashlib.sha256(msgspec.json.encode(plain, order="deterministic")).hexdigest())


def _without_paths(value: object) -> object:
    """A path is where the bytes lie today; the hash beside it is what they are."""
    match value:
        case dict():
            dropped = {"path"} if "sha256" in value else set()
            return {name: _without_paths(item) for name, item in value.items() if name not in dropped}
        case list() | tuple():
            return [_without_paths(item) for item in value]
        case _:
            return value
