"""Word errors and doubts."""

import jiwer
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs._scoring import MAX_SCORED_WORDS, doubt, edit_distance, word_error_rate, words
from jobs._text import transcript_text
from pipeline.core.operations import Transcript
from tests.jobs.scripted import transcript

PROSE = "It was a bright cold day in April and the clocks were striking thirteen"
sequences = st.lists(st.sampled_from("abcd"), max_size=12)


@given(sequences.filter(bool), sequences)
def test_the_edit_distance_is_the_one_that_others_compute(wanted: list[str], found: list[str]) -> None:
    measured = jiwer.process_words(" ".join(wanted), " ".join(found))
    assert edit_distance(wanted, found) == measured.substitutions + measured.deletions + measured.insertions


def test_case_and_punctuation_are_no_word_errors() -> None:
    assert word_error_rate("Ask not, what YOUR country can't do!", "ask not what your country can't do") == 0


def test_one_word_of_four_is_a_quarter() -> None:
    assert word_error_rate("one two three four", "one two free four") == 0.25


def test_unspaced_scripts_are_compared_by_character() -> None:
    assert words("語学、PC") == ["語", "学", "pc"]


@pytest.mark.parametrize("reference", ["", "...", "word " * (MAX_SCORED_WORDS + 1)])
def test_nothing_to_compare_with_gives_no_rate(reference: str) -> None:
    assert word_error_rate(reference, "some words") is None


def doubted(value: Transcript) -> str:
    return doubt(value, transcript_text(value))


@pytest.mark.parametrize(
    "value",
    [
        transcript(PROSE, "He was not an ill disposed young man."),
        transcript("No, no, no, no!"),
        transcript(speech_seconds=0.5, seconds=60.0),
        transcript(PROSE, PROSE, PROSE),
        transcript(*[PROSE] * 1, segment_s=25.0, speech_seconds=29.0),
    ],
    ids=["prose", "stutter", "silence", "refrain", "slow"],
)
def test_ordinary_speech_raises_no_doubt(value: Transcript) -> None:
    assert doubted(value) == ""


@pytest.mark.parametrize(
    ("value", "sign"),
    [
        (transcript(seconds=60.0, speech_seconds=12.0), "wrote no word"),
        (transcript("Thank you. " * 12), "repeats 2 words 12 times"),
        (transcript(*[PROSE] * 6), "repeats"),
        (transcript(PROSE, speech_seconds=300.0, seconds=400.0), "covers only 4 s"),
        (transcript(PROSE * 3, segment_s=1.0), "more than anybody says"),
        (
            transcript("語" * 10 + "学校で日本の歴史を習いましたが難しかったです", segment_s=1.0),
            "repeats 1 word 10 times",
        ),
    ],
    ids=["unheard", "loop", "segment-loop", "uncovered", "hasty", "character-loop"],
)
def test_signs_of_a_failed_transcription_are_named(value: Transcript, sign: str) -> None:
    assert sign in doubted(value)


def test_a_doubt_never_quotes_the_text() -> None:
    assert "canary" not in doubted(transcript("canary " * 40))
