"""The transcription stage: real recordings, long ones in windows, bombs, damage and silence."""

from collections.abc import Iterator
from pathlib import Path

import av as pyav
import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.children import limits, whisper_stage
from pipeline.children.lanes import Lanes
from pipeline.children.pcm import RATE, Pcm
from pipeline.children.run import run_stage
from pipeline.children.stage import FileRef, StageLimits, StageResult, StageSpec
from pipeline.children.whisper_stage import MAX_WINDOW_S, MIN_WINDOW_S
from pipeline.children.whisper_work import WhisperParams
from pipeline.core.kinds import decode_transcript
from pipeline.core.operations import Transcript
from pipeline.core.wav import wrap_pcm
from tests.children.conftest import MEDIA, odd_wav, own_children, pcm_of, peak_of_children, tone

pytestmark = pytest.mark.engines


class Desk:
    """Runs the stage in this process over a folder."""

    def __init__(self, folder: Path) -> None:
        self.roots = {"in": str(folder), "samples": str(MEDIA), "staging": str(folder)}
        self.target = folder / "heard.json"

    def run(
        self, ref: FileRef, demuxer: str, *, model: str = "tiny.en", max_seconds: float | None = None, **more: object
    ) -> StageResult:
        params = WhisperParams(model=model, name=model, engine="test", demuxer=demuxer, **more)  # type: ignore[arg-type]
        spec = StageSpec(
            stage="whisper_stage:transcribe",
            inputs=(ref,),
            output=FileRef(root="staging", path=self.target.name),
            params=msgspec.Raw(msgspec.json.encode(params)),
            limits=StageLimits(max_seconds=max_seconds),
        )
        return run_stage(spec, self.roots)

    def heard(self, ref: FileRef, demuxer: str, **more: object) -> Transcript:
        result = self.run(ref, demuxer, **more)  # type: ignore[arg-type]
        assert result.code is None, result
        return decode_transcript(self.target.read_bytes())


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def sample(name: str) -> FileRef:
    return FileRef(root="samples", path=name)


def text_of(transcript: Transcript) -> str:
    return " ".join(segment.text for segment in transcript.segments).lower()


@pytest.mark.parametrize(
    ("name", "demuxer", "words"),
    [
        ("jfk.wav", "wav", ("fellow", "americans", "country")),
        ("jfk.mp3", "mp3", ("fellow", "americans", "country")),
        ("austen-0870.wav", "wav", ("dashwood", "leisure", "prudently")),
        ("austen-0880.wav", "wav", ("young man",)),
        ("austen-0930.wav", "wav", ("made amiable",)),
        ("commonvoice-22058266.mp3", "mp3", ("firefox",)),
    ],
)
def test_a_real_recording_gives_its_words(desk: Desk, name: str, demuxer: str, words: tuple[str, ...]) -> None:
    transcript = desk.heard(sample(name), demuxer, model="base")
    assert [word for word in words if word not in text_of(transcript)] == []
    assert (transcript.schema, transcript.language, transcript.model) == (1, "en", "base")
    assert 0 < (transcript.speech_seconds or 0) <= transcript.seconds


def test_words_are_left_out_when_nobody_asked_for_them(desk: Desk) -> None:
    transcript = desk.heard(sample("austen-0880.wav"), "wav", words=False)
    assert transcript.segments
    assert all(segment.words == () for segment in transcript.segments)


def test_a_recording_without_speech_is_an_empty_transcript(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "tone.wav").write_bytes(tone(5.0))
    transcript = desk.heard(FileRef(root="in", path="tone.wav"), "wav")
    assert (transcript.segments, transcript.speech_seconds, transcript.speech) == ((), 0.0, ())
    assert transcript.language is None
    assert transcript.seconds == 5.0


def test_times_in_a_later_window_are_those_of_the_recording(desk: Desk, tmp_path: Path) -> None:
    """The same sentence at 1 s and at 305 s, silence between: the second must be found where it is."""
    speech = pcm_of("austen-0880.wav")
    samples = np.zeros(310 * RATE, dtype="<i2")
    for start_s in (1, 305):
        samples[start_s * RATE : start_s * RATE + len(speech)] = speech
    (tmp_path / "long.wav").write_bytes(wrap_pcm(samples.tobytes(), rate=RATE, channels=1))
    first, second = desk.heard(FileRef(root="in", path="long.wav"), "wav").segments
    assert second.start - first.start == pytest.approx(304, abs=0.3)
    assert second.words[0].start - first.words[0].start == pytest.approx(304, abs=0.3)
    assert second.end <= 310


def test_speech_is_told_where_it_is_in_the_recording(desk: Desk, tmp_path: Path) -> None:
    """Two sentences in two windows: each lies in its own stretch of speech, and nothing between them was heard."""
    said = pcm_of("austen-0880.wav")
    samples = np.zeros(310 * RATE, dtype="<i2")
    for start_s in (1, 305):
        samples[start_s * RATE : start_s * RATE + len(said)] = said
    (tmp_path / "long.wav").write_bytes(wrap_pcm(samples.tobytes(), rate=RATE, channels=1))
    transcript = desk.heard(FileRef(root="in", path="long.wav"), "wav")
    assert transcript.speech is not None
    (first, second) = transcript.speech
    assert (first.start, second.start) == pytest.approx((1, 305), abs=0.5)
    assert (first.end, second.end) == pytest.approx((4, 308), abs=0.6)
    assert transcript.speech_seconds == pytest.approx(sum(span.end - span.start for span in transcript.speech))


def test_sound_that_starts_late_in_a_video_keeps_the_videos_clock(desk: Desk, tmp_path: Path) -> None:
    """The picture starts at 0, the sound 2 s later; subtitles must follow the picture."""
    speech = pcm_of("austen-0880.wav")
    with pyav.open(str(tmp_path / "late.mkv"), "w", format="matroska") as made:
        picture = made.add_stream("mpeg4", rate=5, width=64, height=64)
        sound = made.add_stream("pcm_s16le", rate=RATE, layout="mono")
        for number in range(25):
            frame = pyav.VideoFrame.from_ndarray(np.zeros((64, 64, 3), dtype=np.uint8), format="rgb24")
            frame.pts = number
            made.mux(picture.encode(frame))
        heard = pyav.AudioFrame.from_ndarray(speech.reshape(1, -1), format="s16", layout="mono")
        heard.sample_rate, heard.pts = RATE, 2 * RATE
        made.mux(sound.encode(heard))
    at_zero = desk.heard(sample("austen-0880.wav"), "wav").segments[0].start
    late = desk.heard(FileRef(root="in", path="late.mkv"), "matroska").segments[0].start
    assert late - at_zero == pytest.approx(2.0, abs=0.1)


def test_a_track_that_does_not_exist_is_refused(desk: Desk) -> None:
    assert desk.run(sample("jfk.wav"), "wav", track=1).code == "input-type"


def test_a_recording_shorter_than_it_declares_is_damaged(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "cut.mp3").write_bytes((MEDIA / "jfk.mp3").read_bytes()[:40_000])
    assert desk.run(FileRef(root="in", path="cut.mp3"), "mp3", expected_seconds=11.0).code == "input-damaged"


def test_a_header_without_sound_is_empty(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "none.wav").write_bytes(wrap_pcm(b"", rate=RATE, channels=1))
    assert desk.run(FileRef(root="in", path="none.wav"), "wav").code in ("input-empty", "input-damaged")


def test_a_model_folder_that_is_none_is_a_broken_engine(desk: Desk, tmp_path: Path) -> None:
    assert desk.run(sample("jfk.wav"), "wav", model=str(tmp_path)).code == "engine-broken"


def test_invariant_15_a_wav_of_one_sample_a_second_is_no_recording(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "bomb.wav").write_bytes(odd_wav(1, bytes(1_000_000)))
    assert desk.run(FileRef(root="in", path="bomb.wav"), "wav").code == "input-damaged"


def flac_of_unknown_length(path: Path, seconds: int) -> None:
    """Hours of silence at a hundredth of their size, and a header that does not say how many."""
    with pyav.open(str(path), "w", format="flac") as made:
        stream = made.add_stream("flac", rate=8_000, layout="mono")
        for _ in range(seconds // 10):
            frame = pyav.AudioFrame.from_ndarray(np.zeros((1, 80_000), dtype=np.int16), format="s16", layout="mono")
            frame.sample_rate = 8_000
            made.mux(stream.encode(frame))
        made.mux(stream.encode(None))
    body = bytearray(path.read_bytes())
    body[21] &= 0xF0  # the 36 bits of STREAMINFO that hold the number of samples; 0 means unknown
    body[22:26] = bytes(4)
    path.write_bytes(body)


def test_invariant_15_silence_of_unknown_length_stops_at_the_cap(desk: Desk, tmp_path: Path) -> None:
    flac_of_unknown_length(tmp_path / "hours.flac", seconds=4 * 3600)
    assert (tmp_path / "hours.flac").stat().st_size < 3_000_000
    assert desk.run(FileRef(root="in", path="hours.flac"), "flac", max_seconds=100).code == "limit-seconds"


@pytest.mark.real_time
def test_invariant_15_a_quarter_of_an_hour_is_heard_in_the_memory_of_one_window(lanes: Lanes, tmp_path: Path) -> None:
    """Measured: 24 to 31 MB above a short clip."""
    flac_of_unknown_length(tmp_path / "in" / "long.flac", seconds=900)
    peaks, others = [], frozenset(own_children())
    for ref, demuxer in ((sample("jfk.wav"), "wav"), (FileRef(root="in", path="long.flac"), "flac")):
        params = WhisperParams(model="tiny.en", name="tiny.en", engine="test", demuxer=demuxer)
        raw = msgspec.Raw(msgspec.json.encode(params))
        output = FileRef(root="staging", path="heard.json")
        spec = StageSpec(stage="whisper_stage:transcribe", inputs=(ref,), output=output, params=raw)
        future = lanes.submit("engine", spec)
        peaks.append(peak_of_children(future, others=others))
        assert future.result().code is None
    assert peaks[1] - peaks[0] < 60 * limits.MEGABYTE


@settings(max_examples=15, deadline=None)
@given(lengths=st.lists(st.integers(1, 40 * RATE), max_size=30))
def test_windows_lose_no_sample_and_are_never_too_long(lengths: list[int]) -> None:
    lengths += [300 * RATE, 250 * RATE]
    total = sum(lengths)
    numbers = np.arange(total, dtype=np.int64).astype(np.int16)

    def chunks() -> Iterator[Pcm]:
        at = 0
        for length in lengths:
            yield numbers[at : at + length]
            at += length

    at = 0
    for window in whisper_stage.windows(chunks()):
        assert window.before == at
        assert len(window.samples) <= MAX_WINDOW_S * RATE + 300 * RATE
        assert np.array_equal((window.samples * 32768).astype(np.int16), numbers[at : at + len(window.samples)])
        at += len(window.samples)
    assert at == total


def test_a_window_is_cut_in_the_pause() -> None:
    rng = np.random.default_rng(2)
    samples = (rng.standard_normal(MAX_WINDOW_S * RATE) * 3000).astype(np.int16)
    samples[int(271.0 * RATE) : int(271.8 * RATE)] = 0
    assert whisper_stage.quietest(samples) / RATE == pytest.approx(271.4, abs=0.2)
    assert MIN_WINDOW_S * RATE < whisper_stage.quietest(samples) < MAX_WINDOW_S * RATE
