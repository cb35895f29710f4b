"""Every form of transcript that a server may answer, read as one: times in order, nothing lost."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.errors import ContractError
from pipeline.routes._languages import tag_of
from pipeline.routes._transcript_forms import Asked, from_json, from_subtitles, from_text

ASKED = Asked(seconds=10.0, language=None, engine="openai w1 whisper-1", model="whisper-1")
UNKNOWN = Asked(seconds=None, language="de", engine="openai w1 whisper-1", model="whisper-1")
SRT = """1
00:00:00,000 --> 00:00:02,500
Hello <i>there</i>,
you.

2
00:00:02,500 --> 00:00:04,000
Bye.
"""
VTT = """WEBVTT

NOTE by hand

intro
00:00.000 --> 00:02.500 align:start
Hello there, you.

00:02.500 --> 00:04.000
Bye.
"""
LOOSE = st.one_of(st.none(), st.booleans(), st.floats(), st.integers(), st.text(max_size=5), st.just([]), st.just({}))
ROW = st.dictionaries(st.sampled_from(["start", "end", "text", "word", "speaker", "id"]), LOOSE)
BODY = st.fixed_dictionaries(
    {"text": st.text(max_size=20)},
    optional={
        "segments": st.one_of(st.none(), st.lists(st.one_of(ROW, st.none()), max_size=6)),
        "words": st.one_of(st.none(), st.lists(st.one_of(ROW, st.none()), max_size=6)),
        "duration": LOOSE,
        "language": LOOSE,
        "usage": LOOSE,
    },
)


@given(BODY)
@settings(max_examples=150)
def test_whatever_a_server_writes_the_times_are_in_order_and_inside_the_recording(body: dict[str, object]) -> None:
    transcript = from_json(body, ASKED).transcript
    last = 0.0
    for segment in transcript.segments:
        assert last <= segment.start <= segment.end <= 10.0
        assert all(0.0 <= word.start <= word.end <= 10.0 for word in segment.words)
        last = segment.start
    assert bool(transcript.segments) == bool(str(body["text"]).strip())


@given(st.text(max_size=200))
@settings(max_examples=150)
def test_any_text_is_subtitles_or_a_contract_error(body: str) -> None:
    try:
        transcript = from_subtitles(body, ASKED).transcript
    except ContractError:
        return
    assert all(math.isfinite(segment.end) for segment in transcript.segments)


@pytest.mark.parametrize("body", [SRT, SRT.replace("\n", "\r\n"), VTT])
def test_subtitles_keep_words_and_times_and_lose_their_markup(body: str) -> None:
    segments = from_subtitles(body, ASKED).transcript.segments
    assert [(each.start, each.end, each.text) for each in segments] == [
        (0.0, 2.5, "Hello there, you."),
        (2.5, 4.0, "Bye."),
    ]


@pytest.mark.parametrize("body", ["", "WEBVTT\n", "\ufeffWEBVTT\n\n", "\n\n"])
def test_subtitles_without_a_cue_are_an_empty_transcript(body: str) -> None:
    assert from_subtitles(body, ASKED).transcript.segments == ()


def test_words_that_are_no_subtitles_are_a_contract_error() -> None:
    with pytest.raises(ContractError, match="not subtitles"):
        from_subtitles("I am sorry, I cannot do that.", ASKED)


def test_plain_text_is_one_segment_over_the_whole_recording() -> None:
    segments = from_text(" Hello there.\n", ASKED).transcript.segments
    assert [(each.start, each.end, each.text) for each in segments] == [(0.0, 10.0, "Hello there.")]
    assert from_text("\n", ASKED).transcript.segments == ()


def test_k45_an_empty_text_is_no_speech_and_a_missing_one_is_an_error() -> None:
    assert from_json({"text": ""}, ASKED).transcript.segments == ()
    for body in ({}, {"text": None}, {"text": 42}, {"text": ["a"]}):
        with pytest.raises(ContractError):
            from_json(body, ASKED)


def test_our_own_measure_of_the_length_comes_before_what_a_server_says() -> None:
    body = {"text": "hi", "duration": "4.5", "usage": {"seconds": 5}}
    assert from_json(body, ASKED).transcript.seconds == 10.0
    assert from_json(body, UNKNOWN).transcript.seconds == 4.5
    assert from_json({"text": "hi", "usage": {"seconds": 5}}, UNKNOWN).billed_seconds == 5


def test_every_word_goes_to_the_segment_that_holds_its_middle() -> None:
    body = {
        "text": "a b c",
        "segments": [{"start": 0, "end": 2, "text": "a b"}, {"start": 2, "end": 4, "text": "c"}],
        "words": [
            {"word": " a", "start": 0, "end": 1},
            {"word": " b", "start": 1, "end": 2.9},
            {"word": " c", "start": 2.9, "end": 5},
        ],
    }
    one, two = from_json(body, ASKED).transcript.segments
    assert [word.text for word in one.words] == ["a", "b"]
    assert [word.text for word in two.words] == ["c"]


def test_words_without_segments_are_kept_with_the_text_as_it_was_written() -> None:
    body = {
        "text": "こんにちは",
        "words": [{"word": "こん", "start": 0, "end": 1}, {"word": "にちは", "start": 1, "end": 2}],
    }
    (segment,) = from_json(body, ASKED).transcript.segments
    assert (segment.text, len(segment.words)) == ("こんにちは", 2)


def test_speakers_are_counted() -> None:
    rows = [{"id": f"seg_{n}", "start": n, "end": n + 1, "text": "x", "speaker": name} for n, name in enumerate("ABA")]
    assert from_json({"text": "x x x", "segments": rows}, ASKED).speakers == 2


@pytest.mark.parametrize(
    ("named", "tag"),
    [("english", "en"), ("EN", "en"), ("en-US", "en-us"), ("Haitian Creole", "ht"), ("klingon", None), ("", None)],
)
def test_languages_are_known_by_code_and_by_name(named: str, tag: str | None) -> None:
    assert tag_of(named) == tag
    assert from_json({"text": "x", "language": named}, UNKNOWN).transcript.language == (tag or "de")
