"""A user at a shell: a folder with recordings and the scripted route, and commands typed as processes of their own."""

import fcntl
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest

from pipeline.runtime import World
from pipeline.seat import Seat
from tests.makers import Folder

REPOSITORY = Path(__file__).parents[2]
SCRIPTED = (sys.executable, "-m", "tests.cli.scripted_main")
PROGRAM = (sys.executable, "-m", "pipeline")
ONE_STEP = """
schema = 1
name = "notes"
[[folder]]
id = "notes"
glob = "recordings/**/*"
accept = ["audio"]
settle = "0s"
out = "out/{reldir}/{name}.{step}.{ext}"
  [[folder.step]]
  id = "text"
  kind = "transcription"
  formats = ["txt"]
"""


class Shell:
    """Types commands in a folder of the user, with a home of its own and a settled environment."""

    def __init__(self, folder: Folder) -> None:
        self.folder = folder
        self.environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder.root / "home"),
            "PYTHONPATH": str(REPOSITORY),
            "LANG": "C.UTF-8",
        }

    @property
    def python(self) -> str:
        return sys.executable

    def type(self, *words: str, code: int | None = None, program: tuple[str, ...] = SCRIPTED) -> "Said":
        done = subprocess.run(
            [*program, *words],
            cwd=self.folder.root,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=100,
            check=False,
        )
        said = Said(code=done.returncode, out=done.stdout.decode(), err=done.stderr.decode())
        assert code is None or said.code == code, said
        return said

    def run(self, *words: str, code: int | None = None) -> "Said":
        """Run the folder's manifest with its settings and its spool."""
        return self.type("run", "notes.toml", *self.where(), *words, code=code)

    def where(self) -> tuple[str, ...]:
        return ("--spool", "spool", "--config", "mediaspool.toml")

    def start(
        self, *words: str, stderr: int | IO[bytes] = subprocess.DEVNULL, ignored: signal.Signals | None = None
    ) -> "subprocess.Popen[bytes]":
        """`ignored` is a signal that a shell has it ignore, as nohup does."""
        shell = [] if ignored is None else ["/bin/sh", "-c", f'trap "" {int(ignored)}; exec "$@"', "sh"]
        return subprocess.Popen(
            [*shell, *SCRIPTED, *words],
            cwd=self.folder.root,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
        )


class Said:
    """What a command answered."""

    def __init__(self, *, code: int, out: str, err: str) -> None:
        self.code = code
        self.out = out
        self.err = err

    def __repr__(self) -> str:
        return f"exit {self.code}\n--- out\n{self.out}--- err\n{self.err}"

    @property
    def data(self) -> dict[str, object]:
        """The one JSON object that stdout must be."""
        found = json.loads(self.out)
        assert isinstance(found, dict)
        assert self.out.count("\n") == 1
        return found


class Gate:
    """A FIFO in the place of the call count: the test learns of a call in the instant in which it is made."""

    def __init__(self, folder: Folder) -> None:
        folder.calls_file.unlink(missing_ok=True)
        os.mkfifo(folder.calls_file)
        self._fd = os.open(folder.calls_file, os.O_RDWR)

    def await_call(self) -> None:
        ready, _, _ = select.select([self._fd], [], [], 60)
        assert ready, "no call was made"
        os.read(self._fd, 1000)

    def close(self) -> None:
        os.close(self._fd)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path, manifest=ONE_STEP)


@pytest.fixture
def shell(folder: Folder) -> Shell:
    return Shell(folder)


@pytest.fixture
def gate(folder: Folder) -> Iterator[Gate]:
    made = Gate(folder)
    yield made
    made.close()


@contextmanager
def locked(spool: Path) -> Iterator[None]:
    """As if another run were at work."""
    spool.mkdir(exist_ok=True)
    with (spool / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def seat(folder: Folder, *, environ: Mapping[str, str] | None = None, world: World | None = None) -> Seat:
    """Where a command works that is called in this process."""
    return Seat(
        root=str(folder.spool),
        spool=str(folder.spool),
        config=str(folder.config),
        settings=folder.settings,
        world=world or folder.world(),
    )
