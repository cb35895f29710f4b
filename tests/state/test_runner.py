"""The runners: finished work is never lost, and only one piece runs at a time."""

import random
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
import trio
import trio.testing

from pipeline.core.errors import LedgerError, StoreError
from pipeline.core.model import RunId, Runner
from pipeline.state.ledger import Ledger
from pipeline.state.runner import InlineRunner, LedgerRunner, ThreadRunner

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
async def test_all_that_ends_while_the_event_loop_is_busy_is_answered() -> None:
    answers: list[int] = []
    with ThreadRunner(4) as runner:

        def work(number: int) -> int:
            time.sleep(0.001)
            return number

        async def ask(number: int) -> None:
            answers.append(await runner(work, number))

        async with trio.open_nursery() as nursery:
            for number in range(20):
                nursery.start_soon(ask, number)
            await trio.testing.wait_all_tasks_blocked()
            time.sleep(0.03)  # busy
    assert sorted(answers) == list(range(20))


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


@contextmanager
def no_more_threads() -> Iterator[None]:
    """No machine has room for the stack of one."""
    usual = threading.stack_size(1 << 47)
    try:
        yield
    finally:
        threading.stack_size(usual)


@pytest.mark.real_time
async def test_without_a_thread_it_is_said_instead_of_waited_for() -> None:
    with ThreadRunner(4) as runner, trio.fail_after(20):
        with no_more_threads(), pytest.raises(StoreError, match="no thread"):
            await runner(divmod, 7, 2)
        assert await runner(divmod, 7, 2) == (3, 1)


@pytest.mark.real_time
async def test_the_threads_that_are_here_do_the_work_of_those_that_the_system_refuses() -> None:
    with ThreadRunner(4) as runner, trio.fail_after(20):
        await runner(divmod, 7, 2)
        with no_more_threads():
            answers = [await runner(divmod, number, 2) for number in range(20)]
    assert answers == [divmod(number, 2) for number in range(20)]


@pytest.mark.real_time
async def test_what_holds_others_up_is_done_before_all_that_waits() -> None:
    done: list[str] = []
    with ThreadRunner() as runner, trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            let_go = threading.Event()
            nursery.start_soon(runner, let_go.wait, 20.0)
            await trio.testing.wait_all_tasks_blocked()
            for name in ("one", "two"):
                nursery.start_soon(runner, done.append, name)
                await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(runner.first, done.append, "first")
            await trio.testing.wait_all_tasks_blocked()
            let_go.set()
    assert done == ["first", "one", "two"]


@pytest.mark.real_time
async def test_none_of_many_asks_is_lost_whatever_goes_first_and_whoever_gives_up() -> None:
    asked, done = random.Random(7), list[int]()

    async def ask(number: int) -> None:
        with trio.move_on_after(asked.choice([0.0001, 20])):
            await (runner.first if asked.random() < 0.4 else runner)(done.append, number)
            answered.append(number)

    answered: list[int] = []
    with ThreadRunner(4) as runner, trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            for number in range(2000):
                nursery.start_soon(ask, number)
        assert await runner(divmod, 7, 2) == (3, 1)
    assert sorted(done) == sorted(answered)
    assert len(done) > 500


async def test_inline_work_lets_a_virtual_clock_stand_still(autojump_clock: trio.testing.MockClock) -> None:
    before = trio.current_time()
    await InlineRunner()(divmod, 7, 2)
    assert trio.current_time() == before


# together


class Noting:
    """A transaction that only notes what happened to it; the commit fails on request."""

    def __init__(self, *, fails: bool = False) -> None:
        self.notes: list[str] = []
        self._fails = fails

    @contextmanager
    def group(self) -> Iterator[None]:
        self.notes.append("begin")
        try:
            yield
        except BaseException:
            self.notes.append("undo")
            raise
        if self._fails:
            raise OSError("no commit")
        self.notes.append("commit")

    def runner(self) -> LedgerRunner:
        return LedgerRunner(self.group)


async def told(work: Callable[[], Awaitable[object]], into: list[object]) -> None:
    """The answer of a piece of work, or the type of its error."""
    try:
        into.append(await work())
    except (OSError, ZeroDivisionError) as error:
        into.append(type(error))


async def all_at_once(runner: LedgerRunner, *works: Callable[[], object]) -> list[object]:
    """Asked while the thread is busy, so that all of them wait together."""
    gate, answers = threading.Event(), [list[object]() for _ in works]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(runner, lambda: gate.wait())
        await trio.testing.wait_all_tasks_blocked()
        for work, answer in zip(works, answers, strict=True):
            nursery.start_soon(told, partial(runner.together, work), answer)
            await trio.testing.wait_all_tasks_blocked()
        gate.set()
    return [answer[0] for answer in answers]


@pytest.mark.real_time
async def test_what_waits_together_is_committed_together_and_answered_afterwards() -> None:
    noting = Noting()
    with noting.runner() as runner:
        asked = [partial(noting.notes.append, str(number)) for number in range(3)]
        assert await all_at_once(runner, *asked) == [None] * 3
    assert noting.notes == ["begin", "0", "1", "2", "commit"]


@pytest.mark.real_time
async def test_work_that_fails_is_undone_alone() -> None:
    noting = Noting()
    with noting.runner() as runner:
        assert await all_at_once(runner, lambda: 1, lambda: 1 // 0, lambda: 3) == [1, ZeroDivisionError, 3]
    assert noting.notes == ["begin", "undo", "begin", "commit", "begin", "undo", "begin", "commit"]


@pytest.mark.real_time
async def test_a_commit_that_fails_fails_for_everybody_in_it() -> None:
    with Noting(fails=True).runner() as runner:
        assert await all_at_once(runner, lambda: 1, lambda: 2) == [OSError, OSError]


@pytest.mark.real_time
async def test_work_that_is_asked_alone_is_in_no_transaction_and_keeps_its_place() -> None:
    noting = Noting()
    with noting.runner() as runner:
        gate = threading.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(runner, lambda: gate.wait())
            for ask, name in ((runner.together, "a"), (runner, "alone"), (runner.together, "b")):
                await trio.testing.wait_all_tasks_blocked()
                nursery.start_soon(ask, noting.notes.append, name)
            await trio.testing.wait_all_tasks_blocked()
            gate.set()
    assert noting.notes == ["begin", "a", "commit", "alone", "begin", "b", "commit"]


@pytest.mark.real_time
async def test_waiting_work_is_given_up_with_its_caller() -> None:
    noting, gate = Noting(), threading.Event()
    with noting.runner() as runner:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(runner, lambda: gate.wait())
            await trio.testing.wait_all_tasks_blocked()
            with trio.move_on_after(0):
                await runner.together(noting.notes.append, "never")
            gate.set()
        await runner(int)
    assert noting.notes == []


async def busy(nursery: trio.Nursery, runner: LedgerRunner, gate: threading.Event) -> None:
    """From now on, until the gate is open."""
    begun = threading.Event()

    def work() -> bool:
        begun.set()
        return gate.wait()

    nursery.start_soon(runner, work)
    while not begun.is_set():
        await trio.sleep(0)


async def waiting_thread(files: ThreadRunner, runner: LedgerRunner, work: Callable[[], object]) -> None:
    await files(lambda: runner.wait(work))


@pytest.mark.real_time
async def test_what_a_thread_waits_for_shares_a_transaction_with_what_waits_beside_it() -> None:
    noting, gate = Noting(), threading.Event()
    with noting.runner() as runner, ThreadRunner() as files:
        async with trio.open_nursery() as nursery:
            await busy(nursery, runner, gate)
            nursery.start_soon(waiting_thread, files, runner, lambda: noting.notes.append("thread"))
            while not runner._waiting:
                await trio.sleep(0.001)
            nursery.start_soon(runner.together, noting.notes.append, "task")
            await trio.testing.wait_all_tasks_blocked()
            gate.set()
    assert noting.notes == ["begin", "thread", "task", "commit"]


@pytest.mark.real_time
async def test_work_of_a_thread_that_fails_is_undone_and_told_to_it() -> None:
    noting = Noting()
    with noting.runner() as runner, ThreadRunner() as files:
        with pytest.raises(ZeroDivisionError):
            await files(lambda: runner.wait(lambda: 1 // 0))
        assert await files(lambda: runner.wait(lambda: 2)) == 2
    assert noting.notes == ["begin", "undo", "begin", "commit"]


@pytest.mark.real_time
async def test_work_alone_behind_that_of_a_thread_is_never_left_waiting() -> None:
    """Its word to the ledger's thread may be spent on the work of the other, before or after that one has its turn."""
    with Noting().runner() as runner, ThreadRunner() as files, trio.fail_after(20):
        for _ in range(100):
            gate = threading.Event()
            async with trio.open_nursery() as nursery:
                await busy(nursery, runner, gate)
                nursery.start_soon(waiting_thread, files, runner, lambda: None)
                while not runner._waiting:
                    await trio.sleep(0)
                nursery.start_soon(runner, lambda: None)
                await trio.testing.wait_all_tasks_blocked()
                gate.set()


@pytest.mark.real_time
async def test_a_write_that_ends_the_whole_transaction_takes_nothing_with_it(tmp_path: Path) -> None:
    """SQLite does so when the disk is full: what was written beside it is written again."""
    ledger = Ledger.open(str(tmp_path / "ledger.db"), run=RunId("run"), clock=lambda: "2026-11-20T06:00:00Z")

    def lose() -> None:
        ledger._db._connection.execute("ROLLBACK")  # what SQLite does of itself when the disk is full
        raise OSError("full")

    def keep(table: str) -> None:
        ledger._db.change(f"CREATE TABLE {table} (number INTEGER)")

    with LedgerRunner(ledger.group) as runner:
        kept: list[Callable[[], object]] = [partial(keep, "before"), lose, partial(keep, "behind")]
        assert await all_at_once(runner, *kept) == [None, OSError, None]
        assert [ledger._db.one(int, f"SELECT count(*) FROM {table}") for table in ("before", "behind")] == [0, 0]
    ledger.close()


@pytest.mark.real_time
async def test_a_failure_that_nobody_told_of_is_told_to_everybody_whose_write_it_undid(tmp_path: Path) -> None:
    ledger = Ledger.open(str(tmp_path / "ledger.db"), run=RunId("run"), clock=lambda: "2026-11-20T06:00:00Z")

    def lose() -> None:
        ledger._db._connection.execute("ROLLBACK")

    async def asked(work: Callable[[], object]) -> None:
        with pytest.raises(LedgerError, match="undid those beside it"):
            await runner.together(work)

    with LedgerRunner(ledger.group) as runner:
        gate = threading.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(runner, lambda: gate.wait())
            await trio.testing.wait_all_tasks_blocked()
            for work in (partial(ledger.begin_run, manifest="m", version="1"), lose):
                nursery.start_soon(asked, work)
                await trio.testing.wait_all_tasks_blocked()
            gate.set()
        assert ledger.last_runs(1) == []
    ledger.close()


@pytest.mark.real_time
@pytest.mark.parametrize("seed", range(3))
async def test_whatever_fails_among_many_everything_else_is_written_once_and_answered(
    tmp_path: Path, seed: int
) -> None:
    ledger = Ledger.open(str(tmp_path / "ledger.db"), run=RunId("run"), clock=lambda: "2026-11-20T06:00:00Z")
    ledger._db.change("CREATE TABLE note (number INTEGER)")
    numbers = random.Random(seed).sample(range(120), 120)

    def write(number: int) -> int:
        ledger._db.change("INSERT INTO note VALUES (?)", number)
        return 1 // (number % 7)

    async def ask(number: int) -> None:
        by_thread = partial(files, lambda: runner.wait(write, number))
        by_task = partial(runner.together, write, number)
        answers[number] = []
        await told(by_thread if number % 2 else by_task, answers[number])

    answers: dict[int, list[object]] = {}
    with LedgerRunner(ledger.group) as runner, ThreadRunner(4) as files, trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            for number in numbers:
                nursery.start_soon(ask, number)
        written = await runner(ledger._db.all, int, "SELECT number FROM note ORDER BY number")
    ledger.close()
    assert written == [number for number in range(120) if number % 7]
    assert all(answers[number] == ([1 // (number % 7)] if number % 7 else [ZeroDivisionError]) for number in numbers)
