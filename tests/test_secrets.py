"""Invariants 21 and 29: planted canaries are looked for in every byte that a run writes, in every usual encoding.

Which file may hold which canary is said once, in `MAY_HOLD`; everywhere else there must be none. A key may be nowhere.
"""

import base64
import contextlib
import fnmatch
import html
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from urllib.parse import quote, quote_plus

import msgspec
import pytest
import trio

from pipeline.app import Result, RunRequest, run
from pipeline.overview import status
from pipeline.report import report_json, summary
from tests.cli.conftest import Shell, seat
from tests.makers import Folder, verdicts

pytestmark = pytest.mark.real_time

CANARIES = {
    "key": "sk-CaNaRy/kEy+0=4711 ä",
    "credential": "OtHeR/cAnArY+1=4712 ö",
    "prompt": "Zebra prompt canary four-seven-one-three & ü",
    "input text": "Okapi text canary four-seven-one-four & ü",
    "transcript": "quagga transcript canary 4715",
    "file name": "Tapir name canary 4716 é%",
    "remark": "Lemur remark canary 4717",
    "engine": "gecko-4718",
}
PRIVATE = {"key", "credential", "prompt", "input text", "transcript", "remark"}

# By path below the user's folder, or the name of a stream. What is not listed here may hold nothing.
MAY_HOLD: Mapping[str, frozenset[str]] = {
    "out/*.text.txt": frozenset({"transcript", "file name"}),
    "out/*.text.srt": frozenset({"transcript", "file name"}),
    "out/*.text.json": frozenset({"transcript", "file name"}),
    "out/*.canon.txt": frozenset({"transcript", "file name"}),
    "out/.mediaspool-*.part": frozenset({"transcript", "input text", "file name"}),  # of a killed run, likewise
    "out/*.provenance.json": frozenset({"file name"}),  # by its own name only
    "out/*.receipt.json": frozenset({"file name"}),
    "out/note.txt": frozenset({"input text"}),
    "spool/assets/*.json": frozenset({"transcript"}),
    "spool/quarantine/*": frozenset({"transcript"}),
    "spool/staging/*.payload": frozenset({"transcript"}),  # of a killed run, until the next one
    "spool/incoming/notes.toml": frozenset({"prompt", "remark"}),
    "spool/done/notes.toml": frozenset({"prompt", "remark"}),  # the user's own manifest, moved
    "spool/failed/notes.toml": frozenset({"prompt", "remark"}),
    "spool/claimed/notes.toml": frozenset({"prompt", "remark"}),
    "spool/*.report.json": frozenset({"file name", "engine"}),
    "spool/*.report.html": frozenset({"transcript", "input text", "file name", "engine"}),
    "spool/reports/index.html": frozenset(),
    "spool/ledger.db*": frozenset({"file name", "engine"}),
    "spool/idle.json": frozenset({"file name"}),
    "stream: summary": frozenset({"file name", "engine"}),
    "stream: report": frozenset({"file name", "engine"}),
    "stream: status": frozenset({"file name", "engine"}),
    "spool/debug/*.json": frozenset({"engine"}),
}
NOT_OURS = ("recordings/*", "mediaspool.toml", "calls.txt", "credentials/*", "notes.json")

MANIFEST = f"""
# {CANARIES["remark"]}
schema = 1
name = "notes"

[[folder]]
id = "notes"
glob = "../../recordings/**/*"
accept = ["audio"]
settle = "0s"
out = "../../out/{{name}}.{{step}}.{{ext}}"

  [[folder.step]]
  id = "text"
  kind = "transcription"
  formats = ["txt", "srt", "json"]

  [[folder.step]]
  id = "canon"
  kind = "canonical_text"
  from = "text"

[[job]]
id = "hello"
kind = "tts"
text = "{CANARIES["prompt"]}"
out = "../../out/hello.mp3"

[[job]]
id = "note"
kind = "canonical_text"
input = "../../recordings/note.txt"
out = "../../out/note.{{ext}}"
"""

PAINS: dict[str, dict[str, str]] = {
    "done": {},
    "failed": {"fail": "EngineError"},
    "rejected": {"fail": "Rejected"},
    "held": {"fail": "InDoubt", "paid": "0.10"},
    "garbage": {"garbage": "<html>" + CANARIES["transcript"] + "</html>"},
    "closed": {"fail": "RouteClosed"},
    "bug": {"fail": "ValueError"},
    "full": {"fail": "StoreError"},
}
SAYS = (
    f"{CANARIES['credential']}? {CANARIES['engine']}: key {CANARIES['key']} "
    f"may not say '{CANARIES['prompt']}' or \"{CANARIES['transcript']}\""
)
LOUDNESS = [("off", "text"), ("digest", "json"), ("redacted", "text")]


def forms(canary: str) -> set[bytes]:
    """The canary as it may stand in a file: plain, escaped for URL, JSON or HTML, in hex, in base64 at each offset."""
    body = canary.encode()
    found = {body, quote(canary, safe="").encode(), quote_plus(canary).encode(), body.hex().encode()}
    found |= {
        quote(canary).encode(),
        json.dumps(canary)[1:-1].encode(),
        html.escape(canary).encode(),
        os.fsencode(canary),
        body.hex().upper().encode(),
    }
    for offset in range(3):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            run_ = encode(bytes(offset) + body)
            found.add(run_[-(-offset * 8 // 6) : (offset + len(body)) * 8 // 6])
    return {form.lower() for form in found}


FORMS = {name: forms(canary) for name, canary in CANARIES.items()}


def held_by(body: bytes) -> set[str]:
    lower = body.lower()
    return {name for name, found in FORMS.items() if any(form in lower for form in found)}


def test_the_search_itself_finds_every_canary_in_every_encoding() -> None:
    for name, canary in CANARIES.items():
        for pad in ("", "x", "xy", "xyz"):
            text = (pad + canary + " and more").encode()
            plain = (text, html.escape(text.decode()).encode(), quote(text).encode(), json.dumps(canary))
            for form in (*plain, base64.b64encode(text), text.hex().encode()):
                assert name in held_by(form if isinstance(form, bytes) else form.encode())


class Yard:
    """A user's folder with canaries everywhere, and a spool whose every byte is looked at."""

    def __init__(self, root: Path, pain: str, debug: str, log_format: str) -> None:
        self.folder = Folder(root)
        self.environ = {"CANARY_KEY": CANARIES["key"], "CREDENTIALS_DIRECTORY": str(root / "credentials")}
        self.streams: dict[str, str] = {}
        (root / "credentials").mkdir()
        (root / "credentials/OTHER_KEY").write_text(CANARIES["credential"] + "\n")
        (root / "recordings/note.txt").write_text(CANARIES["input text"] + "\n")
        self.folder.record(f"{CANARIES['file name']}.wav")
        (self.folder.spool / "incoming").mkdir(parents=True)
        (self.folder.spool / "incoming/notes.toml").write_text(MANIFEST)
        self._configure(pain, debug, log_format)

    def _configure(self, pain: str, debug: str, log_format: str) -> None:
        extra = f'manifest_settle = "0s"\n[debug]\nlevel = "{debug}"\n[log]\nlevel = "debug"\nformat = "{log_format}"\n'
        self.folder.configure({"says": SAYS, "text": CANARIES["transcript"], **PAINS.get(pain, {})}, extra=extra)
        other = '[routes.other]\ndriver = "scripted"\nkey = "OTHER_KEY"\n'
        keyed = self.folder.config.read_text().replace("width = 2\n", 'width = 2\nkey = "CANARY_KEY"\n')
        self.folder.config.write_text(keyed + other)

    def run(self, reached: Callable[[str], None] = lambda _point: None) -> Result:
        world = msgspec.structs.replace(self.folder.world(), environ=self.environ, reached=reached)
        result = trio.run(run, RunRequest(spool=str(self.folder.spool)), self.folder.settings, world)
        self.streams["summary"] = summary(result.whole)
        self.streams["report"] = report_json(result.whole).decode()
        self.streams["status"] = status(seat(self.folder, environ=self.environ, world=world)).text
        self.streams["log"] = self.folder.log.getvalue()
        return result

    def all_bytes(self) -> Iterator[tuple[str, bytes]]:
        """Every file with its name, every row of the ledger, every stream."""
        for path in sorted(self.folder.root.rglob("*")):
            name = os.fspath(path.relative_to(self.folder.root))
            if path.is_file() and not any(fnmatch.fnmatch(name, ours) for ours in NOT_OURS):
                yield name, os.fsencode(name) + b"\n" + path.read_bytes()
        yield "spool/ledger.db (rows)", "\n".join(self._rows()).encode("utf-8", "surrogateescape")
        for stream, text in self.streams.items():
            yield f"stream: {stream}", text.encode("utf-8", "surrogateescape")

    def _rows(self) -> Iterator[str]:
        """As SQLite writes them out: a value that pages cut apart is whole here, a BLOB is in hex."""
        with contextlib.closing(sqlite3.connect(self.folder.spool / "ledger.db")) as ledger:
            yield from ledger.iterdump()

    def check(self) -> int:
        """How many files were looked at; none held what it may not."""
        looked_at = 0
        for name, body in self.all_bytes():
            looked_at += 1
            allowed = set().union(*(held for glob, held in MAY_HOLD.items() if fnmatch.fnmatch(name, glob)))
            assert held_by(body) <= allowed, (name, held_by(body) - allowed)
        return looked_at


@pytest.mark.parametrize("pain", PAINS)
def test_invariants_21_and_29_nothing_private_is_written_however_a_run_ends(
    tmp_path: Path, pain: str, figure: Callable[[str], None]
) -> None:
    looked_at = 0
    for debug, log_format in LOUDNESS:
        yard = Yard(tmp_path / debug, pain, debug, log_format)
        found = verdicts(yard.run())
        assert (set(found.values()) <= {"done", "suspect"}) == (pain == "done")
        looked_at += yard.check()
        yard.run()
        looked_at += yard.check()
    figure(f"{pain}: {looked_at}/{looked_at} files without a hit")


def test_what_should_be_there_is_there(tmp_path: Path) -> None:
    """So that the sweep is no empty promise: it sees the canaries where they belong."""
    yard = Yard(tmp_path, "done", "redacted", "text")
    yard.run()
    seen = {name: held_by(body) for name, body in yard.all_bytes()}
    assert any("transcript" in held for name, held in seen.items() if name.startswith("spool/assets/"))
    assert any("transcript" in held for name, held in seen.items() if name.endswith(".srt"))
    assert "file name" in seen["spool/ledger.db (rows)"]
    assert {"prompt", "remark"} <= seen["spool/done/notes.toml"]
    assert {"transcript", "input text", "file name"} <= seen["spool/done/notes.toml.report.html"]


def test_an_engine_is_heard_but_not_with_what_it_repeats(tmp_path: Path) -> None:
    yard = Yard(tmp_path, "failed", "redacted", "text")
    yard.run()
    assert CANARIES["engine"] in yard.streams["report"]
    assert any(CANARIES["engine"].encode() in body for name, body in yard.all_bytes() if "/debug/" in name)


def children() -> Iterator[int]:
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and int((entry / "stat").read_text().rpartition(")")[2].split()[1]) == os.getpid():
                yield int(entry.name)


def test_invariant_21_no_child_is_given_a_secret_or_a_name_by_argument_or_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The encoder of the MP3 is a child; it is looked at while the run is still at work."""
    yard = Yard(tmp_path, "done", "off", "text")
    for name, value in yard.environ.items():
        monkeypatch.setenv(name, value)
    seen: dict[int, bytes] = {}

    def look(point: str) -> None:
        for pid in children() if point == "published" else ():
            with contextlib.suppress(OSError):
                proc = Path(f"/proc/{pid}")
                seen[pid] = (proc / "cmdline").read_bytes() + (proc / "environ").read_bytes()

    yard.run(look)
    assert seen
    assert not set().union(*map(held_by, seen.values()))


POINTS = ("claimed", "opened", "sending", "first-bytes", "staged", "received", "adopted", "made", "intended", "settled")


@pytest.mark.parametrize("point", POINTS)
def test_invariants_21_and_29_a_killed_run_leaves_nothing_private_behind(tmp_path: Path, point: str) -> None:
    yard = Yard(tmp_path, "done", "redacted", "json")
    words = [sys.executable, "-m", "tests.crash_child", str(yard.folder.spool), str(yard.folder.config)]
    shell = Shell(yard.folder)
    killed = subprocess.run(
        [*words, f"point:{point}"], env=shell.environ | yard.environ, capture_output=True, text=True, check=False
    )
    assert killed.returncode == -signal.SIGKILL
    yard.streams["stderr"] = killed.stdout + killed.stderr
    yard.check()
    yard.run()
    yard.check()
    assert not list((yard.folder.spool / "staging").iterdir())
    assert not list(yard.folder.product("").glob(".*"))


def test_invariant_21_the_program_itself_says_nothing_private(tmp_path: Path) -> None:
    yard = Yard(tmp_path, "failed", "redacted", "json")
    shell = Shell(yard.folder)
    shell.environ |= yard.environ
    for words in (["run"], ["run", "--json"], ["retry"], ["run"], ["status"], ["status", "--json"], ["routes"]):
        said = shell.type(*words, "--config", "mediaspool.toml", "--spool", "spool")
        assert said.out or said.err or words == ["run"], said
        assert not held_by((said.out + said.err).encode()) & PRIVATE, said
    yard.check()
