"""Decoding, the canonical rules and the flow of speech into paragraphs."""

import json
import time
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs._text import Spoken, canonical, clusters, decode_text, flow, join_words, layout_json, tidy
from pipeline.core.errors import InputError, LimitExceeded

odd_text = st.text(
    st.one_of(
        st.characters(),
        st.sampled_from("\r\n\t\v\f \u0085\u2028\u2029\u00a0\u3000\ufeff\u00ad\u202e\x00\x1b\u0301\u0323\u212b e"),
    ),
    max_size=60,
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=12,
)


@settings(max_examples=400)
@given(odd_text)
def test_the_canonical_text_of_a_canonical_text_is_itself(text: str) -> None:
    once = canonical(text)
    assert canonical(once) == once


@given(odd_text)
def test_canonical_text_is_utf_8_in_nfc_with_unix_lines_and_one_newline_at_its_end(text: str) -> None:
    result = canonical(text)
    result.encode()
    assert unicodedata.is_normalized("NFC", result)
    assert not result or (result.endswith("\n") and not result.endswith("\n\n"))
    assert not any(unicodedata.category(char) == "Cc" and char not in "\n\t" for char in result)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("a\r\nb\rc\u2028d\ve\x85f", "a\nb\nc\nd\ne\nf\n"),
        ("a\u2029b", "a\n\nb\n"),
        ("\ufeffa\u00adb\x07c\u202ed", "abcd\n"),
        ("a\u00a0b\u3000c\u2009d", "a b c d\n"),
        ("e\u0301", "\u00e9\n"),
        ("e\x00\u0301", "\u00e9\n"),
        ("a  \t\nb\t", "a\nb\n"),
        ("a\n\n\n \n\nb", "a\n\nb\n"),
        ("\n \n  indented\n\tcode\n\n", "  indented\n\tcode\n"),
        ("a  b\tc", "a  b\tc\n"),
        ("\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645\n"),
        ("x\ud800y", "x\ufffdy\n"),
        (" \n\t\n", ""),
        ("", ""),
    ],
)
def test_each_canonical_rule(text: str, wanted: str) -> None:
    assert canonical(text) == wanted


def test_a_letter_under_a_mountain_of_marks_is_cut_and_costs_no_quadratic_time() -> None:
    started = time.process_time()
    result = canonical("a" + "\u0301\u0323" * 500_000)
    assert len(result) <= 40
    assert time.process_time() - started < 2


def test_thirty_marks_on_one_letter_are_kept() -> None:
    assert len(canonical("q" + "\u0323\u0324" * 15)) == 32


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_text_is_read_from_utf_8_and_from_utf_16_with_its_mark(encoding: str) -> None:
    assert decode_text("Grüße 😀\n".encode(encoding)) == "Grüße 😀\n"


@pytest.mark.parametrize(
    ("body", "offset"),
    [
        (b"abc\xffdef", 3),
        (b"\xef\xbb\xbfab\xe9", 5),
        ("hi".encode("utf-16-le"), 1),
        (b"\xff\xfea\x00\x00\x00", 4),
        (b"\xff\xfea\x00\x00\xd8", 4),
        ("hi".encode("utf-32"), 2),
    ],
)
def test_other_encodings_are_refused_with_the_byte_that_shows_it(body: bytes, offset: int) -> None:
    with pytest.raises(InputError, match=f"offset {offset} ") as caught:
        decode_text(body)
    assert caught.value.code == "input-damaged"


@given(st.binary(max_size=80))
def test_any_bytes_are_text_or_refused(body: bytes) -> None:
    try:
        text = decode_text(body)
    except InputError:
        return
    assert "\0" not in text


@given(json_values, st.booleans())
def test_laid_out_json_means_the_same(value: object, ascii_only: bool) -> None:
    laid_out = layout_json(json.dumps(value, ensure_ascii=ascii_only), max_chars=None)
    assert json.loads(laid_out) == value


@given(json_values)
def test_the_canonical_layout_of_json_is_stable(value: object) -> None:
    once = canonical(layout_json(json.dumps(value), max_chars=None))
    assert canonical(layout_json(once, max_chars=None)) == once


def test_json_keeps_numbers_order_and_repeated_keys_as_written() -> None:
    laid_out = layout_json('{"b":1.10,"a":1e400,"b":[100000000000000000000000001]}', max_chars=None)
    assert laid_out.split() == [
        "{",
        '"b":',
        "1.10,",
        '"a":',
        "1e400,",
        '"b":',
        "[",
        "100000000000000000000000001",
        "]",
        "}",
    ]


def test_json_escapes_become_readable_unless_they_would_break_a_line() -> None:
    laid_out = layout_json(r'"Gr\u00fc\u00dfe \ud83d\ude00 \u2028 \n \\u0041 \/"', max_chars=None)
    assert laid_out == r'"Grüße 😀 \u2028 \n \\u0041 /"'


def test_line_separators_inside_a_json_string_survive_the_canonical_rules() -> None:
    assert json.loads(canonical(layout_json('["a\u2028b\x85c"]', max_chars=None))) == ["a\u2028b\x85c"]


@pytest.mark.parametrize("text", ["", "{", '{"a":1,}', "[NaN]", "'a'", "[1] [2]", '"\\ud800"', "[" * 5000])
def test_what_is_not_json_is_refused_as_damaged(text: str) -> None:
    with pytest.raises(InputError) as caught:
        layout_json(text, max_chars=None)
    assert caught.value.code == "input-damaged"


def test_invariant_15_json_that_grows_by_its_indentation_stops_at_the_limit() -> None:
    bomb = "[" * 900 + "1," * 200_000 + "1" + "]" * 900
    with pytest.raises(LimitExceeded) as caught:
        layout_json(bomb, max_chars=10_000_000)
    assert caught.value.code == "limit-chars"


@pytest.mark.parametrize(
    ("left", "right", "wanted"),
    [("one", "two", "one two"), ("日本", "語", "日本語"), ("日本", "PC", "日本 PC"), ("", "a", "a"), ("a", "", "a")],
)
def test_words_join_as_their_script_does(left: str, right: str, wanted: str) -> None:
    assert join_words(left, right) == wanted


def test_speech_flows_on_and_a_long_pause_begins_a_paragraph() -> None:
    pieces = [
        Spoken(start=0, end=1, text=" One. "),
        Spoken(start=1.5, end=2, text="Two."),
        Spoken(start=2.1, end=2.2, text="   "),
        Spoken(start=4, end=5, text="Three."),
    ]
    assert flow(pieces) == "One. Two.\n\nThree.\n"


def test_tidy_text_is_one_line() -> None:
    assert tidy(" a\n\tb \u00a0 c\r\n") == "a b c"


@given(st.text(max_size=40))
def test_clusters_lose_nothing(text: str) -> None:
    assert "".join(clusters(text)) == text


@pytest.mark.parametrize("whole", ["e\u0323\u0301", "👩\u200d👩\u200d👧", "👍🏽", "🇩🇪", "❤\ufe0f"])
def test_what_a_reader_sees_as_one_character_is_one_cluster(whole: str) -> None:
    assert clusters(f"a{whole}b") == ["a", whole, "b"]
