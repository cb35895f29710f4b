"""Output folders, held so that nobody can exchange them: made where they are missing, reached without any link.

A path that was judged to lie in a root may lead elsewhere an instant later. What is written through a held folder lands
in the very folder that was judged, whatever its name has become meanwhile; `is_there` tells whether it still has it.
What a folder is asked to keep counts on its name, whoever made it: perhaps a run that was killed before it synced.
"""

import os
import stat
import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager

from pipeline.core.confine import display, way_below
from pipeline.core.errors import InputError, MediaspoolError, OutputClosed, StoreError
from pipeline.state.durable import may_write, naming, not_taken, on_one_disk, sync_names
from pipeline.state.roots import Roots

_FULL = "disk-full"
_STEP = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class OutputFolders:
    """The output folders of one run. The names in each folder above them are made durable once, and after each new one.

    May be used in several threads at a time.
    """

    def __init__(self, home: str = "/") -> None:
        """`home` lies on the disk of the spool: when that one is full, nothing goes on."""
        self._home = home
        self._naming = threading.Lock()
        self._synced: set[tuple[int, int]] = set()
        self._closed: dict[str, OutputClosed] = {}

    @contextmanager
    def held(self, roots: Roots, path: str) -> Iterator[str]:
        """Another path to the folder, through its descriptor; good while the block runs, in this process only."""
        try:
            fd = _reach(roots, path, self._named_step)
        except StoreError as error:
            raise self.closing([path], error) from error
        try:
            yield f"/proc/self/fd/{fd}"
        finally:
            os.close(fd)

    def closing(self, folders: Collection[str], error: StoreError) -> MediaspoolError:
        """What an error says about the folders: such as take nothing are no trouble of the whole run.

        Where a job wrote to one folder, that one is known from then on to take nothing from the others either.
        """
        is_full = error.code == _FULL and not any(on_one_disk(folder, self._home) for folder in folders)
        if not is_full and error.code != OutputClosed.default_code:
            return error
        told = OutputClosed(error.message, code=error.code, hint=error.hint)
        if len(folders) == 1 and (is_full or not may_write(*folders)):  # else it is one file that is in the way
            self._closed.update(dict.fromkeys(folders, told))
        return told

    def ensure_open(self, folders: Iterable[str]) -> None:
        for folder in folders:
            if (told := self._closed.get(folder)) is not None:
                raise OutputClosed(told.message, code=told.code, hint=told.hint)

    def _named_step(self, here: int, name: str, path: str) -> int:
        """Under the lock, so that nobody takes a folder for durable whose name is being synced elsewhere."""
        try:
            below = _step(here, name, path)
        except FileNotFoundError:
            below = None
        with self._naming, naming(path):
            self._ensure_name(here, None if below is not None else name)
        return _step(here, name, path) if below is None else below

    def _ensure_name(self, here: int, missing: str | None) -> None:
        found, names = os.fstat(here), f"/proc/self/fd/{here}"
        parent = (found.st_dev, found.st_ino)
        if missing is not None:
            self._synced.discard(parent)
            make_beside(here, missing)
            sync_names(names)
        elif parent not in self._synced:
            sync_names(names)
        self._synced.add(parent)


def make_beside(here: int, name: str) -> None:
    """A folder of that name in a held one; nothing where it is there already."""
    try:
        os.mkdir(name, dir_fd=here)
    except FileExistsError:
        pass
    except FileNotFoundError as error:
        raise not_taken(error, is_there=os.fstat(here).st_nlink > 0) from error


def is_there(roots: Roots, path: str, held_path: str) -> bool:
    """Does the name still lead to the held folder? InputError where it now leads through a link."""
    try:
        fd = _reach(roots, path, _step)
    except FileNotFoundError:
        return False
    try:
        return os.path.samestat(os.fstat(fd), os.stat(held_path))
    finally:
        os.close(fd)


def _reach(roots: Roots, path: str, step: Callable[[int, str, str], int]) -> int:
    root = _root_of(roots, path)
    here = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    for name in way_below(root, path).split("/"):
        try:
            below = step(here, name, path)
        finally:
            os.close(here)
        here = below
    return here


def _root_of(roots: Roots, path: str) -> str:
    inside = [root for root in roots.names().values() if f"{path}/".startswith(f"{root.rstrip('/')}/")]
    return max(inside or [roots.resolve_folder(path)], key=len)


def _step(here: int, name: str, path: str) -> int:
    try:
        return os.open(name, _STEP, dir_fd=here)
    except NotADirectoryError as error:
        raise _odd(here, name, path) from error


def _odd(here: int, name: str, path: str) -> InputError:
    hint = "put the real folder there, or name it in `out`"
    if stat.S_ISLNK(os.stat(name, dir_fd=here, follow_symlinks=False).st_mode):
        message = f"'{display(path)}' has become a link or goes through one"
        return InputError(message, code="path-outside-roots", hint=hint)
    return InputError(f"'{display(path)}' has something on its way that is not a folder", code="path-unsafe", hint=hint)
