"""Redaction: what was planted never comes out, and what is useful stays. The redaction side of invariant 21."""

import gc
import json
import tracemalloc
from collections.abc import Mapping

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pipeline.trace.redact import CUT, MASK, MAX_CHARS, JsonValue, Redactor
from tests.trace.conftest import ENCODINGS, SECRETS, VOCABULARY, carries

NOISE = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
BARE = ("plain", "percent of every byte", "json, every character", "html numbers", "hex")
FEW = settings(max_examples=40, deadline=None)


@pytest.mark.parametrize("name", ENCODINGS)
@FEW
@given(secret=SECRETS, before=NOISE, after=NOISE)
def test_invariant_21_a_known_secret_never_comes_out_in_any_encoding_or_position(
    name: str, secret: str, before: str, after: str
) -> None:
    written = f"{before} {ENCODINGS[name](secret)} {after}"
    assert not carries(secret, Redactor([secret]).text(written))


@FEW
@given(data=st.data(), secret=SECRETS)
def test_invariant_21_a_known_secret_never_comes_out_of_any_nesting(data: st.DataObject, secret: str) -> None:
    planted = ENCODINGS[data.draw(st.sampled_from(sorted(ENCODINGS)))](secret)
    leaf: st.SearchStrategy[JsonValue] = st.one_of(st.just(planted), st.text(max_size=5), st.integers(), st.none())
    value = data.draw(
        st.recursive(
            leaf,
            lambda inner: st.one_of(
                st.lists(inner, max_size=4),
                st.dictionaries(st.one_of(st.just(planted), st.text(max_size=8)), inner, max_size=4),
            ),
        )
    )
    assert not carries(secret, json.dumps(Redactor([secret]).value(value), ensure_ascii=False))


@FEW
@given(secret=SECRETS, position=st.integers(MAX_CHARS - 60, MAX_CHARS + 10), name=st.sampled_from(BARE))
def test_invariant_21_no_half_of_a_secret_is_left_where_a_text_is_cut(secret: str, position: int, name: str) -> None:
    written = "." * position + " " + ENCODINGS[name](secret) + "." * 3000
    shown = Redactor([secret]).text(written)
    assert set(shown) <= set(". " + MASK + CUT)


@FEW
@given(secret=SECRETS, keep=st.integers(6, 7))
def test_invariant_21_a_secret_that_was_cut_by_the_sender_is_masked_at_the_end(secret: str, keep: int) -> None:
    assert Redactor([secret]).text(f"refused: {secret[:keep]}").endswith(MASK)


@FEW
@given(first=SECRETS, cut=st.integers(2, 6), rest=SECRETS)
def test_invariant_21_secrets_that_overlap_are_both_masked(first: str, cut: int, rest: str) -> None:
    second = first[-cut:] + rest
    shown = Redactor([first, second]).text(f"<{first}{rest}>")
    assert rest not in shown
    assert first not in shown


@pytest.mark.parametrize(
    "field",
    ["Authorization", "api_key", "apiKey", "OPENAI_API_KEY", "x-api-key", "access.token", "Set-Cookie", "clientSecret"],
)
def test_invariant_21_a_field_named_like_a_secret_shows_nothing(field: str) -> None:
    assert Redactor().value({field: "abc", "n": {field: [1, "abc"]}}) == {field: MASK, "n": {field: MASK}}


@pytest.mark.parametrize("field", ["prompt", "text", "inputText", "file_name", "path", "transcript", "url", "job"])
def test_a_field_named_like_content_shows_its_length(field: str) -> None:
    assert Redactor().value({field: "private words"}) == {field: "[13 chars]"}


def test_a_header_in_a_list_or_in_a_named_pair_is_judged_by_its_name() -> None:
    headers: JsonValue = [["Cookie", "a=b"], {"name": "X-Api-Key", "value": "abc"}]
    assert Redactor().value(headers) == [["Cookie", MASK], {"name": "[9 chars]", "value": MASK}]


def test_numbers_hashes_codes_and_counts_of_tokens_stay() -> None:
    facts: JsonValue = {
        "ms": 12.5,
        "sha256": "ab" * 32,
        "code": "engine-failed",
        "input_tokens": 12,
        "ok": True,
        "u": None,
    }
    assert Redactor(["some secret value"]).value(facts) == facts


def test_an_id_in_hex_is_shown_unless_a_secret_stands_in_it_or_it_is_as_long_as_a_key() -> None:
    redactor = Redactor(["deadbeef", "Canary"])
    for length in (16, 32, 39, 64):
        assert redactor.text("0f" * 32 if length == 64 else ("0f" * 20)[:length]) != MASK
        assert MASK in redactor.text(("deadbeef" + "0f" * 32)[:length])
        assert MASK in redactor.text((b"Canary".hex() + "0f" * 32)[:length])
    for length in (40, 63, 65):
        assert redactor.text(("0f" * 33)[:length]) == MASK


SHAPES = {
    "Incorrect API key provided: sk-or-CANARY99xyz. See the docs": "CANARY99",
    "sent Bearer CANARY99 to the server": "CANARY99",
    "Basic Q0FOQVJZOTk6cGFzcw==": "Q0FOQVJZ",
    "token eyJhbGciOiJIUzI1NiJ9.eyJDQU5BUlk5OSI6MX0.c2ln": "eyJDQU5",
    "audio data:audio/wav;base64,CANARY99 end": "CANARY99",
    "GET https://cdn.example/a.mp3?X-Sig=CANARY99&e=1 failed": "CANARY99",
    "https://ann:CANARY99@host/path": "CANARY99",
    "redirected to /done?code=CANARY99": "CANARY99",
    "ghp_CANARY99CANARY99": "CANARY99",
    "write to CANARY99@mail.example": "CANARY99",
    "-----BEGIN RSA PRIVATE KEY-----\nCANARY99\n-----END": "CANARY99",
    'reply {\\"prompt\\": \\"say CANARY99\\"}': "CANARY99",
    "password=CANARY99": "CANARY99",
    "Cookie: a=b; c=CANARY99": "CANARY99",
    "input: a poem\nabout CANARY99": "CANARY99",
    "https%3A%2F%2Fcdn.example%2Fa%3Fsig%3DCANARY99": "CANARY99",
    "api%5Fkey%3DCANARY99": "CANARY99",
    "long " + "CANARY99" * 6: "CANARY99",
}


@pytest.mark.parametrize("text", SHAPES)
def test_invariant_21_an_unknown_secret_is_known_by_its_shape(text: str) -> None:
    shown = Redactor().text(text)
    assert SHAPES[text] not in shown
    assert MASK in shown


def test_an_ordinary_message_is_not_touched() -> None:
    message = "the route answered 503 after 2.5 s (try 2 of 4), nothing was executed"
    assert Redactor(["sk-some-secret"]).text(message) == message


def test_a_known_secret_written_as_a_number_is_masked() -> None:
    assert Redactor(["12345678"]).value([12345678, 0.5, 3]) == [MASK, 0.5, 3]


@FEW
@given(
    text=NOISE, hidden=st.text(st.characters(categories=["Ll", "Lu", "Lo"]), min_size=8, max_size=60), data=st.data()
)
def test_no_stretch_of_a_hidden_text_comes_out(text: str, hidden: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(hidden) - 8))
    echoed = hidden[start : start + 8]
    assume(echoed.lower() not in VOCABULARY)
    shown = Redactor().text(f"{text} rejected {echoed} here", hide=[hidden])
    assert echoed.lower() not in shown.lower()


def test_a_single_word_of_a_hidden_text_is_masked_in_any_letter_case() -> None:
    shown = Redactor().text("I cannot talk about ANNA today", hide=["Dear Anna, how are you?"])
    assert shown == f"I cannot talk about {MASK} today"


def test_the_room_for_a_value_is_bounded() -> None:
    wide: JsonValue = {f"n{i}": ["x " * 5000] * 300 for i in range(300)}
    assert len(json.dumps(Redactor().value(wide))) < 200_000


def test_a_value_nested_without_end_is_cut() -> None:
    deep: JsonValue = "bottom"
    for _ in range(500):
        deep = [deep]
    assert "bottom" not in json.dumps(Redactor().value(deep))


def test_a_number_too_long_to_write_out_is_masked() -> None:
    assert Redactor().value(10**6000) == MASK


@FEW
@given(st.text(max_size=200), st.lists(st.text(max_size=20), max_size=3))
def test_no_text_and_no_secret_makes_it_raise(text: str, secrets: list[str]) -> None:
    redactor = Redactor(secrets)
    assert len(redactor.text(text, max_chars=50, hide=secrets)) <= 50
    assert isinstance(redactor.value({"a": text}), Mapping)


def test_a_redactor_prints_no_secret() -> None:
    assert "hunter2hunter2" not in repr(Redactor(["hunter2hunter2"])) + str(Redactor(["hunter2hunter2"]))


def test_an_empty_or_tiny_secret_does_not_mask_everything() -> None:
    assert Redactor(["", " ", "ab"]).text("abc and more") == "abc and more"


USUAL = ["plain", "upper case", "percent", "percent, form", "json", "hex", "base64 at 0"]


@FEW
@given(name=st.sampled_from(USUAL), secret=SECRETS)
def test_invariant_21_the_owner_s_own_text_loses_known_secrets_and_nothing_else(name: str, secret: str) -> None:
    redactor = Redactor([secret])
    assert ENCODINGS[name](secret) not in redactor.known(f"before {ENCODINGS[name](secret)} after")
    text = "a very long transcript, token=abcdef0123456789abcdef0123456789 and all, " * 100
    assert Redactor().known(text) == text
    assert carries(secret, text) or redactor.known(text) == text


def test_invariant_21_a_secret_that_comes_later_is_masked_in_texts_that_were_shown_before() -> None:
    redactor = Redactor()
    assert redactor.text("hunter2hunter2") == "hunter2hunter2"
    redactor.add("hunter2hunter2")
    assert redactor.text("hunter2hunter2") == MASK


def test_more_texts_than_are_remembered_come_out_alike() -> None:
    redactor = Redactor(["hunter2hunter2"])
    texts = [f"job {number}" for number in range(2500)]
    assert [redactor.text(text) for text in texts + texts] == texts + texts


@pytest.mark.parametrize(
    "letters", ["kK\u212a", "sS\u017f", "iI\u0130\u0131", "\u0390\u1fd3", "\u03c3\u03c2\u03a3", "\u00df\u1e9e"]
)
def test_letters_that_differ_in_case_alone_are_one_letter(letters: str) -> None:
    for written in letters:
        for echoed in letters:
            assert Redactor([f"a{written}4z"]).text(f"<A{echoed}4Z>") == f"<{MASK}>"


def test_of_a_text_that_was_hidden_nothing_stays_in_the_process() -> None:
    redactor = Redactor(["sk-some-secret"])
    redactor.text("refused", hide=["a first text, so that all is loaded"])
    tracemalloc.start()
    try:
        for number in range(40):
            redactor.text(f"refused {number}, see the documents", hide=[f"say something about the number {number}"])
        gc.collect()
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 40_000
