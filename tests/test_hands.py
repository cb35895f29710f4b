"""Other hands at work meanwhile: files edited, moved, swapped or taken away between two steps of a run.

Never: a file of the user's overwritten, a product that stands for bytes nobody hashed, a byte outside the roots.
"""

import os
import shutil
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from pipeline.core.errors import InputError
from pipeline.intake import Intake
from pipeline.runtime import utc_now
from pipeline.state.ledger import Ledger
from pipeline.state.roots import Roots
from tests.makers import MANIFEST, Folder, outcomes, verdicts
from tests.scripted import wav

pytestmark = pytest.mark.real_time

TEXT, CANON = "notes/a.wav#text", "notes/a.wav#canon"
TEXTS = """
schema = 1
name = "texts"
[[job]]
id = "canon"
kind = "canonical_text"
input = "recordings/a.txt"
out = "out/a.{ext}"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    made = Folder(tmp_path)
    made.record("a.wav")
    return made


def meanwhile(folder: Folder, point: str, act: Callable[[], object]) -> None:
    """Do it once, when the run first passes the point."""
    left = [act]

    def reached(name: str) -> None:
        if name == point and left:
            left.pop()()

    folder.reached = reached


def test_a_product_that_is_edited_while_its_job_runs_is_never_overwritten(folder: Folder) -> None:
    folder.run()
    folder.manifest.write_text(MANIFEST.replace('["txt", "srt"]', '["txt", "vtt"]'))
    meanwhile(folder, "made", lambda: folder.product("a.wav.text.txt").write_text("mine\n"))
    assert outcomes(folder.run())[TEXT].code == "output-exists"
    assert folder.product("a.wav.text.txt").read_text() == "mine\n"


def test_a_file_that_appears_while_its_job_runs_is_never_overwritten(folder: Folder) -> None:
    folder.product("").mkdir()
    meanwhile(folder, "made", lambda: folder.product("a.wav.text.txt").write_text("mine\n"))
    assert outcomes(folder.run())[TEXT].code == "output-exists"
    assert folder.product("a.wav.text.txt").read_text() == "mine\n"
    assert not folder.product("a.wav.text.srt").exists()


def test_a_job_that_met_a_file_in_its_way_once_its_answer_was_paid_has_failed_and_is_placed_when_it_is_gone(
    folder: Folder,
) -> None:
    """Not refused, which says that nothing was sent; and not told again at every run as long as the file lies there."""
    folder.configure({"paid": "0.01"})
    folder.product("").mkdir()
    theirs = folder.product("a.wav.text.txt")
    meanwhile(folder, "made", lambda: theirs.write_text("mine\n"))
    outcome = outcomes(folder.run())[TEXT]
    assert (outcome.verdict, outcome.code, outcome.usd) == ("failed", "output-exists", Decimal("0.01"))
    assert outcome.reason.endswith("may be replaced; the answers that it was made of are paid for and kept")
    assert outcome.hint.endswith("replace it, then run again: none of them is paid for twice")
    assert verdicts(folder.run())[TEXT] == "unchanged"
    theirs.unlink()
    assert (verdicts(folder.run())[TEXT], folder.calls()) == ("done", 1)


def test_an_edited_product_is_never_overwritten_because_another_one_is_missing(folder: Folder) -> None:
    folder.run()
    folder.product("a.wav.text.txt").write_text("mine\n")
    folder.product("a.wav.text.srt").unlink()
    assert outcomes(folder.run())[TEXT].code == "product-edited"
    assert folder.product("a.wav.text.txt").read_text() == "mine\n"


def test_a_foreign_file_at_the_new_place_of_a_product_is_never_overwritten(folder: Folder) -> None:
    folder.run()
    folder.manifest.write_text(MANIFEST.replace("{name}.{step}", "{name}-{step}"))
    folder.product("a.wav-text.txt").write_text("precious")
    assert outcomes(folder.run())[TEXT].code == "output-exists"
    assert folder.product("a.wav-text.txt").read_text() == "precious"


def moved(folder: Folder) -> None:
    """The folder of the products has another name, and the manifest says so."""
    folder.product("").rename(folder.root / "kept")
    folder.manifest.write_text(MANIFEST.replace('"out/', '"kept/'))


def test_products_that_were_moved_are_known_by_their_bytes(folder: Folder) -> None:
    folder.run()
    moved(folder)
    assert set(verdicts(folder.run()).values()) == {"done"}
    assert set(verdicts(folder.run()).values()) == {"unchanged"}
    assert folder.calls() == 1
    assert not folder.product("").exists()


def test_products_that_were_renamed_with_their_recording_are_known_by_their_bytes(folder: Folder) -> None:
    folder.run()
    for path in [folder.root / "recordings/a.wav", *folder.product("").iterdir()]:
        path.rename(path.with_name(f"b{path.name[1:]}"))
    assert set(verdicts(folder.run()).values()) == {"done"}
    assert folder.calls() == 1


LIKE_SOMETHING = ["P1 is the first plan.", "GIF89a is a format.", "fLaC is another one.", "<?xml is how it begins"]
ON = """
schema = 1
name = "on"
[[folder]]
id = "on"
glob = "out/*.txt"
accept = ["text"]
settle = "0s"
out = "on/{name}.{ext}"
[[folder.step]]
id = "canon"
kind = "canonical_text"
"""


@pytest.mark.parametrize("words", LIKE_SOMETHING)
def test_a_product_is_the_text_that_was_written_though_its_words_look_like_something_else(
    folder: Folder, words: str
) -> None:
    """Also once its file was touched, as by a backup. What a person wrote over it is judged like any other file."""
    folder.configure({"text": words})
    folder.run()
    os.utime(folder.product("a.wav.text.txt"))
    assert set(verdicts(folder.run()).values()) == {"unchanged"}
    os.utime(folder.product("a.wav.text.txt"))
    folder.manifest.write_text(ON)
    assert verdicts(folder.run())["on/a.wav.text.txt#canon"] == "done"
    folder.product("a.wav.text.txt").write_text(f"{words} More.")
    assert "on/a.wav.text.txt#canon" not in {
        job for job, verdict in verdicts(folder.run()).items() if verdict == "done"
    }


def test_a_product_that_was_moved_and_edited_is_kept_and_told_as_that(folder: Folder) -> None:
    folder.run()
    folder.product("a.wav.text.txt").write_text("mine\n")
    moved(folder)
    outcome = outcomes(folder.run())[TEXT]
    there = folder.root / "kept" / "a.wav.text.txt"
    assert (outcome.verdict, outcome.code, there.read_text()) == ("refused", "output-exists", "mine\n")
    made_at = f"what this job made at '{folder.product('a.wav.text.txt')}'"
    assert outcome.reason == f"'{there}' is there already, and is not {made_at}"


def test_a_file_in_the_way_that_was_written_for_another_job_is_told_as_that(folder: Folder) -> None:
    folder.run()
    folder.manifest.write_text(MANIFEST.replace('"notes"', '"other"').replace('["txt", "srt"]', '["txt", "vtt"]'))
    reason = outcomes(folder.run())["other/a.wav#text"].reason
    assert reason.endswith(f"a.wav.text.txt' is there already, and was written for the job '{TEXT}' of notes")


def test_two_products_that_are_one_file_to_a_disk_which_folds_case_are_told_as_that(folder: Folder) -> None:
    """To make room by force would take the product of the first job away. Here a second name plays such a disk."""
    job = '[[job]]\nid = "{}"\nkind = "tts"\ntext = "For {}."\nvoice = "one"\nout = "out/{}.wav"\n'
    folder.manifest.write_text('schema = 1\nname = "two"\n' + job.format("first", "first", "talk"))
    folder.run()
    os.link(folder.product("talk.wav"), folder.product("TALK.WAV"))
    folder.manifest.write_text(
        folder.manifest.read_text() + job.format("second", "second", "TALK").replace("wav", "WAV")
    )
    outcome = outcomes(folder.run())["second"]
    assert (outcome.verdict, outcome.code, "--force" in outcome.hint) == ("refused", "output-exists", False)
    one = f"is one file with '{folder.product('talk.wav')}', which was written for the job 'first' of two"
    assert outcome.reason.endswith(one)


@pytest.mark.parametrize("body", [b"", b"caf\xe9\n"])
def test_a_file_in_the_way_is_told_as_that_whatever_is_in_it(folder: Folder, body: bytes) -> None:
    """Nobody gave it as an input: that it is empty or no text is no news, and says nothing of where it lies."""
    folder.run()
    folder.product("a.wav.text.srt").unlink()
    folder.product("a.wav.text.txt").write_bytes(body)
    assert outcomes(folder.run())[TEXT].code == "product-edited"
    moved(folder)
    outcome = outcomes(folder.run())[TEXT]
    assert (outcome.code, "kept/a.wav.text.txt' is there already" in outcome.reason) == ("output-exists", True)


def test_force_replaces_what_is_there(folder: Folder) -> None:
    folder.product("").mkdir()
    folder.product("a.wav.text.txt").write_text("not ours")
    assert verdicts(folder.run(is_forced=True))[TEXT] == "done"
    assert folder.product("a.wav.text.txt").read_text() != "not ours"


def test_two_spools_that_write_to_one_place_have_parts_of_their_own(folder: Folder) -> None:
    """At the same moment each would take the other's for what a dead run left, and publish half of it."""
    parts = []
    for name in ("spool", "other"):
        folder.spool = folder.root / name
        meanwhile(folder, "intended", lambda: parts.append(intended_parts(folder)))
        assert set(verdicts(folder.run()).values()) == {"done"}
        shutil.rmtree(folder.product(""))
    assert all(parts)
    assert parts[0].isdisjoint(parts[1])


def intended_parts(folder: Folder) -> set[str]:
    ledger = Ledger.view(str(folder.spool / "ledger.db"), clock=utc_now)
    try:
        return {item.part for intent in ledger.intended_all() for item in intent.products}
    finally:
        ledger.close()


def test_a_missing_product_is_placed_again_without_a_call(folder: Folder) -> None:
    folder.run()
    folder.product("a.wav.text.srt").unlink()
    assert verdicts(folder.run())[TEXT] == "done"
    assert folder.product("a.wav.text.srt").exists()
    assert folder.calls() == 1


@pytest.mark.parametrize("point", ["planned", "opened", "sending"])
def test_a_recording_that_changes_before_it_was_heard_gives_no_receipt_and_waits_for_the_next_run(
    folder: Folder, point: str
) -> None:
    path = folder.root / "recordings/a.wav"
    meanwhile(folder, point, lambda: path.write_bytes(wav(2.0)))
    first = folder.run()
    assert (outcomes(first)[TEXT].verdict, outcomes(first)[TEXT].code) == ("not-started", "input-changing")
    assert verdicts(first)[CANON] == "not-started"
    assert first.whole.exit_code == 0
    assert not folder.product("a.wav.text.txt").exists()
    assert set(verdicts(folder.run()).values()) == {"done"}
    assert folder.calls() == 2


def test_a_recording_that_was_only_touched_meanwhile_is_as_good_as_before(folder: Folder) -> None:
    meanwhile(folder, "sending", lambda: os.utime(folder.root / "recordings/a.wav", (1, 1)))
    assert set(verdicts(folder.run()).values()) == {"done"}


def test_a_text_that_changes_between_plan_and_work_is_not_taken_for_the_one_that_was_hashed(tmp_path: Path) -> None:
    folder = Folder(tmp_path, manifest=TEXTS)
    path = folder.root / "recordings/a.txt"
    path.write_text("one\n")
    meanwhile(folder, "planned", lambda: path.write_text("two\n"))
    assert outcomes(folder.run())["canon"].code == "input-changing"
    assert not folder.product("a.txt").exists()
    assert verdicts(folder.run()) == {"canon": "done"}
    assert folder.product("a.txt").read_text() == "two\n"


def test_an_input_that_vanishes_and_comes_back_is_done_by_a_later_run(tmp_path: Path) -> None:
    folder = Folder(tmp_path, manifest=TEXTS)
    path = folder.root / "recordings/a.txt"
    path.write_text("one\n")
    meanwhile(folder, "planned", lambda: path.rename(folder.root / "away"))
    first = folder.run()
    assert (outcomes(first)["canon"].verdict, outcomes(first)["canon"].code) == ("refused", "input-missing")
    (folder.root / "away").rename(path)
    assert verdicts(folder.run()) == {"canon": "done"}


def test_a_recording_that_vanishes_before_it_is_heard_costs_only_its_own_jobs(folder: Folder) -> None:
    folder.record("b.wav", seconds=2)
    meanwhile(folder, "planned", (folder.root / "recordings/a.wav").unlink)
    found = verdicts(folder.run())
    assert found[TEXT] in ("refused", "not-started")
    assert found["notes/b.wav#canon"] == "done"


def test_a_file_whose_disk_fails_is_refused_and_not_a_bug(folder: Folder) -> None:
    class Failing(Roots):
        def open(self, path: str) -> int:
            return os.open(path, os.O_WRONLY)  # reading it fails like a dying disk, with another number

    ledger = Ledger.view(str(folder.root / "no-ledger"), clock=utc_now)
    intake = Intake(ledger, Failing([str(folder.root)]))
    path = str(folder.root / "recordings/a.wav")
    with pytest.raises(InputError) as refused:
        intake.source(path)
    assert refused.value.code == "input-unreadable"
    assert intake.media(path) is None
    ledger.close()


@pytest.mark.parametrize("point", ["planned", "made", "intended"])
def test_invariant_26_an_output_folder_swapped_for_a_link_out_of_the_roots_takes_nothing_out(
    folder: Folder, tmp_path_factory: pytest.TempPathFactory, point: str
) -> None:
    outside = tmp_path_factory.mktemp("outside")
    folder.product("").mkdir()

    def swap() -> None:
        folder.product("").rename(folder.root / "moved")
        folder.product("").symlink_to(outside)

    meanwhile(folder, point, swap)
    found = outcomes(folder.run())
    assert list(outside.iterdir()) == []
    assert found[TEXT].verdict in ("refused", "not-started")
    assert found[TEXT].code in ("path-outside-roots", "output-unwritable")


class Trap:
    """Told by Python itself before any file is opened: springs once, in the instant before the first part is."""

    def __init__(self) -> None:
        self.act: Callable[[], None] | None = None
        sys.addaudithook(self._heard)

    def _heard(self, event: str, arguments: tuple[object, ...]) -> None:
        if self.act is not None and event == "open" and "/.mediaspool-" in str(arguments[0]):
            act, self.act = self.act, None
            act()


@pytest.fixture(scope="module")
def trap() -> Trap:
    return Trap()  # an audit hook cannot be taken away; an unset trap hears nothing


def test_invariant_26_a_swap_in_the_instant_before_the_first_byte_takes_nothing_out(
    folder: Folder, trap: Trap, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("outside")
    folder.product("").mkdir()

    def swap() -> None:
        folder.product("").rename(folder.root / "moved")
        folder.product("").symlink_to(outside)

    trap.act = swap
    found = outcomes(folder.run())
    assert folder.product("").is_symlink()
    assert list(outside.iterdir()) == []
    assert (found[TEXT].verdict, found[TEXT].code) == ("refused", "path-outside-roots")


def test_a_folder_exchanged_in_the_instant_before_the_first_byte_gets_its_products(folder: Folder, trap: Trap) -> None:
    folder.product("").mkdir()

    def exchange() -> None:
        folder.product("").rename(folder.root / "moved")
        folder.product("").mkdir()

    trap.act = exchange
    assert set(verdicts(folder.run()).values()) == {"done"}
    assert folder.product("a.wav.text.txt").exists()


def test_invariant_26_a_folder_above_the_output_swapped_for_a_link_takes_nothing_out(
    folder: Folder, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("outside")
    folder.manifest.write_text(MANIFEST.replace('"out/{reldir}', '"deep/down/{reldir}'))
    (folder.root / "deep/down").mkdir(parents=True)
    (outside / "down").mkdir()

    def swap() -> None:
        shutil.rmtree(folder.root / "deep")
        (folder.root / "deep").symlink_to(outside)

    meanwhile(folder, "intended", swap)
    folder.run()
    assert list((outside / "down").iterdir()) == []
    (folder.root / "deep").unlink()
    assert set(verdicts(folder.run()).values()) == {"done"}


def test_an_output_folder_that_is_taken_away_is_made_again(folder: Folder) -> None:
    folder.product("").mkdir()
    meanwhile(folder, "intended", folder.product("").rmdir)
    assert set(verdicts(folder.run()).values()) == {"done"}
