"""What a command answers: text for a person, one object for a program, and the exit code.

Owns the shapes that the commands share and the JSON they are told in, which is plain ASCII so that no locale can spoil
it. Whoever makes an answer has passed every name through the renderer for untrusted text. Nothing here writes.
"""

import json
import os
from collections.abc import Iterable, Sequence

import msgspec
from msgspec import Struct

from pipeline.core.confine import display, display_path
from pipeline.core.errors import MediaspoolError
from pipeline.report import exit_code

SCHEMA = 1
_KILO = 1000
_UNITS = ("B", "kB", "MB", "GB", "TB")


class Answer(Struct, frozen=True, kw_only=True):
    """The answer of one command. `text` is for a person, `lines` for a script that did not ask for JSON."""

    text: str
    lines: str = ""
    record: Struct | None = None
    exit_code: int = 0


class Problem(Struct, frozen=True, kw_only=True):
    """One error or reason, as programs read it."""

    code: str
    message: str
    hint: str = ""


class Refused(Struct, frozen=True, kw_only=True):
    """The object of a command that could not do what it was asked."""

    schema: int = SCHEMA
    errors: tuple[Problem, ...]
    exit_code: int


def refused(errors: Sequence[MediaspoolError], *, code: int | None = None) -> Answer:
    """What stopped a command; its exit code follows from the errors unless the command knows better."""
    problems = tuple(problem(error.code, error.message, error.hint) for error in errors)
    code = exit_code(outcomes=[], errors=errors) if code is None else code
    lines = [
        f"mediaspool: {item.message} [{item.code}]" + (f"\n  {item.hint}" if item.hint else "") for item in problems
    ]
    return Answer(text=joined(lines), record=Refused(errors=problems, exit_code=code), exit_code=code)


def problem(code: str, message: str, hint: str = "") -> Problem:
    return Problem(code=code, message=display(message), hint=display(hint))


def json_line(record: Struct) -> str:
    """One object on one line."""
    return json.dumps(msgspec.to_builtins(record)) + "\n"


def joined(lines: Iterable[str]) -> str:
    """Lines as text; no lines are no text."""
    return "".join(f"{line}\n" for line in lines)


def shown_path(path: str) -> str:
    """A path for a person, relative where that is shorter, never with a character that a terminal would obey.

    It can be typed: what begins with a dash would be taken for an option.
    """
    try:
        near = os.path.relpath(path)
    except OSError:  # the folder we stand in is gone
        near = path
    near = f"./{near}" if near.startswith("-") else near
    return display_path(near if len(near) < len(path) else path)


def counted(count: int, noun: str) -> str:
    return f"{count} {noun}" + ("" if count == 1 else "s")


def shown_size(size: float) -> str:
    for unit in _UNITS[:-1]:
        if size < _KILO:
            return f"{size:.0f} {unit}"
        size /= _KILO
    return f"{size:.0f} {_UNITS[-1]}"
