"""`doctor` and `routes`: every check has a way to be well and a way to be not."""

import os
import sqlite3
from pathlib import Path

import msgspec
import pytest

from pipeline import doctor
from pipeline.doctor import Checked, Finding, RouteLine, Routes
from pipeline.namesakes import namesakes
from pipeline.runtime import World
from pipeline.state.settings import load_settings
from tests.cli.conftest import Shell, seat
from tests.disks import mounted
from tests.makers import Folder

pytestmark = pytest.mark.real_time


def check(folder: Folder, world: World | None = None) -> Checked:
    answer = doctor.check(seat(folder, world=world))
    assert isinstance(answer.record, Checked)
    assert answer.exit_code == answer.record.exit_code
    return answer.record


def finding(made: Checked, name: str) -> Finding:
    (found,) = [item for item in made.findings if item.check == name]
    return found


def routes(folder: Folder) -> dict[str, RouteLine]:
    answer = doctor.routes(seat(folder))
    assert isinstance(answer.record, Routes)
    return {line.id: line for line in answer.record.routes}


def test_a_healthy_place_is_well(folder: Folder) -> None:
    folder.record("a.wav")
    folder.run()
    made = check(folder)
    assert (made.ok, made.exit_code) == (True, 0)
    assert finding(made, "ledger").summary == "sound, 1 job"


def test_doctor_makes_no_spool_and_leaves_no_probe(folder: Folder) -> None:
    check(folder)
    assert not folder.spool.exists()
    folder.spool.mkdir()
    check(folder)
    assert list(folder.spool.iterdir()) == []


def test_the_models_of_a_route_are_models(folder: Folder) -> None:
    folder.add_route("far", driver="openrouter", base_url="http://127.0.0.1:9/api/v1", key="k" * 20)
    with folder.config.open("a") as file:
        file.write('[routes.far.models]\nspeak = "vendor/voice"\n')
    models = routes(folder)["far"].models
    assert "vendor/voice" in models
    assert "speak" not in models


def test_libmagic_is_named_with_version_and_source(folder: Folder) -> None:
    version, source = finding(check(folder), "libmagic").summary.split()
    assert float(version) > 5
    assert source in ("system", "bundled")


def test_a_ledger_that_is_no_database_is_bad(folder: Folder) -> None:
    folder.spool.mkdir()
    (folder.spool / "ledger.db").write_bytes(b"no database" * 1000)
    made = check(folder)
    assert [item.check for item in made.findings if not item.ok] == ["ledger"]
    assert made.exit_code == 74


def test_a_ledger_with_a_damaged_page_is_bad(folder: Folder) -> None:
    folder.record("a.wav")
    folder.run()
    path = folder.spool / "ledger.db"
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (page,) = database.execute("SELECT rootpage FROM sqlite_master WHERE name = 'jobs'").fetchone()
        (size,) = database.execute("PRAGMA page_size").fetchone()
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(os.urandom(size))
    made = check(folder)
    assert not finding(made, "ledger").ok
    assert made.exit_code == 74


def test_a_missing_engine_is_bad_only_where_jobs_go_to_it_by_default(folder: Folder) -> None:
    folder.configure({}, extra='routes.other.driver = "no-such-driver"\n')
    made = check(folder)
    assert not finding(made, "route other").ok
    assert made.exit_code == 0
    folder.config.write_text('default_route = ["other"]\n[routes.other]\ndriver = "no-such-driver"\n')
    assert check(folder).exit_code == 78


def test_a_missing_key_of_a_default_route_is_77(folder: Folder) -> None:
    folder.config.write_text(
        'default_route = ["paid"]\n[routes.paid]\ndriver = "scripted"\nkey = "NO_SUCH_KEY"\noptions = { paid = "1" }\n'
    )
    made = check(folder)
    assert "NO_SUCH_KEY" in finding(made, "route paid").summary
    assert made.exit_code == 77


def test_nobody_who_is_told_of_runs_is_no_trouble(folder: Folder) -> None:
    assert finding(check(folder), "notify").summary == "nobody is told of runs"


def test_a_secret_that_a_notice_needs_is_looked_for(folder: Folder) -> None:
    folder.configure({}, extra='[notify]\nping_key = "PING"\norigins = ["http://127.0.0.1:9"]\n')
    made = check(folder)
    assert (finding(made, "notify").summary, made.exit_code) == ("there is no secret PING", 78)
    folder.environ["PING_FILE"] = str(folder.root / "ping")
    (folder.root / "ping").write_text("http://127.0.0.1:9/uuid")
    (folder.root / "ping").chmod(0o644)
    assert finding(check(folder), "notify").summary == "the file of secret PING is open to others"
    (folder.root / "ping").chmod(0o600)
    found = finding(check(folder), "notify")
    assert found.ok
    assert "nothing was sent" in found.summary


def test_a_low_disk_is_told(folder: Folder) -> None:
    folder.configure({}, extra="low_disk_mb = 1000000000\n")
    made = check(folder)
    assert finding(made, "disk").hint != ""
    assert made.exit_code == 74


@pytest.mark.privileged
def test_a_disk_that_takes_hardly_a_further_file_is_told_and_every_run_warns(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk") as disk:
        folder = Folder(disk.folder / "user")
        folder.configure({}, extra="low_disk_mb = 1\n")
        folder.record("a.wav")
        folder.run()
        disk.take_files(900)
        assert any("further files (df -i) fit" in warning for warning in folder.run().whole.warnings)
        assert finding(check(folder), "disk").ok
        disk.take_files(100)
        found = finding(check(folder), "disk")
        assert (found.ok, "inodes free" in found.summary, found.exit_code) == (False, True, 74)


@pytest.mark.privileged
def test_a_spool_on_two_disks_is_told(folder: Folder) -> None:
    folder.record("a.wav")
    folder.run()
    with mounted(folder.spool / "quarantine"):
        found = finding(check(folder), "spool")
    assert (found.ok, found.exit_code) == (False, 78)


def test_a_spool_that_cannot_be_written_is_73(folder: Folder) -> None:
    there = msgspec.structs.replace(seat(folder), root="/sys/kernel")
    answer = doctor.check(there)
    assert isinstance(answer.record, Checked)
    found = finding(answer.record, "spool")
    assert (found.ok, found.exit_code) == (False, 73)


@pytest.mark.parametrize("now", [0.0, 1_000_000_000.0, 9_000_000_000.0])
def test_a_clock_that_cannot_be_right_is_told(folder: Folder, now: float) -> None:
    world = msgspec.structs.replace(folder.world(), now=lambda: now)
    assert not finding(check(folder, world), "clock").ok


def test_a_clock_behind_the_last_run_is_told(folder: Folder) -> None:
    folder.record("a.wav")
    folder.run()
    world = msgspec.structs.replace(folder.world(), now=lambda: doctor.MADE + 1)
    assert "a run began at" in finding(check(folder, world), "clock").summary


def test_a_package_of_our_name_before_ours_shadows_it(tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    for folder in (ours, theirs):
        (folder / "pipeline").mkdir(parents=True)
        (folder / "pipeline" / "__init__.py").touch()
    (theirs / "jobs.py").touch()
    before = namesakes(str(ours), [str(theirs), str(ours)])
    behind = namesakes(str(ours), [str(ours), str(theirs)])
    assert [(item.name, item.is_first) for item in before] == [("pipeline", True), ("jobs", True)]
    assert [item.is_first for item in behind] == [False, False]
    assert namesakes(str(ours), [str(ours)]) == ()


def test_doctor_finds_a_module_that_takes_our_name(shell: Shell) -> None:
    (shell.folder.root / "jobs.py").write_text("raise SystemExit('the wrong jobs')")
    shell.environ["PYTHONPATH"] += f":{shell.folder.root}"
    said = shell.type("doctor", "--json", program=(shell.python, "-P", "-m", "pipeline"))
    assert "jobs.py" in said.out


def test_routes_say_what_each_can_do(folder: Folder) -> None:
    line = routes(folder)["scripted"]
    assert (line.operations, line.ok, line.is_default, line.is_paid) == (("speak", "transcribe"), True, True, False)


def test_a_route_never_shows_a_secret_of_its_address(folder: Folder) -> None:
    folder.config.write_text(
        '[routes.far]\ndriver = "scripted"\nbase_url = "https://me:hunter2hunter2@example.org/v1?sig=abcdef"\n'
    )
    answer = doctor.routes(seat(folder))
    assert "hunter2" not in repr(answer)
    assert "abcdef" not in repr(answer)


@pytest.mark.engines
def test_the_embedded_engines_work_here_and_their_weights_are_the_pinned_ones(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    whole = msgspec.structs.replace(
        seat(folder), settings=load_settings(None, {"HOME": str(tmp_path)}), world=_real(folder)
    )
    answer = doctor.check(whole)
    assert isinstance(answer.record, Checked)
    assert {item.check: item.ok for item in answer.record.findings if item.check.startswith("route ")} == {
        "route whisper": True,
        "route hibari": True,
        "route pico": True,
        "route pillow": True,
        "route stills": True,
    }


def _real(folder: Folder) -> World:
    from pipeline.routes import DRIVERS

    return msgspec.structs.replace(folder.world(), drivers=DRIVERS)


CAPPED = "[caps]\nmax_spend_usd_per_day = 1\n"


def test_the_pace_is_looked_at_and_only_matters_where_something_is_kept_in_it(folder: Folder) -> None:
    assert "none yet" in finding(check(folder), "pace").summary
    folder.record("a.wav")
    folder.configure({"paid": "0.5"}, extra=CAPPED)
    folder.run()
    assert "0.5 USD" in finding(check(folder), "pace").summary
    for path in (folder.root / "state/mediaspool").glob("pace.db*"):
        path.write_bytes(b"no database" * 100)
    broken = check(folder)
    assert (finding(broken, "pace").ok, broken.exit_code) == (False, 74)
    folder.configure({})
    healthy = check(folder)
    assert (finding(healthy, "pace").ok, healthy.exit_code) == (False, 0)
