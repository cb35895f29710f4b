"""A real run in a process of its own that kills itself with SIGKILL at one chosen instant.

`python -m tests.crash_child SPOOL CONFIG point:NAME` dies when the main path passes the named point,
`point:NAME@N` when it does so for the N-th time;
`audit:N` dies at the N-th change of the file system (open for writing, rename, link, remove, mkdir);
`term:NAME` and `term:NAME@N` send themselves SIGTERM there instead, once, and go on;
`full:NAME` can write no further byte into any file from that point on; the exit code is the program's;
`none` runs to the end and prints how many such changes there were.
What it prints first is `ready`: Python has started, and from now on a signal meets the program itself.
"""

import itertools
import os
import resource
import signal
import sys
from collections.abc import Callable

import trio

from pipeline.app import RunRequest, run
from pipeline.core.errors import MediaspoolError
from pipeline.core.model import Reached
from pipeline.report import exit_code
from pipeline.runtime import World, utc_now
from pipeline.state.settings import load_settings
from tests.makers import DRIVERS, FAR_FUTURE

CHANGES = frozenset({"os.rename", "os.link", "os.remove", "os.mkdir", "os.rmdir", "os.truncate"})
DESCRIPTORS = "/proc/self/fd/"
WRITE_FLAGS = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


class AuditKill:
    """Counts the changes of the file system below one folder and dies at the chosen one."""

    def __init__(self, folder: str, at: int) -> None:
        self.count = 0
        self._folder = folder
        self._at = at

    def __call__(self, event: str, arguments: tuple[object, ...]) -> None:
        if not self._is_change(event, arguments):
            return
        self.count += 1
        if self.count == self._at:
            die()

    def _is_change(self, event: str, arguments: tuple[object, ...]) -> bool:
        if event == "open":
            path, _, flags = arguments
            return isinstance(flags, int) and bool(flags & WRITE_FLAGS) and self._is_ours(path)
        return event in CHANGES and any(self._is_ours(argument) for argument in arguments[:2])

    def _is_ours(self, path: object) -> bool:
        """Below the folder, by its name or through a descriptor; a relative name is one beside a descriptor."""
        if not isinstance(path, str):
            return False
        if path.startswith(DESCRIPTORS):
            path = os.path.realpath(os.path.dirname(path))
        return path.startswith(self._folder) or not path.startswith("/")


def fill() -> None:
    """No disk is full at a word; a process that may write no further byte sees much the same, without being root."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))


def at(name: str, act: Callable[[], None]) -> Reached:
    wanted, _, times = name.partition("@")
    passed = itertools.count(1)
    return lambda point: act() if point == wanted and next(passed) == int(times or 1) else None


def main(spool: str, config: str, kill: str) -> int:
    mode, _, value = kill.partition(":")
    audit = AuditKill(os.path.dirname(spool), int(value) if mode == "audit" else 0)
    world = World(
        environ={
            **{name: value for name, value in os.environ.items() if name.endswith("_KEY")},
            "XDG_STATE_HOME": os.path.join(os.path.dirname(spool), "state"),
        },
        log_stream=sys.stderr,
        clock=utc_now,
        now=lambda: FAR_FUTURE,
        reached=at(value, {"point": die, "term": terminate, "full": fill}.get(mode, lambda: None)),
        drivers=DRIVERS,
    )
    os.write(1, b"ready\n")
    sys.addaudithook(audit)
    try:
        result = trio.run(run, RunRequest(spool=spool), load_settings(config, {}), world)
    except MediaspoolError as error:
        return exit_code(outcomes=(), errors=[error])
    print(audit.count)
    return result.whole.exit_code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
