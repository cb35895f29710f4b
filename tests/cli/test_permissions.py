"""Who may read what a whole run leaves: the spool is its owner's under any umask, products follow the umask."""

import stat
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline import desk, doctor, overview, retention, spending, verify
from pipeline.answer import Answer
from pipeline.core.errors import ConfigError
from pipeline.report import exit_code
from pipeline.seat import Seat
from tests.cli.conftest import SCRIPTED, Shell, seat
from tests.makers import Folder

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


LOOKS: dict[str, Callable[[Seat], Answer]] = {
    "status": overview.status,
    "spend": lambda seat: spending.spend(seat, "route"),
    "verify": lambda seat: verify.verify(seat, is_repairing=False),
    "clean": lambda seat: retention.clean(seat, is_real=False, asset_days=None),
    "retry": lambda seat: desk.retry(seat, (), ()),
    "resolve": lambda seat: desk.resolve(seat, (), None),
}


@pytest.mark.parametrize("look", LOOKS)
def test_a_spool_that_this_user_may_not_look_into_is_told_as_that_and_never_as_empty(
    folder: Folder, request: pytest.FixtureRequest, look: str
) -> None:
    folder.record("a.wav")
    folder.run()
    mine = seat(folder)
    folder.spool.chmod(0)
    request.getfixturevalue("ordinary_user")
    with pytest.raises(ConfigError, match="may not be read by this user") as error:
        LOOKS[look](mine)
    assert exit_code(outcomes=[], errors=[error.value]) == 78


def test_doctor_says_that_a_ledger_may_not_be_read_rather_than_that_there_is_none(
    folder: Folder, request: pytest.FixtureRequest
) -> None:
    folder.record("a.wav")
    folder.run()
    mine = seat(folder)
    folder.spool.chmod(0)
    request.getfixturevalue("ordinary_user")
    made = doctor.check(mine).record
    assert isinstance(made, doctor.Checked)
    (ledger,) = [item for item in made.findings if item.check == "ledger"]
    assert (ledger.ok, ledger.exit_code) == (False, 78)
