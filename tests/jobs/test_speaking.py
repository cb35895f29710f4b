"""From parts to one recording: how often each sound is decoded and weighed, and how loud it becomes."""

import struct
import wave
from pathlib import Path
from typing import Any

import msgspec
import pytest

from jobs._sentences import PARAGRAPH_PAUSE_S, Chunk
from jobs._speaking import MOST_TAKES, Manner, Take, join
from jobs.tts import Tts, TtsSpec
from pipeline.core.operations import Speak
from pipeline.core.portions import Portion
from tests.jobs.scripted import ScriptedContext, speaking, speech, transcript
from tests.jobs.sounding import sounding
from tests.standin.sound import encoded

KIND = Tts()
LONG = "\n\n".join(" ".join(f"Sentence number {number} of a longer text." for number in range(30)) for _ in range(2))
SENTENCE = "This sentence is long enough to be judged by its length."


def context(tmp_path: Path, **options: object) -> ScriptedContext:
    return ScriptedContext(tmp_path, **{"answer": speaking, **options})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("spec", "weighed"),
    [
        (TtsSpec(text=SENTENCE), 0),
        (TtsSpec(text=SENTENCE, loudness=-16.0), 1),
        (TtsSpec(text=f"{SENTENCE}\n\n{SENTENCE}"), 2),
    ],
    ids=["one part", "one part with a target", "two parts"],
)
async def test_one_ask_makes_a_wav_and_before_it_each_part_is_weighed_whose_loudness_counts(
    tmp_path: Path, spec: TtsSpec, weighed: int
) -> None:
    ctx = context(tmp_path, portion=Portion(max_chars=60))
    result = await KIND.run(spec, ctx)
    assert (len(ctx.weighed), len(ctx.joined), ctx.encodings) == (weighed, 1, [])
    assert "loudness_lufs" in result.facts


@pytest.mark.parametrize("more", [{"format": "mp3"}, {"verify": True}], ids=["encoded", "heard before"])
async def test_what_is_not_published_as_it_is_joined_is_made_of_the_reels(tmp_path: Path, more: dict[str, Any]) -> None:
    ctx = context(tmp_path, heard=lambda operation: msgspec.json.encode(transcript(SENTENCE)))
    result = await KIND.run(TtsSpec(text=SENTENCE, **more), ctx)
    assert [media_type for media_type, _ in ctx.encodings] == [result.drafts[0].media_type]
    assert [wish.tags for wish, _ in ctx.joined] == [None]


async def test_a_text_of_several_reels_has_every_part_once_and_its_tags(tmp_path: Path) -> None:
    """Twenty seconds of silence around each part are not joined."""
    body = speech(40.0, rate=4000, edge_s=20.0)
    ctx = context(tmp_path, answer=lambda operation: body, portion=Portion(max_chars=60))
    result = await KIND.run(TtsSpec(text=f"{SENTENCE}\n\n" * 20, title="Long"), ctx)
    assert [len(wish.splices) for wish, _ in ctx.joined] == [20, 5]
    assert ctx.encodings == [("audio/wav", {"language": "en", "title": "Long"})]
    assert result.audio_seconds == pytest.approx(20 * 40.12 + 19 * PARAGRAPH_PAUSE_S, abs=0.5)
    assert result.drafts[0].path is not None
    assert len(sounding(result.drafts[0].path, gap_s=0.1)) == 20


async def test_more_parts_than_a_child_is_asked_at_once_are_joined_in_order_with_their_pauses(tmp_path: Path) -> None:
    ctx = context(tmp_path, answer=lambda operation: speech(0.05, rate=4000, edge_s=0.0))
    asset = await ctx.call(Speak(text="No.", language="en"))
    takes = [Take(chunk=Chunk(text="No.", pause_s=0.5), asset=asset) for _ in range(MOST_TAKES + 2)]
    reels = await join(ctx, takes, Manner(), name="reel", end_pause_s=0.25, tags={})
    assert [len(reel.takes) for reel in reels] == [MOST_TAKES, 2]
    assert [reel.seconds for reel in reels] == pytest.approx([MOST_TAKES * 0.55, 0.1 + 0.5 + 0.25])
    assert [reel.sound for reel in reels] == [None, None]


def levels(path: Path | None, count: int) -> list[float]:
    """The peak in each of `count` equal stretches of a WAV, of full scale."""
    assert path is not None
    with wave.open(str(path)) as reader:
        data = reader.readframes(reader.getnframes())
    numbers = [abs(value) / 32768 for value in struct.unpack(f"<{len(data) // 2}h", data)]
    size = len(numbers) // count
    return [max(numbers[at * size : (at + 1) * size]) for at in range(count)]


async def test_one_part_is_as_loud_as_the_next(tmp_path: Path) -> None:
    loud = iter([3000, 6000, 3000, 1500, 3000, 3000])
    result = await KIND.run(
        TtsSpec(text=LONG), context(tmp_path, answer=lambda operation: speech(2.0, amplitude=next(loud)))
    )
    found = levels(result.drafts[0].path, int(result.facts["parts"]))
    assert found == pytest.approx([3000 / 32768] * len(found), rel=0.08)


async def test_a_part_too_short_to_have_a_loudness_goes_with_the_others(tmp_path: Path) -> None:
    lengths = iter([2.0, 0.1, 2.0])
    text = "A first sentence.\n\nNo!\n\nA last sentence."
    ctx = context(tmp_path, answer=lambda operation: speech(next(lengths), amplitude=2000))
    result = await KIND.run(TtsSpec(text=text, loudness=-16.0), ctx)
    assert result.drafts[0].path is not None
    loud = [peak for peak in levels(result.drafts[0].path, 60) if peak > 0.05]
    assert min(loud) > 0.75 * max(loud)
    assert len(sounding(result.drafts[0].path)) == 3


@pytest.mark.parametrize("target", [-16.0, -23.0])
async def test_a_target_of_loudness_is_met_and_told(tmp_path: Path, target: float) -> None:
    result = await KIND.run(TtsSpec(text=SENTENCE, loudness=target), context(tmp_path))
    assert float(result.facts["loudness_lufs"]) == pytest.approx(target, abs=0.5)
    assert float(result.facts["peak"]) <= 0.9


async def test_an_answer_in_another_format_or_rate_is_decoded_to_the_first(tmp_path: Path) -> None:
    first, second = speech(3.0, rate=16_000), encoded("mp3", 3.0)
    bodies = iter([first, second, *[speech(3.0, rate=44_100)] * 6])
    result = await KIND.run(TtsSpec(text=LONG), context(tmp_path, answer=lambda operation: next(bodies)))
    assert result.drafts[0].path is not None
    with wave.open(str(result.drafts[0].path)) as reader:
        assert reader.getframerate() == 16_000
        assert reader.getnframes() / 16_000 == pytest.approx(3.3 * int(result.facts["parts"]), rel=0.08)
