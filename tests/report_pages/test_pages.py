"""Pages of whole runs: who gets one, what stands in it, and that nothing about it changes a verdict."""

import html
import os
import re
import stat
from pathlib import Path

import pytest

from pipeline.app import Result
from tests.disks import mounted
from tests.makers import Folder, verdicts
from tests.test_pictures import STEPS, Studio

pytestmark = pytest.mark.real_time
TTS = '[[job]]\nid = "hello"\nkind = "tts"\ntext = "{text}"\nout = "out/hello.wav"\n'


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    made = Folder(tmp_path)
    made.record("a.wav")
    return made


def pages(folder: Folder, where: str = "reports") -> list[Path]:
    return sorted((folder.spool / where).glob("*.report.html"))


def page(folder: Folder) -> str:
    (found,) = pages(folder)
    return found.read_text(encoding="utf-8")


def drop(folder: Folder) -> None:
    """The manifest as a dropped one, with the same folders."""
    (folder.spool / "incoming").mkdir(parents=True, exist_ok=True)
    text = folder.manifest.read_text().replace('"recordings/', '"../../recordings/').replace('"out/', '"../../out/')
    (folder.spool / "incoming" / "notes.toml").write_text(text)
    folder.configure({}, extra='manifest_settle = "0s"\n')


def test_a_run_with_news_has_a_page_beside_its_report_for_its_owner_only(folder: Folder) -> None:
    result = folder.run()
    (found,) = pages(folder)
    assert result.page == str(found)
    assert found.with_name(found.name.replace(".html", ".json")).exists()
    assert stat.S_IMODE(found.stat().st_mode) == 0o600
    assert stat.S_IMODE((folder.spool / "reports/index.html").stat().st_mode) == 0o600


def test_a_run_without_news_writes_nothing(folder: Folder) -> None:
    folder.run()
    before = {path: path.stat().st_mtime_ns for path in (folder.spool / "reports").iterdir()}
    assert folder.run().page is None
    assert {path: path.stat().st_mtime_ns for path in (folder.spool / "reports").iterdir()} == before


def test_a_page_shows_what_was_heard_what_it_cost_and_where_everything_lies(folder: Folder) -> None:
    folder.configure({"paid": "0.25", "text": "one two three"})
    folder.run()
    shown = page(folder)
    assert re.search(
        r'<a href="\.\./\.\./recordings/a\.wav#t=0\.00" data-t="0\.00">0:00</a> <span [^>]*>one two', shown
    )
    assert "0.25 USD" in shown
    assert "scripted / one" in shown
    assert 'href="../../out/a.wav.text.srt"' in shown
    assert re.search(r'href="\.\./debug/[0-9a-f]{16}\.json"', shown)
    assert re.search(r"<audio controls [^>]*src=\"\.\./\.\./recordings/a\.wav\"", shown)


def test_every_file_that_a_page_leads_to_is_there(folder: Folder) -> None:
    folder.run()
    links = re.findall(r'(?:href|src)="(\.[^"#]+)', page(folder))
    assert len(links) > 6
    assert [link for link in links if not (folder.spool / "reports" / link).exists()] == []


def test_what_needs_a_person_stands_first_with_the_command_to_type(folder: Folder) -> None:
    folder.configure({"fail": "EngineError", "says": "no <i>luck"})
    folder.run()
    shown = page(folder)
    first, _, jobs = shown.partition('id="jobs"')
    assert "Needs a person first" in first
    assert f"mediaspool retry --spool {folder.spool} 'notes/a.wav#text'" in html.unescape(first)
    assert "no &lt;i&gt;luck" in jobs


def test_the_page_of_a_dropped_manifest_lies_beside_it_too_and_both_are_the_same(folder: Folder) -> None:
    drop(folder)
    folder.run_spool()
    assert pages(folder, "done")[0].name == "notes.toml.report.html"
    assert pages(folder, "done")[0].read_bytes() == pages(folder)[0].read_bytes()


def test_a_manifest_that_is_held_takes_its_page_along_when_it_is_done(folder: Folder) -> None:
    drop(folder)
    folder.configure({"fail": "InDoubt", "paid": "0.10"}, extra='manifest_settle = "0s"\n')
    folder.run_spool()
    assert [path.name for path in pages(folder, "claimed")] == ["notes.toml.report.html"]
    folder.configure({}, extra='manifest_settle = "0s"\ndoubt_per_call_usd = 1\ndoubt_per_run_usd = 1\n')
    folder.run_spool()
    assert pages(folder, "claimed") == []


def test_a_page_tells_of_a_recording_that_is_gone_and_does_not_link_it(folder: Folder) -> None:
    folder.reached = lambda point: (folder.root / "recordings/a.wav").unlink() if point == "ran" else None
    assert set(verdicts(folder.run()).values()) == {"done"}
    assert "a.wav, no longer there" in page(folder)
    assert "<audio" not in page(folder)


def test_two_manifests_have_two_pages_and_a_person_is_led_to_the_index(folder: Folder) -> None:
    standing = folder.spool / "standing"
    standing.mkdir(parents=True)
    for name in ("one", "two"):
        text = folder.manifest.read_text().replace('"notes"', f'"{name}"').replace('"out/', f'"../../out/{name}/')
        (standing / f"{name}.toml").write_text(text.replace('"recordings/', '"../../recordings/'))
    result = folder.run_spool()
    assert len(pages(folder)) == 2
    assert result.page == str(folder.spool / "reports" / "index.html")


# nothing about a page changes a verdict


def broken(folder: Folder) -> Result:
    """A run whose reports folder becomes a file before the first page."""

    def reached(point: str) -> None:
        if point == "reported":
            os.rename(folder.spool / "reports", folder.spool / "moved")
            (folder.spool / "reports").touch()

    folder.reached = reached
    return folder.run()


def test_a_page_that_cannot_be_written_is_a_warning_and_no_verdict(folder: Folder) -> None:
    result = broken(folder)
    assert set(verdicts(result).values()) == {"done"}
    assert result.whole.exit_code == 0
    assert any(warning.startswith("the page of notes could not be written") for warning in result.whole.warnings)


@pytest.mark.privileged
def test_a_full_disk_is_told_and_costs_the_page_only(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk") as disk:
        folder = Folder(disk.folder / "user")
        folder.record("a.wav")
        folder.reached = lambda point: disk.fill() if point == "reported" else None
        result = folder.run()
        assert (set(verdicts(result).values()), result.whole.exit_code) == ({"done"}, 0)
        assert any("no space left" in warning for warning in result.whole.warnings)
        assert pages(folder) == []
        disk.empty()
        folder.reached = lambda _point: None
        folder.record("b.wav")
        folder.run()
        assert len(pages(folder)) == 1


def test_odd_bytes_in_an_answer_and_in_names_stop_no_page(folder: Folder) -> None:
    odd = os.fsdecode(b"bad \xff <b>.wav")
    folder.record(odd)
    folder.configure({"text": "a \u202e b \x00 c </script><script>d"})
    assert set(verdicts(folder.run()).values()) <= {"done", "suspect"}
    shown = page(folder)
    assert shown.count("<script>") == 1
    assert "bad%20%FF%20%3Cb%3E.wav" in shown


# pictures


def test_an_edit_shows_before_and_after_and_embeds_only_small_pictures(tmp_path: Path) -> None:
    studio = Studio(tmp_path, STEPS + 'steps = ["resize 200%"]\n')
    studio.run()
    shown = page(studio)
    assert re.search(r'alt="Before: a\.png"', shown)
    assert re.search(r'alt="After: small\.png"', shown)
    assert shown.count("data:image/webp;base64,") == 2
    assert len(shown) < 60_000


def _children() -> list[str]:
    threads = f"/proc/{os.getpid()}/task"
    return [child for thread in os.listdir(threads) for child in Path(threads, thread, "children").read_text().split()]


def test_a_run_without_pictures_starts_no_child_for_its_page(folder: Folder) -> None:
    before, seen = _children(), []
    folder.reached = lambda point: seen.append(_children()) if point == "finished" else None
    folder.run()
    assert seen == [before]
    assert len(pages(folder)) == 1


def test_a_run_that_is_to_end_waits_for_no_picture(tmp_path: Path) -> None:
    studio = Studio(tmp_path, STEPS + 'steps = ["resize 200%"]\n')
    studio.reached = lambda point: os.kill(os.getpid(), 15) if point == "ran" else None
    result = studio.run()
    assert set(verdicts(result).values()) == {"done"}
    assert "data:image/webp" not in page(studio)
