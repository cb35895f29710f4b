"""The engine's wrapper: short features change no word and no time that matters, and each stretch is encoded once."""

import math
import resource
import tempfile
from dataclasses import replace
from pathlib import Path

import jiwer
import numpy as np
import pytest
from faster_whisper import WhisperModel, decode_audio
from faster_whisper.transcribe import Segment as EngineSegment
from faster_whisper.transcribe import Word as EngineWord

from pipeline.children import weights
from pipeline.children.pcm import RATE, Samples
from pipeline.children.whisper_model import (
    EXTRA_FRAMES,
    MIN_FRAMES,
    ShortWhisper,
    holes,
    is_likely,
    is_remnant,
    listen,
    loaded,
)
from pipeline.core.errors import EngineError
from tests.benchmarks.clips import SPOKEN
from tests.children.conftest import MEDIA
from tests.recordings import make_long
from tests.sounds import drone, english, german, quiet_sounds

pytestmark = pytest.mark.engines
CLIPS = ("jfk.wav", "austen-0870.wav", "austen-0880.wav", "austen-0930.wav")


@pytest.fixture(scope="module")
def padded() -> WhisperModel:
    """The engine as it comes: every clip padded to 30 s."""
    files = weights.load(weights.WHISPER["base"])
    return WhisperModel("base", files=files, device="cpu", compute_type="int8", cpu_threads=1)


def clip(name: str) -> Samples:
    samples: Samples = decode_audio(str(MEDIA / name))
    return samples


def plain(text: str) -> str:
    return " ".join("".join(char if char.isalnum() else " " for char in text.lower()).split())


def words_of(model: WhisperModel, samples: Samples) -> tuple[list[tuple[str, float, float]], str]:
    """What the engine's usual call says: words with times, and the language that it detected."""
    segments, info = model.transcribe(
        samples, beam_size=5, temperature=0.0, condition_on_previous_text=False, vad_filter=True, word_timestamps=True
    )
    return [(plain(w.word), w.start, w.end) for segment in segments for w in segment.words], info.language


@pytest.mark.parametrize("name", CLIPS)
def test_short_features_keep_words_times_and_language(padded: WhisperModel, name: str) -> None:
    expected, language = words_of(padded, clip(name))
    heard = listen(loaded("base"), clip(name), language=None, words=True)
    found = [(plain(word.text), word.start, word.end) for segment in heard.segments for word in segment.words]
    assert heard.language == language == "en"
    assert jiwer.wer(" ".join(w for w, *_ in expected), " ".join(w for w, *_ in found)) <= 0.1
    same = [(a, b) for a, b in zip(expected, found, strict=False) if a[0] == b[0]]
    assert len(same) >= 0.9 * len(expected)
    assert np.median([abs(a[1] - b[1]) + abs(a[2] - b[2]) for a, b in same]) <= 0.04


@pytest.mark.parametrize(("name", "start", "seconds"), [("jfk.wav", 6.5, 2.5), ("austen-0930.wav", 0.5, 2.0)])
def test_a_cut_clip_that_makes_short_features_loop_is_heard_again_with_long_ones(
    padded: WhisperModel, name: str, start: float, seconds: float
) -> None:
    samples = clip(name)[int(start * RATE) : int((start + seconds) * RATE)]
    expected, _ = words_of(padded, samples)
    heard = listen(loaded("base"), samples, language=None, words=True)
    assert plain(" ".join(segment.text for segment in heard.segments)) == " ".join(word for word, *_ in expected)


@pytest.mark.parametrize(
    ("content", "kept"), [(0, 1000), (200, 1000), (950, 1050), (1201, 1302), (2950, 3000), (3000, 3000)]
)
def test_the_encoder_gets_features_as_long_as_the_clip_and_a_second(content: int, kept: int) -> None:
    features = np.zeros((80, 3000), dtype=np.float32)
    features[:, :content] = 0.5
    assert ShortWhisper.needed_frames(features) == kept
    assert kept >= min(3000, max(MIN_FRAMES, content + EXTRA_FRAMES))


def test_a_repeated_stretch_is_encoded_once() -> None:
    model = loaded("base")
    features = np.full((80, 3000), 0.25, dtype=np.float32)
    first = model.encode(features)
    assert model.encode(features.copy()) is first
    assert model.encode(features * 2) is not first


def test_a_short_clip_is_encoded_once_to_detect_its_language_and_to_transcribe_it() -> None:
    model = loaded("base")
    before = model.encodings
    listen(model, clip("austen-0880.wav"), language=None, words=True)
    assert model.encodings - before == 1


@pytest.mark.parametrize("name", sorted(quiet_sounds(0.1)))
def test_where_nobody_speaks_there_is_no_text(name: str) -> None:
    heard = listen(loaded("base"), quiet_sounds(10.0)[name], language=None, words=True)
    assert heard.segments == ()


def test_a_drone_that_voice_activity_takes_for_speech_gives_no_text() -> None:
    """Measured: the engine wrote "I'm sorry" 40 times for such a sound, sure of its words and of no language."""
    heard = listen(loaded("base"), drone(20.0), language=None, words=True)
    assert sum(span.end - span.start for span in heard.speech) > 10
    assert heard.segments == ()


def test_the_silence_behind_the_last_word_of_a_piece_is_no_text() -> None:
    """Measured: cut at 29 s, the engine heard "in the next video" in the second that was left."""
    parts = [part for name in CLIPS * 3 for part in (clip(name), np.zeros(RATE // 2, dtype=np.float32))]
    expected = " ".join([SPOKEN[name] for name in CLIPS * 3])
    heard = listen(loaded("base"), np.concatenate(parts), language=None, words=True)
    said = plain(" ".join(segment.text for segment in heard.segments)).replace("mr ", "mister ")
    assert jiwer.process_words(expected, said).insertions <= 2
    assert said.split()[-1] == "himself"
    assert jiwer.wer(expected, said) < 0.05


@pytest.mark.parametrize(
    ("left_s", "likely", "is_dropped"),
    [(0.6, 0.44, True), (0.6, 0.55, False), (1.5, 0.3, True), (1.5, 0.42, False), (2.5, 0.05, False)],
)
def test_the_less_is_left_of_a_piece_the_likelier_its_words_must_be(
    left_s: float, likely: float, is_dropped: bool
) -> None:
    words = [EngineWord(start=28.6, end=28.9, word=" You", probability=likely)]
    for heard in (words, None):
        rest = segment(seek=round((29 - left_s) * 100), avg_logprob=math.log(likely), words=heard)
        assert is_remnant(rest, 29.0) == is_dropped
    assert not is_remnant(segment(seek=0, avg_logprob=-3.0, words=words), 0.6)


def segment(*, seek: int, avg_logprob: float, words: list[EngineWord] | None) -> EngineSegment:
    return EngineSegment(
        id=1,
        seek=seek,
        start=28.6,
        end=28.9,
        text=" You",
        tokens=[],
        avg_logprob=avg_logprob,
        compression_ratio=0.3,
        no_speech_prob=0.4,
        words=words,
        temperature=0.0,
    )


def test_german_then_english_keeps_both_languages() -> None:
    pause = np.zeros(RATE // 2, dtype=np.float32)
    for first, second in ((german(), english()), (english(), german())):
        heard = listen(loaded("base"), np.concatenate([first, pause, second]), language=None, words=True)
        said = plain(" ".join(segment.text for segment in heard.segments)).split()
        assert {"kartoffeln", "pflanzen", "train", "morning"} <= set(said)
        assert sorted(heard.languages) == ["de", "en"]


def test_a_language_that_was_asked_for_is_kept_and_what_was_heard_is_told() -> None:
    heard = listen(loaded("base"), german(), language="en", words=True)
    assert heard.language == "en"
    assert list(heard.languages) == ["de"]


@pytest.mark.parametrize("name", CLIPS)
def test_one_language_is_never_taken_for_two(name: str) -> None:
    three = np.concatenate([clip(name), np.zeros(RATE, dtype=np.float32)] * 3)
    assert list(listen(loaded("base"), three, language=None, words=True).languages) == ["en"]


def test_times_stay_inside_the_clip_and_never_go_back() -> None:
    samples = clip("jfk.wav")[: 5 * RATE]  # cut in the middle of a word
    heard = listen(loaded("base"), samples, language="en", words=True)
    times = [time for segment in heard.segments for word in segment.words for time in (word.start, word.end)]
    assert times == sorted(times)
    assert times
    assert 0 <= times[0] <= times[-1] <= 5.0
    assert all(0 <= segment.start <= segment.end <= 5.0 for segment in heard.segments)


def test_a_model_that_is_none_is_an_engine_error() -> None:
    from pipeline.core.errors import EngineError

    with pytest.raises(EngineError):
        loaded("/nonexistent/model")


def test_speech_that_the_engine_jumps_over_is_heard_once_more(tmp_path: Path) -> None:
    """Its first pass leaves out five seconds at 1:54, as it does now and then between two sentences."""
    said = make_long(tmp_path / "talk.flac", 120.0)
    heard = listen(loaded("base"), decode_audio(str(tmp_path / "talk.flac"))[: 120 * RATE], language="en", words=True)
    words = [word for segment in heard.segments for word in segment.words]
    (jumped,) = [item.start for item in said if 114 < item.start < 116]
    found = plain(" ".join(word.text for word in words if jumped - 1.2 < word.start < jumped + 4.5))
    assert found.startswith("and so my fellow americans ask not")
    assert [word.start for word in words] == sorted(word.start for word in words)


def test_holes_are_long_stretches_without_a_word_where_something_is_said() -> None:
    words = [EngineWord(start=at, end=at + 1.0, word=" one", probability=0.9) for at in (4.0, 5.5, 9.0)]
    said = [segment(seek=0, avg_logprob=-0.1, words=words)]
    assert holes(said, 13.5) == [(0.0, 4.0), (10.0, 13.5)]
    assert holes(said, 12.5) == [(0.0, 4.0)]
    assert holes([], 13.0) == []


@pytest.mark.parametrize(
    ("probability", "no_speech", "likely"), [(0.9, 0.1, True), (0.4, 0.1, False), (0.9, 0.7, False)]
)
def test_words_that_fill_a_hole_must_be_likely(probability: float, no_speech: float, likely: bool) -> None:
    words = [EngineWord(start=0.0, end=1.0, word=" one", probability=probability)]
    told = replace(segment(seek=0, avg_logprob=-0.1, words=words), no_speech_prob=no_speech)
    assert is_likely(told) == likely


def test_a_model_that_the_machine_has_no_room_for_is_not_told_as_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with pytest.raises(EngineError, match=r"TMPDIR.*No such file") as error:
        loaded.__wrapped__("base")
    assert error.value.code == "engine-failed"


def test_a_model_that_gets_no_memory_is_not_told_as_broken() -> None:
    """The engine says so by the class that it also has for files it cannot read; those were found to be whole."""
    with open("/proc/self/statm", "rb") as file:
        held = int(file.read().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (held + 50_000_000, before[1]))
    try:
        with pytest.raises(EngineError, match=r"cannot be loaded: .*memory") as error:
            loaded.__wrapped__("base")
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
    assert error.value.code == "engine-failed"
