"""The fixture `standin`: a real server process on loopback, one for the whole session, forgetful between tests.

Needs the standard library alone. Methods that wait have an async twin, since the client under test runs in the same
event loop.
"""

import http.client
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import pytest
import trio

ROOT = Path(__file__).parents[2]
PATIENCE_S = 60.0
END_S = 5.0


class StandIn:
    """A running server. `base_url` speaks OpenRouter's dialect, `openai_url` OpenAI's; `elsewhere` is foreign."""

    def __init__(self, *, port: int = 0, state: str | None = None, latency_s: float = 0.0) -> None:
        self._port, self._state, self._latency = port, state, latency_s
        self.base_url = self.openai_url = self.elsewhere = self.key = ""
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it, again on the same port if it ran before."""
        words = ["--while-stdin", "--port", str(self._port), "--latency", str(self._latency)]
        words += ["--state", self._state] if self._state else []
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.standin", *words], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self._process.stdout is not None
        said = json.loads(self._process.stdout.readline())
        self.base_url, self.openai_url = str(said["base_url"]), str(said["openai"])
        self.elsewhere, self.key = str(said["elsewhere"]), str(said["key"])
        self._port = urlsplit(self.base_url).port or 0

    def stop(self) -> None:
        """Kill it as a power cut would: what is under way is reset."""
        if self._process is None:
            return
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process = None

    def reset(self) -> None:
        """Forget requests, faults, videos and costs; hang up on everyone."""
        self._control("POST", "/reset", {})

    def fault(
        self,
        name: str,
        *,
        path: str | None = None,
        times: int | None = None,
        after: int = 0,
        model: str | None = None,
        **options: object,
    ) -> None:
        """Plant a fault for the next `times` requests (None: all) of a path ("/videos/*") or operation ("poll").

        Where no path is given it waits for the operations that it applies to. Faults planted one after the other are
        played in that order; one for ever is never passed by.
        """
        planted = {"name": name, "path": path, "times": times, "after": after, "model": model, "options": options}
        self._control("POST", "/fault", planted)

    def latency(self, seconds: float) -> None:
        """Every answer waits for so long from now on."""
        self._control("POST", "/latency", {"seconds": seconds})

    def count(self, operation: str) -> int:
        """Requests of an operation that came in whole, whatever they were answered."""
        return self._counts("requests").get(operation, 0)

    def paid(self, operation: str) -> int:
        """Those of them that were work which the real service bills."""
        return self._counts("paid").get(operation, 0)

    def requests(self, operation: str | None = None) -> list[dict[str, object]]:
        """What came in, in order; the members are those of `world.Seen`."""
        found = self._control("GET", "/requests")["requests"]
        assert isinstance(found, list)
        return [seen for seen in found if operation in (None, seen["operation"])]

    def wait(self, operation: str, count: int = 1, *, ended: bool = False) -> None:
        """Block until so many requests came in whole (or have ended, however)."""
        query = urlencode({"operation": operation, "count": count, "ended": int(ended)})
        self._control("GET", f"/wait?{query}")

    async def arrived(self, operation: str, count: int = 1) -> None:
        await trio.to_thread.run_sync(self.wait, operation, count, abandon_on_cancel=True)

    async def ended(self, operation: str, count: int = 1) -> None:
        """Until the answers are over: sent whole, cut by us, or left by the client."""
        await trio.to_thread.run_sync(lambda: self.wait(operation, count, ended=True), abandon_on_cancel=True)

    def _counts(self, what: str) -> dict[str, int]:
        found = self._control("GET", "/counts")[what]
        assert isinstance(found, dict)
        return found

    def _ended(self) -> int | None:
        """What its process ended with, below zero for a signal; None where it has not within some seconds."""
        with suppress(subprocess.TimeoutExpired):
            return self._process.wait(END_S) if self._process is not None else None
        return None

    def _control(self, method: str, path: str, body: object = None) -> dict[str, object]:
        where = urlsplit(self.base_url)
        line = http.client.HTTPConnection(where.hostname or "", where.port, timeout=PATIENCE_S)
        try:
            sent = None if body is None else json.dumps(body)
            line.request(method, f"/control{path}", sent, {"Content-Type": "application/json"})
            reply = line.getresponse()
            said = json.loads(reply.read())
        except ConnectionError as error:
            error.add_note(f"the stand-in server has ended with {self._ended()}")
            raise
        finally:
            line.close()
        if reply.status != 200:
            raise ValueError(said["error"])
        assert isinstance(said, dict)
        return said


@pytest.fixture(scope="session")
def standin_process() -> Iterator[StandIn]:
    server = StandIn()
    yield server
    server.stop()


@pytest.fixture
def standin(standin_process: StandIn) -> StandIn:
    """The server of the session, with nothing remembered and no fault set; started again if a test stopped it."""
    if not standin_process.is_running:
        standin_process.stop()
        standin_process.start()
    standin_process.reset()
    return standin_process
