"""Who may read what a whole run leaves: the spool is its owner's under any umask, products follow the umask."""

import stat
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import SCRIPTED, Shell

pytestmark = pytest.mark.real_time
UMASKS = [0o000, 0o022, 0o077]


def under(umask: int) -> tuple[str, ...]:
    """The program, started by somebody with this umask."""
    become = f"import os, sys; os.umask({umask}); os.execv(sys.argv[1], sys.argv[1:])"
    return (sys.executable, "-c", become, *SCRIPTED)


def modes(folder: Path) -> dict[str, int]:
    """Of everything below, the folder included."""
    return {str(path): stat.S_IMODE(path.lstat().st_mode) for path in (folder, *folder.rglob("*"))}


@pytest.mark.parametrize("umask", UMASKS, ids=oct)
def test_everything_in_a_spool_is_for_its_owner_only_under_any_umask(shell: Shell, umask: int) -> None:
    shell.folder.record("a.wav")
    shell.type("run", "notes.toml", *shell.where(), "--events", "events.jsonl", code=0, program=under(umask))
    for _ in range(2):  # until it is idle
        shell.type("run", *shell.where(), code=0, program=under(umask))
    found = modes(shell.folder.spool)
    assert {path: oct(mode) for path, mode in found.items() if mode & 0o077} == {}
    assert {"ledger.db", "reports", "assets", "debug", "idle.json"} <= {Path(path).name for path in found}
    assert (shell.folder.root / "events.jsonl").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("umask", UMASKS, ids=oct)
def test_products_are_as_open_as_the_umask_says(shell: Shell, umask: int) -> None:
    shell.folder.record("a.wav")
    shell.type("run", "notes.toml", *shell.where(), code=0, program=under(umask))
    made = modes(shell.folder.product(""))
    assert {mode for path, mode in made.items() if Path(path).is_file()} == {0o666 & ~umask}
    assert {mode for path, mode in made.items() if Path(path).is_dir()} == {0o777 & ~umask}


def test_a_spool_that_everybody_may_write_to_runs_nothing(shell: Shell) -> None:
    shell.folder.record("a.wav")
    shell.folder.spool.mkdir(mode=0o700)
    shell.folder.spool.chmod(0o777)
    said = shell.run(code=78)
    assert "everybody may write" in said.err
    assert "chmod o-w" in said.err
    assert (shell.folder.calls(), list(shell.folder.spool.iterdir())) == (0, [])
