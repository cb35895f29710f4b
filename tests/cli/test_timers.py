"""`install-cron` and `install-systemd`: lines and units that can be read, and nothing replaced that is not ours."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from pipeline.core.errors import ConfigError, StoreError
from pipeline.timers import HEADER, Installed, Where, cron, schedule, systemd, unit_name
from tests.cli.conftest import Shell, seat
from tests.makers import Folder

LOOK, ODD = Where(is_real=False), 'a spool 100% $HOME "quoted" ü'
KEYED = """
[notify]
ping_key = "PING"
[routes.far]
driver = "openrouter"
key = "FAR_KEY"
options = { "key.speak" = "VOICE" }
"""


def installed(answer: object) -> Installed:
    assert isinstance(answer, Installed)
    return answer


@pytest.mark.parametrize(
    ("seconds", "fields"),
    [
        (60, r"\* \* \* \* \*"),
        (300, r"[0-4]-59/5 \* \* \* \*"),
        (3600, r"[0-9]{1,2} \* \* \* \*"),
        (7200, r"[0-9]{1,2} \*/2 \* \* \*"),
        (86_400, r"[0-9]{1,2} [0-9]{1,2} \* \* \*"),
    ],
)
def test_a_schedule_is_five_fields_of_cron(seconds: int, fields: str) -> None:
    assert re.fullmatch(fields, schedule(seconds, "/srv/spool"))


@pytest.mark.parametrize("seconds", [0.5, 59, 5400, 86_401])
def test_what_cron_cannot_do_is_refused(seconds: float) -> None:
    with pytest.raises(ConfigError):
        schedule(seconds, "/srv/spool")


def test_the_line_of_cron_gives_the_shell_back_the_spool_as_it_is_called(folder: Folder) -> None:
    folder.spool = folder.root / ODD
    line = cron(seat(folder), 300, None, LOOK).lines
    command = line.split(" ", 5)[5].replace("\\%", "%")
    words = shlex.split(command)
    assert words[words.index("--spool") + 1] == str(folder.spool)
    assert "%" not in re.sub(r"\\%", "", line)


def test_only_the_line_goes_to_stdout_so_that_it_can_be_piped_into_crontab(shell: Shell) -> None:
    said = shell.type("install-cron", "--spool", "spool", code=0)
    assert said.out.count("\n") == 1
    assert "crontab -" in said.err


def test_the_command_that_adds_the_line_makes_that_very_line(folder: Folder) -> None:
    made = cron(seat(folder), 600, None, LOOK)
    (added,) = installed(made.record).then
    words = shlex.split(added.removeprefix("(crontab -l; ").removesuffix(") | crontab -"))
    typed = dict(zip(words[2::2], words[3::2], strict=True))
    assert typed == {"--spool": str(folder.spool), "--config": str(folder.config), "--every": "10m"}
    assert "--every" not in installed(cron(seat(folder), 300, None, LOOK).record).then[0]


def test_a_file_for_cron_names_whose_runs_they_are(folder: Folder, tmp_path: Path) -> None:
    into = Where(is_real=True, folder=str(tmp_path / "cron.d"))
    with pytest.raises(ConfigError):
        cron(seat(folder), 300, None, into)
    cron(seat(folder), 300, "media", into)
    (path,) = (tmp_path / "cron.d").iterdir()
    assert path.read_text().startswith(HEADER)
    assert " media " in path.read_text().splitlines()[-1]


@pytest.mark.parametrize("user", [None, "daemon"])
@pytest.mark.parametrize("name", ["spool", ODD])
def test_systemd_itself_finds_nothing_wrong_with_the_units(
    folder: Folder, tmp_path: Path, user: str | None, name: str
) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed here")
    folder.spool = folder.root / name
    folder.configure({}, KEYED)
    units = tmp_path / "units"
    systemd(seat(folder), 300, user, Where(is_real=True, folder=str(units)))
    files = sorted(str(path) for path in units.iterdir())
    assert [path.rpartition(".")[2] for path in files] == ["path", "service", "timer"]
    scope = ["--user"] if user is None else []
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *scope, *files], capture_output=True, check=False, timeout=100
    )
    mine = [line for line in done.stderr.decode().splitlines() if unit_name(str(folder.spool)) in line]
    assert mine == []


def test_keys_come_from_credentials_and_are_never_in_a_unit(folder: Folder) -> None:
    folder.configure({}, KEYED)
    answer = systemd(seat(folder), 300, "daemon", LOOK)
    assert "LoadCredential=FAR_KEY:%E/mediaspool/FAR_KEY" in answer.lines
    assert "LoadCredential=PING:%E/mediaspool/PING" in answer.lines
    assert "LoadCredential=VOICE:%E/mediaspool/VOICE" in answer.lines
    assert "/etc/mediaspool/FAR_KEY" in answer.text


def test_a_unit_of_the_system_may_write_where_products_go_and_nowhere_else(folder: Folder) -> None:
    answer = systemd(seat(folder), 300, "daemon", LOOK)
    assert "ProtectSystem=strict" in answer.lines
    assert f"ReadWritePaths={folder.spool} {folder.root}\n" in answer.lines


@pytest.mark.parametrize("user", [None, "daemon"])
def test_a_unit_starts_no_run_without_the_disks_of_spool_and_products(folder: Folder, user: str | None) -> None:
    folder.spool = folder.root / "a $pool of 5%"
    answer = systemd(seat(folder), 300, user, LOOK)
    assert f'RequiresMountsFor="{folder.root}/a $pool of 5%%" {folder.root}\n' in answer.lines


def test_what_somebody_else_wrote_stays_and_what_was_written_here_is_replaced(folder: Folder, tmp_path: Path) -> None:
    into = Where(is_real=True, folder=str(tmp_path / "units"))
    systemd(seat(folder), 300, None, into)
    systemd(seat(folder), 600, None, into)
    timer = tmp_path / "units" / f"{unit_name(str(folder.spool))}.timer"
    assert "OnUnitInactiveSec=600s" in timer.read_text()
    timer.write_text("[Timer]\n")
    with pytest.raises(StoreError):
        systemd(seat(folder), 300, None, into)
    assert timer.read_text() == "[Timer]\n"


def test_two_spools_have_units_of_their_own() -> None:
    names = {unit_name(path) for path in ("/srv/spool", "/srv/other", "/srv/sp ool", "/mnt/sp ool")}
    assert len(names) == 4


@pytest.fixture(autouse=True)
def _steady(folder: Folder) -> None:
    folder.environ["HOME"] = str(folder.root / "home")
