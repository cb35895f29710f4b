"""The console script. Answers an idle spool tick itself, at little more than the price of starting Python.

Everything else is handed to `pipeline.program`; its import is inside the function, because Typer, trio and httpx would
cost an idle cron tick ten times as much as the answer.
"""

import os
import sys
from collections.abc import Sequence

from pipeline.run_words import run_words
from pipeline.state.idle import is_idle

_TICK_OPTIONS = frozenset({"--spool", "--if-busy", "--config", "--time-limit"})
_TICK_FLAGS = frozenset({"--quiet"})


def main() -> None:
    _ensure_utf8()
    spool = tick_spool(sys.argv[1:])
    if spool is not None and is_idle(spool):
        sys.exit(0)
    from pipeline.program import main as program_main

    program_main()


def _ensure_utf8() -> None:
    """Names are UTF-8 whatever the locale says: in another one a file would have another name there than under cron.

    Python decides that before it runs anything, so it is started anew, once.
    """
    is_asked = "utf8" in sys._xoptions
    if sys.getfilesystemencoding() != "utf-8" and sys.executable and not is_asked:
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])  # noqa: S606  # ourselves


def tick_spool(arguments: Sequence[str]) -> str | None:
    """The spool of a plain cron tick, or None when the command line asks for anything more."""
    is_watched = sys.stderr is not None and sys.stderr.isatty()  # None where the caller closed it
    words = run_words(arguments)
    if words is None or words.files or is_watched or "--spool" not in words.options:
        return None
    is_tick = words.options.keys() <= _TICK_OPTIONS and words.flags <= _TICK_FLAGS
    return os.path.abspath(words.options["--spool"]) if is_tick else None


if __name__ == "__main__":
    main()
