"""Subtitles spoken to their timing: every cue at its time, nothing over another, what does not fit told."""

import wave
from itertools import pairwise
from pathlib import Path

import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jobs._cues import MAX_TEMPO, slots_of
from jobs._text import Spoken
from jobs.tts import Tts, TtsSpec
from pipeline.core.errors import InputError
from pipeline.core.kinds import KindResult
from pipeline.core.operations import Operation, Speak
from pipeline.core.portions import DEFAULT_PORTION, Portion
from tests.jobs.scripted import RATE, ScriptedContext, source, speech
from tests.jobs.sounding import sounding

SPEC = TtsSpec(timing="cues")
Times = list[tuple[float, float]]


def srt(times: Times, texts: list[str] | None = None) -> bytes:
    blocks = []
    for number, (start, end) in enumerate(times, start=1):
        text = texts[number - 1] if texts else f"Cue {number}."
        blocks.append(f"{number}\n{stamp(start)} --> {stamp(end)}\n{text}\n")
    return "\n".join(blocks).encode()


def stamp(seconds: float) -> str:
    millis = round(seconds * 1000)
    return f"{millis // 3_600_000:02d}:{millis // 60_000 % 60:02d}:{millis // 1000 % 60:02d},{millis % 1000:03d}"


async def spoken(scratch: Path, body: bytes, lengths: list[float], portion: Portion = DEFAULT_PORTION) -> KindResult:
    """Each cue of these seconds, in order."""
    left = iter(lengths)

    def answer(operation: Operation) -> bytes:
        assert isinstance(operation, Speak)
        return speech(next(left))

    ctx = ScriptedContext(
        scratch, source=source("application/x-subrip", body), body=body, answer=answer, portion=portion
    )
    return await Tts().run(SPEC, ctx)


def path_of(result: KindResult) -> Path:
    assert result.drafts[0].path is not None
    return result.drafts[0].path


async def test_each_cue_begins_at_its_time_and_the_end_is_that_of_the_last(tmp_path: Path) -> None:
    times = [(1.0, 2.0), (3.5, 5.0), (9.0, 12.0)]
    result = await spoken(tmp_path, srt(times), [0.8, 1.2, 1.0])
    assert [start for start, _ in sounding(path_of(result))] == pytest.approx([1.0, 3.5, 9.0], abs=0.03)
    with wave.open(str(path_of(result))) as reader:
        assert reader.getnframes() == 12 * RATE
    assert result.verdict == "done"
    assert (result.facts["cues"], result.facts["cues_sped_up"], result.facts["cues_cut"]) == ("3", "0", "0")


async def test_a_cue_may_go_on_until_the_next_one_begins(tmp_path: Path) -> None:
    result = await spoken(tmp_path, srt([(0.0, 1.0), (3.0, 4.0)]), [2.5, 0.5])
    assert sounding(path_of(result))[0][1] == pytest.approx(2.5, abs=0.03)
    assert result.facts["cues_sped_up"] == "0"


async def test_a_cue_that_is_a_little_too_long_is_sped_up_to_fit(tmp_path: Path) -> None:
    result = await spoken(tmp_path, srt([(0.0, 2.0), (2.0, 4.0)]), [2.4, 1.0])
    assert [start for start, _ in sounding(path_of(result), gap_s=0.005)][:1] == pytest.approx([0.0], abs=0.03)
    assert result.facts["cues_sped_up"] == "1"
    assert 1.2 < float(result.facts["fastest_tempo"]) < 1.3
    assert (result.verdict, result.facts["cues_cut"]) == ("done", "0")


async def test_a_cue_that_cannot_fit_is_cut_at_the_next_one_and_told_with_its_milliseconds(tmp_path: Path) -> None:
    result = await spoken(tmp_path, srt([(0.0, 1.0), (2.0, 4.0)]), [4.05, 1.0])
    over = round((4.05 / MAX_TEMPO - 2.0) * 1000)
    assert result.verdict == "suspect"
    assert "1 of 2 cues overrun their time and are cut there: cue 1 at 0:00:00 by " in result.reason
    assert int(result.facts["longest_overrun_ms"]) == pytest.approx(over, abs=80)
    assert float(result.facts["fastest_tempo"]) == MAX_TEMPO
    with wave.open(str(path_of(result))) as reader:
        assert reader.getnframes() == 4 * RATE


@pytest.mark.parametrize(("seconds", "asks"), [(0.8, 0), (1.9, 1), (2.2, 2)], ids=["short", "doubtful", "long"])
async def test_a_child_is_asked_for_lengths_only_where_a_cue_may_be_too_long(
    tmp_path: Path, seconds: float, asks: int
) -> None:
    body = srt([(0.0, 2.0)])
    cue = source("application/x-subrip", body)
    ctx = ScriptedContext(tmp_path, source=cue, body=body, answer=lambda operation: speech(seconds))
    await Tts().run(SPEC, ctx)
    *lengths, made = [target for _, target in ctx.joined]
    assert (min(len(lengths), 2), set(lengths) - {None}, made) == (asks, set(), "cues-0000.wav")
    assert ctx.weighed == ["asset"]


async def test_cues_of_several_reels_begin_at_their_times(tmp_path: Path) -> None:
    body = srt([(0.0, 1.0), (610.0, 611.0), (1250.0, 1252.0)])
    cues = source("application/x-subrip", body)
    ctx = ScriptedContext(tmp_path, source=cues, body=body, answer=lambda operation: speech(0.8, rate=4000))
    result = await Tts().run(SPEC, ctx)
    assert [wish.tags is None for wish, _ in ctx.joined] == [False, True]
    assert [media_type for media_type, _ in ctx.encodings] == ["audio/wav"]
    with wave.open(str(path_of(result))) as reader:
        assert reader.getnframes() == 1252 * 4000
        for start in (0, 610, 1250):
            reader.setpos(start * 4000)
            assert any(reader.readframes(400))
            reader.setpos(start * 4000 + 3600)
            assert not any(reader.readframes(400))


async def test_cues_that_all_end_as_they_begin_are_no_recording(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        await spoken(tmp_path, srt([(0.0, 0.0), (0.0, 0.0)]), [1.0])
    assert caught.value.code == "input-empty"


async def test_a_long_cue_is_spoken_in_parts_one_after_the_other(tmp_path: Path) -> None:
    text = "One sentence is here. Another one is there."
    body = srt([(0.0, 4.0), (5.0, 6.0)], [text, "End."])
    result = await spoken(tmp_path, body, [1.0, 1.0, 0.5], Portion(max_chars=25))
    assert result.facts["parts"] == "3"
    assert [start for start, _ in sounding(path_of(result))] == pytest.approx([0.0, 1.1, 5.0], abs=0.06)


def test_cues_that_begin_together_are_one_and_wordless_ones_are_silence() -> None:
    cues = [
        Spoken(start=4.0, end=5.0, text="Late."),
        Spoken(start=1.0, end=2.0, text="Both"),
        Spoken(start=1.0, end=3.0, text="at once."),
        Spoken(start=3.0, end=3.5, text="♪"),
    ]
    found = [(slot.start_s, slot.until_s, slot.chunks[0].text) for slot in slots_of(cues, DEFAULT_PORTION)]
    assert found == [(1.0, 3.0, "Both at once."), (4.0, 5.0, "Late.")]


cues = st.lists(st.tuples(st.floats(0.2, 1.5), st.floats(0.1, 1.2)), min_size=1, max_size=5)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cues)
def test_nothing_overlaps_and_the_length_is_that_of_the_cues(tmp_path: Path, spaced: list[tuple[float, float]]) -> None:
    """Each tuple: the seconds that a cue has, and the seconds that its speech takes."""
    starts = [round(sum(room for room, _ in spaced[:at]), 3) for at in range(len(spaced) + 1)]
    times = list(pairwise(starts))
    result = trio.run(spoken, tmp_path, srt(times), [length for _, length in spaced])
    with wave.open(str(path_of(result))) as reader:
        assert reader.getnframes() / RATE == pytest.approx(starts[-1], abs=0.002)
    found = sounding(path_of(result), gap_s=0.005)
    for start in starts[:-1]:  # a cue begins at its time, whatever the one before it needed
        assert any(begin <= start + 0.03 and start < end for begin, end in found)
    over = sum(length / MAX_TEMPO > room + 0.06 for room, length in spaced)
    assert (result.verdict == "suspect") >= (over > 0)


@pytest.mark.parametrize(
    ("spec", "media_type"),
    [
        ({"text": "Hello.", "timing": "cues"}, None),
        ({"timing": "cues"}, "text/plain"),
        ({"timing": "cues", "chapters": "files"}, "text/vtt"),
    ],
)
def test_timing_without_cues_is_refused(spec: dict[str, str], media_type: str | None) -> None:
    told = TtsSpec(**spec)  # type: ignore[arg-type]
    found = source(media_type) if media_type else None
    assert "job-invalid" in [refusal.code for refusal in Tts().check(told, found)]
