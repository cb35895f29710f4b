"""What `floor` measures of the process that asks, writes down and keeps: HTTP, SQLite and the disk, each at its least.

The request of a job through httpx on Trio, its four commits (begun, sending, received, done), and an answer and a
product that are whole on the disk under their names. Receipt, artifact and report are not reckoned.
"""

import itertools
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import httpx
import trio

from tests.benchmarks.answering import SAMPLES
from tests.benchmarks.clients import SENTENCE, Kind

RECORDING = SAMPLES / "jfk.wav"
AT_ONCE, REQUESTS = 16, 160
COMMITS, FILES, JOBS = 4, 2, 20
ROW = ("call-0123456789abcdef", "sending", "x" * 200)

Call = Callable[[], object]


def ready_to_ask(kind: Kind, url: str) -> Call:
    """REQUESTS requests, AT_ONCE side by side on one client, whose answers are read and let go."""

    async def ask(client: httpx.AsyncClient) -> None:
        if kind == "speech":
            body = {"model": "tts-1", "voice": "alloy", "input": SENTENCE.format(1), "response_format": "wav"}
            request = client.build_request("POST", f"{url}/v1/audio/speech", json=body)
        elif kind == "text":
            said = [{"role": "user", "content": SENTENCE.format(1) * 20}]
            request = client.build_request("POST", f"{url}/v1/chat/completions", json={"model": "m", "messages": said})
        else:
            form = {"model": "whisper-1", "response_format": "verbose_json"}
            files = {"file": ("1.wav", RECORDING.open("rb"), "audio/wav")}
            request = client.build_request("POST", f"{url}/v1/audio/transcriptions", data=form, files=files)
        response = await client.send(request, stream=True)
        assert response.status_code == httpx.codes.OK
        async for _ in response.aiter_raw():
            pass
        await response.aclose()

    async def all_of_them() -> None:
        left = itertools.repeat(None, REQUESTS)
        transport = httpx.AsyncHTTPTransport()
        async with httpx.AsyncClient(transport=transport) as client, trio.open_nursery() as nursery:

            async def work() -> None:
                for _ in left:
                    await ask(client)

            for _ in range(AT_ONCE):
                nursery.start_soon(work)

    return lambda: trio.run(all_of_them)


def ready_to_commit(folder: Path) -> Call:
    """The commits of JOBS jobs, one row each, as durable as the ledger's."""
    database = sqlite3.connect(folder / "floor.db", isolation_level=None)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = FULL")
    database.execute("CREATE TABLE step (id INTEGER PRIMARY KEY, call TEXT, state TEXT, told TEXT)")

    def commit() -> None:
        for _ in range(JOBS * COMMITS):
            database.execute("BEGIN IMMEDIATE")
            database.execute("INSERT INTO step (call, state, told) VALUES (?, ?, ?)", ROW)
            database.execute("COMMIT")

    return commit


def ready_to_keep(folder: Path, body: bytes) -> Call:
    """The files of JOBS jobs: written, synced, given their name, and the folder synced."""
    numbers = itertools.count()

    def keep() -> None:
        for _ in range(JOBS * FILES):
            name = str(folder / f"{next(numbers)}")
            fd = os.open(f"{name}.part", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
            os.write(fd, body)
            os.fsync(fd)
            os.close(fd)
            os.rename(f"{name}.part", name)
            above = os.open(folder, os.O_RDONLY)
            os.fsync(above)
            os.close(above)

    return keep
