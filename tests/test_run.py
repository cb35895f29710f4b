"""Whole runs over a real folder, a real ledger and a real store; only the route is scripted."""

import json
import os
from pathlib import Path

import pytest

from tests.makers import MANIFEST, Folder, outcomes, verdicts

pytestmark = pytest.mark.real_time


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def test_a_folder_of_recordings_becomes_transcripts_and_canonical_text(folder: Folder) -> None:
    folder.record("a.wav")
    assert set(verdicts(folder.run()).values()) == {"done"}
    assert folder.product("a.wav.text.txt").read_text().strip() == "one two three"
    assert "one two three" in folder.product("a.wav.canon.txt").read_text()
    assert folder.product("a.wav.text.txt.receipt.json").exists()


def test_a_receipt_is_plain_ascii_and_looks_alike_whatever_stands_in_it(folder: Folder) -> None:
    for name in ("plain.wav", "grüße.wav", os.fsdecode(b"odd\xff.wav")):
        folder.record(name)
    assert set(verdicts(folder.run()).values()) == {"done"}
    bodies = [path.read_bytes() for path in folder.root.glob("out/**/*.receipt.json")]
    assert len(bodies) == 6
    assert bodies == [json.dumps(json.loads(body), indent=2).encode("ascii") + b"\n" for body in bodies]


def test_a_second_run_is_unchanged_and_calls_nobody(folder: Folder) -> None:
    folder.record("a.wav")
    folder.run()
    assert set(verdicts(folder.run()).values()) == {"unchanged"}
    assert folder.calls() == 1


def test_a_renamed_recording_is_placed_from_its_receipt_without_a_call(folder: Folder) -> None:
    folder.record("a.wav")
    folder.run()
    os.rename(folder.root / "recordings/a.wav", folder.root / "recordings/b.wav")
    assert set(verdicts(folder.run()).values()) == {"done"}
    assert folder.product("b.wav.text.txt").exists()
    assert folder.calls() == 1


def test_two_recordings_with_the_same_bytes_are_called_once(folder: Folder) -> None:
    folder.record("a.wav")
    folder.record("b.wav")
    folder.run()
    assert folder.calls() == 1
    assert folder.product("b.wav.text.txt").exists()


def test_a_page_under_the_name_of_a_recording_is_refused_for_one_reason_alone(folder: Folder) -> None:
    (folder.root / "recordings/a.mp3").write_bytes(b"<!doctype html><html></html>")
    outcome = outcomes(folder.run())["notes/a.mp3#text"]
    assert (outcome.verdict, outcome.code, "; " in outcome.reason) == ("refused", "input-type", False)


def test_a_text_in_a_folder_that_accepts_recordings_alone_is_refused_by_that_folder(folder: Folder) -> None:
    step = 'id = "text"\n  kind = "canonical_text"'
    folder.manifest.write_text(MANIFEST.partition("  [[folder.step]]")[0] + f"  [[folder.step]]\n  {step}\n")
    (folder.root / "recordings/a.mp3").write_bytes(b"<!doctype html><html></html>")
    outcome = outcomes(folder.run())["notes/a.mp3#text"]
    assert (outcome.verdict, outcome.code) == ("refused", "input-type")


def test_an_edited_transcript_is_kept_and_the_next_step_reads_it(folder: Folder) -> None:
    folder.record("a.wav")
    folder.run()
    folder.product("a.wav.text.txt").write_text("one two four\n")
    result = folder.run()
    assert outcomes(result)["notes/a.wav#text"].code == "product-edited"
    assert folder.product("a.wav.text.txt").read_text() == "one two four\n"
    assert "one two four" in folder.product("a.wav.canon.txt").read_text()


def test_an_edited_transcript_is_never_overwritten_by_new_options_without_force(folder: Folder) -> None:
    folder.record("a.wav")
    folder.run()
    folder.product("a.wav.text.txt").write_text("mine\n")
    folder.manifest.write_text(MANIFEST.replace('["txt", "srt"]', '["txt", "vtt"]'))
    assert outcomes(folder.run())["notes/a.wav#text"].code == "product-edited"
    assert folder.product("a.wav.text.txt").read_text() == "mine\n"
    folder.run(is_forced=True)
    assert folder.product("a.wav.text.txt").read_text() != "mine\n"


def test_a_file_that_is_not_ours_is_never_overwritten(folder: Folder) -> None:
    folder.record("a.wav")
    folder.product("a.wav.text.txt").parent.mkdir()
    folder.product("a.wav.text.txt").write_text("precious")
    result = folder.run()
    outcome = outcomes(result)["notes/a.wav#text"]
    assert outcome.code == "output-exists"
    assert outcome.reason.startswith(f"'{folder.product('a.wav.text.txt')}' is there already")
    assert outcomes(result)["notes/a.wav#canon"].verdict == "blocked"
    assert folder.product("a.wav.text.txt").read_text() == "precious"
    assert folder.calls() == 0


def test_html_dressed_as_audio_is_refused_and_the_others_go_on(folder: Folder) -> None:
    folder.record("good.wav")
    (folder.root / "recordings/bad.mp3").write_bytes(b"<!doctype html><html><body>404</body></html>")
    result = folder.run()
    assert outcomes(result)["notes/bad.mp3#text"].verdict == "refused"
    assert outcomes(result)["notes/good.wav#canon"].verdict == "done"


def test_a_refusal_is_news_only_once(folder: Folder) -> None:
    (folder.root / "recordings/bad.mp3").write_bytes(b"<!doctype html><html><body>404</body></html>")
    assert folder.run().reports[0].exit_code == 3
    second = folder.run()
    assert verdicts(second)["notes/bad.mp3#text"] == "unchanged"
    assert second.reports[0].exit_code == 0


def test_a_garbage_answer_is_never_published(tmp_path: Path) -> None:
    folder = Folder(tmp_path, options={"garbage": "<html>sorry</html>"})
    folder.record("a.wav")
    result = folder.run()
    assert outcomes(result)["notes/a.wav#text"].code == "reply-type"
    assert not folder.product("a.wav.text.txt").exists()
    assert not list((folder.spool / "assets").rglob("*.*"))


def test_silence_is_validly_empty_for_the_whole_chain(tmp_path: Path) -> None:
    folder = Folder(tmp_path, options={"text": ""})
    folder.record("a.wav")
    result = folder.run()
    assert set(verdicts(result).values()) == {"empty"}
    assert result.reports[0].exit_code == 0
    assert set(verdicts(folder.run()).values()) == {"unchanged"}
    assert folder.calls() == 1


def test_a_failed_call_costs_its_job_and_its_children_only(tmp_path: Path) -> None:
    folder = Folder(tmp_path, options={"fail": "EngineError"})
    folder.record("a.wav")
    result = folder.run()
    assert verdicts(result) == {"notes/a.wav#text": "failed", "notes/a.wav#canon": "blocked"}
    assert result.reports[0].exit_code == 3


def test_a_doubtful_paid_call_is_held_and_never_repeated_by_itself(tmp_path: Path) -> None:
    folder = Folder(tmp_path, options={"fail": "InDoubt", "paid": "0.10"})
    folder.record("a.wav")
    assert verdicts(folder.run())["notes/a.wav#text"] == "held"
    folder.configure({"paid": "0.10"})
    assert verdicts(folder.run())["notes/a.wav#text"] == "held"
    assert folder.calls() == 1


def test_the_audio_cap_stops_the_run_with_work_left_and_code_4(folder: Folder) -> None:
    folder.manifest.write_text(MANIFEST.replace("[[folder]]", "[limits]\nmax_audio_minutes = 0.01\n[[folder]]", 1))
    folder.record("a.wav")
    result = folder.run()
    assert verdicts(result)["notes/a.wav#text"] == "not-started"
    assert result.reports[0].exit_code == 4
    assert folder.calls() == 0


def test_a_refused_voice_sends_nothing(tmp_path: Path) -> None:
    job = '[[job]]\nid = "hi"\nkind = "tts"\ntext = "hello"\nvoice = "nobody"\nout = "out/hi.wav"\n'
    folder = Folder(tmp_path, manifest=f'schema = 1\nname = "s"\n{job}')
    assert outcomes(folder.run())["hi"].code == "voice-unknown"
    assert folder.calls() == 0


def test_nothing_is_left_in_staging_after_a_run(folder: Folder) -> None:
    folder.record("a.wav")
    folder.run()
    assert list((folder.spool / "staging").iterdir()) == []


def test_a_limit_that_is_passed_says_which_level_set_it(folder: Folder) -> None:
    folder.configure({}, extra="[limits]\nmax_audio_minutes_per_file = 1\n")
    folder.manifest.write_text(
        MANIFEST.replace("[[folder]]", "[limits]\nmax_audio_minutes_per_file = 0.01\n[[folder]]", 1)
    )
    folder.record("a.wav")
    outcome = outcomes(folder.run())["notes/a.wav#text"]
    assert (outcome.code, outcome.reason) == ("limit-seconds", "1 seconds; at most 0.6, set by the manifest")


def test_a_raised_limit_lets_a_refused_job_run(folder: Folder) -> None:
    folder.configure({}, extra="[limits]\nmax_audio_minutes_per_file = 0.01\n")
    folder.record("a.wav")
    assert verdicts(folder.run())["notes/a.wav#text"] == "refused"
    folder.configure({})
    assert verdicts(folder.run())["notes/a.wav#text"] == "done"


def test_every_reason_of_a_route_that_could_is_told_and_the_others_are_not(tmp_path: Path) -> None:
    job = '[[job]]\nid = "hi"\nkind = "tts"\ntext = "hello"\nvoice = "nobody"\nroute = ["whisper", "scripted"]\n'
    folder = Folder(tmp_path, manifest=f'schema = 1\nname = "s"\n{job}out = "out/hi.wav"\n')
    assert outcomes(folder.run())["hi"].reason == "no voice 'nobody'"


def test_markdown_is_told_by_its_name_and_makes_another_key_than_plain_text(tmp_path: Path) -> None:
    job = '[[job]]\nid = "hi"\nkind = "tts"\ninput = "{0}"\nout = "out/{0}.wav"\n'
    folder = Folder(tmp_path, manifest='schema = 1\nname = "s"\n' + job.format("a.txt"))
    (tmp_path / "a.txt").write_text("# Hello\n\nGood *morning*.\n")
    folder.run()
    spoken_with_marks = folder.calls()
    os.rename(tmp_path / "a.txt", tmp_path / "a.md")
    folder.manifest.write_text('schema = 1\nname = "s"\n' + job.format("a.md"))
    assert verdicts(folder.run())["hi"] == "done"
    assert folder.calls() > spoken_with_marks


def test_a_raised_limit_lets_a_job_run_that_met_it_only_while_it_ran(tmp_path: Path) -> None:
    """The limit has no part in the key, so the refusal must remember which limits it met."""
    job = '[[job]]\nid = "one"\nkind = "canonical_text"\ninput = "x.txt"\nout = "out/x.txt"\nprovenance = false\n'
    manifest = 'schema = 1\nname = "s"\n[limits]\nmax_chars = {}\n' + job
    folder = Folder(tmp_path, manifest=manifest.format(10))
    (tmp_path / "x.txt").write_text("one two three\n")
    assert outcomes(folder.run())["one"].code == "limit-chars"
    assert verdicts(folder.run())["one"] == "unchanged"
    folder.manifest.write_text(manifest.format(20))
    assert verdicts(folder.run())["one"] == "done"


def test_a_product_is_read_by_the_next_step_as_any_file_of_its_content(tmp_path: Path) -> None:
    """What the run remembers of its own product is what looking at it would tell; so one content gives one record."""
    steps = (
        '[[job]]\nid = "rows"\nkind = "transcription"\nformats = ["tsv"]\n'
        'input = "recordings/a.wav"\nout = "out/a.{ext}"\n'
        '[[job]]\nid = "canon"\nkind = "canonical_text"\ninput = "@rows"\nout = "out/c.{ext}"\n'
    )
    folder = Folder(tmp_path, manifest=f'schema = 1\nname = "s"\n{steps}')
    folder.record("a.wav")
    folder.run()
    record = folder.product("c.provenance.json").read_bytes()
    assert b'"media_type": "text/plain"' in record
    folder.run(is_forced=True, is_rehashing=True)
    assert folder.product("c.provenance.json").read_bytes() == record


@pytest.mark.parametrize("is_known", [False, True])
def test_too_large_an_input_is_told_alike_whether_it_was_read_before_or_not(folder: Folder, is_known: bool) -> None:
    folder.record("a.wav", seconds=40)
    if is_known:
        folder.run()
    folder.configure({}, extra="[limits]\nmax_input_mb = 0.5\n")
    outcome = outcomes(folder.run())["notes/a.wav#text"]
    assert outcome.reason == "1,280,044 bytes; at most 500,000, set by the settings"
