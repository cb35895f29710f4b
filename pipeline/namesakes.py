"""Other packages called `pipeline` or `jobs`: two plain names that we share with the world.

One that stands before ours on the import path takes its place. Looks at names on the path only; imports nothing.
"""

import os
import sys
from collections.abc import Iterator

from msgspec import Struct

_NAMES = ("pipeline", "jobs")
_MODULES = ("{}/__init__.py", "{}.py")


class Namesake(Struct, frozen=True, kw_only=True):
    """A foreign package or module. `is_first`: an import finds it before ours."""

    name: str
    path: str
    is_first: bool


def namesakes(home: str | None = None, path: list[str] | None = None) -> tuple[Namesake, ...]:
    """All that `path` holds under our names and that does not lie in `home`, the folder of our own packages."""
    home = home or os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
    return tuple(_found(os.path.realpath(home), sys.path if path is None else path))


def _found(home: str, path: list[str]) -> Iterator[Namesake]:
    seen: set[str] = set()
    is_past_ours = False
    for folder in (os.path.realpath(entry or os.curdir) for entry in path):
        if folder in seen:
            continue
        seen.add(folder)
        if folder == home:
            is_past_ours = True
            continue
        for name in _NAMES:
            found = [os.path.join(folder, form.format(name)) for form in _MODULES]
            for file in filter(os.path.isfile, found):
                yield Namesake(name=name, path=file, is_first=not is_past_ours)
