"""Cues: at most two lines of 42, forward only, no word lost, whatever the engine's times are."""

import re
import unicodedata

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from jobs._captions import read_captions
from jobs._subtitles import MAX_COLUMNS, Cue, columns, cues, srt, tsv, vtt
from jobs._text import tidy
from pipeline.core.operations import Segment, Transcript, Word
from tests.jobs.scripted import spoken, transcript

SENTENCE = (
    "And so, my fellow Americans, ask not what your country can do for you, "
    "ask what you can do for your country, and then go and do it with all your heart."
)
JAPANESE = "真っ昼間なのにキャンプの外れの電柱に電球がともっていた。" * 4

odd_times = st.floats(min_value=-10, max_value=100, allow_nan=False) | st.sampled_from([0.0, 1e12, -1e12])
odd_text = st.text(st.sampled_from("ab é語。、（）ー「」 \n\t-><&👩\u200d👧\u0301\u202e123.,!"), max_size=120)
odd_words = st.builds(Word, start=odd_times, end=odd_times, text=odd_text)
odd_segments = st.builds(
    Segment, start=odd_times, end=odd_times, text=odd_text, words=st.lists(odd_words, max_size=4).map(tuple)
)


def of(*segments: Segment, seconds: float = 60.0) -> Transcript:
    return Transcript(
        schema=1,
        language=None,
        language_probability=None,
        seconds=seconds,
        speech_seconds=None,
        segments=segments,
        engine="e",
        model="m",
    )


def letters(text: str) -> str:
    """Without what lies between them, which is also what keeps a mark from the letter before it."""
    return unicodedata.normalize("NFD", re.sub(r"\s", "", text))


@settings(max_examples=300)
@given(st.lists(odd_segments, max_size=4).map(tuple), st.sampled_from([0.0, 0.001, 30.0, 1e9]))
def test_any_transcript_gives_cues_that_fit_and_only_go_forward(segments: tuple[Segment, ...], seconds: float) -> None:
    shown = cues(of(*segments, seconds=seconds))
    times = [time for cue in shown for time in (cue.start_ms, cue.end_ms)]
    assert times == sorted(times)
    assert all(cue.start_ms < cue.end_ms for cue in shown)
    assert all(1 <= len(cue.lines) <= 2 and all(cue.lines) for cue in shown)
    assert all(len(line) <= columns(line) <= MAX_COLUMNS for cue in shown for line in cue.lines)


@settings(max_examples=200)
@given(st.lists(odd_segments, max_size=3).map(tuple))
@example((Segment(start=-1e12, end=0.0, text="a \u0301"),))
def test_no_letter_is_lost_or_reordered(segments: tuple[Segment, ...]) -> None:
    shown = "".join(line for cue in cues(of(*segments)) for line in cue.lines)
    assert letters(shown) == letters("".join(tidy(segment.text) for segment in segments))


def test_ordinary_times_are_the_words_own() -> None:
    (cue,) = cues(of(spoken("Hello there.", start=1.0, length=2.0)))
    assert cue == Cue(start_ms=1000, end_ms=2900, lines=("Hello there.",))


def test_every_cue_lies_in_the_clip_when_the_times_do() -> None:
    shown = cues(transcript(*[SENTENCE] * 5, segment_s=12.0))
    assert shown[-1].end_ms <= 5 * 12_500
    assert all(cue.end_ms - cue.start_ms <= 7_000 for cue in shown)


def test_a_time_beyond_the_clip_is_cut_to_it() -> None:
    (cue,) = cues(of(spoken("Thank you.", start=8.0, length=4.0), seconds=10.0))
    assert (cue.start_ms, cue.end_ms) == (8000, 10_000)


def test_a_very_short_cue_stays_readable_where_there_is_room_and_not_longer_where_there_is_none() -> None:
    shown = cues(of(spoken("Yes.", start=1.0, length=0.1), spoken("No.", start=1.3, length=0.1)))
    assert [(cue.start_ms, cue.end_ms) for cue in shown] == [(1000, 1300), (1300, 2100)]


def test_zero_length_and_backward_segments_get_times_that_go_forward() -> None:
    shown = cues(of(Segment(start=5, end=5, text="one"), Segment(start=3, end=2, text="two")))
    assert shown[0].start_ms == 5000
    assert shown[1].start_ms >= shown[0].end_ms


def test_lines_break_evenly_and_after_punctuation() -> None:
    first = cues(of(spoken(SENTENCE, length=10.0)))[0]
    assert first.lines == ("And so, my fellow Americans,", "ask not what your country can do for you,")


def test_a_pause_ends_a_cue() -> None:
    words = (Word(start=0, end=1, text=" Wait."), Word(start=3, end=4, text=" Go."))
    shown = cues(of(Segment(start=0, end=4, text=" Wait. Go.", words=words)))
    assert [cue.lines for cue in shown] == [("Wait.",), ("Go.",)]


def test_japanese_takes_21_characters_a_line_and_no_line_begins_with_a_full_stop() -> None:
    lines = [line for cue in cues(of(Segment(start=0, end=30, text=JAPANESE))) for line in cue.lines]
    assert all(len(line) <= 21 and line[0] not in "。、ー" for line in lines)
    assert "".join(lines) == JAPANESE


def test_a_mark_that_may_not_begin_a_line_takes_its_character_along() -> None:
    lines = [line for cue in cues(of(Segment(start=0, end=6, text="あ" * 21 + "ー" + "い" * 21))) for line in cue.lines]
    assert not any(line.startswith("ー") for line in lines)


def test_a_long_stretch_is_halved_at_a_clause_and_leaves_no_lonely_word() -> None:
    text = "ask not what your country can do for you, ask what you can do for your country."
    shown = cues(of(spoken(text, length=9.0)))
    assert [" ".join(cue.lines) for cue in shown] == [text[:41], text[42:]]


def test_slow_speech_is_shown_in_cues_of_seven_seconds_at_most() -> None:
    shown = cues(of(spoken("one two three four five six seven eight nine ten", length=20.0)))
    assert len(shown) > 2
    assert all(cue.end_ms - cue.start_ms <= 7000 for cue in shown)


def test_words_that_do_not_spell_the_text_are_not_believed() -> None:
    segment = Segment(start=0, end=4, text="Four score and seven", words=(Word(start=0, end=9, text="other"),))
    (cue,) = cues(of(segment))
    assert (cue.lines, cue.end_ms) == (("Four score and seven",), 4000)


def test_words_with_or_without_their_leading_space_give_the_same_cues() -> None:
    spaced = spoken("Hello there, you.", length=3.0)
    words = tuple(Word(start=word.start, end=word.end, text=word.text.strip()) for word in spaced.words)
    bare = Segment(start=spaced.start, end=spaced.end, text=spaced.text.strip(), words=words)
    assert cues(of(bare)) == cues(of(spaced))


def test_a_word_longer_than_a_line_is_cut_between_characters() -> None:
    shown = cues(of(Segment(start=0, end=9, text="é" * 100)))
    assert [line for cue in shown for line in cue.lines] == ["é" * 42, "é" * 42, "é" * 16]


def test_srt_is_written_as_players_expect() -> None:
    shown = [
        Cue(start_ms=0, end_ms=1500, lines=("One", "two")),
        Cue(start_ms=360_000_123, end_ms=360_001_000, lines=("x",)),
    ]
    assert srt(shown) == "1\n00:00:00,000 --> 00:00:01,500\nOne\ntwo\n\n2\n100:00:00,123 --> 100:00:01,000\nx\n"


def test_vtt_escapes_what_would_be_markup() -> None:
    shown = [Cue(start_ms=0, end_ms=1500, lines=("<b> & -->",))]
    assert vtt(shown) == "WEBVTT\n\n00:00:00.000 --> 00:00:01.500\n&lt;b&gt; &amp; --&gt;\n"


def test_an_arrow_in_srt_text_is_no_timing_line() -> None:
    assert srt([Cue(start_ms=0, end_ms=1, lines=("a --> b",))]).count("-->") == 1


def test_tsv_has_a_row_for_each_segment_with_text() -> None:
    rows = tsv(of(spoken("One\ttwo.", start=0.5, length=1.0), spoken("  "), spoken("Three.", start=2.0, length=1.0)))
    assert rows == "start\tend\ttext\n500\t1500\tOne two.\n2000\t3000\tThree.\n"


@pytest.mark.parametrize("write", [srt, vtt])
@given(texts=st.lists(st.text(st.sampled_from("abc é &<.,"), min_size=1, max_size=90), min_size=1, max_size=3))
def test_what_is_written_can_be_read_back(write: type, texts: list[str]) -> None:
    said = transcript(*texts)
    shown = cues(said)
    if shown:
        read = "".join(cue.text for cue in read_captions(write(shown)))
        assert letters(read) == letters("".join(texts))
