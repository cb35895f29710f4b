"""Invariants 21, 22 and 29 for remote routes: canaries in everything that runs with faults write, and who got the key.

The server repeats the key and the prompt wherever it can: in errors, in headers, in the fields of good answers, in the
address of a poll. The key may be nowhere; prompt and text may be in what the user wrote and in what was made of them.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline.overview import status
from pipeline.report import report_json, summary
from tests.cells import DOCUMENT, KEY, PROMPT, Field
from tests.cli.conftest import seat
from tests.failures import cells
from tests.makers import outcomes
from tests.standin.fixture import StandIn
from tests.standin.nouns import names
from tests.test_secrets import forms

pytestmark = [pytest.mark.real_time, pytest.mark.timeout(600)]

FORMS = {name: forms(canary) for name, canary in {"key": KEY, "prompt": PROMPT, "document": DOCUMENT}.items()}
WORDS = frozenset({"prompt", "document"})
THEIRS = ("notes.toml", "note.txt", "out/", "spool/assets/", "spool/quarantine/")
"""What the user wrote, and what was made of it; nothing else holds a word of either, and nothing at all the key."""
FAULTS: dict[str, str] = {
    "errors that repeat what was sent": "echo 400 401-bad-key 422-detail 403-moderation",
    "good answers that repeat the key": "echo-answer",
    "answers that are none": "error-200 html-200 not-json cut-in-chunk empty chat-refusal chat-length video-failed",
    "addresses that lead away": "redirect-302 redirect-307 redirect-http polling-elsewhere urls-elsewhere url-http",
}
LOUD = 'log.level = "debug"\nlog.format = "json"\ndebug.level = "redacted"\n'


def held_by(body: bytes) -> set[str]:
    lower = body.lower()
    return {name for name, found in FORMS.items() if any(form in lower for form in found)}


def all_bytes(field: Field, streams: dict[str, str]) -> Iterator[tuple[str, bytes]]:
    for path in sorted(field.folder.root.rglob("*")):
        if path.is_file():
            yield path.relative_to(field.folder.root).as_posix(), path.read_bytes()
    for stream, text in streams.items():
        yield f"stream: {stream}", text.encode("utf-8", "surrogateescape")


@pytest.mark.parametrize("what", FAULTS)
def test_invariants_21_22_and_29_no_server_makes_us_write_down_the_key_or_a_word_of_what_was_asked(
    tmp_path: Path, standin: StandIn, what: str, record_property: Callable[[str, object], None]
) -> None:
    """T32."""
    wanted = set(names(FAULTS[what]))
    field = Field(tmp_path / "user", standin, [cell for _, cell in cells() if cell.fault in wanted], extra=LOUD)
    result = field.folder.run()
    streams = {
        "summary": summary(result.whole),
        "report": report_json(result.whole).decode(),
        "status": status(seat(field.folder)).text,
        "log": field.folder.log.getvalue(),
        "outcomes": repr(outcomes(result)),
    }
    looked_at = 0
    for name, body in all_bytes(field, streams):
        looked_at += 1
        assert held_by(body) <= (WORDS if name.startswith(THEIRS) else set()), (name, held_by(body))
    assert {seen["key"] for seen in standin.requests() if seen["dialect"] == "elsewhere"} <= {"none"}
    assert not any(held_by(repr(seen).encode()) for seen in standin.requests("file"))
    assert "right" in {seen["key"] for seen in standin.requests()}
    line = f"canaries, {what}: 0 hits in {looked_at} files and streams"
    record_property("figure", line)
    print(line)


def test_the_search_would_see_them(tmp_path: Path, standin: StandIn) -> None:
    field = Field(tmp_path / "user", standin, [cell for _, cell in cells() if cell.fault == "slow-chunks"])
    field.folder.run()
    seen = {name: held_by(body) for name, body in all_bytes(field, {})}
    assert "prompt" in seen["notes.toml"]
    assert "document" in seen["note.txt"]
    assert held_by(f"x{KEY}".encode()) == {"key"}
