"""Output folders, held so that nobody can exchange them: made where they are missing, reached without any link.

A path that was judged to lie in a root may lead elsewhere an instant later. What is written through a held folder lands
in the very folder that was judged, whatever its name has become meanwhile; `is_there` tells whether it still has it.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from pipeline.core.confine import display, way_below
from pipeline.core.errors import InputError
from pipeline.state.durable import border, sync_folder
from pipeline.state.roots import Roots

_STEP = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@contextmanager
def held(roots: Roots, path: str) -> Iterator[str]:
    """Another path to the folder, through its descriptor; good while the block runs, in this process only."""
    fd = _reach(roots, path, is_making=True)
    try:
        yield f"/proc/self/fd/{fd}"
    finally:
        os.close(fd)


def is_there(roots: Roots, path: str, held_path: str) -> bool:
    """Does the name still lead to the held folder? InputError where it now leads through a link."""
    try:
        fd = _reach(roots, path, is_making=False)
    except FileNotFoundError:
        return False
    try:
        return os.path.samestat(os.fstat(fd), os.stat(held_path))
    finally:
        os.close(fd)


def _reach(roots: Roots, path: str, *, is_making: bool) -> int:
    root = _root_of(roots, path)
    here = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    for name in way_below(root, path).split("/"):
        try:
            below = _step(here, name, path, is_making=is_making)
        finally:
            os.close(here)
        here = below
    return here


def _root_of(roots: Roots, path: str) -> str:
    inside = [root for root in roots.names().values() if f"{path}/".startswith(f"{root.rstrip('/')}/")]
    return max(inside or [roots.resolve_folder(path)], key=len)


def _step(here: int, name: str, path: str, *, is_making: bool) -> int:
    try:
        return os.open(name, _STEP, dir_fd=here)
    except FileNotFoundError:
        if not is_making:
            raise
    except NotADirectoryError as error:
        raise _odd(here, name, path) from error
    with border(path):
        with suppress(FileExistsError):
            os.mkdir(name, dir_fd=here)
        sync_folder(f"/proc/self/fd/{here}")
    return _step(here, name, path, is_making=False)


def _odd(here: int, name: str, path: str) -> InputError:
    hint = "put the real folder there, or name it in `out`"
    if stat.S_ISLNK(os.stat(name, dir_fd=here, follow_symlinks=False).st_mode):
        message = f"'{display(path)}' has become a link or goes through one"
        return InputError(message, code="path-outside-roots", hint=hint)
    return InputError(f"'{display(path)}' has something on its way that is not a folder", code="path-unsafe", hint=hint)
