"""A plain command line of `run`, taken apart with the standard library alone.

A run from cron need not pay for a parser of every command. Only what is beyond doubt is read here: an option that is
not known, lacks its value or has an odd one gives None, and Typer reads the line and tells what is wrong with it.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

OPTIONS = frozenset({"--spool", "--config", "--if-busy", "--time-limit", "--events"})
FLAGS = frozenset({"--force", "--rehash", "--json", "--quiet"})


class RunWords(NamedTuple):
    """What stands on the line: manifests, options with a value, and those without."""

    files: tuple[str, ...]
    options: Mapping[str, str]
    flags: frozenset[str]


def run_words(arguments: Sequence[str]) -> RunWords | None:
    if not arguments or arguments[0] != "run":
        return None
    files: list[str] = []
    options: dict[str, str] = {}
    flags: set[str] = set()
    rest = iter(arguments[1:])
    for word in rest:
        name, is_joined, value = word.partition("=")
        if name in OPTIONS:
            options[name] = value if is_joined else next(rest, "-")
            if options[name].startswith("-"):
                return None
        elif word in FLAGS:
            flags.add(word)
        elif word.startswith("-"):
            return None
        else:
            files.append(word)
    return RunWords(files=tuple(files), options=options, flags=frozenset(flags))
