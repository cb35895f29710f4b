"""A recording heard in parts: surveyed, cut, asked for part by part, joined.

Promises that a finished part is never asked for again: the same recording makes the same parts, and their receipts
answer. A part that nobody could hear is a gap, which is told; what another run would make good is left to it.
"""

from collections.abc import Sequence
from typing import TypeAlias

import msgspec
import trio
from msgspec import Struct

from jobs._asking import TRANSCRIPT_SCHEMA, Told, Wish, answer, operation_of
from jobs._cuts import Stretch, cut, speaks
from jobs._merge import Joined, Piece, gaps, interleaved, join, language_of, languages_of
from jobs._text import clock
from pipeline.children.split_work import FORMS
from pipeline.core.errors import LimitExceeded, MediaspoolError, Stopped
from pipeline.core.hearing import PARTS, Cut, Hearing, Survey, beyond, fits
from pipeline.core.kinds import GAP_FACT, JobContext
from pipeline.core.model import Refusal
from pipeline.core.operations import Segment, Span, Transcribe, Transcript

ROOM_SHARE = 0.98  # of a bound on bytes: the rest is for what a container adds
CUT_TRIES, SHORTER = 4, 0.6
TOLD_GAPS = 5
ANY = Hearing(takes=frozenset({PARTS["flac"]}), part=PARTS["flac"])
"""The row of a route that takes any recording: parts are made for it only where channels are heard apart."""
_Answer: TypeAlias = Transcript | MediaspoolError | None


class _Part(Struct, frozen=True, kw_only=True):
    """A stretch of one channel, or of the mix, and the call for it; None where nobody speaks."""

    stretch: Stretch
    side: int | None
    ask: Transcribe | None

    @property
    def audio_seconds(self) -> float:
        """What it counts towards a cap on minutes: every moment of the recording once."""
        return self.stretch.ends - self.stretch.begins if self.side in (None, 0) else 0.0


async def hear_in_parts(ctx: JobContext, wish: Wish) -> Told:
    survey = await ctx.survey(wish.source, track=wish.track)
    has_sides = wish.channels == "split" and survey.channels > 1
    ask = operation_of(wish)
    whole = msgspec.structs.replace(ask, audio=msgspec.structs.replace(ask.audio, seconds=survey.seconds))
    if not has_sides and (ctx.hearing is None or fits(whole, ctx.hearing)):
        return Told(transcript=await answer(ctx, whole))
    row = ctx.hearing or ANY
    sides = range(survey.channels) if has_sides else (None,)
    parts = [part for side in sides for part in await _parts(ctx, wish, survey, row, side)]
    answers = await _ask_all(ctx, parts)
    _raise_unless_enough(parts, answers, all_or_nothing=wish.all_or_nothing)
    return _told(survey, row, parts, answers)


def longest_s(hearing: Hearing, seconds: float) -> float:
    """The longest part that one call takes, by its seconds and by what those come to in bytes."""
    bounds = [max(seconds, 1.0)]
    if hearing.max_file_bytes is not None:
        bounds.append(hearing.max_file_bytes * ROOM_SHARE / FORMS[hearing.part].bytes_per_s)
    if hearing.longest_seconds is not None:
        bounds.append(hearing.longest_seconds)
    return min(bounds)


async def _parts(ctx: JobContext, wish: Wish, survey: Survey, row: Hearing, side: int | None) -> list[_Part]:
    """The parts of one channel or of the mix; shorter ones where one came out larger than reckoned."""
    longest = longest_s(row, survey.seconds)
    reasons: list[Refusal] = []
    for _ in range(CUT_TRIES):
        stretches = cut(survey, longest_s=longest, share=row.share)
        asks = await _asks(ctx, wish, [each for each in stretches if speaks(survey, each)], row, side)
        reasons = [reason for ask in asks.values() for reason in beyond(ask, row)]
        if not reasons:
            return [_Part(stretch=each, side=side, ask=asks.get(each.start)) for each in stretches]
        longest *= SHORTER
    what = f"no part of the recording fits into one call: {reasons[0].message}"
    raise LimitExceeded(what, code=reasons[0].code, hint="correct the route's hearing table in the settings")


async def _asks(
    ctx: JobContext, wish: Wish, stretches: Sequence[Stretch], row: Hearing, side: int | None
) -> dict[float, Transcribe]:
    """A call for each stretch, by where it starts."""
    if not stretches:
        return {}
    spans = tuple((each.start, each.end) for each in stretches)
    refs = await ctx.split(wish.source, Cut(media_type=row.part, stretches=spans, track=wish.track, channel=side))
    ask = msgspec.structs.replace(operation_of(wish), track=0)
    return {each.start: msgspec.structs.replace(ask, audio=ref) for each, ref in zip(stretches, refs, strict=True)}


async def _ask_all(ctx: JobContext, parts: Sequence[_Part]) -> list[_Answer]:
    """What came of each part, in order. Once the job must wait for something, no further part is begun."""
    answers: list[_Answer] = [None] * len(parts)
    waiting = iter(enumerate(parts))

    async def work() -> None:
        for place, part in waiting:
            if part.ask is None:
                continue
            if ctx.is_stopping():
                answers[place] = Stopped("the run was stopped", hint="run again: the parts that are done are kept")
            else:
                answers[place] = await _answer_or_error(ctx, part, part.ask)
            if any(map(_must_wait, answers)):
                return

    async with trio.open_nursery() as nursery:
        for _ in range(min(ctx.width, len(parts))):
            nursery.start_soon(work)
    return answers


async def _answer_or_error(ctx: JobContext, part: _Part, ask: Transcribe) -> Transcript | MediaspoolError:
    try:
        return await answer(ctx, ask, audio_seconds=part.audio_seconds)
    except MediaspoolError as error:
        return error


def _must_wait(answer: _Answer) -> bool:
    """Will another run, or another route, ask for this part? Then the job has no end yet."""
    return isinstance(answer, MediaspoolError) and (answer.reach != "call" or answer.outcome == "not-started")


def _raise_unless_enough(parts: Sequence[_Part], answers: Sequence[_Answer], *, all_or_nothing: bool) -> None:
    """First what the job must wait for, then a doubt that a person must settle, then what failed altogether."""
    errors = [answer for answer in answers if isinstance(answer, MediaspoolError)]
    is_nothing = len(errors) == sum(part.ask is not None for part in parts)
    grave = [error for error in errors if _must_wait(error)]
    grave += [error for error in errors if error.outcome == "held"]
    grave += errors if all_or_nothing or is_nothing else []
    if grave:
        raise _placed(grave[0], parts[answers.index(grave[0])])


def _placed(error: MediaspoolError, part: _Part) -> MediaspoolError:
    """The same error, with where it happened if that is its own: one for several jobs says the same to each of them."""
    where = _span(part.stretch.begins, part.stretch.ends)
    if error.reach == "call" and not error.message.startswith(where):
        error.message = f"{where}: {error.message}"
    return error


def _told(survey: Survey, row: Hearing, parts: Sequence[_Part], answers: Sequence[_Answer]) -> Told:
    pieces = [_piece(number, part, answer) for number, (part, answer) in enumerate(zip(parts, answers, strict=True), 1)]
    by_side: dict[int | None, list[Piece]] = {}
    for part, piece in zip(parts, pieces, strict=True):
        by_side.setdefault(part.side, []).append(piece)
    joined = {side: join(mine, first_s=survey.first_s, has_times=row.times != "none") for side, mine in by_side.items()}
    missing = gaps(pieces, first_s=survey.first_s)
    transcript = _whole(survey, pieces, joined, missing)
    return Told(
        transcript=transcript,
        reason=_reason(missing, parts, answers),
        facts=_facts(survey, row, parts, joined, transcript),
    )


def _whole(
    survey: Survey, pieces: Sequence[Piece], joined: dict[int | None, Joined], missing: tuple[Span, ...]
) -> Transcript:
    language, sure = language_of(pieces)
    told = next((piece.transcript for piece in pieces if piece.transcript and piece.transcript.engine), NOTHING)
    return Transcript(
        schema=TRANSCRIPT_SCHEMA,
        language=language,
        language_probability=sure,
        seconds=round(survey.first_s + survey.seconds, 3),
        speech_seconds=None if survey.speech_seconds is None else round(survey.speech_seconds, 3),
        speech=on_the_clock(survey),
        segments=interleaved(_labelled(found.segments, side, survey.channels) for side, found in joined.items()),
        engine=told.engine,
        model=told.model,
        gaps=missing,
        languages=languages_of(pieces),
    )


def on_the_clock(survey: Survey) -> tuple[Span, ...] | None:
    if survey.speech is None:
        return None
    by_s = survey.first_s
    return tuple(Span(start=round(span.start + by_s, 3), end=round(span.end + by_s, 3)) for span in survey.speech)


def _piece(number: int, part: _Part, answer: _Answer) -> Piece:
    """Labels of speakers hold within one answer only, so they are told apart by its number."""
    if part.ask is None:
        return Piece(stretch=part.stretch, transcript=NOTHING)
    if not isinstance(answer, Transcript):
        return Piece(stretch=part.stretch, transcript=None)
    segments = tuple(
        segment if segment.speaker is None else msgspec.structs.replace(segment, speaker=f"{number}-{segment.speaker}")
        for segment in answer.segments
    )
    return Piece(stretch=part.stretch, transcript=msgspec.structs.replace(answer, segments=segments))


def _labelled(segments: Sequence[Segment], side: int | None, channels: int) -> Sequence[Segment]:
    if side is None:
        return segments
    name = ("left", "right")[side] if channels == 2 else f"channel {side + 1}"
    return [msgspec.structs.replace(segment, speaker=name) for segment in segments]


def _reason(missing: Sequence[Span], parts: Sequence[_Part], answers: Sequence[_Answer]) -> str:
    """Where the gaps are, and why; of several reasons the first, with its place."""
    if not missing:
        return ""
    where = ", ".join(_span(span.start, span.end) for span in missing[:TOLD_GAPS])
    more = f" and {len(missing) - TOLD_GAPS} more" if len(missing) > TOLD_GAPS else ""
    failed = [
        (answer, part) for answer, part in zip(answers, parts, strict=True) if isinstance(answer, MediaspoolError)
    ]
    is_one = len({error.message for error, _ in failed}) == 1
    why = (failed[0][0] if is_one else _placed(*failed[0])).message
    return f"nothing is known of {where}{more}: {why}; mediaspool retry asks for it again"


def _facts(
    survey: Survey, row: Hearing, parts: Sequence[_Part], joined: dict[int | None, Joined], transcript: Transcript
) -> dict[str, str]:
    asked = sum(part.ask is not None for part in parts)
    overlaps = sum(part.stretch.start < part.stretch.begins for part in parts)
    unsure = sum(found.unsure for found in joined.values())
    facts = {
        "parts": str(asked),
        "part_form": FORMS[row.part].extension,
        "voice_activity": "level only" if survey.speech is None else "silero",
    }
    if asked < len(parts):
        facts["silent_parts"] = str(len(parts) - asked)
    if overlaps:
        facts |= {"overlaps": str(overlaps), "unsure_seams": str(unsure)}
    if None not in joined:
        facts["channels_apart"] = str(survey.channels)
    elif any(segment.speaker for segment in transcript.segments) and asked > 1:
        facts["speaker_labels"] = "per part"
    if transcript.gaps:
        facts[GAP_FACT] = f"{sum(span.end - span.start for span in transcript.gaps):.2f}"
    return facts


def _span(start_s: float, end_s: float) -> str:
    return f"{clock(start_s)}-{clock(end_s)}"


NOTHING = Transcript(
    schema=TRANSCRIPT_SCHEMA,
    language=None,
    language_probability=None,
    seconds=0.0,
    speech_seconds=0.0,
    segments=(),
    engine="",
    model="",
)
