"""The survey of a recording: true lengths and levels, speech where it is, pauses that can be cut, bounded memory."""

from collections.abc import Iterator
from pathlib import Path

import av as pyav
import msgspec
import numpy as np
import pytest

from pipeline.children import limits, pcm, survey_stage
from pipeline.children.lanes import Lanes
from pipeline.children.run import run_stage
from pipeline.children.stage import FileRef, StageLimits, StageResult, StageSpec
from pipeline.children.survey_stage import BLOCK_FRAMES, FRAME, Findings, Speech
from pipeline.children.survey_work import SurveyParams
from pipeline.core.errors import InputError
from pipeline.core.hearing import Survey
from pipeline.core.model import Media
from pipeline.core.wav import wrap_pcm
from pipeline.media import recordings
from tests.children.conftest import MEDIA, own_children, pcm_of, peak_of_children, tone

RATE = pcm.RATE


def survey_of(
    folder: Path,
    name: str,
    demuxer: str,
    *,
    track: int = 0,
    expected: float | None = None,
    max_seconds: float | None = None,
) -> StageResult:
    params = SurveyParams(demuxer=demuxer, track=track, expected_seconds=expected)
    return run_stage(
        StageSpec(
            stage="survey_stage:survey",
            inputs=(FileRef(root="in", path=name),),
            params=msgspec.Raw(msgspec.json.encode(params)),
            limits=StageLimits(max_seconds=max_seconds),
        ),
        {"in": str(folder)},
    )


def told(result: StageResult) -> Survey:
    assert result.code is None, result
    return msgspec.json.decode(result.facts, type=Survey)


def spoken_at(folder: Path, *starts_s: int, seconds: int) -> Path:
    """A sentence of two and a half seconds at each of these seconds, digital silence between them."""
    speech = pcm_of("austen-0880.wav")
    samples = np.zeros(seconds * RATE, dtype="<i2")
    for start in starts_s:
        samples[start * RATE : start * RATE + len(speech)] = speech
    path = folder / "spoken.wav"
    path.write_bytes(wrap_pcm(samples.tobytes(), rate=RATE, channels=1))
    return path


@pytest.mark.engines
@pytest.mark.parametrize(("name", "demuxer"), [("jfk.wav", "wav"), ("jfk.mp3", "mp3")])
def test_a_recording_is_surveyed_the_same_in_any_container(name: str, demuxer: str) -> None:
    found = told(survey_of(MEDIA, name, demuxer))
    assert (found.seconds, found.channels, found.tracks) == (11.0, 1, 1)
    assert found.peak == pytest.approx(0.78, abs=0.01)
    assert found.rms == pytest.approx(0.142, abs=0.001)
    assert found.rms < found.loudest_rms < found.peak
    assert found.speech_seconds == pytest.approx(10.9, abs=0.2)


@pytest.mark.engines
def test_speech_is_told_where_it_is_and_pauses_beside_it(tmp_path: Path) -> None:
    spoken_at(tmp_path, 3, 20, seconds=30)
    found = told(survey_of(tmp_path, "spoken.wav", "wav"))
    assert found.speech is not None
    edges = [edge for span in found.speech for edge in (span.start, span.end)]
    assert edges == pytest.approx([2.9, 6.2, 19.9, 23.2], abs=0.4)
    assert len(found.quiet) == -(-30 * RATE // (BLOCK_FRAMES * FRAME))
    silent = [point.at for point in found.quiet if not point.is_speech and point.rms == 0]
    assert silent
    assert not any(span.start + 0.5 < at < span.end - 0.5 for at in silent for span in found.speech)


@pytest.mark.engines
@pytest.mark.parametrize("sound", ["silence", "noise", "tone"])
def test_nobody_speaks_in_what_is_no_speech(tmp_path: Path, sound: str) -> None:
    rng = np.random.default_rng(5)
    samples = {
        "silence": bytes(20 * RATE * 2),
        "noise": (rng.standard_normal(20 * RATE) * 2000).astype("<i2").tobytes(),
        "tone": tone(20.0)[44:],
    }[sound]
    (tmp_path / "sound.wav").write_bytes(wrap_pcm(samples, rate=RATE, channels=1))
    assert told(survey_of(tmp_path, "sound.wav", "wav")).speech == ()


@pytest.mark.engines
def test_voice_activity_is_the_same_however_the_samples_are_cut() -> None:
    from pipeline.children.voice import open_voice

    samples = pcm.floats(pcm_of("jfk.wav"))
    whole, pieces = open_voice(), open_voice()
    assert whole is not None
    assert pieces is not None
    step = 7 * FRAME
    judged = [pieces.judge(samples[at : at + step]) for at in range(0, len(samples), step)]
    assert np.array_equal(whole.judge(samples), np.concatenate(judged))


def test_without_the_engines_only_the_level_is_told() -> None:
    findings = Findings(None)
    findings.add(pcm.floats((np.ones(BLOCK_FRAMES * FRAME) * 16384).astype(np.int16)))
    findings.add(pcm.floats(np.zeros(FRAME, np.int16)))
    found = findings.told(first_s=0.0, channels=1, tracks=1)
    assert (found.speech, found.speech_seconds) == (None, None)
    assert (found.peak, found.loudest_rms) == (0.5, 0.5)
    assert [(point.rms, point.is_speech) for point in found.quiet] == [(0.5, None), (0.0, None)]


def test_the_quietest_half_second_is_told_to_the_sample_even_beside_louder_speech() -> None:
    class Always:
        """Speech in the first second, whatever is heard."""

        def judge(self, samples: pcm.Samples) -> survey_stage.Values:
            return (np.arange(BLOCK_FRAMES) < 32).astype(np.float32)

    block = np.full(BLOCK_FRAMES * FRAME, 0.2, np.float32)
    block[5 * FRAME : 25 * FRAME] = 0.0  # silence, but a voice is said to be there
    block[40 * FRAME : 56 * FRAME] = 0.1
    findings = Findings(Always())
    findings.add(block)
    (point,) = findings.told(first_s=0.0, channels=1, tracks=1).quiet
    assert (point.at, point.is_speech) == (48 * FRAME / RATE, False)


def test_a_doubtful_frame_goes_on_with_speech_and_never_begins_it() -> None:
    speech = Speech()
    speech.add(np.array([0.4, 0.4, 0.6, 0.4, 0.4, 0.1], np.float32))
    (span,) = speech.spans(seconds=10.0)
    assert (span.start, span.end) == (0.0, round(5 * FRAME / RATE + 0.4, 3))


def test_pauses_under_two_seconds_lie_inside_of_the_speech() -> None:
    def spans(pause_frames: int) -> int:
        speech = Speech()
        speech.add(np.array([0.9, *[0.0] * pause_frames, 0.9], np.float32))
        return len(list(speech.spans(seconds=10.0)))

    assert (spans(60), spans(63)) == (1, 2)


def test_the_second_track_of_a_video_is_surveyed_on_its_own(tmp_path: Path) -> None:
    with pyav.open(str(tmp_path / "two.mkv"), "w", format="matroska") as made:
        tracks = [made.add_stream("pcm_s16le", rate=RATE, layout="mono") for _ in range(2)]
        for level, stream in zip((0, 8000), tracks, strict=True):
            frame = pyav.AudioFrame.from_ndarray(np.full((1, 3 * RATE), level, np.int16), format="s16", layout="mono")
            frame.sample_rate, frame.pts = RATE, 0
            made.mux(stream.encode(frame))
    levels = [told(survey_of(tmp_path, "two.mkv", "matroska", track=track)) for track in (0, 1)]
    assert [(found.peak, found.tracks) for found in levels] == [(0.0, 2), (pytest.approx(0.244, abs=0.001), 2)]
    assert survey_of(tmp_path, "two.mkv", "matroska", track=2).code == "input-type"


def test_a_recording_shorter_than_it_declares_is_damaged() -> None:
    assert survey_of(MEDIA, "jfk.wav", "wav", expected=20.0).code == "input-damaged"


def test_a_recording_longer_than_allowed_is_not_surveyed_to_its_end() -> None:
    assert survey_of(MEDIA, "jfk.wav", "wav", max_seconds=10.0).code == "limit-seconds"


def test_a_header_without_sound_is_empty(tmp_path: Path) -> None:
    (tmp_path / "none.wav").write_bytes(wrap_pcm(b"", rate=RATE, channels=1))
    assert survey_of(tmp_path, "none.wav", "wav").code in ("input-empty", "input-damaged")


def test_what_has_no_demuxer_cannot_be_surveyed() -> None:
    media = Media(media_type="text/plain", family="text", extension="txt")
    with pytest.raises(InputError):
        recordings.survey(FileRef(root="in", path="a"), media, track=0, expected_seconds=None, max_seconds=None)


@pytest.mark.real_time
async def test_invariant_15_hours_are_surveyed_in_the_memory_of_a_moment(lanes: Lanes, tmp_path: Path) -> None:
    """Generated: two hours of a soft tone in FLAC, whose samples alone are 230 MB."""
    make_hours(tmp_path / "in" / "hours.flac", hours=2)
    media = Media(media_type="audio/flac", family="audio", extension="flac", demuxer="flac")
    ref = lanes.ref(str(tmp_path / "in" / "hours.flac"))
    spec = recordings.survey(ref, media, track=0, expected_seconds=7200.0, max_seconds=None)
    others = frozenset(own_children())
    future = lanes.submit("media", spec)
    peak = peak_of_children(future, others=others)
    print(f"peak {peak / limits.MEGABYTE:.0f} MB")
    assert told(future.result()).seconds == 7200.0
    assert peak < 150 * limits.MEGABYTE


def make_hours(path: Path, *, hours: float) -> None:
    second = (np.sin(np.arange(RATE) * (2 * np.pi * 200 / RATE)) * 300).astype(np.int16)

    def frames() -> Iterator[pyav.AudioFrame]:
        ten = np.tile(second, 10).reshape(1, -1)
        for _ in range(round(hours * 360)):
            frame = pyav.AudioFrame.from_ndarray(ten, format="s16", layout="mono")
            frame.sample_rate = RATE
            yield frame

    with pyav.open(str(path), "w", format="flac") as made:
        stream = made.add_stream("flac", rate=RATE, layout="mono")
        for frame in frames():
            made.mux(stream.encode(frame))
        made.mux(stream.encode(None))
