"""Operations: provider-neutral requests. A driver translates them; a kind never knows who answers.

An operation is exact under JSON, so its canonical form can be hashed into a call key. Media inside an operation is
named by content hash; the path is where the bytes lie today and is not part of the key.
"""

import hashlib
from typing import Literal

import msgspec
from msgspec import Struct

from pipeline.core.model import CallKey, Media, Sha256

AudioFormat = Literal["wav", "mp3", "opus", "flac", "m4a"]
CALL_KEY_VERSION = 1


class MediaRef(Struct, frozen=True, kw_only=True):
    """Bytes to send: `sha256` identifies them, `path` finds them, `seconds` is None when not known."""

    sha256: Sha256
    path: str
    size: int
    media: Media
    seconds: float | None = None


class Speak(Struct, frozen=True, kw_only=True, tag="speak"):
    """Text to speech. `language` is a BCP 47 tag; `speed` 1.0 is the voice's own pace. The answer is audio."""

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


Operation = Speak | Transcribe
"""The closed union of operations: one struct here, then a branch in each driver that can; others refuse."""


class Word(Struct, frozen=True, kw_only=True):
    """One word with its times in seconds from the start of the source."""

    start: float
    end: float
    text: str
    probability: float | None = None


class Segment(Struct, frozen=True, kw_only=True):
    """A stretch of speech with its times in seconds from the start of the source."""

    start: float
    end: float
    text: str
    words: tuple[Word, ...] = ()
    avg_logprob: float | None = None
    no_speech_prob: float | None = None


class Transcript(Struct, frozen=True, kw_only=True):
    """What every transcription route answers, whoever made it. `speech_seconds` is what voice activity found."""

    schema: int
    language: str | None
    language_probability: float | None
    seconds: float
    speech_seconds: float | None
    segments: tuple[Segment, ...]
    engine: str
    model: str


def operation_name(operation: Operation) -> str:
    return str(type(operation).__struct_config__.tag)


def call_key(operation: Operation, *, route: str, model: str, engine: str) -> CallKey:
    """The identity of a call: same key, same answer, paid at most once. Paths and limits have no part in it."""
    if isinstance(operation, Transcribe):
        operation = msgspec.structs.replace(operation, audio=msgspec.structs.replace(operation.audio, path=""))
    body = msgspec.json.encode(
        {"version": CALL_KEY_VERSION, "route": route, "model": model, "engine": engine, "operation": operation},
        order="deterministic",
    )
    return CallKey(hashlib.sha256(body).hexdigest())
