"""A recording in parts: what is asked, what is not asked, and what a part that fails does to the job."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from jobs._cuts import number
from jobs._hearing import Told, Wish, hear, operations
from jobs.transcription import Transcription, TranscriptionSpec
from pipeline.core.errors import (
    BudgetExhausted,
    ContractError,
    EngineError,
    InDoubt,
    LimitExceeded,
    MediaspoolError,
    RouteClosed,
    Stopped,
)
from pipeline.core.hearing import PARTS, Cut, Hearing, Survey, sounds
from pipeline.core.model import Source
from pipeline.core.operations import MediaRef, Operation, Segment, Transcribe
from tests.jobs.scripted import ScriptedContext, answer, source, surveyed, transcript

ROW = Hearing(takes=sounds(["wav", "flac"]), max_seconds=300.0, part=PARTS["flac"])
HOUR = surveyed(3600.0, (0.0, 3600.0))
COUNT = number(3600.0, 300.0)
WAV = msgspec.structs.replace(source("audio/wav"), seconds=3600.0)
Answer = Callable[[Operation], bytes]


def context(
    folder: Path, *, survey: Survey | None = HOUR, hearing: Hearing | None = ROW, say: Answer = answer
) -> ScriptedContext:
    return ScriptedContext(folder, source=WAV, survey=survey, hearing=hearing, answer=say)


def wish(**more: object) -> Wish:
    return Wish(source=WAV, **more)  # type: ignore[arg-type]  # fields of the struct


def saying(ask: Operation) -> bytes:
    """In each part one sentence, half a second after its beginning."""
    assert isinstance(ask, Transcribe)
    told = transcript("so it was.", segment_s=2.0)
    return msgspec.json.encode(msgspec.structs.replace(told, segments=(moved(told.segments[0], 0.5),)))


def moved(segment: Segment, by_s: float) -> Segment:
    return msgspec.structs.replace(segment, start=segment.start + by_s, end=segment.end + by_s, words=())


def failing(error: MediaspoolError, *, at: int) -> Answer:
    """The part of that number fails, each time it is asked for."""
    asked: list[str] = []

    def say(ask: Operation) -> bytes:
        assert isinstance(ask, Transcribe)
        asked.append(ask.audio.sha256)
        if len(asked) - 1 == at:
            raise error
        return saying(ask)

    return say


async def test_what_fits_into_one_call_is_one_call_and_nobody_looks_at_it_before(tmp_path: Path) -> None:
    short = msgspec.structs.replace(WAV, seconds=300.0)
    ctx = context(tmp_path, survey=None)
    told = await hear(ctx, Wish(source=short))
    assert (len(ctx.calls), ctx.surveyed, ctx.cuts, told.facts) == (1, [], [], {})


async def test_an_unknown_length_is_measured_and_what_fits_goes_as_it_is(tmp_path: Path) -> None:
    unknown = msgspec.structs.replace(WAV, seconds=None)
    ctx = context(tmp_path, survey=surveyed(250.0, (0.0, 250.0)))
    await hear(ctx, Wish(source=unknown))
    (ask,) = ctx.calls
    assert isinstance(ask, Transcribe)
    assert (ask.audio.path, ask.audio.seconds, ctx.cuts) == (unknown.path, 250.0, [])


async def test_a_long_recording_is_asked_for_part_by_part_and_told_on_its_own_clock(tmp_path: Path) -> None:
    ctx = context(tmp_path, say=saying)
    told = await hear(ctx, wish())
    (cut,) = ctx.cuts
    assert len(ctx.calls) == len(cut.stretches) == COUNT
    assert all(isinstance(ask, Transcribe) and ask.audio.seconds <= 300 for ask in ctx.calls)  # type: ignore[operator]
    starts = [segment.start for segment in told.transcript.segments]
    assert starts == pytest.approx([start + 0.5 for start, _ in cut.stretches], abs=0.001)
    assert (told.reason, told.facts["parts"], told.transcript.seconds) == ("", str(COUNT), 3600.0)


async def test_minutes_of_audio_count_once_however_much_parts_have_in_common(tmp_path: Path) -> None:
    ctx = context(tmp_path, say=saying)
    told = await hear(ctx, wish())
    assert int(told.facts["overlaps"]) == COUNT - 1
    assert sum(seconds or 0.0 for seconds in ctx.counted) == pytest.approx(3600.0)
    both = context(tmp_path, survey=msgspec.structs.replace(HOUR, channels=2), say=saying)
    await hear(both, wish(channels="split"))
    assert sum(seconds or 0.0 for seconds in both.counted) == pytest.approx(3600.0)


async def test_nothing_is_asked_where_nobody_speaks(tmp_path: Path) -> None:
    survey = surveyed(3600.0, (0.0, 100.0), (3500.0, 3600.0))
    ctx = context(tmp_path, survey=survey, say=saying)
    told = await hear(ctx, wish())
    assert (len(ctx.calls), len(told.transcript.segments)) == (2, 2)
    assert int(told.facts["silent_parts"]) >= 10


async def test_where_nobody_speaks_at_all_nothing_is_asked(tmp_path: Path) -> None:
    ctx = context(tmp_path, survey=surveyed(3600.0))
    result = await Transcription().run(TranscriptionSpec(), ctx)
    assert (ctx.calls, result.verdict, result.drafts) == ([], "empty", ())


async def test_a_part_that_stays_failed_is_a_gap_that_every_product_shows(tmp_path: Path) -> None:
    ctx = context(tmp_path, say=failing(EngineError("the engine gave up"), at=3))
    spec = TranscriptionSpec(formats=("txt", "srt", "vtt", "json", "tsv"))
    result = await Transcription().run(spec, ctx)
    assert (result.verdict, len(ctx.calls)) == ("suspect", COUNT)
    assert "the engine gave up" in result.reason
    for draft in result.drafts:
        body = (draft.content or b"").decode()
        assert ("gaps" if draft.name == "json" else "not transcribed: 0:") in body, draft.name


async def test_a_gap_says_from_where_to_where(tmp_path: Path) -> None:
    told = await hear(context(tmp_path, say=failing(ContractError("cut short"), at=0)), wish())
    (gap,) = told.transcript.gaps
    assert gap.start == 0.0
    where = f"0:00:00-0:0{int(gap.end) // 60}:{int(gap.end) % 60:02}"
    assert told.reason == f"nothing is known of {where}: cut short; mediaspool retry asks for it again"


async def test_gaps_for_different_reasons_say_where_the_told_one_was(tmp_path: Path) -> None:
    first, second = failing(ContractError("cut short"), at=0), failing(EngineError("gave up"), at=2)

    def say(ask: Operation) -> bytes:
        first(ask)
        return second(ask)

    told = await hear(context(tmp_path, say=say), wish())
    spans = told.reason.removeprefix("nothing is known of ").split(": ")
    assert spans[1] == spans[0].split(", ")[0]
    assert spans[2].startswith("cut short")


async def test_what_closes_a_route_is_told_in_its_own_words_however_many_parts_it_meets(tmp_path: Path) -> None:
    closed = RouteClosed("no key")
    for _ in range(2):
        with pytest.raises(RouteClosed) as raised:
            await hear(context(tmp_path, say=failing(closed, at=0)), wish())
        assert raised.value.message == "no key"


async def test_an_error_that_two_recordings_meet_names_a_stretch_once(tmp_path: Path) -> None:
    doubt = InDoubt("no verdict")
    for _ in range(2):
        with pytest.raises(InDoubt) as raised:
            await hear(context(tmp_path, say=failing(doubt, at=0)), wish())
    assert raised.value.message.count("0:00:00-") == 1


async def test_all_or_nothing_fails_the_job_and_keeps_what_is_paid_for(tmp_path: Path) -> None:
    ctx = context(tmp_path, say=failing(EngineError("gave up"), at=3))
    with pytest.raises(EngineError) as failed:
        await hear(ctx, wish(all_or_nothing=True))
    assert failed.value.message.startswith("0:12:")
    assert failed.value.message.endswith("gave up")
    assert len(ctx.calls) == COUNT  # a later run is answered by receipts


async def test_when_every_part_fails_the_job_fails(tmp_path: Path) -> None:
    def say(ask: Operation) -> bytes:
        raise EngineError("no engine")

    with pytest.raises(EngineError):
        await hear(context(tmp_path, say=say), wish())


async def test_a_part_in_doubt_holds_the_job_after_the_others_were_heard(tmp_path: Path) -> None:
    ctx = context(tmp_path, say=failing(InDoubt("no verdict"), at=2))
    with pytest.raises(InDoubt):
        await hear(ctx, wish())
    assert len(ctx.calls) == COUNT


@pytest.mark.parametrize("error", [RouteClosed("no key"), BudgetExhausted("the cap is reached"), Stopped("drained")])
async def test_what_stops_the_job_begins_no_further_part(tmp_path: Path, error: MediaspoolError) -> None:
    ctx = context(tmp_path, say=failing(error, at=2))
    with pytest.raises(type(error)):
        await hear(ctx, wish())
    assert len(ctx.calls) < 2 + 2 * ctx.width


async def test_a_run_that_drains_begins_no_part(tmp_path: Path) -> None:
    ctx = ScriptedContext(tmp_path, source=WAV, survey=HOUR, hearing=ROW, answer=saying)
    ctx.stops_after = 0
    with pytest.raises(Stopped):
        await hear(ctx, wish())
    assert ctx.calls == []


async def test_channels_are_heard_apart_and_interleaved_with_their_names(tmp_path: Path) -> None:
    ctx = context(tmp_path, survey=msgspec.structs.replace(HOUR, channels=2), say=saying)
    told = await hear(ctx, wish(channels="split"))
    assert [cut.channel for cut in ctx.cuts] == [0, 1]
    speakers = [segment.speaker for segment in told.transcript.segments]
    assert speakers == ["left", "right"] * COUNT
    assert told.facts["channels_apart"] == "2"


async def test_one_channel_cannot_be_split_and_is_heard_as_usual(tmp_path: Path) -> None:
    short = msgspec.structs.replace(WAV, seconds=100.0)
    ctx = context(tmp_path, survey=surveyed(100.0, (0.0, 100.0)), say=saying)
    told = await hear(ctx, Wish(source=short, channels="split"))
    assert (len(ctx.calls), ctx.cuts, told.transcript.segments[0].speaker) == (1, [], None)


async def test_labels_of_speakers_hold_within_a_part(tmp_path: Path) -> None:
    def say(ask: Operation) -> bytes:
        told = msgspec.json.decode(saying(ask))
        told["segments"][0]["speaker"] = "A"
        return msgspec.json.encode(told)

    told = await hear(context(tmp_path, say=say, survey=surveyed(500.0, (0.0, 500.0))), wish())
    assert [segment.speaker for segment in told.transcript.segments] == ["1-A", "2-A"]
    assert told.facts["speaker_labels"] == "per part"


async def test_a_track_that_cannot_be_chosen_in_a_call_is_made_a_file_of_its_own(tmp_path: Path) -> None:
    short = msgspec.structs.replace(WAV, seconds=100.0)
    ctx = context(tmp_path, survey=surveyed(100.0, (0.0, 100.0)), say=saying)
    await hear(ctx, Wish(source=short, track=1))
    (ask,), (cut,) = ctx.calls, ctx.cuts
    assert isinstance(ask, Transcribe)
    assert (cut.track, ask.track, cut.stretches) == (1, 0, ((0.0, 100.0),))


async def test_parts_that_come_out_too_large_are_cut_again(tmp_path: Path) -> None:
    class Swollen(ScriptedContext):
        """Its first parts have more bytes than one call takes."""

        async def split(self, recording: Source | MediaRef, cut: Cut) -> tuple[MediaRef, ...]:
            parts = await super().split(recording, cut)
            size = 10**9 if len(self.cuts) == 1 else 10
            return tuple(msgspec.structs.replace(part, size=size) for part in parts)

    row = msgspec.structs.replace(ROW, max_bytes=10**8)
    ctx = Swollen(tmp_path, source=WAV, survey=HOUR, hearing=row, answer=saying)
    await hear(ctx, wish())
    first, second = ctx.cuts
    assert len(second.stretches) > len(first.stretches)


async def test_a_row_that_no_part_can_meet_is_told(tmp_path: Path) -> None:
    row = msgspec.structs.replace(ROW, takes=sounds(["wav"]))
    with pytest.raises(LimitExceeded, match="audio/flac is not taken"):
        await hear(context(tmp_path, hearing=row), wish())


def test_the_plan_reckons_with_every_part_and_with_both_channels() -> None:
    many = operations(wish(), ROW)
    assert len(many) == COUNT
    assert sum(ask.audio.seconds or 0 for ask in many) == pytest.approx(3600.0 + COUNT * 8.0)
    assert len(operations(wish(channels="split"), ROW)) == 2 * COUNT


def test_the_plan_reckons_with_one_call_where_one_is_enough() -> None:
    wide = msgspec.structs.replace(ROW, max_seconds=3600.0)
    assert [len(operations(wish(), row)) for row in (None, wide)] == [1, 1]


async def test_a_route_without_times_is_joined_by_its_words(tmp_path: Path) -> None:
    def say(ask: Operation) -> bytes:
        assert isinstance(ask, Transcribe)
        seconds = ask.audio.seconds or 0.0
        is_first = "part-0.0" in ask.audio.path
        text = " ".join(["one two three four", *(f"{is_first}{n}" for n in range(60)), "one two three four"])
        segment = Segment(start=0.0, end=seconds, text=text)
        return msgspec.json.encode(msgspec.structs.replace(transcript("x"), segments=(segment,)))

    row = msgspec.structs.replace(ROW, times="none")
    told: Told = await hear(context(tmp_path, hearing=row, say=say, survey=surveyed(500.0, (0.0, 500.0))), wish())
    text = " ".join(segment.text for segment in told.transcript.segments)
    assert text.count("one two three four") == 3
    assert told.facts["unsure_seams"] == "0"
