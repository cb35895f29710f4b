"""How the answer of a command is told: text for people to stderr, data to stdout; `--json` prints one object there."""

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from pipeline.core.errors import MediaspoolError, StoreError
from pipeline.trace.logs import say

if TYPE_CHECKING:
    from pipeline.answer import Answer


def tell(ask: "Callable[[], Answer]", *, as_json: bool) -> int:
    """Print the answer of a command, whatever it is, and give its exit code."""
    from pipeline.answer import json_line, refused

    try:
        answer = ask()
    except MediaspoolError as error:
        answer = refused([error])
    except ExceptionGroup as group:
        answer = refused(_expected(group))
    except OSError as error:
        answer = refused([StoreError(f"the operating system said: {error.strerror}", hint="mediaspool doctor")])
    is_told = as_json and answer.record is not None and say(sys.stdout, json_line(answer.record))
    if answer.lines and not as_json:
        say(sys.stdout, answer.lines)
    if answer.text and not is_told:
        say(sys.stderr, answer.text)
    return answer.exit_code


def _expected(group: ExceptionGroup[Exception]) -> Sequence[MediaspoolError]:
    """The errors of a nursery, if all of them are expected ones; else it is a bug, and the traceback is due."""
    expected, bugs = group.split(MediaspoolError)
    if bugs is not None or expected is None:
        raise group
    found: list[MediaspoolError] = []
    waiting: list[Exception] = [expected]
    while waiting:
        error = waiting.pop()
        if isinstance(error, ExceptionGroup):
            waiting += error.exceptions
        elif isinstance(error, MediaspoolError):
            found.append(error)
    return found
