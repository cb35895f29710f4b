"""Logs: what a line says and hides, and that no stream, however broken, changes the outcome (invariant 20)."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.trace.logs import MAX_LINE_BYTES, Format, Log, say
from pipeline.trace.redact import Redactor
from tests.trace.conftest import ENCODINGS, SECRETS, carries

NOON = "2026-08-18T12:00:00Z"

# A run in small: it logs, it does its work, it says its summary, and its exit code is its own.
RUN = """
import sys
from pipeline.trace.logs import Log, say
from pipeline.trace.redact import Redactor
log = Log(sys.stderr, redactor=Redactor(), now=lambda: "now", format="json")
for number in range(2000):
    log.event("call.settled", attempt=f"a{number}", ms=1.5)
open(sys.argv[1], "w").write(str(log.failures))
say(sys.stdout, "summary " * 4000)
say(sys.stderr, "summary " * 4000)
sys.exit(3)
"""


def _log(format: Format = "text", *, secrets: tuple[str, ...] = ()) -> tuple[Log, io.StringIO]:  # noqa: A002
    stream = io.StringIO()
    return Log(stream, redactor=Redactor(secrets), now=lambda: NOON, format=format), stream


def test_a_text_line_has_time_level_verb_and_fields() -> None:
    log, stream = _log()
    log.event("call.settled", route="whisper", ms=12.5, ok=True, code=None)
    assert stream.getvalue() == f"{NOON} info call.settled route=whisper ms=12.5 ok=yes code=-\n"


def test_a_json_line_keeps_the_types() -> None:
    log, stream = _log("json")
    log.event("run.ended", level="warning", jobs=3, ok=False, code=None)
    wanted = {"ts": NOON, "level": "warning", "event": "run.ended", "jobs": 3, "ok": False, "code": None}
    assert json.loads(stream.getvalue()) == wanted


def test_events_below_the_level_are_not_written() -> None:
    log, stream = _log()
    log.event("attempt.opened", level="debug")
    assert stream.getvalue() == ""


def test_a_field_cannot_take_the_place_of_the_time_or_the_verb() -> None:
    log, stream = _log("json")
    log.event("run.ended", ts="never", event="forged")
    assert (json.loads(stream.getvalue())["ts"], json.loads(stream.getvalue())["event"]) == (NOON, "run.ended")


@settings(max_examples=100, deadline=None)
@given(value=st.text(), format=st.sampled_from(["text", "json"]))
def test_invariant_28_no_value_can_forge_a_second_line_or_reach_the_terminal(value: str, format: Format) -> None:  # noqa: A002
    log, stream = _log(format)
    log.event("seen", what=value)
    line = stream.getvalue()
    assert line[:-1].isprintable()
    assert line.endswith("\n")
    assert log.failures == 0


def test_a_value_cannot_pretend_to_be_a_second_field() -> None:
    log, stream = _log()
    log.event("seen", what='x" verdict=done "', other="")
    assert stream.getvalue() == f'{NOON} info seen what="x\\" verdict=done \\"" other=""\n'


@settings(max_examples=100, deadline=None)
@given(secret=SECRETS, name=st.sampled_from(sorted(ENCODINGS)), format=st.sampled_from(["text", "json"]))
def test_invariant_21_a_secret_reaches_no_log_line(secret: str, name: str, format: Format) -> None:  # noqa: A002
    log, stream = _log(format, secrets=(secret,))
    log.event("seen", what=ENCODINGS[name](secret), authorization="Bearer " + secret, prompt=secret)
    shown = str(json.loads(stream.getvalue())) if format == "json" else stream.getvalue()
    assert not carries(secret, shown)


@pytest.mark.parametrize("format", ["text", "json"])
def test_a_line_is_bounded(format: Format) -> None:  # noqa: A002
    log, stream = _log(format)
    word = "ä " * 500
    log.event("seen", a=word, b=word, c=word, d=word, e=word, f=word, g=word, h=word, i=word, k=word)
    assert len(stream.getvalue().encode()) <= MAX_LINE_BYTES
    assert stream.getvalue().startswith(("{", NOON))


def test_a_stream_that_knows_ascii_only_still_gets_the_line() -> None:
    bytes_out = io.BytesIO()
    stream = io.TextIOWrapper(bytes_out, encoding="ascii")
    Log(stream, redactor=Redactor(), now=lambda: NOON).event("seen", what="ünï")
    assert b"what=" in bytes_out.getvalue()


Wire = Callable[[], tuple[int, int]]


def _pipe_without_reader() -> tuple[int, int]:
    read, write = os.pipe()
    os.close(read)
    return write, write


def _full() -> tuple[int, int]:
    full = os.open("/dev/full", os.O_WRONLY)
    return full, full


def _buffered() -> dict[str, str]:
    """The streams as a user has them: a buffer that failed once is written again by the interpreter on its way out."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}


def _run(stdout: int, stderr: int, failures: str) -> int:
    command = [sys.executable, "-c", RUN, failures]
    ended = subprocess.run(command, stdout=stdout, stderr=stderr, check=False, timeout=60, env=_buffered())
    return ended.returncode


@pytest.mark.real_time
@pytest.mark.parametrize("wire", [_full, _pipe_without_reader])
def test_invariant_20_a_full_device_or_a_gone_reader_does_not_change_the_exit_code(wire: Wire, tmp_path: str) -> None:
    stdout, stderr = wire()
    try:
        assert _run(stdout, stderr, f"{tmp_path}/failures") == 3
    finally:
        os.close(stdout)


@pytest.mark.real_time
@pytest.mark.parametrize("redirection", [">&-", "2>&-", ">&- 2>&-", "</dev/null >/dev/full 2>&-"])
def test_invariant_20_a_closed_stream_does_not_change_the_exit_code(redirection: str, tmp_path: str) -> None:
    command = f'exec "$0" -c "$1" "$2" {redirection}'
    arguments = ["sh", "-c", command, sys.executable, RUN, f"{tmp_path}/failures"]
    ended = subprocess.run(arguments, capture_output=True, check=False, timeout=60, env=_buffered())
    assert ended.returncode == 3


@pytest.mark.real_time
def test_invariant_20_a_reader_that_stops_reading_does_not_stop_the_run() -> None:
    read, write = os.pipe()
    with os.fdopen(write, "w") as stream:
        log = Log(stream, redactor=Redactor(), now=lambda: NOON)
        for number in range(3000):
            log.event("call.settled", attempt=f"a{number}")
        assert log.failures > 0
    os.close(read)


@pytest.mark.real_time
def test_invariant_20_lines_are_written_again_once_somebody_reads() -> None:
    read, write = os.pipe()
    with os.fdopen(write, "w") as stream:
        log = Log(stream, redactor=Redactor(), now=lambda: NOON)
        while log.failures == 0:
            log.event("call.settled", attempt="before")
        os.read(read, 1 << 20)
        log.event("call.settled", attempt="after")
        assert b"attempt=after" in os.read(read, 1 << 20)
    os.close(read)


def test_invariant_20_a_stream_that_was_closed_costs_lines_only() -> None:
    stream = io.StringIO()
    log = Log(stream, redactor=Redactor(), now=lambda: NOON)
    stream.close()
    log.event("seen")
    log.event("seen")
    assert log.failures == 2


def test_invariant_20_no_stream_at_all_costs_lines_only() -> None:
    log = Log(None, redactor=Redactor(), now=lambda: NOON)
    log.event("seen")
    assert log.failures == 1


def test_say_tells_whether_it_was_written() -> None:
    stream = io.StringIO()
    assert (say(stream, "a\udcff"), say(None, "a")) == (True, False)
