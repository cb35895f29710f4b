"""Where blocking work runs: in threads kept for it, or inline under a test's virtual clock.

Work that began is always finished and its answer returned, also when the caller was cancelled meanwhile: a ledger write
is never left in doubt by a cancel scope. The ledger has one thread to itself, so its writes have one order, and what
waits there together is committed together: one wait for the disk instead of many.
"""

import queue
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from types import TracebackType
from typing import Self

import outcome
import trio

from pipeline.core.model import T, Ts

MAX_TOGETHER = 100
Scope = Callable[[], AbstractContextManager[None]]


class _Ask:
    """Work under way between two threads. Taken once: by the thread that does it, or by the cancel that prevents it."""

    def __init__(self, work: Callable[[], object], *, is_alone: bool) -> None:
        self.is_alone = is_alone
        self.task = trio.lowlevel.current_task()
        self.token = trio.lowlevel.current_trio_token()
        self.outcome: outcome.Value[object] | outcome.Error = outcome.Value(None)
        self._work = work
        self._taken = threading.Lock()

    def take(self) -> bool:
        return self._taken.acquire(blocking=False)

    def give_up(self, _cancel: object) -> trio.lowlevel.Abort:
        return trio.lowlevel.Abort.SUCCEEDED if self.take() else trio.lowlevel.Abort.FAILED

    def do(self) -> None:
        """Its answer or its error, whatever that is: it is the asker's."""
        self.outcome = outcome.capture(self._work)


class ThreadRunner:
    """At most `width` pieces of work at a time, in threads of its own; the event loop stays free.

    Threads start when they are needed and end with the block, or with the process.
    """

    def __init__(self, width: int = 1) -> None:
        self._width = width
        self._threads: list[threading.Thread] = []
        self._queue: queue.SimpleQueue[_Ask | None] = queue.SimpleQueue()
        self._ended: list[_Ask] = []
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
            self._queue.put(None)
        self._threads.clear()

    async def __call__(self, work: Callable[[*Ts], T], *args: *Ts) -> T:
        return await self._ask(lambda: work(*args), is_alone=True)

    async def _ask(self, work: Callable[[], T], *, is_alone: bool) -> T:
        await trio.lowlevel.checkpoint_if_cancelled()
        ask = _Ask(work, is_alone=is_alone)
        if len(self._threads) < self._width:
            self._threads.append(threading.Thread(target=self._work, daemon=True, name="mediaspool-work"))
            self._threads[-1].start()
        self._queue.put(ask)
        await trio.lowlevel.wait_task_rescheduled(ask.give_up)
        return ask.outcome.unwrap()  # type: ignore[return-value]  # the work's own answer, which travelled as an object

    def _work(self) -> None:
        while (ask := self._queue.get()) is not None:
            if ask.take():
                ask.do()
                self._tell([ask])

    def _tell(self, asks: list[_Ask]) -> None:
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
    """One thread for the ledger. What is asked through `together` shares a transaction with what waits beside it.

    `group` is that transaction, `part` a piece of it that is undone alone when its work fails. Nobody has an answer
    before the commit; a commit that fails, fails for all of them. What does more than write to the ledger asks alone.
    """

    def __init__(self, group: Scope, part: Scope) -> None:
        super().__init__(1)
        self._group = group
        self._part = part

    async def together(self, work: Callable[[*Ts], T], *args: *Ts) -> T:
        return await self._ask(lambda: work(*args), is_alone=False)

    def _work(self) -> None:
        ask = self._queue.get()
        while ask is not None:
            company, ask = self._company(ask)
            asks = [each for each in company if each.take()]
            if asks:
                self._do_all(asks)
                self._tell(asks)
            ask = ask or self._queue.get()

    def _company(self, first: _Ask) -> tuple[list[_Ask], _Ask | None]:
        """The first with what waits and may be done together with it; and the next one that may not."""
        company = [first]
        while not first.is_alone and len(company) < MAX_TOGETHER:
            try:
                ask = self._queue.get_nowait()
            except queue.Empty:
                break
            if ask is None or ask.is_alone:
                return company, ask
            company.append(ask)
        return company, None

    def _do_all(self, asks: list[_Ask]) -> None:
        if asks[0].is_alone:
            asks[0].do()
            return
        whole = outcome.capture(self._do_together, asks)
        for ask in asks:
            if isinstance(whole, outcome.Error) and isinstance(ask.outcome, outcome.Value):
                ask.outcome = outcome.Error(whole.error)  # each may be raised only once

    def _do_together(self, asks: list[_Ask]) -> None:
        if len(asks) == 1:  # nobody beside it: the end of the group undoes what its failure leaves
            with suppress(_Undone), self._group():
                asks[0].do()
                if isinstance(asks[0].outcome, outcome.Error):
                    raise _Undone
            return
        with self._group():
            for ask in asks:
                with suppress(_Undone), self._part():
                    ask.do()
                    if isinstance(ask.outcome, outcome.Error):
                        raise _Undone


class _Undone(Exception):
    """Takes the failure of one ask through the end of its part."""


class InlineRunner:
    """The same order and the same checkpoints without a thread, so that a virtual clock does not jump meanwhile."""

    async def __call__(self, work: Callable[[*Ts], T], *args: *Ts) -> T:
        await trio.lowlevel.checkpoint_if_cancelled()
        answer = work(*args)
        await trio.lowlevel.cancel_shielded_checkpoint()
        return answer
