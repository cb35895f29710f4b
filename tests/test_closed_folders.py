"""Output folders that may not be written to: only their own jobs wait, and nothing more is paid for them."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline import preview
from tests.cli.conftest import seat
from tests.disks import Disk, mounted
from tests.makers import Folder, outcomes, verdicts

pytestmark = [pytest.mark.real_time, pytest.mark.privileged]
Close = Callable[[bool], None]
PAID = {"paid": "0.10"}


def a_folder(root: Path, *outs: str, options: dict[str, str] = PAID) -> Folder:
    """A paid job for each of `outs`, which is also its id."""
    jobs = [
        f'[[job]]\nid = "{out}"\nkind = "tts"\ntext = "Words for {out}."\nvoice = "one"\nout = "{out}.wav"\n'
        for out in outs
    ]
    return Folder(root, manifest="\n".join(['schema = 1\nname = "notes"', *jobs]), options=options)


@pytest.fixture
def close(tmp_path: Path) -> Iterator[Close]:
    """Closes or opens the folder `closed`: by its mode, or for root, to whom modes say nothing, by the disk it is."""
    place = tmp_path / "closed"
    place.mkdir()
    if os.geteuid():
        yield lambda is_so: place.chmod(0o500 if is_so else 0o700)
        place.chmod(0o700)
        return
    with mounted(place) as disk:
        yield disk.read_only


def test_jobs_of_a_closed_folder_wait_unpaid_and_all_others_are_done(tmp_path: Path, close: Close) -> None:
    folder = a_folder(tmp_path, "closed/a", "closed/below/b", "open/c")
    close(True)
    for _ in range(2):
        result = folder.run()
        told = outcomes(result)
        assert (result.whole.exit_code, folder.calls(), told["open/c"].verdict == "not-started") == (73, 1, False)
        waiting = {(told[job].verdict, told[job].code) for job in ("closed/a", "closed/below/b")}
        assert waiting == {("not-started", "output-unwritable")}
    close(False)
    result = folder.run()
    assert verdicts(result) == {"closed/a": "done", "closed/below/b": "done", "open/c": "unchanged"}
    assert folder.calls() == 3


def test_a_plan_says_that_a_folder_is_closed(tmp_path: Path, close: Close) -> None:
    folder = a_folder(tmp_path, "closed/a")
    close(True)
    answer = preview.plan(seat(folder), (str(folder.manifest),))
    assert f"'{folder.root}/closed' may not be written to [output-unwritable]" in answer.lines + answer.text


def test_a_folder_that_closes_behind_the_plan_costs_the_calls_under_way_and_no_more(
    tmp_path: Path, close: Close
) -> None:
    folder = a_folder(tmp_path, *(f"closed/{number}" for number in range(20)), "open/c")
    folder.reached = lambda point: close(True) if point == "planned" else None
    result = folder.run()
    assert (verdicts(result)["open/c"], result.whole.exit_code) == ("done", 73)
    assert folder.calls() <= 5  # those of four jobs that were under way, and the one that is done
    folder.reached = lambda _point: None
    close(False)
    folder.run()
    assert folder.calls() == 21


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Disk]:
    with mounted(tmp_path / "closed", "2m") as disk:
        yield disk


def test_a_full_disk_that_is_not_the_spools_keeps_its_own_jobs_waiting_unpaid(tmp_path: Path, small: Disk) -> None:
    folder = a_folder(tmp_path, "closed/a", "closed/below/b", "open/c")
    small.fill()
    result = folder.run()
    told = outcomes(result)
    assert (verdicts(result)["open/c"], result.whole.exit_code, folder.calls()) == ("done", 74, 1)
    assert {(told[job].verdict, told[job].code) for job in ("closed/a", "closed/below/b")} == {
        ("not-started", "disk-full")
    }
    small.empty()
    assert set(verdicts(folder.run()).values()) == {"done", "unchanged"}


def test_a_disk_that_is_full_behind_the_plan_costs_the_calls_under_way_and_no_more(tmp_path: Path, small: Disk) -> None:
    folder = a_folder(tmp_path, *(f"closed/{number}" for number in range(20)), "open/c")
    folder.reached = lambda point: small.fill() if point == "planned" else None
    result = folder.run()
    assert (verdicts(result)["open/c"], result.whole.exit_code) == ("done", 74)
    assert folder.calls() <= 5


def test_a_file_that_may_not_be_replaced_closes_no_folder(tmp_path: Path) -> None:
    folder = a_folder(tmp_path, "out/a")
    folder.run()
    receipt = tmp_path / "out" / "a.wav.receipt.json"
    if shutil.which("chattr") is None or subprocess.run(["chattr", "+i", receipt], check=False).returncode:
        pytest.skip("needs root, and a disk that knows chattr +i")
    try:
        more = a_folder(tmp_path / "more", "out/a", *(f"out/{number}" for number in range(12))).manifest.read_text()
        folder.manifest.write_text(more.replace("Words for out/a.", "Other words for out/a."))
        result = folder.run()
    finally:
        subprocess.run(["chattr", "-i", receipt], check=True)
    assert [job for job, verdict in verdicts(result).items() if verdict != "done"] == ["out/a"]


def test_what_a_provider_made_for_a_closed_folder_is_fetched_before_it_is_gone_there(
    tmp_path: Path, close: Close
) -> None:
    deferred = {**PAID, "deferred": "yes"}
    folder = a_folder(tmp_path, "closed/a", options={**deferred, "fail": "Unavailable"})
    assert outcomes(folder.run())["closed/a"].code == "deferred"
    close(True)
    folder.configure(deferred)
    assert outcomes(folder.run())["closed/a"].code == "output-unwritable"
    folder.configure({**deferred, "fail": "Rejected"})  # the provider knows nothing of it any more
    close(False)
    assert verdicts(folder.run()) == {"closed/a": "done"}
    assert folder.calls() == 1
