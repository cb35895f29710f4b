"""Where blocking work runs: in threads kept for it, or inline under a test's virtual clock.

Work that began is always finished and its answer returned, also when the caller was cancelled meanwhile: a ledger write
is never left in doubt by a cancel scope. Work in the ledger has one order, whoever asks, and what waits there together
is committed together: one wait for the disk instead of many.
"""

import queue
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Self

import outcome
import trio

from pipeline.core.model import T, Ts
from pipeline.core.threads import one_more

MAX_TOGETHER = 100
Scope = Callable[[], AbstractContextManager[None]]


class _Ask:
    """Work that somebody waits for, and its answer once it is done."""

    is_alone = is_first = False

    def __init__(self, work: Callable[[], object]) -> None:
        self.outcome: outcome.Value[object] | outcome.Error = outcome.Value(None)
        self.is_done = False
        self._work = work

    def take(self) -> bool:
        return True

    def do(self) -> None:
        """Its answer or its error, whatever that is: it is the asker's."""
        self.outcome = outcome.capture(self._work)


class _TaskAsk(_Ask):
    """Asked by a task of the event loop. Taken once: by the thread that does it, or by the cancel that prevents it."""

    def __init__(self, work: Callable[[], object], *, is_alone: bool, is_first: bool) -> None:
        super().__init__(work)
        self.is_alone = is_alone
        self.is_first = is_first
        self.task = trio.lowlevel.current_task()
        self.token = trio.lowlevel.current_trio_token()
        self._taken = threading.Lock()

    def take(self) -> bool:
        return self._taken.acquire(blocking=False)

    def give_up(self, _cancel: object) -> trio.lowlevel.Abort:
        return trio.lowlevel.Abort.SUCCEEDED if self.take() else trio.lowlevel.Abort.FAILED


class ThreadRunner:
    """At most `width` pieces of work at a time, in threads of its own; the event loop stays free.

    Threads start when they are needed and end with the block, or with the process.
    """

    def __init__(self, width: int = 1) -> None:
        self._width = width
        self._threads: list[threading.Thread] = []
        self._queue: queue.SimpleQueue[bool] = queue.SimpleQueue()  # a word for each ask, and one for each to end
        self._firsts: deque[_TaskAsk] = deque()
        self._others: deque[_TaskAsk] = deque()
        self._ended: list[_TaskAsk] = []
        self._telling = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Nothing is under way any more: whoever asked has waited for the answer."""
        for _ in self._threads:
            self._queue.put(False)
        self._threads.clear()

    async def __call__(self, work: Callable[[*Ts], T], *args: *Ts) -> T:
        return await self._ask(lambda: work(*args), is_alone=True)

    async def first(self, work: Callable[[*Ts], T], *args: *Ts) -> T:
        """Before all that waits here. For work that others wait behind: an answer holds a seat until it is kept."""
        return await self._ask(lambda: work(*args), is_alone=True, is_first=True)

    async def _ask(self, work: Callable[[], T], *, is_alone: bool, is_first: bool = False) -> T:
        await trio.lowlevel.checkpoint_if_cancelled()
        ask = _TaskAsk(work, is_alone=is_alone, is_first=is_first)
        if len(self._threads) < self._width:
            one_more(self._threads, self._work, name="mediaspool-work")
        self._put(ask)
        await trio.lowlevel.wait_task_rescheduled(ask.give_up)
        return ask.outcome.unwrap()  # type: ignore[return-value]  # the work's own answer, which travelled as an object

    def _put(self, ask: _TaskAsk) -> None:
        (self._firsts if ask.is_first else self._others).append(ask)
        self._queue.put(True)

    def _work(self) -> None:
        while self._queue.get():
            ask = self._next()
            if ask.take():
                ask.do()
                self._tell([ask])

    def _next(self) -> _TaskAsk:
        """There is one for each word that was had: it was put there before the word."""
        try:
            return self._firsts.popleft()
        except IndexError:
            return self._others.popleft()

    def _tell(self, asks: list[_TaskAsk]) -> None:
        """The event loop, of what has ended. It is woken once for all that ends before it has looked."""
        with self._telling:
            is_told = bool(self._ended)
            self._ended += asks
        if not is_told:
            asks[0].token.run_sync_soon(self._wake)

    def _wake(self) -> None:
        with self._telling:
            ended, self._ended = self._ended, []
        for ask in ended:
            trio.lowlevel.reschedule(ask.task)


class LedgerRunner(ThreadRunner):
    """One at a time in the ledger, in the order of asking. What is asked through `together` or `wait` shares a
    transaction with what waits beside it.

    `group` is that transaction. Nobody has an answer before the commit; a commit that fails, fails for all of them.
    Where one piece of work fails, all are undone and done again one by one: a mark before each, to go back to, would be
    half of what the ledger is told. So what asks together can be done twice; what cannot, asks alone.
    """

    def __init__(self, group: Scope) -> None:
        super().__init__(1)
        self._group = group
        self._waiting: deque[_Ask] = deque()
        self._turn = threading.Lock()

    async def together(self, work: Callable[[*Ts], T], *args: *Ts) -> T:
        return await self._ask(lambda: work(*args), is_alone=False)

    def wait(self, work: Callable[[*Ts], T], *args: *Ts) -> T:
        """As `together`, asked by another thread, which does it itself once it is its turn.

        So steps on files and in the ledger are one trip from the event loop, and nobody has to be woken between them.
        """
        ask = _Ask(lambda: work(*args))
        self._waiting.append(ask)
        with self._turn:
            while not ask.is_done:
                self._lead()
        return ask.outcome.unwrap()  # type: ignore[return-value]  # as in `_ask`

    def _put(self, ask: _TaskAsk) -> None:
        self._waiting.append(ask)
        self._queue.put(True)

    def _work(self) -> None:
        while self._queue.get():
            with self._turn:
                while self._waiting:  # all of it: what was done for others may leave an ask behind whose word is spent
                    self._lead()

    def _lead(self) -> None:
        """Whose turn it is does all that waits and may be done together, whoever asked for it."""
        asks = self._company()
        if asks and asks[0].is_alone:
            asks[0].do()
        elif asks:
            self._do_together(asks)
        for ask in asks:
            ask.is_done = True
        tasks = [ask for ask in asks if isinstance(ask, _TaskAsk)]
        if tasks:
            self._tell(tasks)

    def _company(self) -> list[_Ask]:
        """The first that is still wanted, with what may be done together with it. Only whose turn it is takes any."""
        company: list[_Ask] = []
        while self._waiting and len(company) < MAX_TOGETHER and not (company and self._waiting[0].is_alone):
            ask = self._waiting.popleft()
            company += [ask] if ask.take() else []
            if ask.is_alone and company:
                break
        return company

    def _do_together(self, asks: Sequence[_Ask]) -> None:
        if not self._commit(asks) and len(asks) > 1:
            for ask in asks:
                self._commit([ask])

    def _commit(self, asks: Sequence[_Ask]) -> bool:
        """False where one of them failed: then nothing was done. What fails beside them, fails for all of them."""
        whole = outcome.capture(self._do_all, asks)
        if isinstance(whole, outcome.Value):
            return True
        if isinstance(whole.error, _Undone):
            return False
        for ask in asks:
            if isinstance(ask.outcome, outcome.Value):
                ask.outcome = outcome.Error(whole.error)  # each may be raised only once
        return True

    def _do_all(self, asks: Sequence[_Ask]) -> None:
        with self._group():
            for ask in asks:
                ask.do()
                if isinstance(ask.outcome, outcome.Error):
                    raise _Undone


class _Undone(Exception):
    """Takes the failure of one ask through the end of its group."""


def inline(work: Callable[[*Ts], T], *args: *Ts) -> T:
    """A `BlockingRunner` for work that is in the ledger's thread already, or alone."""
    return work(*args)


class InlineRunner:
    """The same order and the same checkpoints without a thread, so that a virtual clock does not jump meanwhile."""

    async def __call__(self, work: Callable[[*Ts], T], *args: *Ts) -> T:
        await trio.lowlevel.checkpoint_if_cancelled()
        answer = work(*args)
        await trio.lowlevel.cancel_shielded_checkpoint()
        return answer
