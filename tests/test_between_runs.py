"""The world changes between two runs: by hand, by `clean`, by a copy put back. Nothing is paid twice for it."""

import errno
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline import desk
from pipeline.core.errors import LedgerError
from pipeline.rebuild import rebuild
from pipeline.report import summary
from pipeline.verify import Verified, verify
from tests.cli.conftest import seat
from tests.makers import Folder, outcomes, verdicts
from tests.standin.fixture import StandIn
from tests.test_hands import meanwhile
from tests.tracer import Fault, Tracer

pytestmark = pytest.mark.real_time

Change = Callable[[Folder], object]
SPEECH = """
schema = 1
name = "talk"
[[job]]
id = "hello"
kind = "tts"
text = "Good morning."
out = "out/hello.wav"
"""
HELLO = "hello.wav"


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path, manifest=SPEECH, options={"paid": "0.01"})


def rewrite(folder: Folder, old: str, new: str) -> None:
    folder.manifest.write_text(folder.manifest.read_text().replace(old, new))


def move_products(folder: Folder) -> None:
    folder.product("").rename(folder.root / "there")
    rewrite(folder, "out/", "there/")


def clean_answers(folder: Folder) -> None:
    shutil.rmtree(folder.spool / "assets")


MOVED: dict[str, Change] = {
    "the manifest renamed": lambda folder: rewrite(folder, 'name = "talk"', 'name = "talks"'),
    "the job renamed": lambda folder: rewrite(folder, 'id = "hello"', 'id = "morning"'),
    "another place": lambda folder: rewrite(folder, "out/", "there/"),
    "another name": lambda folder: rewrite(folder, "out/hello", "out/morning"),
    "moved along": move_products,
}


@pytest.mark.parametrize("change", MOVED.values(), ids=MOVED)
def test_a_product_that_is_there_is_not_paid_for_again_though_its_answer_was_cleaned(
    folder: Folder, change: Change
) -> None:
    folder.run()
    made = folder.product(HELLO).read_bytes()
    clean_answers(folder)
    change(folder)
    (outcome,) = outcomes(folder.run()).values()
    assert (outcome.verdict, folder.calls()) == ("done", 1)
    assert Path(outcome.products[0]).read_bytes() == made
    assert set(verdicts(folder.run()).values()) == {"unchanged"}


def put_in_its_way(folder: Folder) -> Path:
    rewrite(folder, "out/", "there/")
    theirs = folder.root / "there" / HELLO
    theirs.parent.mkdir()
    theirs.write_text("mine")
    return theirs


def test_a_product_that_is_there_is_not_paid_for_again_because_a_file_was_in_the_way_of_its_new_place(
    folder: Folder,
) -> None:
    folder.run()
    clean_answers(folder)
    theirs = put_in_its_way(folder)
    assert [verdicts(folder.run())["hello"] for _ in range(2)] == ["refused", "unchanged"]
    theirs.unlink()
    assert (verdicts(folder.run()), folder.calls()) == ({"hello": "done"}, 1)


def test_a_retry_of_a_job_that_was_refused_makes_it_anew(folder: Folder) -> None:
    folder.run()
    theirs = put_in_its_way(folder)
    folder.run()
    desk.retry(seat(folder), ["hello"], ())
    theirs.unlink()
    clean_answers(folder)
    assert (verdicts(folder.run()), folder.calls()) == ({"hello": "done"}, 2)


def test_a_retry_makes_a_job_anew_though_another_one_has_the_same_result(folder: Folder) -> None:
    rewrite(
        folder, "[[job]]", '[[job]]\nid = "twin"\nkind = "tts"\ntext = "Good morning."\nout = "out/twin.wav"\n[[job]]'
    )
    folder.run()
    desk.retry(seat(folder), ["hello"], ())
    assert verdicts(folder.run()) == {"twin": "unchanged", "hello": "done"}
    assert folder.calls() == 2


def test_a_product_that_is_edited_while_it_is_put_in_another_place_is_not_taken_for_the_one_that_was_made(
    folder: Folder,
) -> None:
    folder.run()
    rewrite(folder, "out/", "there/")
    meanwhile(folder, "planned", lambda: folder.product(HELLO).write_bytes(b"mine"))
    (outcome,) = outcomes(folder.run()).values()
    assert (outcome.verdict, outcome.code) == ("not-started", "input-changing")
    assert verdicts(folder.run()) == {"hello": "done"}
    assert (folder.root / "there" / HELLO).read_bytes() != b"mine"
    assert folder.calls() == 1


def flip(body: bytes) -> bytes:
    return body[:-1] + bytes([body[-1] ^ 1])


@pytest.mark.parametrize("spoil", [flip, lambda body: body[:-100]], ids=["another bit", "cut short"])
def test_nothing_is_made_of_an_answer_that_is_not_what_came_and_nothing_paid_before_somebody_has_looked(
    folder: Folder, spoil: Callable[[bytes], bytes]
) -> None:
    folder.run()
    (answer,) = (folder.spool / "assets").rglob("*.wav")
    answer.write_bytes(spoil(answer.read_bytes()))
    folder.product(HELLO).unlink()
    told = folder.run()
    assert (outcomes(told)["hello"].code, verdicts(told)) == ("answer-damaged", {"hello": "failed"})
    assert "next: mediaspool verify" in summary(told.whole)
    assert not folder.product(HELLO).exists()
    assert (verdicts(folder.run()), folder.calls()) == ({"hello": "unchanged"}, 1)
    verify(seat(folder), is_repairing=True)
    assert (verdicts(folder.run()), folder.calls()) == ({"hello": "done"}, 2)


def test_an_answer_that_the_disk_does_not_give_is_damaged_and_the_rest_is_looked_at_all_the_same(
    folder: Folder, tracer: Tracer
) -> None:
    folder.run()

    def told(*, is_repairing: bool) -> int:
        record = verify(seat(folder), is_repairing=is_repairing).record
        assert isinstance(record, Verified)
        (finding,) = record.findings
        return ["damaged", "set aside"].index(finding.state) + 10 * record.products

    fault = Fault(call="pread64", nth=1, error=errno.EIO, below=str(folder.spool / "assets"))
    looked = tracer.run(lambda: told(is_repairing=False), fault=fault)
    repaired = tracer.run(lambda: told(is_repairing=True), fault=fault)
    assert (looked.code, repaired.code) == (10, 11)
    assert [path.suffix for path in (folder.spool / "quarantine").iterdir()] == [".wav"]


DROPPED = """
schema = 1
[defaults]
route = ["shop"]
[[job]]
id = "word"
kind = "text"
prompt = "{0}"
out = "../../out/word.txt"
[[job]]
id = "said"
kind = "tts"
text = "The kites are high."
out = "../../out/said.mp3"
"""


def test_a_newer_manifest_of_the_same_name_says_what_its_jobs_are_though_an_older_one_is_still_held(
    folder: Folder, standin: StandIn
) -> None:
    """Each put its own wording back in its turn: at every second tick the product was the old one again."""
    folder.add_route("shop", driver="openrouter", base_url=standin.base_url, key=standin.key)
    standin.fault("close-after-body", path="speak", times=1)
    (folder.spool / "incoming").mkdir(parents=True)
    drop = folder.spool / "incoming/day.toml"
    drop.write_text(DROPPED.format("Good morning."))
    assert verdicts(folder.run_spool()) == {"word": "done", "said": "held"}
    drop.write_text(DROPPED.format("Good evening."))
    assert verdicts(folder.run_spool())["word"] == "done"
    evening = folder.product("word.txt").read_bytes()
    for _ in range(3):
        assert verdicts(folder.run_spool()) == {"word": "unchanged", "said": "held"}
        assert folder.product("word.txt").read_bytes() == evening
    assert standin.paid("complete") == 2
    desk.resolve(seat(folder), ["said"], "pay-again")
    assert verdicts(folder.run_spool())["said"] == "done"
    assert not list((folder.spool / "claimed").glob("*.toml"))


def test_an_older_copy_of_the_ledger_stops_the_run_until_it_has_learned_what_was_paid_for_since(folder: Folder) -> None:
    folder.run()
    copy = folder.root / "copy.db"
    copy.write_bytes((folder.spool / "ledger.db").read_bytes())
    rewrite(folder, "Good morning", "Good evening")
    folder.run()
    for ledger in folder.spool.glob("ledger.db*"):
        ledger.unlink()
    copy.rename(folder.spool / "ledger.db")
    folder.product("").rename(folder.root / "taken away")
    with pytest.raises(LedgerError, match="older than its spool") as told:
        folder.run()
    assert "mediaspool rebuild" in told.value.hint
    rebuild(seat(folder), [str(folder.root)])
    assert verdicts(folder.run()) == {"hello": "done"}
    assert folder.calls() == 2


def test_a_product_that_was_put_in_place_and_then_renamed_with_its_job_is_not_missed(folder: Folder) -> None:
    folder.run()
    rewrite(folder, "out/", "there/")
    folder.run()
    there = folder.root / "there"
    (there / HELLO).rename(there / "morning.wav")
    rewrite(folder, 'id = "hello"', 'id = "morning"')
    rewrite(folder, "there/hello", "there/morning")
    assert verdicts(folder.run()) == {"morning": "done"}
    record = verify(seat(folder), is_repairing=False).record
    assert isinstance(record, Verified)
    assert [finding.path for finding in record.findings if finding.what == "product"] == []
