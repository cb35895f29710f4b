"""What a call holds and gives back: descriptors of its payload, and the proof that its receipt is."""

import gc
import os
import shutil
from decimal import Decimal
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from pipeline.app import RunRequest, run
from pipeline.core.model import Limits
from tests.makers import Folder, outcomes, verdicts
from tests.rig import HANG_S, Act, Rig, SlowRunner
from tests.test_lanes import after

pytestmark = pytest.mark.real_time


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize(
    ("options", "verdict"),
    [({}, "done"), ({"garbage": "no transcript"}, "failed"), ({"fail": "Rejected"}, "failed")],
)
def test_no_descriptor_stays_open_however_a_call_ends(tmp_path: Path, options: dict[str, str], verdict: str) -> None:
    folder = Folder(tmp_path, options=options)
    for number in range(1, 6):
        folder.record(f"{number}.wav", number / 10)
    before = _descriptors()
    assert verdict in verdicts(folder.run()).values()
    assert _descriptors() <= before


@pytest.mark.parametrize("damage", ["cut", "gone", "changed"])
def test_a_receipt_whose_free_answer_is_gone_or_damaged_proves_nothing(tmp_path: Path, damage: str) -> None:
    folder = Folder(tmp_path)
    folder.record("a.wav")
    folder.run()
    (answer,) = folder.spool.glob("assets/*/*.json")
    whole = answer.read_bytes()
    answer.write_bytes(whole[:100] if damage == "cut" else whole.replace(b"one", b"own"))
    if damage == "gone":
        answer.unlink()
    folder.product("a.wav.text.txt").unlink()
    assert verdicts(folder.run())["notes/a.wav#text"] == "done"
    assert (folder.product("a.wav.text.txt").read_text(), folder.calls()) == ("one two three\n", 2)


async def test_a_job_that_failed_tells_what_its_calls_cost(tmp_path: Path, autojump_clock: MockClock) -> None:
    rig = Rig(tmp_path, widths={"r": 2}, paid=True)
    outcomes = await rig.run(rig.job("a", Act(), Act(after_s=1, ends="Rejected")))
    rig.close()
    assert (outcomes["a"].verdict, outcomes["a"].usd) == ("failed", Decimal("0.10"))


@pytest.mark.parametrize(
    ("second", "verdict", "usd", "unpriced"),
    [(Act(after_s=HANG_S), "held", None, 1), (Act(unavailable=99), "not-started", Decimal("0.10"), 0)],
    ids=["in doubt", "not yet taken"],
)
async def test_a_job_that_was_cut_off_tells_what_its_calls_had_cost(
    tmp_path: Path, autojump_clock: MockClock, second: Act, verdict: str, usd: Decimal | None, unpriced: int
) -> None:
    rig = Rig(tmp_path, widths={"r": 2}, paid=True)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: after(1, rig, cut_s=0.1))
        outcomes = await rig.run(rig.job("a", Act(), second))
    rig.close()
    told = outcomes["a"]
    assert (told.verdict, told.usd, told.known_usd, told.unpriced_calls) == (verdict, usd, Decimal("0.10"), unpriced)


def test_two_manifests_of_one_name_do_not_work_in_each_others_scratch(tmp_path: Path) -> None:
    job = '[[job]]\nid = "hi"\nkind = "tts"\ntext = "{}"\nout = "out/{}.wav"\n'
    folder = Folder(tmp_path, options={"delay_s": "0.2"})
    files = []
    for number, text in enumerate(("hello there", "A sentence to be spoken by itself. " * 40)):
        path = tmp_path / f"{number}.toml"
        path.write_text('schema = 1\nname = "one"\n' + job.format(text, number))
        files.append(str(path))
    request = RunRequest(spool=str(folder.spool), files=tuple(files))
    result = trio.run(run, request, folder.settings, folder.world())
    assert not any("failed" in report.counts for report in result.reports)


async def test_nothing_is_kept_of_calls_that_have_ended(tmp_path: Path, autojump_clock: MockClock) -> None:
    rig = Rig(tmp_path, widths={"r": 2})
    kept = []
    gc.collect()
    gc.freeze()  # what is there already is looked at no more
    rig.reached = lambda _: kept.append(sum(isinstance(each, trio.Lock) for each in gc.get_objects()))
    await rig.run(*(rig.job(f"j{number}", Act()) for number in range(12)))
    rig.close()
    assert max(kept) - kept[0] < 6


async def test_an_attempt_gets_its_verdict_however_long_the_ledger_is_busy(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    rig = Rig(tmp_path, widths={"r": 2}, paid=True)
    rig.runner = SlowRunner(30)
    await rig.run(rig.job("a", Act(ends="Rejected")))
    left = rig.ledger.open_attempts()
    rig.close()
    assert left == []


async def test_a_disk_that_fails_before_the_call_is_told_with_its_place_and_nothing_is_sent(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    rig = Rig(tmp_path, widths={"r": 1}, paid=True)
    rig.reached = lambda point: shutil.rmtree(rig.spool.staging) if point == "booked" else None
    outcome = (await rig.run(rig.job("a", Act())))["a"]
    assert (outcome.verdict, outcome.code, rig.sent()) == ("not-started", "io-error", [])
    assert outcome.reason == f"'{rig.spool.staging}': No such file or directory"
    rig.close()


SMALL, LARGE = Limits(max_output_bytes=500), Limits(max_output_bytes=5000)


async def test_a_paid_answer_that_is_too_large_has_failed_was_paid_and_is_made_anew_only_when_a_person_says_so(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    rig = Rig(tmp_path, widths={"r": 1}, paid=True)
    rig.job_limits = SMALL
    outcome = (await rig.run(rig.job("a", Act())))["a"]
    assert (outcome.verdict, outcome.code, outcome.usd) == ("failed", "reply-too-large", None)
    assert outcome.reason == "more than 500 bytes of answer; it was made and is paid for"
    assert [(row.calls, row.unknown) for row in rig.ledger.spend()] == [(1, 1)]
    rig.begin_anew()
    rig.job_limits = LARGE
    assert (await rig.run(rig.job("a", Act())))["a"].verdict == "unchanged"
    assert len(rig.sent()) == 1
    rig.close()


async def test_an_answer_that_cost_nothing_and_is_too_large_is_made_anew_as_soon_as_the_limit_is_raised(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    rig = Rig(tmp_path, widths={"r": 1})
    rig.job_limits = SMALL
    outcome = (await rig.run(rig.job("a", Act())))["a"]
    assert (outcome.verdict, outcome.code, outcome.hint) == ("refused", "limit-bytes", "raise max_output_mb")
    rig.begin_anew()
    assert (await rig.run(rig.job("a", Act())))["a"].verdict == "unchanged"
    rig.begin_anew()
    rig.job_limits = LARGE
    assert (await rig.run(rig.job("a", Act())))["a"].verdict == "done"
    rig.close()


async def test_what_is_made_behind_a_ticket_and_too_large_is_fetched_once_the_limit_is_raised(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    rig = Rig(tmp_path, widths={"r": 1}, paid=True)
    rig.job_limits = SMALL
    film = rig.job("film", Act(is_deferred=True, after_s=5))
    outcome = (await rig.run(film))["film"]
    assert (outcome.verdict, outcome.code) == ("not-started", "deferred")
    assert "max_output_mb" in outcome.hint
    rig.begin_anew()
    rig.job_limits = LARGE
    assert (await rig.run(film))["film"].verdict == "done"
    assert len(rig.sent()) == 1
    rig.close()


def test_what_to_do_about_an_engine_is_told_whole_with_its_quotes(tmp_path: Path) -> None:
    command = "reinstall the engines: pip install --force-reinstall 'mediaspool[local]'"
    folder = Folder(tmp_path, options={"fail": "EngineError:engine-broken", "hint": command})
    folder.record("a.wav")
    outcome = outcomes(folder.run())["notes/a.wav#text"]
    assert (outcome.code, outcome.hint) == ("engine-broken", command)
