"""What a debug artifact holds, and the rule for every field of it.

`safe` lets a field through only where it looks like what the field is for: an id, a hash, a media type, a code. All
else becomes its length, so nothing that came from outside gets in through a field not meant to carry it. The names of
kind, route, model, engine, operation and verdict come from code and settings; they must look like names, no more.
"""

import hashlib
import math
import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Literal

import msgspec
from msgspec import Struct

from pipeline.core.confine import display
from pipeline.core.errors import CODES
from pipeline.trace.redact import Redactor

DebugLevel = Literal["off", "digest", "redacted"]

SCHEMA = 1
MAX_MESSAGE_CHARS = 300
MAX_TIMINGS = 32

ID = re.compile(r"[A-Za-z0-9_-]{1,80}")
_PLACE = re.compile(r"[0-9a-f]{32}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_WORD = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
_MEDIA_TYPE = re.compile(r"[A-Za-z0-9.+-]{1,40}/[A-Za-z0-9.+-]{1,60}")
# A model or engine may be a folder of the user; its path is theirs, the hash in the engine's name is enough for us.
_LABEL = re.compile(r"(?!(?:[A-Za-z]:)?[/\\~.])[A-Za-z0-9_.:/+@() -]{1,120}")
_QUOTES = "'\"`´‘’“”«»„"
_QUOTE = re.compile(rf"(?<!\w)[{_QUOTES}]|[{_QUOTES}](?!\w)")
_PATH = re.compile(r"(?<![\w/])(?:~|\.{1,2}|[A-Za-z]:)?[/\\]\S+(?:[^\n]*\.\w{1,5}\b)?")


class RequestFacts(Struct, frozen=True, kw_only=True):
    """What was sent, in numbers. `sha256` is of the media or text; a short text can be guessed from it."""

    bytes: int = 0
    chars: int | None = None
    media_type: str | None = None
    seconds: float | None = None
    sha256: str | None = None


class ReplyFacts(Struct, frozen=True, kw_only=True):
    """What came back: the type it was said to be, the type it is, and how much of it there was.

    `sha256` is of the first of its `parts`, `bytes` of all.
    """

    declared: str | None = None
    recognised: str | None = None
    bytes: int = 0
    sha256: str | None = None
    parts: int = 1


class DebugArtifact(Struct, frozen=True, kw_only=True):
    """The record of one attempt. `at` is filled in by the writer, `message` is written at level `redacted` only.

    `asked` is the model that was asked for where another one was taken.
    """

    schema: int = SCHEMA
    at: str = ""
    run: str
    attempt: str
    place: str
    kind: str
    route: str
    model: str
    asked: str | None = None
    engine: str
    operation: str
    try_number: int
    request: RequestFacts
    reply: ReplyFacts | None = None
    timings_ms: dict[str, float] = {}
    usd: Decimal | None = None
    verdict: str
    code: str | None = None
    message: str = ""


def safe(artifact: DebugArtifact, *, level: DebugLevel, redactor: Redactor, hide: Sequence[str]) -> DebugArtifact:
    """The artifact as it may be written."""

    def word(text: str) -> str:
        return _fitting(_WORD, text, redactor) or _length(text)

    def label(text: str) -> str:
        return _fitting(_LABEL, text, redactor) or _length(text)

    return msgspec.structs.replace(
        artifact,
        run=identifier(artifact.run, redactor),
        attempt=identifier(artifact.attempt, redactor),
        place=_fitting(_PLACE, artifact.place, redactor) or _digest(artifact.place),
        kind=word(artifact.kind),
        route=word(artifact.route),
        operation=word(artifact.operation),
        verdict=word(artifact.verdict),
        model=label(artifact.model),
        asked=label(artifact.asked) if artifact.asked is not None else None,
        engine=label(artifact.engine),
        request=_request(artifact.request, redactor),
        reply=artifact.reply and _reply(artifact.reply, redactor),
        timings_ms=_timings(artifact.timings_ms, word),
        code=artifact.code if artifact.code in CODES else None,
        message=safe_message(artifact.message, redactor, hide) if level == "redacted" else "",
    )


def identifier(text: str, redactor: Redactor) -> str:
    """An id of ours, or a hash in its place where it is something else."""
    return _fitting(ID, text, redactor) or _digest(text)


def _request(facts: RequestFacts, redactor: Redactor) -> RequestFacts:
    return msgspec.structs.replace(
        facts, media_type=_media_type(facts.media_type, redactor), sha256=_hash(facts.sha256, redactor)
    )


def _reply(facts: ReplyFacts, redactor: Redactor) -> ReplyFacts:
    return msgspec.structs.replace(
        facts,
        declared=_media_type(facts.declared, redactor),
        recognised=_media_type(facts.recognised, redactor),
        sha256=_hash(facts.sha256, redactor),
    )


def _timings(timings: dict[str, float], word: Callable[[str], str]) -> dict[str, float]:
    named = list(timings.items())[:MAX_TIMINGS]
    return {word(name): round(ms, 3) for name, ms in named if math.isfinite(ms)}


def _media_type(text: str | None, redactor: Redactor) -> str | None:
    """The bare type: parameters come from the sender and may say anything."""
    if text is None:
        return None
    return _fitting(_MEDIA_TYPE, text.split(";")[0].strip().lower(), redactor) or _length(text)


def _hash(text: str | None, redactor: Redactor) -> str | None:
    return _fitting(_SHA256, text, redactor) if text is not None else None


def _fitting(pattern: re.Pattern[str], text: str, redactor: Redactor) -> str | None:
    return text if pattern.fullmatch(text) and redactor.text(text) == text else None


def _length(text: str) -> str:
    return f"[{len(text)} chars]"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def safe_message(text: str, redactor: Redactor, hide: Sequence[str]) -> str:
    """The sender's own words without what they quote: quotes and paths in a message are nearly always the user's."""
    shown = redactor.text(text, max_chars=MAX_MESSAGE_CHARS, hide=hide)
    return display(_PATH.sub("[path]", _unquoted(shown)), MAX_MESSAGE_CHARS)


def _unquoted(text: str) -> str:
    """Masked from the first quotation mark to the last, or to the end where one of a pair is missing."""
    marks = list(_QUOTE.finditer(text))
    if not marks:
        return text
    end = marks[-1].end() if len(marks) % 2 == 0 else len(text)
    return text[: marks[0].start()] + "[quoted]" + text[end:]
