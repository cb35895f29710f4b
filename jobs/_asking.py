"""One call for a transcript: what a job wants of a recording, the operation for it, and its answer as a value."""

from typing import Literal

import msgspec
from msgspec import Struct

from pipeline.core.errors import ContractError
from pipeline.core.kinds import MAX_TRANSCRIPT_BYTES, JobContext, decode_transcript
from pipeline.core.model import Source
from pipeline.core.operations import Transcribe, Transcript, ref_of

AUTO = "auto"
TRANSCRIPT_SCHEMA = 1
Channels = Literal["mix", "split"]


class Wish(Struct, frozen=True, kw_only=True):
    """What a job wants of a recording. `track` counts from 0; `all_or_nothing`: a part that stays failed fails it."""

    source: Source
    language: str = AUTO
    words: bool = True
    track: int = 0
    channels: Channels = "mix"
    all_or_nothing: bool = False


class Told(Struct, frozen=True, kw_only=True):
    """What was heard. `reason` is why it is not all, `silence` why nobody was asked; `facts` go into receipts."""

    transcript: Transcript
    reason: str = ""
    silence: str = ""
    facts: dict[str, str] = {}


def operation_of(wish: Wish) -> Transcribe:
    """The whole recording in one call. No route takes more of a tag than the language: `EN` and `en-US` are one."""
    language = None if wish.language == AUTO else wish.language.partition("-")[0].lower()
    return Transcribe(audio=ref_of(wish.source), language=language, words=wish.words, track=wish.track)


async def answer(
    ctx: JobContext, ask: Transcribe, *, route: str | None = None, audio_seconds: float | None = None
) -> Transcript:
    """By the job's route or another one; `audio_seconds` is what one of many parts counts towards a cap on minutes."""
    asset = await ctx.call(ask, route=route, audio_seconds=audio_seconds)
    return _read(await ctx.read_asset(asset, max_bytes=MAX_TRANSCRIPT_BYTES))


def own_transcript(text: str) -> Transcript | None:
    """The transcript that such a file is, where mediaspool wrote it; None for any other JSON."""
    try:
        transcript = decode_transcript(text.encode())
    except (msgspec.DecodeError, RecursionError):
        return None
    return transcript if transcript.schema == TRANSCRIPT_SCHEMA else None


def _read(body: bytes) -> Transcript:
    try:
        transcript = decode_transcript(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ContractError("the answer is not a transcript", hint="mediaspool retry") from error
    if transcript.schema != TRANSCRIPT_SCHEMA:
        raise ContractError(f"the answer has transcript schema {transcript.schema}, 1 is known", code="reply-type")
    return transcript
