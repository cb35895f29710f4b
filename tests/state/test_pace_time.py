"""The time by which pace is kept: no jump of the wall clock moves it far, and nothing stops it."""

from hypothesis import given
from hypothesis import strategies as st

from pipeline.state.pace_time import LEAN, MADE_S, Mark, Moment, advance, boot_id, day_of, steady_s

NOON = 1_796_000_000.0
GAPS = st.floats(0, 100_000)
JUMPS = st.sampled_from([0.0, 3600.0, 86_400.0, 40 * 86_400.0, 1e9])


def look(wall: float, steady: float, boot: str = "one") -> Moment:
    return Moment(wall=wall, steady=steady, boot=boot)


@given(st.lists(st.tuples(GAPS, JUMPS, st.booleans())))
def test_while_the_machine_is_up_no_jump_makes_time_faster_or_slower_than_a_tenth(
    steps: list[tuple[float, float, bool]],
) -> None:
    wall, steady = NOON, 0.0
    mark = advance(None, look(wall, steady))
    for gap, jump, is_back in steps:
        steady += gap
        wall += gap + (-jump if is_back else jump)
        then, mark = mark, advance(mark, look(max(wall, 0.0), steady))
        assert (1 - LEAN) * gap - 1e-3 <= mark.at - then.at <= (1 + LEAN) * gap + 1e-3


@given(GAPS)
def test_a_wall_clock_that_goes_well_is_followed_exactly(gap: float) -> None:
    first = advance(None, look(NOON, 10.0))
    assert abs(advance(first, look(NOON + gap, 10.0 + gap)).at - (NOON + gap)) < 1e-3


def test_time_that_is_off_comes_back_to_the_wall_clock() -> None:
    mark, steady = Mark(at=NOON - 3600, steady=0.0, boot="one"), 0.0
    for _ in range(100):
        steady += 600
        mark = advance(mark, look(NOON + steady, steady))
    assert abs(mark.at - (NOON + steady)) < 1.0


def test_after_a_boot_the_wall_clock_is_believed_unless_it_is_older_than_the_program() -> None:
    last = Mark(at=NOON, steady=9e5, boot="one")
    assert advance(last, look(NOON + 5e5, 10.0, "two")).at == NOON + 5e5
    assert advance(last, look(NOON - 5e5, 10.0, "two")).at == NOON - 5e5
    assert advance(last, look(0.0, 10.0, "two")).at == NOON
    assert advance(last, look(MADE_S - 1, 10.0, "two")).at == NOON


def test_days_are_those_of_utc() -> None:
    assert (day_of(NOON), day_of(86_399.9), day_of(86_400.0)) == ("2026-11-30", "1970-01-01", "1970-01-02")


def test_the_kernel_tells_a_boot_and_a_clock_that_runs() -> None:
    assert boot_id() == boot_id()
    assert steady_s() <= steady_s()
