"""The console script. Answers an idle spool tick itself, at little more than the price of starting Python.

Everything else is handed to `pipeline.cli`; its import is inside the function, because Typer, trio and httpx would
cost an idle cron tick ten times as much as the answer.
"""

import os
import sys
from collections.abc import Sequence

from pipeline.state.idle import is_idle

_TICK_OPTIONS = frozenset({"--spool", "--if-busy", "--config", "--time-limit"})
_TICK_FLAGS = frozenset({"--quiet"})


def main() -> None:
    spool = tick_spool(sys.argv[1:])
    if spool is not None and is_idle(spool):
        sys.exit(0)
    from pipeline.cli import main as cli_main

    cli_main()


def tick_spool(arguments: Sequence[str]) -> str | None:
    """The spool of a plain cron tick, or None when the command line asks for anything more."""
    is_watched = sys.stderr is not None and sys.stderr.isatty()  # None where the caller closed it
    if not arguments or arguments[0] != "run" or is_watched:
        return None
    options = _pairs(arguments[1:])
    if options is None or "--spool" not in options:
        return None
    return os.path.abspath(options["--spool"])


def _pairs(arguments: Sequence[str]) -> dict[str, str] | None:
    """The options by name; None as soon as there is one that an idle tick cannot answer for."""
    pairs: dict[str, str] = {}
    rest = [argument for argument in arguments if argument not in _TICK_FLAGS]
    while rest:
        name, is_joined, value = rest.pop(0).partition("=")
        if name not in _TICK_OPTIONS or (not is_joined and not rest):
            return None
        pairs[name] = value if is_joined else rest.pop(0)
    return pairs


if __name__ == "__main__":
    main()
