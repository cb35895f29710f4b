"""One child process seen from its parent: started, asked, watched, killed.

Owns the pipes, the stripped environment and the watch over deadline and memory while an answer is awaited. One thread
asks; any thread may kill. Never reads more than one frame, never waits without a bound, never uses a shell.
"""

import contextlib
import json
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from signal import SIGKILL, Signals

from msgspec import Struct

from pipeline import one_cpu
from pipeline.children import framing, limits
from pipeline.children.stage import Roots, StageResult, StageSpec

TICK_S = 0.05
LAST_MOMENT_S = 1.0
READ_BYTES = 1 << 16
_BOOT = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from pipeline.children.child import main; sys.exit(main())"
)
# The last two choose kernels of the machine's own; Whisper's words may hang on a last bit.
_KEPT = (
    "PATH",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "TZ",
    "TMPDIR",
    "LD_LIBRARY_PATH",
    "OPENBLAS_CORETYPE",
    "CT2_FORCE_CPU_ISA",
)
_SET = {
    "PYTHONUTF8": "1",  # names, as in the parent
    "HF_HUB_OFFLINE": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "1",  # children work with one thread; a second arena only keeps what the first has freed
}
GONE = "engine-crashed"


class ChildSettings(Struct, frozen=True, kw_only=True):
    """How children of a pool are started and bounded. `argv` stands before our own arguments."""

    memory_mb: int
    address_mb: int | None = None
    argv: tuple[str, ...] = (sys.executable, "-P", "-c", _BOOT)


class ChildStopped(Exception):
    """The child did not answer: it ended, was killed for a reason of ours, or wrote something else."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class StaleAnswer(ChildStopped):
    """The child spoke out of turn about an earlier job; the job that met it is innocent."""


class ChildProcess:
    """A running child. `ask` belongs to one thread; `kill` may be called from any, at any time, more than once."""

    def __init__(self, settings: ChildSettings, environ: Mapping[str, str]) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._reader = framing.FrameReader()
        self._number = 0
        self._process = subprocess.Popen(
            [*settings.argv, _import_path(), str(os.getpid()), str(settings.address_mb or 0)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            cwd="/",
            env=_stripped(environ),
            process_group=0,  # a Ctrl-C at the terminal is for the parent, which drains
        )
        one_cpu.unbind(self._process.pid)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._asks, self._answers = self._process.stdin.fileno(), self._process.stdout.fileno()
        os.set_blocking(self._asks, False)
        os.set_blocking(self._answers, False)

    @property
    def pid(self) -> int:
        return self._process.pid

    def is_fit(self) -> bool:
        """Alive, and silent since its last answer."""
        return self._process.poll() is None and self._reader.is_empty() and not _ready(self._answers, select.POLLIN, 0)

    def resident_bytes(self) -> int:
        return limits.resident_bytes(self.pid) or 0

    def ask(self, spec: StageSpec, roots: Roots) -> StageResult:
        """The child's own answer. ChildStopped when there is none; then the child is of no more use."""
        until = time.monotonic() + spec.deadline_s
        self._number += 1
        try:
            self._send(framing.ask_frame(self._number, spec, roots), until)
            answer = framing.read_answer(self._receive(until))
        except framing.BadFrame as error:
            raise ChildStopped(GONE, f"not a message of ours: {error}") from error
        if answer.number < self._number:
            raise StaleAnswer(GONE, "a second answer to an earlier question")
        if answer.number != self._number:
            raise ChildStopped(GONE, "an answer to another question")
        return answer.result

    def kill(self) -> None:
        """End the child and everything in its process group; afterwards it is reaped."""
        with self._lock:
            if self._process.poll() is None:
                os.killpg(self.pid, SIGKILL)
                self._process.wait()

    def close(self) -> None:
        """Kill and close the pipes; only the thread that asks may call it."""
        self.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def _send(self, message: bytes, until: float) -> None:
        while message:
            self._wait(self._asks, select.POLLOUT, until)
            try:
                message = message[os.write(self._asks, message) :]
            except BlockingIOError:
                continue
            except OSError as error:
                raise ChildStopped(GONE, self._how_it_ended()) from error

    def _receive(self, until: float) -> bytes:
        while (body := self._reader.take()) is None:
            self._wait(self._answers, select.POLLIN, until)
            chunk = os.read(self._answers, READ_BYTES)
            if not chunk:
                raise ChildStopped(GONE, self._how_it_ended())
            self._reader.feed(chunk)
        return body

    def _wait(self, fd: int, event: int, until: float) -> None:
        """Until the pipe is ready; ChildStopped at the deadline or above the memory bound."""
        while not _ready(fd, event, min(TICK_S, max(0.0, until - time.monotonic()))):
            if time.monotonic() >= until:
                raise ChildStopped("limit-time", "no answer before the deadline")
            if self.resident_bytes() > self._settings.memory_mb * limits.MEGABYTE:
                raise ChildStopped("limit-memory", f"more than {self._settings.memory_mb} MB of memory")

    def _how_it_ended(self) -> str:
        """Its pipes close a moment before it has ended; a kill in between would be told instead of the reason."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(LAST_MOMENT_S)
        self.kill()
        status = self._process.returncode
        return f"ended by {Signals(-status).name}" if status < 0 else f"ended with exit code {status}"


def _ready(fd: int, event: int, timeout_s: float) -> bool:
    poll = select.poll()
    poll.register(fd, event)
    return bool(poll.poll(timeout_s * 1000))


def _import_path() -> str:
    """The parent's import path, so that the child runs exactly the parent's packages wherever it was started."""
    return json.dumps([entry or os.getcwd() for entry in sys.path])


def _stripped(environ: Mapping[str, str]) -> dict[str, str]:
    """No key, no proxy, no user setting reaches a child."""
    return {name: environ[name] for name in _KEPT if name in environ} | _SET
