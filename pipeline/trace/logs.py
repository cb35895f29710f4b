"""Logs: one line per event, as `key=value` text or as JSON, for people and for machines alike.

An event is a verb, ids and numbers; prose, texts and file names have no place in it. Every field passes the redaction
and the renderer for untrusted text. A log never decides anything: a full, closed or stalled stream costs lines, counted
in `failures`, and never the run, its speed or its exit code.
"""

import io
import os
import select
from collections.abc import Mapping
from typing import IO, Literal

import msgspec

from pipeline.core.confine import display
from pipeline.core.model import Clock
from pipeline.trace.redact import JsonValue, Redactor

Level = Literal["debug", "info", "warning", "error"]
Format = Literal["text", "json"]
Field = str | int | float | bool | None

LEVELS: tuple[Level, ...] = ("debug", "info", "warning", "error")
MAX_LINE_BYTES = 4096  # PIPE_BUF: a pipe that is ready takes so much at once, and lines of two runs do not mix
MAX_VALUE_CHARS = 2000
SHORTER = (MAX_VALUE_CHARS, 250, 64)
PATIENCE_MS = 200


class Log:
    """Writes events to one stream. `stream` is None where the process was started without one."""

    def __init__(
        self,
        stream: IO[str] | None,
        *,
        redactor: Redactor,
        now: Clock,
        format: Format = "text",  # noqa: A002  # the word of the settings
        level: Level = "info",
    ) -> None:
        self.failures = 0
        self._stream = stream
        self._redactor = redactor
        self._now = now
        self._render = _json_line if format == "json" else _text_line
        self._from = LEVELS.index(level)
        self._patience_ms = PATIENCE_MS

    def event(self, verb: str, /, *, level: Level = "info", **fields: Field) -> None:
        """Record one event. Never raises and never waits longer than a moment."""
        if LEVELS.index(level) < self._from:
            return
        shown = self._redactor.value(fields)
        assert isinstance(shown, Mapping)  # a mapping stays one
        line: dict[str, Field] = {"ts": self._now(), "level": level, "event": display(self._redactor.text(verb))}
        line |= {f"{name}_" if name in line else name: _plain(shown[name]) for name in shown}
        if not self._is_ready() or not say(self._stream, self._render(line)):
            self.failures += 1

    def _is_ready(self) -> bool:
        """False while nobody reads the other end. The first such line waits a little, the next ones not at all."""
        ready = self._stream is None or _takes_bytes(self._stream, self._patience_ms)
        self._patience_ms = PATIENCE_MS if ready else 0
        return ready


def say(stream: IO[str] | None, text: str) -> bool:
    """Write text that may fail to be written; False if it did.

    After a failure the stream's descriptor leads nowhere: else the interpreter would try the same bytes once more on
    its way out, and turn the failure into exit code 120.
    """
    if stream is None:
        return False
    try:
        stream.write(_encodable(text, stream))
        stream.flush()
    except (OSError, ValueError):
        _silence(stream)
        return False
    return True


def _silence(stream: IO[str]) -> None:
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    except OSError:
        return
    try:
        os.dup2(nowhere, stream.fileno())
    except (OSError, ValueError):  # closed, or not a stream with a descriptor: then nothing is left to fail
        return
    finally:
        os.close(nowhere)


def _takes_bytes(stream: IO[str], patience_ms: int) -> bool:
    try:
        poll = select.poll()
        poll.register(stream.fileno(), select.POLLOUT)
        return bool(poll.poll(patience_ms))
    except (OSError, ValueError):  # no descriptor, or a closed one: the write itself will tell
        return True


def _encodable(text: str, stream: IO[str]) -> str:
    encoding = (stream.encoding if isinstance(stream, io.TextIOBase) else None) or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def _plain(value: JsonValue) -> Field:
    """Fields are scalars; whatever else came out of the redaction was its own note."""
    if isinstance(value, str):
        return display(value, MAX_VALUE_CHARS)
    return value if isinstance(value, int | float) else None


def _json_line(fields: Mapping[str, Field]) -> str:
    """One object; where it is too long, with its values shortened more and more."""
    for chars in SHORTER:
        line = msgspec.json.encode({name: _short(value, chars) for name, value in fields.items()})
        if len(line) < MAX_LINE_BYTES:
            return line.decode() + "\n"
    return msgspec.json.encode({name: fields[name] for name in ("ts", "level", "event")}).decode() + "\n"


def _short(value: Field, chars: int) -> Field:
    return display(value, chars) if isinstance(value, str) else value


def _text_line(fields: Mapping[str, Field]) -> str:
    ts, level, event, *names = fields
    pairs = [f"{display(name)}={_quoted(fields[name])}" for name in names]
    line = " ".join([str(fields[ts]), str(fields[level]), _quoted(fields[event]), *pairs])
    return line.encode()[: MAX_LINE_BYTES - 1].decode(errors="ignore") + "\n"


def _quoted(value: Field) -> str:
    """A value that reads as one word, and cannot pretend to be a second field."""
    if value is None or isinstance(value, bool):
        return {None: "-", True: "yes", False: "no"}[value]
    text = str(value)
    return (
        text if text and not set(text) & set(" =\"'\\") else '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
    )
