"""From parts to one recording: how often each sound is decoded and weighed, and how loud it becomes."""

import struct
import wave
from pathlib import Path

import pytest

from jobs._sentences import Chunk
from jobs._speaking import Take, samples_of
from jobs.tts import Tts, TtsSpec
from pipeline.core.operations import Speak
from pipeline.media.wav import wrap_pcm
from tests.jobs.scripted import RATE, ScriptedContext, speaking, speech, tone
from tests.jobs.sounding import sounding
from tests.standin.sound import encoded

KIND = Tts()
LONG = "\n\n".join(" ".join(f"Sentence number {number} of a longer text." for number in range(30)) for _ in range(2))
SENTENCE = "This sentence is long enough to be judged by its length."


def context(tmp_path: Path, **options: object) -> ScriptedContext:
    return ScriptedContext(tmp_path, **{"answer": speaking, **options})  # type: ignore[arg-type]


async def test_a_wav_that_needs_no_change_is_decoded_once_before_it_is_joined_and_another_format_twice(
    tmp_path: Path,
) -> None:
    ctx = context(tmp_path)
    await KIND.run(TtsSpec(text="Good morning, everybody in the house."), ctx)
    assert ctx.weighed == ["asset", "speech.wav"]
    other = context(tmp_path, answer=lambda operation: encoded("flac", 2.0))
    await KIND.run(TtsSpec(text="Good morning, everybody in the house."), other)
    assert other.weighed == ["asset", "asset", "speech.wav"]


@pytest.mark.parametrize(
    ("spec", "heard"),
    [
        (TtsSpec(text="Good morning, everybody in the house."), ["speech.wav"]),
        (TtsSpec(text="Good morning, everybody in the house.", loudness=-16.0), ["asset", "speech.wav"]),
        (TtsSpec(text=LONG), ["asset", "asset", "speech.wav"]),
    ],
    ids=["one part", "one part with a target", "two parts"],
)
async def test_loudness_is_measured_of_what_is_published_and_of_the_parts_that_are_levelled(
    tmp_path: Path, spec: TtsSpec, heard: list[str]
) -> None:
    ctx = context(tmp_path)
    result = await KIND.run(spec, ctx)
    assert sorted(set(ctx.loudness_of)) == sorted(set(heard))
    assert "loudness_lufs" in result.facts


@pytest.mark.parametrize("sound", [tone(1.0), tone(1.0, channels=2)], ids=["mono", "stereo"])
async def test_samples_that_are_read_are_those_that_a_child_would_decode(tmp_path: Path, sound: bytes) -> None:
    channels = len(sound) // len(tone(1.0))
    ctx = context(tmp_path, answer=lambda operation: wrap_pcm(sound, rate=RATE, channels=channels))
    asset = await ctx.call(Speak(text="Good morning.", language="en"))
    weighed = await ctx.weigh(asset, tmp_path / "decoded.pcm")
    take = Take(chunk=Chunk(text="Good morning.", pause_s=0.0), asset=asset, sound=weighed)
    assert (await samples_of(ctx, take, weighed)).samples == (tmp_path / "decoded.pcm").read_bytes() == sound
    assert len(ctx.weighed) == 1


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
