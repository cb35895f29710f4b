"""Encoding in a real media child: truth comes out, lies are refused, bombs are stopped."""

import contextlib
from pathlib import Path

import av as pyav
import msgspec
import pytest

from pipeline.children.av_work import EncodeFacts
from pipeline.children.lanes import Lanes
from pipeline.children.stage import StageLimits, StageSpec
from pipeline.core.errors import InputError, LimitExceeded, UnsupportedOperation
from pipeline.core.model import Media
from pipeline.core.sound import Chapter
from pipeline.media import av
from pipeline.media.containers import examine
from tests.children.conftest import MEDIA, odd_wav, tone

pytestmark = pytest.mark.real_time


async def encoded(lanes: Lanes, spec: StageSpec) -> EncodeFacts:
    return msgspec.json.decode((await lanes.run("media", spec)).facts, type=EncodeFacts)


def test_media_without_a_demuxer_cannot_be_asked_for() -> None:
    with pytest.raises(InputError):
        av.demuxer_of(Media(media_type="text/plain", family="text", extension="txt"))


@pytest.mark.parametrize("media_type", sorted(av.ENCODABLE))
async def test_an_encoded_file_has_the_seconds_of_its_source(lanes: Lanes, media_type: str) -> None:
    target = lanes.scratch(".made")
    spec = av.encode([lanes.ref(str(MEDIA / "jfk.wav"))], target, media_type=media_type)
    facts = await encoded(lanes, spec)
    assert facts.seconds == pytest.approx(11.0, abs=0.15)
    assert Path(lanes.path(target)).stat().st_size == facts.size > 10_000


@pytest.mark.parametrize("media_type", sorted(av.ENCODABLE))
async def test_the_same_wav_encodes_to_the_same_bytes(lanes: Lanes, tmp_path: Path, media_type: str) -> None:
    (tmp_path / "in" / "tone.wav").write_bytes(tone(1.0, rate=24_000))
    bodies = set()
    for _ in range(2):
        target = lanes.scratch(".made")
        await lanes.run("media", av.encode([lanes.ref(f"{tmp_path}/in/tone.wav")], target, media_type=media_type))
        bodies.add(Path(lanes.path(target)).read_bytes())
    assert len(bodies) == 1


@pytest.mark.parametrize(("rate", "channels"), [(8_000, 1), (11_025, 2), (16_000, 1), (24_000, 1), (96_000, 2)])
async def test_any_rate_and_mono_or_stereo_can_be_encoded(
    lanes: Lanes, tmp_path: Path, rate: int, channels: int
) -> None:
    (tmp_path / "in" / "tone.wav").write_bytes(tone(1.0, rate=rate, channels=channels))
    for media_type in sorted(av.ENCODABLE):
        spec = av.encode([lanes.ref(f"{tmp_path}/in/tone.wav")], lanes.scratch(".made"), media_type=media_type)
        assert (await encoded(lanes, spec)).seconds == pytest.approx(1.0, abs=0.15)


async def test_tags_arrive_in_the_encoded_file(lanes: Lanes, tmp_path: Path) -> None:
    (tmp_path / "in" / "tone.wav").write_bytes(tone(1.0))
    target = lanes.scratch(".mp3")
    source = lanes.ref(f"{tmp_path}/in/tone.wav")
    await lanes.run("media", av.encode([source], target, media_type="audio/mpeg", tags={"title": "Guten Morgen"}))
    with pyav.open(lanes.path(target)) as made:
        assert made.metadata["title"] == "Guten Morgen"


async def test_several_wavs_become_one_file_with_its_chapters(lanes: Lanes, tmp_path: Path) -> None:
    for number, seconds in enumerate((1.0, 2.5)):
        (tmp_path / "in" / f"{number}.wav").write_bytes(tone(seconds, rate=24_000))
    target = lanes.scratch(".m4b")
    sources = [lanes.ref(f"{tmp_path}/in/{number}.wav") for number in range(2)]
    marks = [Chapter(title="Eins: Übergänge", start_s=0.0, end_s=1.0), Chapter(title="Zwei", start_s=1.0, end_s=3.5)]
    spec = av.encode(sources, target, media_type="audio/mp4", tags={"title": "Buch"}, chapters=marks)
    facts = await encoded(lanes, spec)
    assert facts.seconds == pytest.approx(3.5, abs=0.1)
    with pyav.open(lanes.path(target)) as made:
        found = [(mark["metadata"]["title"], mark["start"] / 1000) for mark in made.chapters()]
        assert made.metadata["title"] == "Buch"
    assert found == [("Eins: Übergänge", 0.0), ("Zwei", 1.0)]
    with open(lanes.path(target), "rb") as file:
        media = examine(file, facts.size).media
    assert media is not None
    assert (media.media_type, media.family) == ("audio/mp4", "audio")


async def test_an_encoded_file_is_weighed_as_it_is(lanes: Lanes) -> None:
    sources = [lanes.ref(str(MEDIA / "jfk.wav"))]
    facts = await encoded(lanes, av.encode(sources, lanes.scratch(".flac"), media_type="audio/flac"))
    before = av.sound_facts(await lanes.run("media", av.weigh(sources[0], "wav")))
    assert facts.sound.lufs == pytest.approx(before.lufs, abs=0.05)
    assert facts.sound.silence == pytest.approx(before.silence, abs=0.01)


def test_a_type_that_nobody_encodes_is_refused_before_a_child_is_asked() -> None:
    with pytest.raises(UnsupportedOperation):
        av.encode([], Lanes.ref, media_type="audio/basic")  # type: ignore[arg-type]  # never looked at


async def test_invariant_13_an_encoded_file_stops_at_its_byte_cap(lanes: Lanes, tmp_path: Path) -> None:
    (tmp_path / "in" / "long.wav").write_bytes(tone(20.0))
    target = lanes.scratch(".flac")
    limits = StageLimits(max_output_bytes=50_000)
    spec = av.encode([lanes.ref(f"{tmp_path}/in/long.wav")], target, media_type="audio/flac", limits=limits)
    with pytest.raises(LimitExceeded) as refused:
        await lanes.run("media", spec)
    assert refused.value.code == "limit-bytes"
    assert Path(lanes.path(target)).stat().st_size <= 50_000


async def test_invariant_15_a_wav_of_one_sample_a_second_is_no_recording(lanes: Lanes, tmp_path: Path) -> None:
    (tmp_path / "in" / "bomb.wav").write_bytes(odd_wav(1, bytes(1_000_000)))
    ref = lanes.ref(f"{tmp_path}/in/bomb.wav")
    with pytest.raises(InputError) as refused:
        await lanes.run("media", av.encode([ref], lanes.scratch(".ogg"), media_type="audio/ogg"))
    assert refused.value.code == "input-damaged"


async def test_invariant_15_hours_of_silence_are_refused_by_what_they_declare(lanes: Lanes, tmp_path: Path) -> None:
    (tmp_path / "in" / "hours.wav").write_bytes(odd_wav(4_000, bytes(8_000 * 3600)))
    limits, target = StageLimits(max_seconds=600), lanes.scratch(".ogg")
    spec = av.encode([lanes.ref(f"{tmp_path}/in/hours.wav")], target, media_type="audio/ogg", limits=limits)
    with pytest.raises(LimitExceeded) as refused:
        await lanes.run("media", spec)
    assert refused.value.code == "limit-seconds"
    assert Path(lanes.path(target)).stat().st_size < 5_000  # nothing of it was encoded first


@pytest.mark.parametrize("share", [0.01, 0.5, 0.99])
async def test_a_wav_cut_short_never_passes_for_whole(lanes: Lanes, tmp_path: Path, share: float) -> None:
    """The encoder may believe the header; a caller who compares with the declared seconds finds out."""
    whole = (MEDIA / "jfk.wav").read_bytes()
    (tmp_path / "in" / "cut.wav").write_bytes(whole[: int(len(whole) * share)])
    spec = av.encode([lanes.ref(f"{tmp_path}/in/cut.wav")], lanes.scratch(".flac"), media_type="audio/flac")
    seconds = 0.0
    with contextlib.suppress(InputError):
        seconds = (await encoded(lanes, spec)).seconds
    assert seconds == pytest.approx(11.0 * share, abs=0.1)
