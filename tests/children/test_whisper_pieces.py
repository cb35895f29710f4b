"""Where joined speech is cut: in pauses, without losing a sample, and at the changes of a language that are sure."""

import os

import numpy as np
import pytest
from faster_whisper.utils import get_assets_path
from faster_whisper.vad import get_vad_model
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.children.pcm import RATE, Samples
from pipeline.children.whisper_pieces import (
    FINE,
    MAX_PIECE,
    Guess,
    SlicedSession,
    by_language,
    pieces,
    stretches_of_speech,
)
from tests.sounds import english

pytestmark = pytest.mark.engines
UNSURE = Guess(language="en", probability=0.5)


def noise(seconds: float) -> Samples:
    return np.random.default_rng(1).standard_normal(int(seconds * RATE)).astype(np.float32) * np.float32(0.1)


@settings(max_examples=10, deadline=None)
@given(seconds=st.floats(0.1, 200))
def test_pieces_lose_no_sample_and_fit_the_encoder(seconds: float) -> None:
    samples = noise(seconds)
    made = pieces(samples)
    assert [part.start for part in made] == [0, *(part.end for part in made[:-1])]
    assert made[-1].end == len(samples)
    assert all(0 < part.end - part.start <= MAX_PIECE for part in made)


def test_a_piece_is_cut_in_the_longest_pause() -> None:
    said, short, long = english(), np.zeros(RATE // 2, np.float32), np.zeros(RATE * 3 // 2, np.float32)
    parts = [said, short, said, short, said, short, said, short, said, long, said, short, said, short, said]
    begun = sum(map(len, parts[:9]))
    cut = pieces(np.concatenate(parts))[0].end
    assert begun - RATE // 2 < cut < begun + len(long) + RATE // 2


def spoken(*seconds: float) -> Samples:
    """Stretches of a voice of about these lengths, each followed by a second of silence."""
    voice = np.concatenate([english()] * 4)
    pause = np.zeros(RATE, np.float32)
    return np.concatenate([part for length in seconds for part in (voice[: int(length * RATE)], pause)])


def told(*languages: str, probability: float = 0.97) -> list[Guess]:
    return [Guess(language=language, probability=probability) for language in languages]


def split(samples: Samples, guesses: list[Guess], usual: str | None = None) -> list[str | None]:
    left = iter(guesses)
    return [part.language for part in by_language(samples, UNSURE, usual, lambda stretch: next(left))]


def test_a_sure_guess_asks_nobody() -> None:
    sure = Guess(language="de", probability=0.99)
    parts = by_language(spoken(3, 3), sure, "en", lambda stretch: pytest.fail("nothing needs to be detected"))
    assert [part.language for part in parts] == ["de"]


def test_two_sure_languages_are_two_parts() -> None:
    assert split(spoken(3, 3), told("de", "en")) == ["de", "en"]


def test_unsure_stretches_change_nothing() -> None:
    assert split(spoken(3, 3), told("cy", "mi", probability=0.7)) == ["en"]
    assert split(spoken(3, 3), told("cy", "mi", probability=0.7), usual="fr") == ["fr"]


def test_one_sure_language_is_that_of_the_whole_piece() -> None:
    assert split(spoken(3, 3), [*told("de"), *told("cy", probability=0.7)]) == ["de"]


def test_too_short_a_stretch_is_not_asked() -> None:
    assert split(spoken(3, 0.9, 3), told("de", "en")) == ["de", "en"]


def test_the_voice_model_says_the_same_on_few_frames_as_on_all_at_once() -> None:
    samples = np.concatenate([english(), noise(20), english()])
    frames = samples[: len(samples) // 512 * 512]
    model = get_vad_model()
    whole = type(model)(os.path.join(get_assets_path(), "silero_vad_v6.onnx"))
    stretches_of_speech(frames, FINE)
    assert isinstance(model.session, SlicedSession)
    assert np.array_equal(model(frames.copy()), whole(frames.copy()))
