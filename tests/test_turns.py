"""Turns: whoever gets one gives it back, however it ends."""

import pytest
import trio

from pipeline.turns import Turns


async def test_a_turn_that_comes_in_the_instant_in_which_it_is_called_off_is_given_back(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """As for two equal calls of one job: the first one fails, which gives its turn to the second and cancels it."""
    turns = Turns()

    async def first() -> None:
        async with turns.of("key", lambda: True):
            await trio.sleep(1)
            raise ValueError

    async def second() -> None:
        async with turns.of("key", lambda: True):
            await trio.sleep_forever()

    with pytest.RaisesGroup(ValueError):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(first)
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(second)
    with trio.fail_after(5):
        async with turns.of("key", lambda: True):
            pass
