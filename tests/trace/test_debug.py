"""Debug artifacts: what they hold, what they never hold (invariants 21 and 29), and their bounds."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.trace.debug import DAY_S, DebugArtifact, DebugLevel, DebugWriter, ReplyFacts, RequestFacts
from pipeline.trace.redact import Redactor
from tests.trace.conftest import ENCODINGS, SECRETS, carries, changed

NOW = 1_800_000_000.0
LEVELS: tuple[DebugLevel, ...] = ("digest", "redacted")
PROMPT = "Dear Zebulon, the diagnosis of Wilhelmina is kept between Quentin and us."
FILE = "Wilhelmina therapy 14 March.m4a"
FEW = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def _writer(folder: Path, *, level: DebugLevel = "digest", secrets: tuple[str, ...] = (), **bounds: int) -> DebugWriter:
    redactor = Redactor(secrets)
    return DebugWriter(str(folder / "debug"), level=level, redactor=redactor, now=lambda: NOW, **bounds)


def _written(folder: Path) -> str:
    """Names and bytes of everything in the folder, as one text."""
    return "\n".join(f"{path.name}\n{path.read_text()}" for path in sorted((folder / "debug").iterdir()))


def _with_text_everywhere(artifact: DebugArtifact, text: str) -> DebugArtifact:
    """A careless caller: the same text in every field that takes one."""
    names = dict.fromkeys(("kind", "route", "model", "engine", "operation", "verdict"), text)
    return changed(_with_text_from_outside(artifact, text), timings_ms={text: 1.0}, **names)


def _with_text_from_outside(artifact: DebugArtifact, text: str) -> DebugArtifact:
    """The text in every field but those that are names from code and settings."""
    return changed(
        artifact,
        **dict.fromkeys(("run", "attempt", "place", "code", "message"), text),
        request=RequestFacts(bytes=1, media_type=text, sha256=text),
        reply=ReplyFacts(declared=f"audio/mpeg; name={text}", recognised=text, sha256=text),
    )


def test_a_digest_holds_numbers_types_hashes_and_codes(tmp_path: Path, artifact: DebugArtifact) -> None:
    reply = ReplyFacts(declared="Audio/MPEG; charset=x", recognised="audio/mpeg", bytes=20, sha256="cd" * 32)
    full = changed(artifact, reply=reply, timings_ms={"total": 1.23456}, usd=Decimal("0.01"))
    path = _writer(tmp_path).write(full)
    assert path is not None
    body = json.loads(Path(path).read_bytes())
    facts = {"declared": "audio/mpeg", "recognised": "audio/mpeg", "bytes": 20, "sha256": "cd" * 32, "parts": 1}
    assert body["reply"] == facts
    assert (body["at"], body["engine"], body["usd"]) == ("2027-01-15T08:00:00Z", artifact.engine, "0.01")
    assert (body["place"], body["code"], body["timings_ms"]) == (artifact.place, "engine-failed", {"total": 1.235})


def test_an_artifact_comes_back_as_the_struct(tmp_path: Path, artifact: DebugArtifact) -> None:
    path = _writer(tmp_path).write(artifact)
    assert path is not None
    assert changed(msgspec.json.decode(Path(path).read_bytes(), type=DebugArtifact), at="") == artifact


def test_off_writes_nothing_at_all(tmp_path: Path, artifact: DebugArtifact) -> None:
    assert _writer(tmp_path, level="off").write(artifact) is None
    assert list(tmp_path.iterdir()) == []


def test_only_the_redacted_level_has_the_message(tmp_path: Path, artifact: DebugArtifact) -> None:
    spoken = changed(artifact, message="the route answered 503")
    shown = [_writer(tmp_path / level, level=level).write(spoken) and _written(tmp_path / level) for level in LEVELS]
    assert ["the route answered 503" in str(text) for text in shown] == [False, True]


@pytest.mark.parametrize("level", LEVELS)
@FEW
@given(secret=SECRETS, name=st.sampled_from(sorted(ENCODINGS)))
def test_invariant_21_a_known_secret_is_in_no_artifact_whatever_field_it_was_put_in(
    tmp_path: Path, artifact: DebugArtifact, level: DebugLevel, secret: str, name: str
) -> None:
    _writer(tmp_path, level=level, secrets=(secret,)).write(_with_text_everywhere(artifact, ENCODINGS[name](secret)))
    bodies = [json.loads(path.read_text()) for path in (tmp_path / "debug").iterdir()]
    assert not carries(secret, json.dumps(bodies, ensure_ascii=False))
    for path in (tmp_path / "debug").iterdir():
        path.unlink()


def _fragments(text: str) -> Iterator[str]:
    return (word.strip(".,") for word in text.split() if len(word.strip(".,")) > 3)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("private", [PROMPT, FILE, f"/home/ann/{FILE}"])
def test_invariant_29_no_word_of_a_prompt_or_a_file_name_is_in_an_artifact(
    tmp_path: Path, artifact: DebugArtifact, level: DebugLevel, private: str
) -> None:
    _writer(tmp_path, level=level).write(_with_text_from_outside(artifact, private), hide=[private])
    assert [word for word in _fragments(private) if word.lower() in _written(tmp_path).lower()] == []


@pytest.mark.parametrize("encoding", ["plain", "percent", "json in json", "base64 at 1", "html numbers", "hex"])
def test_invariant_29_an_echo_of_a_part_of_the_prompt_is_masked(
    tmp_path: Path, artifact: DebugArtifact, encoding: str
) -> None:
    echo = ENCODINGS[encoding]("diagnosis of Wilhelmina")
    spoken = changed(artifact, message=f"moderation refused {echo} for user 7")
    _writer(tmp_path, level="redacted").write(spoken, hide=[PROMPT, "diagnosis of Wilhelmina"])
    assert not carries("diagnosis of Wilhelmina", _written(tmp_path))
    assert "moderation" in _written(tmp_path)


@FEW
@given(start=st.integers(0, len(PROMPT) - 8), length=st.integers(8, 40))
def test_invariant_29_no_cut_of_the_prompt_is_long_enough_to_read(
    tmp_path: Path, artifact: DebugArtifact, start: int, length: int
) -> None:
    echo = PROMPT[start : start + length]
    _writer(tmp_path, level="redacted").write(changed(artifact, message=f"bad value: {echo} (400)"), hide=[PROMPT])
    assert echo not in _written(tmp_path) or len(echo) < 8
    assert "(400)" in _written(tmp_path)


@pytest.mark.parametrize(
    "message",
    [
        "cannot open '{}'",
        'cannot open "{}',
        "it isn't possible to read “{}”",
        "no such file: /home/ann/{}",
        "no such file: ../{} (2)",
        "Invalid value for 'input': {}",
        '{{"error": {{"prompt": "{}"}}}}',
    ],
)
def test_invariant_29_quoted_words_and_paths_stay_out_even_when_the_caller_hid_nothing(
    tmp_path: Path, artifact: DebugArtifact, message: str
) -> None:
    _writer(tmp_path, level="redacted").write(changed(artifact, message=message.format(FILE)))
    assert [word for word in _fragments(FILE) if word in _written(tmp_path)] == []


@pytest.mark.parametrize("odd", ["a\udcffb", "../../etc/passwd", "x" * 500, "", "a\nb", "\x1b[31m"])
def test_an_odd_attempt_id_becomes_a_harmless_file_name(tmp_path: Path, artifact: DebugArtifact, odd: str) -> None:
    writer = _writer(tmp_path, level="redacted")
    path = writer.write(_with_text_everywhere(artifact, odd))
    assert writer.failures == 0
    assert [str(found) for found in tmp_path.rglob("*.json")] == [path]
    assert Path(str(path)).stem.isalnum()


def test_the_same_attempt_written_twice_is_one_file(tmp_path: Path, artifact: DebugArtifact) -> None:
    writer = _writer(tmp_path)
    writer.write(artifact)
    writer.write(changed(artifact, try_number=2))
    assert [json.loads(path.read_text())["try_number"] for path in (tmp_path / "debug").iterdir()] == [2]


def test_artifacts_are_for_their_owner_only(tmp_path: Path, artifact: DebugArtifact) -> None:
    path = _writer(tmp_path).write(artifact)
    modes = [os.stat(str(path)).st_mode & 0o777, (tmp_path / "debug").stat().st_mode & 0o777]
    assert modes == [0o600, 0o700]


def _age(path: str | None, days: float) -> None:
    os.utime(str(path), (NOW - days * DAY_S, NOW - days * DAY_S))


def test_the_first_write_of_a_run_drops_what_is_too_old(tmp_path: Path, artifact: DebugArtifact) -> None:
    writer = _writer(tmp_path, max_age_days=14)
    for number, days in enumerate((20, 14.5, 13.5, -3)):
        _age(writer.write(changed(artifact, attempt=f"a{number}")), days)
    _writer(tmp_path, max_age_days=14).write(changed(artifact, attempt="new"))
    assert sorted(path.stem for path in (tmp_path / "debug").iterdir()) == ["a2", "a3", "new"]


def test_the_first_write_of_a_run_keeps_the_newest_where_there_are_too_many(
    tmp_path: Path, artifact: DebugArtifact
) -> None:
    roomy = _writer(tmp_path)
    for number in range(10):
        _age(roomy.write(changed(artifact, attempt=f"a{number}")), 5 - number / 10)
    _writer(tmp_path, max_count=3).write(changed(artifact, attempt="new"))
    assert sorted(path.stem for path in (tmp_path / "debug").iterdir()) == ["a8", "a9", "new"]


def test_the_number_of_artifacts_never_passes_the_bound(tmp_path: Path, artifact: DebugArtifact) -> None:
    writer = _writer(tmp_path, max_count=20)
    for number in range(70):
        _age(writer.write(changed(artifact, attempt=f"a{number}")), 5 - number / 100)
        assert len(os.listdir(tmp_path / "debug")) <= 20
    assert (tmp_path / "debug" / "a69.json").exists()


def test_only_files_of_ours_are_dropped(tmp_path: Path, artifact: DebugArtifact) -> None:
    writer = _writer(tmp_path, max_count=1)
    writer.write(artifact)
    strangers = ["notes.txt", "my.notes.json", ".hidden.json"]
    for name in strangers:
        (tmp_path / "debug" / name).write_text("mine")
        _age(str(tmp_path / "debug" / name), 400)
    (tmp_path / "debug" / "folder.json").mkdir()
    writer.write(changed(artifact, attempt="new"))
    assert sorted(os.listdir(tmp_path / "debug")) == sorted([*strangers, "folder.json", "new.json"])


def test_a_part_left_by_a_crash_is_swept_later(tmp_path: Path, artifact: DebugArtifact) -> None:
    writer = _writer(tmp_path)
    writer.write(artifact)
    part = tmp_path / "debug" / ".a9.json.part"
    part.write_text("{")
    _age(str(part), 1)
    _writer(tmp_path).write(changed(artifact, attempt="new"))
    assert not part.exists()


def test_invariant_20_an_unwritable_folder_is_counted_and_never_raised(tmp_path: Path, artifact: DebugArtifact) -> None:
    (tmp_path / "debug").write_text("a file in the way")
    writer = _writer(tmp_path)
    assert writer.write(artifact) is None
    assert writer.failures == 1


def test_artifacts_of_several_threads_make_room_for_each_other(tmp_path: Path, artifact: DebugArtifact) -> None:
    writer = _writer(tmp_path, max_count=2)
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda number: writer.write(changed(artifact, attempt=f"a{number}")), range(400)))
    assert (writer.failures, len(os.listdir(tmp_path / "debug"))) == (0, 2)


FULL = """
import resource, sys
from pipeline.trace.debug import DebugArtifact, DebugWriter, RequestFacts
from pipeline.trace.redact import Redactor
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
writer = DebugWriter(sys.argv[1], level="digest", redactor=Redactor())
names = dict.fromkeys("run attempt place kind route model engine operation verdict".split(), "a")
path = writer.write(DebugArtifact(**names, try_number=1, request=RequestFacts()))
sys.exit(0 if path is None and writer.failures == 1 else 1)
"""


@pytest.mark.real_time
def test_invariant_20_an_artifact_that_does_not_fit_on_the_disk_leaves_nothing(tmp_path: Path) -> None:
    ended = subprocess.run([sys.executable, "-c", FULL, str(tmp_path / "debug")], check=False, timeout=60)
    assert (ended.returncode, os.listdir(tmp_path / "debug")) == (0, [])


def test_a_debug_folder_that_is_a_link_is_not_followed(tmp_path: Path, artifact: DebugArtifact) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "debug").symlink_to(tmp_path / "elsewhere")
    writer = _writer(tmp_path)
    assert writer.write(artifact) is None
    assert os.listdir(tmp_path / "elsewhere") == []


def test_an_artifact_over_the_size_is_counted_and_not_written(tmp_path: Path, artifact: DebugArtifact) -> None:
    writer = _writer(tmp_path, max_kb=0)
    assert writer.write(artifact) is None
    assert (writer.failures, list(tmp_path.iterdir())) == (1, [])


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(text=st.text(max_size=400))
def test_no_text_in_any_field_makes_it_raise_or_grow(tmp_path: Path, artifact: DebugArtifact, text: str) -> None:
    writer = _writer(tmp_path, level="redacted", max_kb=8)
    path = writer.write(_with_text_everywhere(artifact, text), hide=[text])
    assert writer.failures == 0
    assert msgspec.json.decode(Path(str(path)).read_bytes(), type=DebugArtifact).try_number == 1
