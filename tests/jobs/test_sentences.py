"""Chunks for a voice, Markdown read aloud, and the guess at a language."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs._sentences import (
    CLAUSE_PAUSE_S,
    PARAGRAPH_PAUSE_S,
    SENTENCE_PAUSE_S,
    guess_language,
    has_words,
    plain_markdown,
    sentences,
    speech_chunks,
    spoken_size,
)
from jobs._text import canonical, clusters
from jobs.tts import Tts, TtsSpec
from pipeline.core.operations import Speak
from pipeline.core.portions import DEFAULT_PORTION, Portion
from tests.jobs.scripted import source

prose = st.text(st.sampled_from("abZ é語。、.!?, \n0123\"')(👩\u200d👧\u0301"), max_size=200)


portions = st.builds(Portion, max_chars=st.integers(12, 60), max_tokens=st.one_of(st.none(), st.integers(12, 30)))
scripts = st.sampled_from("abZ é語。、.!?, \n0123\"')(👩\u200d👧\u0301हि।न्ةَ؟。한🇩🇪👍🏽")


@given(st.one_of(prose, st.text(scripts, max_size=200), st.text(max_size=80)), portions)
def test_chunks_fit_and_nothing_is_lost_or_said_twice(text: str, portion: Portion) -> None:
    text = canonical(text)
    chunks = speech_chunks(text, portion)
    assert all(chunk.text and portion.holds(chunk.text) for chunk in chunks)
    assert re.sub(r"\s", "", "".join(chunk.text for chunk in chunks)) == re.sub(r"\s", "", text)


MARKED = ["。\u0323", "、\u0301"]
seen = st.sampled_from(
    [
        *MARKED,
        "a",
        "Z",
        "1",
        "語",
        "한",
        "👩\u200d👧",
        "हि",
        "न्",
        "a\u0301\u0323",
        "👍🏽",
        "،\u0301",
        ".\u0323",
        " ",
        ". ",
    ]
)


@given(st.lists(seen, min_size=30, max_size=90), portions)
def test_no_cut_goes_through_a_character_that_a_reader_sees(written: list[str], portion: Portion) -> None:
    text = canonical("".join(written))
    cut = [cluster for chunk in speech_chunks(text, portion) for cluster in clusters(chunk.text)]
    assert [it for it in cut if not it.isspace()] == [it for it in clusters(text) if not it.isspace()]


def test_a_million_letters_without_a_paragraph_are_cut_in_a_moment() -> None:
    text = "One more line of a long book without an end\n" * 23_000
    assert sum(len(chunk.text.split()) for chunk in speech_chunks(text, DEFAULT_PORTION)) == 230_000


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ('He said "Hi!" Then he left... Ok? Yes', ['He said "Hi!"', "Then he left...", "Ok?", "Yes"]),
        ('"Really?" he asked. Well... perhaps.', ['"Really?" he asked.', "Well... perhaps."]),
        (
            "The U.S. Army paid 3.14 or 1.000,50 to v2.0 at x.org. Good.",
            ["The U.S. Army paid 3.14 or 1.000,50 to v2.0 at x.org.", "Good."],
        ),
        ("هل أنت هنا؟ نعم. یہ ٹھیک ہے۔ شکریہ", ["هل أنت هنا؟", "نعم.", "یہ ٹھیک ہے۔", "شکریہ"]),
        ("यह एक वाक्य है। यह दूसरा है॥ तीसरा", ["यह एक वाक्य है।", "यह दूसरा है॥", "तीसरा"]),
        ("Բարև։ Լավ", ["Բարև։", "Լավ"]),
        ("Mr. Smith met Dr. J. K. Jones at 3.5 St. James.", ["Mr. Smith met Dr. J. K. Jones at 3.5 St. James."]),
        ("Am 3. Mai kam er, z. B. mit dem Zug. Gut.", ["Am 3. Mai kam er, z. B. mit dem Zug.", "Gut."]),
        ("今日は。元気？「はい。」さよなら", ["今日は。", "元気？", "「はい。」", "さよなら"]),
        ("no stop here. and a small letter", ["no stop here. and a small letter"]),
    ],
)
def test_sentences_end_where_a_reader_ends_them(text: str, wanted: list[str]) -> None:
    assert sentences(text) == wanted


def test_chunks_fill_up_with_whole_sentences_and_pause_as_the_text_does() -> None:
    text = "One two. Three four. Five six.\n\nA line\nthat was wrapped."
    chunks = speech_chunks(text, Portion(max_chars=22))
    assert [(chunk.text, chunk.pause_s) for chunk in chunks] == [
        ("One two. Three four.", PARAGRAPH_PAUSE_S),
        ("Five six.", SENTENCE_PAUSE_S),
        ("A line that was", PARAGRAPH_PAUSE_S),
        ("wrapped.", CLAUSE_PAUSE_S),
    ]


def test_a_sentence_that_is_too_long_is_cut_at_a_clause_first() -> None:
    chunks = speech_chunks("one two three, four five six seven eight", Portion(max_chars=25))
    assert [chunk.text for chunk in chunks] == ["one two three,", "four five six seven eight"]


def test_a_word_that_is_too_long_is_cut_between_characters() -> None:
    assert [chunk.text for chunk in speech_chunks("é\u0323" * 5, Portion(max_chars=5))] == [
        "é\u0323é\u0323",
        "é\u0323é\u0323",
        "é\u0323",
    ]


def test_markdown_is_read_without_its_marks() -> None:
    text = (
        "# Title\n\n- **bold** and *soft*, `code`\n> see [the page](https://x.y/z_(1))\n\n```py\nx = 2 * 3\n```\n---\n"
    )
    assert " ".join(plain_markdown(text).split()) == "Title bold and soft, code see the page x = 2 * 3"


def test_snake_case_and_sums_survive_markdown() -> None:
    assert plain_markdown("keep snake_case_name and 2 * 3 * 4") == "keep snake_case_name and 2 * 3 * 4"


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Good morning.", "en"),
        ("The cat is in the house.", "en"),
        ("Der Hund und die Katze sind nicht im Haus.", "de"),
        ("El perro y la casa no es de los niños.", "es"),
        ("Il cane è nella casa con la signora.", "it"),
        ("Le chat est dans la maison avec les enfants.", "fr"),
        ("De kat zit niet op het dak van een huis.", "nl"),
        ("Привет, мир", "und"),
        ("今日は", "und"),
        ("", "en"),
    ],
)
def test_the_little_words_tell_the_language(text: str, language: str) -> None:
    assert guess_language(text) == language


@pytest.mark.parametrize(
    "text",
    ["Visit https://example.com/a?b=c&d=e now.", "Write to o.e.a@example.com today", "Run it with --a=e -o /e/o"],
)
def test_addresses_and_options_tell_no_language(text: str) -> None:
    assert guess_language(text) == "en"


@pytest.mark.parametrize(("text", "wanted"), [("… — !", False), ("🙂", False), ("7", True), ("a", True), ("語", True)])
def test_a_text_without_letter_or_digit_has_no_words(text: str, wanted: bool) -> None:
    assert has_words(text) is wanted


def test_digits_and_signs_count_as_the_words_they_become() -> None:
    assert (spoken_size("a b."), spoken_size("12 €"), spoken_size("語")) == (2, 12, 3)


@pytest.mark.parametrize("size", [0, 1, 15, 4095, 4096, 4097, 1_000_000])
@pytest.mark.parametrize("portion", [DEFAULT_PORTION, Portion(max_chars=5), Portion(max_chars=4096, max_tokens=500)])
def test_a_file_that_nobody_has_read_is_planned_with_as_many_characters_as_it_may_have(
    portion: Portion, size: int
) -> None:
    text = source("text/plain", size=size)
    asked = [call.text for call in Tts().divided(TtsSpec(), text, portion, None) if isinstance(call, Speak)]
    assert len("".join(asked)) == max(size, 16)
    assert all(portion.holds(each) for each in asked)
