"""Word and character errors."""

import pytest

from jobs._scoring import (
    MAX_SCORED_CHARS,
    MAX_SCORED_WORDS,
    character_error_rate,
    word_error_rate,
    words,
)


def test_case_and_punctuation_are_no_errors() -> None:
    told, said = "Ask not, what YOUR country can't do!", "ask not what your country can't do"
    assert word_error_rate(told, said) == character_error_rate(told, said) == 0


def test_one_word_of_four_is_a_quarter() -> None:
    assert word_error_rate("one two three four", "one two free four") == 0.25


def test_one_letter_of_ten_is_a_tenth() -> None:
    assert character_error_rate("one two four", "one two your") == 0.1


def test_what_is_missing_and_what_is_too_much_count_alike() -> None:
    assert word_error_rate("one two three four", "one two three") == 0.25
    assert word_error_rate("one two three four", "one two three and four") == 0.25
    assert word_error_rate("one two", "") == 1.0


def test_unspaced_scripts_are_compared_by_character() -> None:
    assert words("語学、PC") == ["語", "学", "pc"]
    assert word_error_rate("語学校", "語学院") == pytest.approx(1 / 3)


@pytest.mark.parametrize("reference", ["", "...", "word " * (MAX_SCORED_WORDS + 1)])
def test_nothing_to_compare_with_gives_no_rate(reference: str) -> None:
    assert word_error_rate(reference, "some words") is None


def test_more_than_can_be_compared_at_once_gives_no_rate() -> None:
    assert character_error_rate("a" * (MAX_SCORED_CHARS + 1), "a") is None
