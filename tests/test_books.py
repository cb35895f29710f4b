"""Books in whole runs: chapters as files under names of their own, found again, never written over, killed midway."""

import json
import signal
from itertools import pairwise
from pathlib import Path

import av
import pytest

from jobs.tts import Tts, TtsSpec
from pipeline.core.model import RouteId
from pipeline.core.operations import call_key
from pipeline.runtime import utc_now
from pipeline.state.ledger import Ledger
from tests.crash_support import run_child, strays
from tests.makers import Folder, outcomes, verdicts

pytestmark = [pytest.mark.real_time, pytest.mark.timeout(600)]

BOOK = "# A Book\n\n" + "".join(
    f"## Part {number}\n\nFirst of {number}.\n\nSecond of {number}.\n\n" for number in range(1, 5)
)
PARTS = 13  # the title, and three for each of four chapters
MANIFEST = """
schema = 1
name = "books"

[[job]]
id = "book"
kind = "tts"
input = "{up}book.md"
chapters = "{chapters}"
{more}
out = "{up}out/{{id}}.{{ext}}"
"""
FILES = ["book.m3u", *(f"book.0{number}-part-{number}.mp3" for number in range(1, 5))]


def make_folder(root: Path, *, chapters: str = "files", more: str = 'format = "mp3"', up: str = "") -> Folder:
    folder = Folder(root, manifest=MANIFEST.format(chapters=chapters, more=more, up=up))
    (root / "book.md").write_text(BOOK)
    return folder


def made(folder: Folder) -> list[str]:
    return sorted(path.name for path in (folder.root / "out").iterdir() if not path.name.endswith(".receipt.json"))


def test_a_book_becomes_files_by_heading_and_is_unchanged_afterwards(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    assert verdicts(folder.run()) == {"book": "done"}
    assert made(folder) == sorted(FILES)
    listed = folder.product("book.m3u").read_text().splitlines()
    assert [line for line in listed if not line.startswith("#")] == FILES[1:]
    assert (verdicts(folder.run()), folder.calls()) == ({"book": "unchanged"}, PARTS)


def test_a_chapter_that_is_gone_is_placed_again_without_a_call(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    folder.run()
    folder.product(FILES[2]).unlink()
    assert verdicts(folder.run()) == {"book": "done"}
    assert (made(folder), folder.calls()) == (sorted(FILES), PARTS)


def test_a_file_in_the_way_of_a_chapter_is_kept_and_the_calls_too(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    folder.product(FILES[3]).parent.mkdir()
    folder.product(FILES[3]).write_text("mine")
    outcome = outcomes(folder.run())["book"]
    assert (outcome.verdict, outcome.code) == ("refused", "output-exists")
    assert folder.product(FILES[3]).read_text() == "mine"
    folder.product(FILES[3]).unlink()
    assert (verdicts(folder.run()), folder.calls()) == ({"book": "done"}, PARTS)


def test_a_book_too_large_once_its_parts_are_paid_has_failed_and_a_higher_limit_makes_it_of_them(
    tmp_path: Path,
) -> None:
    limits = 'format = "wav"\nlimits = {{ max_output_mb = {} }}'
    folder = make_folder(tmp_path, chapters="files", more=limits.format(0.05))
    folder.configure({"paid": "0.01"})
    outcome = outcomes(folder.run())["book"]
    assert (outcome.verdict, outcome.code, folder.calls()) == ("failed", "limit-bytes", PARTS)
    told = "the output has more than 50000 bytes; the answers that it was made of are paid for and kept"
    advice = "raise max_output_mb or give it a shorter input, then run again: none of them is paid for twice"
    assert (outcome.reason, outcome.hint) == (told, advice)
    assert verdicts(folder.run()) == {"book": "unchanged"}
    folder.manifest.write_text(MANIFEST.format(chapters="files", more=limits.format(5), up=""))
    assert (verdicts(folder.run()), folder.calls()) == ({"book": "done"}, PARTS)


def test_a_change_in_one_chapter_asks_for_that_one_only(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    folder.run()
    (tmp_path / "book.md").write_text(BOOK.replace("Second of 3.", "Another of 3."))
    assert (verdicts(folder.run()), folder.calls()) == ({"book": "done"}, PARTS + 1)


def test_an_m4b_has_its_chapters_title_and_no_path(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, chapters="m4b", more="")
    assert verdicts(folder.run()) == {"book": "done"}
    with av.open(str(folder.product("book.m4b"))) as book:
        marks = book.chapters()
        tags = dict(book.metadata)
        seconds = float(book.duration or 0) / 1_000_000
    assert [mark["metadata"]["title"] for mark in marks] == [f"Part {number}" for number in range(1, 5)]
    assert all(later["start"] == mark["end"] for mark, later in pairwise(marks))
    assert marks[-1]["end"] / 1000 == pytest.approx(seconds, abs=0.2)
    assert (tags["title"], tags["comment"]) == ("A Book", "source: book.md")
    assert str(tmp_path) not in repr((tags, marks))


def finished(folder: Folder) -> int:
    """How many parts have a receipt."""
    ledger = Ledger.view(str(folder.spool / "ledger.db"), clock=utc_now)
    spoken = Tts().operations(TtsSpec(text=BOOK.replace("#", "")), None)
    keys = {call_key(part, route=RouteId("scripted"), model="one", engine="scripted 1") for part in spoken}
    try:
        return sum(ledger.call_receipt(key) is not None for key in keys)
    finally:
        ledger.close()


KILLS = ["sending@1", "sending@6", "received@4", "stored@1", "stored@7", "stored@13", "made", "intended", "published"]


@pytest.mark.parametrize("kill", KILLS)
def test_invariant_4_a_book_that_is_killed_midway_repeats_no_finished_part(kill: str, tmp_path: Path) -> None:
    folder = make_folder(tmp_path, up="../../")
    (folder.spool / "incoming").mkdir(parents=True)
    folder.manifest.rename(folder.spool / "incoming/books.toml")
    assert run_child(folder, f"point:{kill}").returncode == -signal.SIGKILL
    sent, kept = folder.calls(), finished(folder)
    second = run_child(folder, "none")
    assert second.returncode == 0, second.stderr
    lying_there = 2  # at most as many as the route is wide were received whole, and are adopted
    assert PARTS - kept - lying_there <= folder.calls() - sent <= PARTS - kept
    assert (made(folder), strays(folder)) == (sorted(FILES), [])
    assert finished(folder) == PARTS


def test_a_book_is_read_back_by_calls_of_the_embedded_route_with_receipts_and_a_score(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, more='format = "mp3"\nverify = true')
    heard = tmp_path / "heard.txt"
    told = f'calls = "{heard}"\ntext = "First of 1. Second of 1."'
    folder.configure({}, f'[routes.whisper]\ndriver = "scripted"\n[routes.whisper.options]\n{told}\n')
    outcome = outcomes(folder.run())["book"]
    different = ["Transcribe"] * 2  # every chapter but the first sounds the same here, and the same call is made once
    assert heard.read_text().split() == different
    assert 0 < float(outcome.scores["round_trip_wer"]) < 1
    receipt = json.loads(folder.product("book.m3u.receipt.json").read_text())
    assert [call["operation"] for call in receipt["calls"]] == ["speak"] * PARTS + ["transcribe"] * 4
    assert receipt["facts"]["round_trip_wer"] == outcome.scores["round_trip_wer"]
    assert verdicts(folder.run(is_forced=True)) == {"book": outcome.verdict}
    assert (folder.calls(), heard.read_text().split()) == (PARTS, different)


def test_a_book_that_does_not_come_out_again_is_suspect(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, chapters="m4b", more="verify = true")
    told = f'calls = "{tmp_path}/heard.txt"\ntext = "something else was heard here"'
    folder.configure({}, f'[routes.whisper]\ndriver = "scripted"\n[routes.whisper.options]\n{told}\n')
    outcome = outcomes(folder.run())["book"]
    assert outcome.verdict == "suspect"
    assert "read back, 100% of the words are others; listen from 0:00:00" in outcome.reason


@pytest.mark.parametrize("text", ["<!-- nobody hears this -->\n", "# [](http://x.y)\n\n```text\n"])
def test_a_book_of_nothing_but_marks_is_refused_as_one_without_words(text: str, tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    (tmp_path / "book.md").write_text(text)
    outcome = outcomes(folder.run())["book"]
    assert (outcome.verdict, outcome.code, folder.calls()) == ("refused", "input-empty", 0)
