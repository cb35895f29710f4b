"""Rates: no window ever holds more than its rate, whatever the order of arrival, and nobody waits for ever."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.model import Media, Sha256
from pipeline.core.operations import Complete, MakeImage, MediaRef, Speak, Transcribe
from pipeline.core.rates import SPANS_S, Rate, Slots, Span, kept, load_of, taken, wait_s

NOON = 1_790_000_000.0
SPANS = st.sampled_from(list(SPANS_S))
SOUND = MediaRef(
    sha256=Sha256("0" * 64), path="/a.wav", size=9, media=Media(media_type="audio/wav", family="audio", extension="wav")
)


def arrive(rate: Rate, arrivals: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Each asks after a gap for an amount, and waits as it is told; what was let through, and when."""
    now, slots, through = NOON, Slots(), []
    for gap, more in arrivals:
        now += gap
        live = kept(rate, slots, now)
        while wait := wait_s(rate, live, now, more):
            assert wait <= rate.span_s + rate.slot_s
            now += wait
            live = kept(rate, slots, now)
        slots = taken(rate, live, now, more)
        through.append((now, more))
    return through


# In windows: mostly at once or just about one window later, where a slot is half in and half out of it.
GAPS = st.just(0.0) | st.floats(0, 0.05) | st.floats(0.97, 1.02) | st.floats(0, 3)


@given(SPANS, st.integers(1, 20), st.lists(st.tuples(GAPS, st.integers(0, 20)), max_size=40))
def test_no_window_ever_holds_more_than_the_rate(span: Span, most: int, asked: list[tuple[float, int]]) -> None:
    rate = Rate(unit="requests", span=span, most=most)
    through = arrive(rate, [(gap * rate.span_s, min(more, most)) for gap, more in asked])
    for end, _ in through:
        assert sum(more for at, more in through if end - rate.span_s < at <= end) <= most


@given(SPANS, st.lists(st.floats(0.1, 10), min_size=1, max_size=30))
def test_fractions_of_a_unit_never_add_up_to_more(span: Span, amounts: list[float]) -> None:
    rate = Rate(unit="audio_seconds", span=span, most=10.0)
    through = arrive(rate, [(0.0, amount) for amount in amounts])
    for end, _ in through:
        assert sum(more for at, more in through if end - rate.span_s < at <= end) <= 10.0 + 1e-6


def test_the_wait_ends_a_sixtieth_of_the_window_after_the_earliest_moment_at_most() -> None:
    rate = Rate(unit="requests", span="minute", most=20)
    through = arrive(rate, [(0.0, 1)] * 60)
    assert [round(at - NOON) for at, _ in through[:20]] == [0] * 20
    assert 60 <= through[20][0] - NOON <= 61
    assert 120 <= through[40][0] - NOON <= 122


def test_what_is_more_than_the_rate_itself_never_fits() -> None:
    assert wait_s(Rate(unit="audio_seconds", span="hour", most=7200), Slots(), NOON, 7201) == math.inf


@given(st.floats(-1e6, 1e6))
def test_what_a_clock_set_back_has_put_into_the_future_counts_from_now_and_not_for_ever(jump: float) -> None:
    rate = Rate(unit="requests", span="minute", most=1)
    slots = taken(rate, Slots(), NOON, 1)
    wait = wait_s(rate, kept(rate, slots, NOON + jump), NOON + jump, 1)
    assert 0 <= wait <= rate.span_s + rate.slot_s
    assert (wait > 0) == (jump < rate.span_s) or abs(jump - rate.span_s) <= rate.slot_s


def test_a_load_is_counted_in_the_units_in_which_providers_bill_their_rates() -> None:
    assert load_of(Speak(text="Grüße", language="de")) == {"requests": 1, "characters": 5, "tokens": 3}
    assert load_of(Transcribe(audio=SOUND)) == {"requests": 1, "characters": 0, "audio_seconds": 0.0}
    assert load_of(MakeImage(prompt="sea", n=4))["images"] == 4
    answer = load_of(Complete(prompt="abc", document="defghi", max_tokens=100, audio=SOUND))
    assert (answer["tokens"], answer["characters"]) == (103, 9)


@pytest.mark.parametrize("span", list(SPANS_S))
def test_a_rate_is_told_in_words(span: Span) -> None:
    assert Rate(unit="audio_seconds", span=span, most=7200).words == f"7200 audio-seconds per {span}"
