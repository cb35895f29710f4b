"""What the two speech drivers share: which text a Latin-script voice can speak, pieces for one child call, one WAV out.

Promises that text with letters of another script is refused before anything is sent: an engine would drop it, or spell
it letter by letter, without a word. Symbols such as emoji are left to the engine, which leaves them out.
"""

import contextlib
import re
import unicodedata
from collections.abc import Iterator

from msgspec import Struct

from pipeline.children.lanes import Lane, Lanes
from pipeline.children.speech_work import SAMPLE_BYTES, SpeakFacts, SpeakParams
from pipeline.children.stage import FileRef, StageLimits, StageSpec, packed
from pipeline.core.decoding import from_json
from pipeline.core.drivers import Exchange
from pipeline.core.model import Estimate, Refusal
from pipeline.core.operations import Speak
from pipeline.core.wav import wav_header
from pipeline.routes import _local

MIN_SPEED, MAX_SPEED = 0.5, 2.0
PAUSE_S = 0.25
MAX_PIECE_BYTES = 200_000_000
CHARS_PER_S = 10.0  # slow speech, for estimates
_LETTERS = re.compile(r"[^\W\d_]+")
_ENDS = (re.compile(r"[.!?…]+[\"'»”’)\]]*\s+"), re.compile(r"[,;:–—]\s+"), re.compile(r"\s+"))


class Booth(Struct, frozen=True, kw_only=True):
    """How one engine is asked: its lane and stage, the characters and seconds that one child call may take."""

    lane: Lane
    stage: str
    max_chars: int
    deadline_s: float


class _Piece(Struct, frozen=True, kw_only=True):
    """The samples of one child call."""

    path: str
    facts: SpeakFacts


def text_refusals(text: str, *, single_greek: bool) -> list[Refusal]:
    """Why a Latin-script voice cannot speak this text. `single_greek`: it reads a lone Greek letter as a symbol."""
    plain = unicodedata.normalize("NFKC", text)
    if any("\ud800" <= char <= "\udfff" for char in text):
        return [_unsupported("the text has half a character in it", "repair its encoding")]
    if not _is_spoken(text):
        return [_unsupported("the text has no letter and no digit", "give the job text to speak")]
    foreign = sum(_is_foreign(run.group(), single_greek) for run in _LETTERS.finditer(plain))
    if foreign:
        message = f"{foreign} words are written in a script that this voice does not read"
        return [_unsupported(message, "take them out, or name a route that speaks the language")]
    return []


def ask_refusals(ask: Speak, voices: dict[str, str]) -> list[Refusal]:
    """Refusals of voice, speed and format."""
    reasons = []
    if ask.voice is not None and ask.voice not in voices:
        hint = f"voices here: {', '.join(sorted(voices))}"
        reasons.append(Refusal(code="voice-unknown", message=f"there is no voice {ask.voice!r}", hint=hint))
    if not MIN_SPEED <= ask.speed <= MAX_SPEED:
        hint = f"give a speed from {MIN_SPEED} to {MAX_SPEED}"
        reasons.append(Refusal(code="operation-unsupported", message=f"speed {ask.speed:g} is unknown here", hint=hint))
    if ask.format != "wav":
        hint = "ask for wav; the job encodes it"
        reasons.append(Refusal(code="operation-unsupported", message=f"the voice makes no {ask.format}", hint=hint))
    return reasons


def estimate(ask: Speak) -> Estimate:
    return Estimate(audio_seconds=len(ask.text) / CHARS_PER_S / max(ask.speed, MIN_SPEED))


def pieces(text: str, max_chars: int) -> Iterator[str]:
    """The text in order, cut after a sentence where possible, else a clause, a word, a character."""
    rest = text.strip()
    while len(rest) > max_chars:
        cut = _cut(rest, max_chars)
        if _is_spoken(rest[:cut]):
            yield rest[:cut].strip()
        rest = rest[cut:].lstrip()
    if _is_spoken(rest):
        yield rest


async def speak(lanes: Lanes, booth: Booth, ask: Speak, *, voice: str, exchange: Exchange) -> float:
    """Speak piece by piece, then hand over one WAV; its seconds."""
    await exchange.sending()
    with contextlib.ExitStack() as kept:
        made: list[_Piece] = []
        for text in pieces(ask.text, booth.max_chars):
            target = kept.enter_context(_local.scratch(lanes, ".pcm"))
            spec = _spec(booth, SpeakParams(text=text, voice=voice, speed=ask.speed), target)
            result = await lanes.run(booth.lane, spec, line=exchange.in_line)
            made.append(_Piece(path=lanes.path(target), facts=from_json(result.facts, SpeakFacts)))
        return await _deliver(made, exchange)


async def _deliver(made: list[_Piece], exchange: Exchange) -> float:
    """Header, then the pieces with a pause between."""
    rate = made[0].facts.rate
    pause = bytes(int(PAUSE_S * rate) * SAMPLE_BYTES)
    size = sum(piece.facts.samples for piece in made) * SAMPLE_BYTES + len(pause) * (len(made) - 1)
    await exchange.write(wav_header(size, rate=rate, channels=1))
    for number, piece in enumerate(made):
        if number:
            await exchange.write(pause)
        await _local.hand_over(exchange, piece.path)
    return size / SAMPLE_BYTES / rate


def _spec(booth: Booth, params: SpeakParams, target: FileRef) -> StageSpec:
    return StageSpec(
        stage=booth.stage,
        output=target,
        params=packed(params),
        limits=StageLimits(max_output_bytes=MAX_PIECE_BYTES),
        deadline_s=booth.deadline_s,
    )


def _unsupported(message: str, hint: str) -> Refusal:
    return Refusal(code="text-unsupported", message=message, hint=hint)


def _is_spoken(text: str) -> bool:
    """Has it a letter or a digit, were it inside one sign, as in "㎏"?"""
    return any(char.isalnum() for char in unicodedata.normalize("NFKC", text))


def _is_foreign(run: str, single_greek: bool) -> bool:
    strange = [char for char in run if unicodedata.category(char) != "Lm" and not _is_latin(char)]
    lone_greek = single_greek and len(strange) == 1 and unicodedata.name(strange[0], "").startswith("GREEK")
    return bool(strange) and not lone_greek


def _is_latin(char: str) -> bool:
    return unicodedata.name(char, "").startswith("LATIN")


def _cut(text: str, max_chars: int) -> int:
    head = text[: max_chars + 1]
    for end in _ENDS:
        found = [match.end() for match in end.finditer(head) if match.end() <= max_chars]
        if found:
            return found[-1]
    return max_chars
