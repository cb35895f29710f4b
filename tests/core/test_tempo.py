"""The pace of a route: it halves and rests once per word to slow down, and rises one step per round."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.retry import MAX_TOLD_S
from pipeline.core.tempo import MAX_REST_S, MAX_STRIKES, ROUNDS_PER_SEAT, Tempo


def slow(tempo: Tempo, *, turn: int, now: float = 0.0, hint_s: float | None = None) -> None:
    tempo.slow_down(turn=turn, now=now, hint_s=hint_s, jitter=0.999)


def test_calls_of_one_turn_that_are_all_sent_away_are_one_word_to_slow_down() -> None:
    tempo = Tempo(8)
    for _ in range(8):
        slow(tempo, turn=0)
    assert (tempo.width, tempo.strikes, tempo.turn) == (4, 1, 1)


def test_after_a_rest_one_call_goes_ahead_beside_those_that_are_still_under_way() -> None:
    tempo = Tempo(8)
    slow(tempo, turn=0)
    assert (tempo.seats([]), tempo.seats([0, 0]), tempo.seats([0, 1])) == (1, 3, 2)
    tempo.went_well(turn=0)
    assert tempo.seats([]) == 1  # it began before the word: it says nothing new
    tempo.went_well(turn=1)
    assert tempo.seats([]) == 4


def test_the_hint_of_the_server_wins_over_our_own_guess() -> None:
    tempo = Tempo(2)
    slow(tempo, turn=0, hint_s=0.25)
    assert tempo.wait_s(0.0) == 0.25
    slow(tempo, turn=0, hint_s=7)
    assert (tempo.wait_s(0.0), tempo.strikes) == (7, 1)
    slow(tempo, turn=0, hint_s=3)
    assert tempo.wait_s(1.0) == 6  # the longest one is kept


def test_a_hint_that_is_wrong_again_and_again_is_waited_out_longer_each_time() -> None:
    tempo, now, rests = Tempo(2), 0.0, []
    while not tempo.is_worn_out:
        slow(tempo, turn=tempo.turn, now=now, hint_s=1.0)
        rests.append(round(tempo.wait_s(now)))
        now += tempo.wait_s(now)
    assert rests == [1, 2, 4, 8, 16, 32, 60, 60]
    assert max(rests) <= MAX_REST_S
    assert tempo.strikes == MAX_STRIKES


def test_a_hint_that_is_longer_than_our_own_guess_is_never_cut_short() -> None:
    tempo, now = Tempo(2), 0.0
    for _ in range(4):
        slow(tempo, turn=tempo.turn, now=now, hint_s=50.0)
        assert tempo.wait_s(now) == 50
        now += 50


def test_the_width_rises_by_one_after_a_few_good_rounds_and_never_above_its_setting() -> None:
    tempo = Tempo(8)
    for _ in range(3):
        slow(tempo, turn=tempo.turn)
    tempo.went_well(turn=3)
    rounds = [int(tempo.width)]
    for _ in range(12):
        for _ in range(ROUNDS_PER_SEAT * int(tempo.width)):
            tempo.went_well(turn=3)
        rounds.append(tempo.seats([]))
    assert rounds == sorted(rounds)
    assert max(later - earlier for earlier, later in pairwise(rounds)) <= 1
    assert (rounds[0], rounds[-1]) == (1, 8)


def test_who_asks_for_more_patience_than_a_run_has_is_not_asked_again() -> None:
    tempo = Tempo(8)
    slow(tempo, turn=0, hint_s=MAX_TOLD_S + 1)
    assert tempo.is_worn_out


@given(st.integers(1, 200), st.lists(st.sampled_from(["well", "slow", "old"]), max_size=80))
def test_whatever_happens_there_is_a_seat_and_never_more_than_the_setting(most: int, events: list[str]) -> None:
    tempo = Tempo(most)
    for event in events:
        if event == "slow":
            slow(tempo, turn=tempo.turn)
        else:
            tempo.went_well(turn=tempo.turn - (event == "old"))
        assert 1 <= tempo.seats([]) <= most


@pytest.mark.parametrize("jitter", [0.0, 0.5, 0.999])
def test_without_a_hint_we_wait_between_half_and_all_of_our_own_guess(jitter: float) -> None:
    tempo = Tempo(2)
    tempo.slow_down(turn=0, now=10.0, hint_s=None, jitter=jitter)
    assert 0.5 <= tempo.wait_s(10.0) <= 1.0
