"""Looking up and deciding: status, retry, resolve."""

import os
import shutil
from decimal import Decimal
from pathlib import Path

import pytest

from pipeline import desk, overview
from pipeline.core.errors import ConfigError, RunBusy
from pipeline.core.model import Verdict
from pipeline.desk import Resolved, Retried
from pipeline.held import HeldCall
from pipeline.overview import Status
from pipeline.preview import plan
from pipeline.state.ledger_rows import Resolution
from tests.cli.conftest import ONE_STEP, Shell, locked, seat
from tests.makers import Folder, outcomes, verdicts

pytestmark = pytest.mark.real_time
JOB = "notes/a.wav#text"
ONE_JOB = """
schema = 1
name = "notes"
[[job]]
id = "{id}"
kind = "transcription"
input = "recordings/a.wav"
out = "out/a.txt"
"""


def status(folder: Folder) -> Status:
    answer = overview.status(seat(folder))
    assert isinstance(answer.record, Status)
    assert answer.exit_code == 0
    return answer.record


def retry(folder: Folder, *jobs: str, verdicts: tuple[Verdict, ...] = ()) -> Retried:
    answer = desk.retry(seat(folder), jobs, verdicts)
    assert isinstance(answer.record, Retried), answer
    return answer.record


def resolve(folder: Folder, *jobs: str, decision: Resolution | None = None) -> tuple[HeldCall, ...]:
    answer = desk.resolve(seat(folder), jobs, decision)
    assert isinstance(answer.record, Resolved), answer
    return answer.record.calls


@pytest.fixture
def failed(folder: Folder) -> Folder:
    folder.configure({"fail": "EngineError"})
    folder.record("a.wav")
    folder.run()
    folder.configure({})
    return folder


@pytest.fixture
def held(folder: Folder) -> Folder:
    folder.configure({"fail": "InDoubt", "paid": "0.10"})
    folder.record("a.wav")
    folder.run()
    folder.configure({"paid": "0.10"})
    return folder


def test_status_before_the_first_run_is_empty_and_makes_nothing(folder: Folder) -> None:
    assert status(folder).counts == {}
    assert not folder.spool.exists()


def test_status_counts_as_manifests_what_a_run_would_take_for_one(failed: Folder) -> None:
    (failed.spool / "incoming" / "a.toml").touch()
    (failed.spool / "incoming" / "notes.txt").touch()
    (failed.spool / "incoming" / "folder.toml").mkdir()
    assert status(failed).manifests["incoming"] == 1


def test_status_and_plan_name_what_looks_like_a_manifest_and_is_taken_by_no_run(failed: Folder) -> None:
    (failed.spool / "incoming" / "folder.toml").mkdir()
    (failed.spool / "standing" / "daily.YAML").touch()
    for name in (".hidden.yml", "notes.txt", "a.toml"):
        (failed.spool / "incoming" / name).touch()
    (failed.spool / "incoming" / "recordings").mkdir()
    told = (
        "incoming/folder.toml/ is taken by no run: it is a folder; put the manifest itself into incoming/",
        "standing/daily.YAML is taken by no run: YAML is not read; write it as .toml, .json, .jsonl, .ndjson",
    )
    assert status(failed).passed_over == told
    assert set(told) <= set(overview.status(seat(failed)).text.splitlines())
    assert plan(seat(failed), ()).text.count("is taken by no run") == 2
    assert "is taken by no run" not in plan(seat(failed), (str(failed.manifest),)).text


def test_the_command_beside_a_refusal_takes_it_out_of_the_status_though_its_file_is_gone(folder: Folder) -> None:
    odd = folder.record("a.mp3")
    odd.write_bytes(b"<!doctype html><html></html>")
    folder.run()
    odd.unlink()
    (problem,) = status(folder).problems
    assert problem.next == f"mediaspool retry --spool {folder.spool} --config {folder.config} '{problem.id}'"
    assert retry(folder, problem.id).jobs == (problem.id,)
    assert status(folder).problems == ()


def test_status_shows_counts_problems_and_the_last_run(failed: Folder) -> None:
    found = status(failed)
    (problem,) = found.problems
    assert found.counts == {"failed": 1}
    assert (problem.id, problem.verdict, problem.manifest) == (JOB, "failed", "notes")
    assert problem.next == f"mediaspool retry --spool {failed.spool} --config {failed.config} '{JOB}'"
    assert found.runs[0].exit_code == 3


def test_status_says_why_jobs_were_left_by_the_last_run_and_what_the_exit_code_means(folder: Folder) -> None:
    folder.configure({"fail": "StoreError:disk-full"})
    folder.record("a.wav")
    folder.record("b.wav")
    assert set(verdicts(folder.run()).values()) == {"not-started"}
    (left,) = status(folder).left
    assert (left.manifest, left.jobs, left.code) == ("notes", 2, "disk-full")
    assert left.next == f"mediaspool clean --spool {folder.spool} --config {folder.config}"
    text = overview.status(seat(folder)).text
    assert "ended with 74 (input/output error" in text
    assert f"  left     2 jobs of notes [disk-full]\n           {left.reason}\n           next: {left.next}\n" in text


def test_why_the_last_run_stopped_is_told_before_the_problems_of_earlier_ones(folder: Folder) -> None:
    folder.record("a.wav").write_bytes(b"<!doctype html><html></html>")
    folder.run()
    folder.configure({"fail": "StoreError:disk-full"})
    folder.record("b.wav")
    folder.run()
    text = overview.status(seat(folder)).text
    assert 0 < text.index("[disk-full]") < text.index("refused  notes/a.wav#text")


def test_status_does_without_reports(folder: Folder) -> None:
    folder.run()
    shutil.rmtree(folder.spool / "reports")
    assert status(folder).left == ()


def test_what_an_earlier_run_left_is_not_told_after_one_that_made_it(folder: Folder) -> None:
    folder.configure({"fail": "StoreError:disk-full"})
    folder.record("a.wav")
    folder.run()
    folder.configure({})
    folder.run()
    assert status(folder).left == ()
    folder.run()
    assert status(folder).left == ()


def test_status_works_beside_a_running_run_and_names_its_process(failed: Folder) -> None:
    assert status(failed).running is None
    with locked(failed.spool):
        assert status(failed).running == os.getpid()


def test_a_held_call_is_shown_with_its_price_and_time_and_counted_as_spent(held: Folder) -> None:
    found = status(held)
    (call,) = found.held
    assert (call.job, call.route, call.operation, str(call.worst_usd)) == (JOB, "scripted", "transcribe", "0.10")
    assert call.sent_at.startswith("20")
    assert str(found.spend[0].doubtful_usd) == "0.10"


def test_a_retried_job_runs_again(failed: Folder) -> None:
    assert verdicts(failed.run()) == {JOB: "unchanged"}
    assert retry(failed).jobs == (JOB,)
    assert verdicts(failed.run()) == {JOB: "done"}


def test_retry_says_where_the_job_runs_again(failed: Folder) -> None:
    assert "or with the manifest that the jobs are in" in desk.retry(seat(failed), (), ()).text


def test_retry_takes_only_what_is_asked_for(failed: Folder) -> None:
    assert retry(failed, verdicts=("suspect", "refused")).jobs == ()
    assert verdicts(failed.run()) == {JOB: "unchanged"}
    assert retry(failed, verdicts=("suspect", "failed")).jobs == (JOB,)


def test_a_done_job_that_is_named_is_made_anew_over_its_own_products(folder: Folder) -> None:
    folder.record("a.wav")
    folder.run()
    folder.configure({"text": "four five six"})
    retry(folder, JOB)
    assert verdicts(folder.run()) == {JOB: "done"}
    assert folder.calls() == 2
    assert folder.product("a.wav.text.txt").read_text().strip() == "four five six"


def test_a_retry_does_not_overwrite_what_somebody_edited(folder: Folder) -> None:
    folder.record("a.wav")
    folder.run()
    folder.product("a.wav.text.txt").write_text("mine")
    retry(folder, JOB)
    assert outcomes(folder.run())[JOB].code == "product-edited"
    assert folder.product("a.wav.text.txt").read_text() == "mine"


def test_a_job_that_nobody_knows_is_a_wrong_command_line(failed: Folder) -> None:
    answer = desk.retry(seat(failed), ["no such job"], ())
    assert answer.exit_code == 2
    assert status(failed).counts == {"failed": 1}


def test_a_retry_puts_a_finished_manifest_back_for_the_next_tick(shell: Shell) -> None:
    folder = shell.folder
    folder.configure({"fail": "EngineError"}, extra='manifest_settle = "0s"\n')
    folder.record("a.wav")
    (folder.spool / "incoming").mkdir(parents=True)
    manifest = ONE_STEP.replace('"recordings/', '"../../recordings/').replace('"out/', '"../../out/')
    (folder.spool / "incoming" / "drop.toml").write_text(manifest)
    shell.type("run", *shell.where(), code=3)
    assert (folder.spool / "failed" / "drop.toml").exists()
    folder.configure({}, extra='manifest_settle = "0s"\n')
    shell.type("retry", *shell.where(), code=0)
    shell.type("run", *shell.where(), code=0)
    assert folder.product("a.wav.text.txt").exists()
    assert (folder.spool / "done" / "drop.toml").exists()
    assert list((folder.spool / "failed").iterdir()) == []


def test_a_decision_ends_the_rest_of_an_idle_spool(failed: Folder) -> None:
    (failed.spool / "idle.json").write_text("{}")
    retry(failed)
    assert not (failed.spool / "idle.json").exists()


def test_a_held_call_that_is_paid_again_is_sent_by_the_next_run(held: Folder) -> None:
    resolve(held, JOB, decision="pay-again")
    assert status(held).held == ()
    assert held.calls() == 1
    assert verdicts(held.run()) == {JOB: "done"}
    assert held.calls() == 2


DAILY = """
schema = 1
[[job]]
id = "{0}"
kind = "tts"
text = "Good morning, {1}."
out = "../../out/{0}.wav"
"""


def drop_daily(folder: Folder, *jobs: str) -> None:
    """Every day another manifest of one name, each run before the next one comes."""
    (folder.spool / "incoming").mkdir(parents=True, exist_ok=True)
    for number, job in enumerate(jobs):
        (folder.spool / "incoming/daily.toml").write_text(DAILY.format(job, number))
        folder.run_spool()


def test_a_retry_takes_up_the_manifests_that_its_jobs_are_in_among_many_of_one_name(folder: Folder) -> None:
    drop_daily(folder, "monday", "tuesday", "wednesday", "thursday")
    assert retry(folder, "tuesday", "thursday").manifests == ("daily", "daily")
    assert verdicts(folder.run_spool()) == {"tuesday": "done", "thursday": "done"}
    assert verdicts(folder.run_spool()) == {}
    assert folder.calls() == 6


def test_a_retry_takes_up_the_newest_manifest_of_a_job_that_was_asked_for_in_many(folder: Folder) -> None:
    drop_daily(folder, "word", "word", "word")
    assert retry(folder, "word").manifests == ("daily",)
    assert verdicts(folder.run_spool()) == {"word": "done"}
    asked = [path.read_text() for path in (folder.spool / "done").glob("*.toml")]
    assert len(asked) == 3
    assert folder.calls() == 4


def test_a_held_call_that_is_dropped_fails_its_job_until_a_retry(held: Folder) -> None:
    resolve(held, JOB, decision="drop")
    assert verdicts(held.run()) == {JOB: "unchanged"}
    assert status(held).problems[0].verdict == "failed"
    assert held.calls() == 1
    retry(held)
    assert verdicts(held.run()) == {JOB: "done"}


def test_resolve_without_a_decision_lists_and_changes_nothing(held: Folder) -> None:
    (call,) = resolve(held)
    assert call.next == f"mediaspool resolve --spool {held.spool} --config {held.config} '{JOB}'"
    assert len(status(held).held) == 1


def test_a_held_call_may_be_named_by_its_attempt(held: Folder) -> None:
    (call,) = resolve(held)
    assert [found.job for found in resolve(held, call.attempt, decision="drop")] == [JOB]


def test_a_decision_about_several_jobs_must_name_them_all_and_is_made_for_all_or_none(folder: Folder) -> None:
    folder.configure({"fail": "InDoubt", "paid": "0.10"})
    for name, seconds in (("a.wav", 1), ("b.wav", 2), ("c.wav", 3)):
        folder.record(name, seconds=seconds)
    folder.run()
    first, second, third = (f"notes/{name}.wav#text" for name in "abc")
    assert desk.resolve(seat(folder), (), "pay-again").exit_code == 2
    wrong = desk.resolve(seat(folder), (first, "nobody"), "pay-again")
    assert (wrong.exit_code, "no call of 'nobody' is held" in wrong.text) == (2, True)
    assert len(status(folder).held) == 3
    assert {call.job for call in resolve(folder, first, third, decision="drop")} == {first, third}
    assert [call.job for call in status(folder).held] == [second]


def test_invariant_3_a_doubtful_call_of_a_killed_run_is_held_listed_and_resolvable(shell: Shell) -> None:
    folder = shell.folder
    folder.configure({"paid": "0.10", "delay_s": "3000"})
    folder.record("a.wav")
    folder.calls_file.unlink(missing_ok=True)
    os.mkfifo(folder.calls_file)
    reader = os.open(folder.calls_file, os.O_RDWR)
    process = shell.start("run", "notes.toml", *shell.where())
    os.read(reader, 100)
    process.kill()
    process.wait()
    os.close(reader)
    folder.calls_file.unlink()
    folder.configure({"paid": "0.10"})
    assert status(folder).open_attempts == 1
    shell.run(code=3)
    (call,) = status(folder).held
    assert call.job == JOB
    shell.type("resolve", JOB, "--pay-again", *shell.where(), code=0)
    shell.run(code=0)


def test_the_way_to_decide_about_a_job_whose_name_begins_with_a_dash_is_told_and_works(shell: Shell) -> None:
    folder = shell.folder
    folder.manifest.write_text(ONE_JOB.format(id="-rf"))
    folder.configure({"fail": "InDoubt", "paid": "0.10"})
    folder.record("a.wav")
    folder.run()
    listed = shell.type("resolve", *shell.where(), code=0).err
    assert "-- -rf, with --pay-again or --drop before the --\n" in listed
    wrong = shell.type("resolve", *shell.where(), "--", "-rf", "--drop", code=2).err
    assert "behind -- stand names of jobs only: put --drop before it" in wrong
    shell.type("resolve", *shell.where(), "--drop", "--", "-rf", code=0)
    assert status(folder).held == ()


def test_deciding_needs_the_lock(failed: Folder) -> None:
    with locked(failed.spool), pytest.raises(RunBusy):
        retry(failed)


def test_deciding_where_no_spool_is_makes_none(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    with pytest.raises(ConfigError):
        retry(folder)
    assert not folder.spool.exists()


def test_status_says_of_calls_without_a_verdict_that_nobody_knows_what_they_cost_at_worst(folder: Folder) -> None:
    folder.record("a.wav")
    folder.configure({"fail": "InDoubt", "paid": "unknown"})
    folder.run()
    assert "0 USD for 0 calls, and an unknown price for 1 without a verdict" in overview.status(seat(folder)).text
    assert [row.doubtful_unknown for row in status(folder).spend] == [1]


def test_status_shows_the_caps_of_day_and_month_and_what_is_used_of_them(folder: Folder) -> None:
    caps = "[caps]\nmax_spend_usd_per_day = 2\nmax_requests_per_month = 9\nmax_spend_usd_per_run = 1\n"
    folder.record("a.wav")
    folder.configure({"paid": "0.5"}, extra=caps)
    folder.run()
    told = {use.cap: (use.used, use.most) for use in status(folder).caps}
    assert told == {
        "max_spend_usd_per_day": (Decimal("0.5"), Decimal(2)),
        "max_requests_per_month": (Decimal(1), Decimal(9)),
    }
    assert "max_spend_usd_per_day: 0.5 of 2 USD used" in overview.status(seat(folder)).text
    for path in (folder.root / "state/mediaspool").glob("pace.db*"):
        path.write_bytes(b"no database" * 100)
    assert {use.used for use in status(folder).caps} == {None}
