"""`python -m tests.benchmarks.least KIND URL ASKS FOLDER WIDTH`: the least that a durable remote job can be.

Nothing of mediaspool: httpx on Trio with a client for each call under way, four commits that share their wait for the
disk, answer, product and receipt synced under their names, and a child that listens where a job of the kind needs it.
No check, no plan, no limit, no redaction, no artifact, no report: a yardstick for what a machine leaves of the ideal.
"""

import itertools
import multiprocessing
import os
import queue
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import AsyncExitStack, contextmanager
from functools import cache
from pathlib import Path

import httpx
import trio

from tests.benchmarks.clients import PROMPT, Kind
from tests.benchmarks.floor import IN_CHILDREN, decoded, ready_to_judge, ready_to_weigh

FILE_THREADS = 8
AHEAD = 64  # jobs that stand ready behind those under way
TOGETHER = 100
CALL_S = 60.0
RECEIPT = b"x" * 1500
ROW = "x" * 200

Step = Callable[[], object]


class Ledger:
    """One thread that does all that waits for it in one transaction."""

    def __init__(self, path: Path) -> None:
        self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        for setting in ("journal_mode = WAL", "synchronous = FULL"):
            self._database.execute(f"PRAGMA {setting}")
        self._database.execute("CREATE TABLE step (id INTEGER PRIMARY KEY, state TEXT, told TEXT)")
        self._waiting: queue.SimpleQueue[tuple[Step, Callable[[], None]]] = queue.SimpleQueue()
        threading.Thread(target=self._work, daemon=True).start()

    async def begin(self, number: int) -> None:
        await self._ask("INSERT INTO step VALUES (?, ?, ?)", number, "opened", ROW)

    async def mark(self, number: int, state: str) -> None:
        await self._ask("UPDATE step SET state = ? WHERE id = ?", state, number)

    async def _ask(self, sql: str, *values: object) -> None:
        done, token = trio.Event(), trio.lowlevel.current_trio_token()
        self._waiting.put((lambda: self._database.execute(sql, values), lambda: token.run_sync_soon(done.set)))
        await done.wait()

    def _work(self) -> None:
        while True:
            asks = [self._waiting.get(), *itertools.islice(self._at_hand(), TOGETHER)]
            self._database.execute("BEGIN IMMEDIATE")
            for step, _ in asks:
                step()
            self._database.execute("COMMIT")
            for _, told in asks:
                told()

    def _at_hand(self) -> Iterator[tuple[Step, Callable[[], None]]]:
        while not self._waiting.empty():
            yield self._waiting.get()


class Files:
    """Files that are whole on the disk under their names."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._limiter = trio.CapacityLimiter(FILE_THREADS)

    async def keep(self, files: dict[str, bytes]) -> None:
        await trio.to_thread.run_sync(self._keep, files, limiter=self._limiter)

    def _keep(self, files: dict[str, bytes]) -> None:
        for name, body in files.items():
            fd = os.open(self._folder / f"{name}.part", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
            os.write(fd, body)
            os.fsync(fd)
            os.close(fd)
            os.rename(self._folder / f"{name}.part", self._folder / name)
        above = os.open(self._folder, os.O_RDONLY)
        os.fsync(above)
        os.close(above)


@cache
def judge() -> Step:
    return ready_to_judge()


@cache
def weigh() -> Step:
    return ready_to_weigh()


def listen(kind: Kind, path: str) -> None:
    """In a child: of a recording that is to be heard, whether anybody speaks; of one that was made, how loud it is."""
    decoded(path)
    (judge() if kind == "transcription" else weigh())()


class Listener:
    """One child, warm, asked by one job at a time."""

    def __init__(self, pool: ProcessPoolExecutor, kind: Kind) -> None:
        self._pool = pool
        self._kind = kind
        self._limiter = trio.CapacityLimiter(2)

    async def hear(self, path: str) -> None:
        await trio.to_thread.run_sync(
            lambda: self._pool.submit(listen, self._kind, path).result(), limiter=self._limiter
        )


@contextmanager
def listening(kind: Kind) -> Iterator[Listener | None]:
    if kind == "text":
        yield None
        return
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield Listener(pool, kind)


def request_of(kind: Kind, client: httpx.AsyncClient, url: str, ask: str) -> httpx.Request:
    if kind == "speech":
        body = {"model": "tts-1", "voice": "alloy", "input": ask, "response_format": "wav"}
        return client.build_request("POST", f"{url}/audio/speech", json=body)
    if kind == "text":
        said = [{"role": "system", "content": PROMPT}, {"role": "user", "content": Path(ask).read_text()}]
        return client.build_request("POST", f"{url}/chat/completions", json={"model": "m", "messages": said})
    form, content = {"model": "whisper-1", "response_format": "verbose_json"}, Path(ask).read_bytes()
    files = {"file": ("1.wav", content, "audio/wav")}
    return client.build_request("POST", f"{url}/audio/transcriptions", data=form, files=files)


async def answer_to(request: httpx.Request, client: httpx.AsyncClient) -> bytes:
    response = await client.send(request, stream=True)
    assert response.status_code == httpx.codes.OK
    body = b"".join([chunk async for chunk in response.aiter_raw()])
    await response.aclose()
    return body


async def run(kind: Kind, url: str, asks: list[str], folder: Path, width: int, listener: Listener | None) -> None:
    ledger, files, seats = Ledger(folder / "least.db"), Files(folder), trio.Semaphore(width)
    left = enumerate(asks)

    async def do(number: int, ask: str) -> None:
        if listener is not None and kind == "transcription":
            await listener.hear(ask)
        await ledger.begin(number)
        async with seats:
            client = idle.pop()
            await ledger.mark(number, "sending")
            body = await answer_to(request_of(kind, client, url, ask), client)
            idle.append(client)
        await files.keep({f"{number}.answer": body})
        await ledger.mark(number, "received")
        if listener is not None and kind == "speech":
            await listener.hear(str(folder / f"{number}.answer"))
        await files.keep({f"{number}.product": body, f"{number}.receipt": RECEIPT})
        await ledger.mark(number, "done")

    async def work() -> None:
        for number, ask in left:
            await do(number, ask)

    async with AsyncExitStack() as stack:
        clients = [httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(), timeout=CALL_S) for _ in range(width)]
        idle = [await stack.enter_async_context(client) for client in clients]
        nursery = await stack.enter_async_context(trio.open_nursery())
        for _ in range(width + AHEAD):
            nursery.start_soon(work)


def main(kind: Kind, url: str, asks: Path, folder: Path, width: int) -> None:
    folder.mkdir()
    with listening(kind) as listener:
        trio.run(run, kind, url, asks.read_text().split("\n"), folder, width, listener)


if __name__ == "__main__":
    named, address, listed, where, most = sys.argv[1:]
    main(next(kind for kind in IN_CHILDREN if kind == named), address, Path(listed), Path(where), int(most))
