"""The runners: finished work is never lost, and only one piece runs at a time."""

import threading
import time
from collections.abc import Callable

import pytest
import trio

from pipeline.core.model import Runner
from pipeline.state.runner import InlineRunner, ThreadRunner

RUNNERS = pytest.mark.parametrize("make_runner", [InlineRunner, ThreadRunner])


@RUNNERS
@pytest.mark.real_time
async def test_the_answer_comes_back(make_runner: Callable[[], Runner]) -> None:
    assert await make_runner()(divmod, 7, 2) == (3, 1)


@RUNNERS
@pytest.mark.real_time
async def test_an_error_comes_back(make_runner: Callable[[], Runner]) -> None:
    with pytest.raises(ZeroDivisionError):
        await make_runner()(divmod, 7, 0)


@RUNNERS
@pytest.mark.real_time
async def test_work_is_not_begun_for_a_cancelled_caller(make_runner: Callable[[], Runner]) -> None:
    done: list[int] = []
    with trio.CancelScope() as scope:
        scope.cancel()
        await make_runner()(done.append, 1)
    assert scope.cancelled_caught
    assert done == []


@RUNNERS
@pytest.mark.real_time
async def test_work_that_began_is_finished_and_answered_although_its_caller_was_cancelled(
    make_runner: Callable[[], Runner],
) -> None:
    with trio.CancelScope() as scope:
        token = trio.lowlevel.current_trio_token()

        def work() -> str:
            token.run_sync_soon(scope.cancel)
            return "kept"

        answer = await make_runner()(work)
    assert answer == "kept"


@pytest.mark.real_time
async def test_two_callers_of_a_thread_runner_never_work_at_the_same_time() -> None:
    runner, gate = ThreadRunner(), threading.Lock()
    overlaps: list[bool] = []

    def work() -> None:
        overlaps.append(not gate.acquire(blocking=False))
        time.sleep(0)
        gate.release()

    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(runner, work)
    assert overlaps == [False] * 20


async def test_inline_work_lets_a_virtual_clock_stand_still(autojump_clock: trio.testing.MockClock) -> None:
    before = trio.current_time()
    await InlineRunner()(divmod, 7, 2)
    assert trio.current_time() == before
