"""The folders that inputs and outputs may lie in, and the questions asked of a path before it is used.

A path is judged after its links are resolved, so a link inside a root that leads out of it is outside. The answers are
real absolute paths; `open` opens one without following any link, so a folder swapped for a link after the question
changes nothing. Roots never creates, writes or deletes anything.
"""

import os
import stat
from collections.abc import Sequence

from pipeline.core.confine import MAX_NAME_BYTES, TOO_LONG, display, open_beneath, way_below, why_unsafe
from pipeline.core.errors import ConfigError, InputError
from pipeline.state.drops import RECEIPT_SUFFIX

HEAD_CHARS = 60
MAX_OUTPUT_NAME_BYTES = MAX_NAME_BYTES - len(RECEIPT_SUFFIX)


class Roots:
    """A set of real folders. Relative paths are never taken: cron starts in another folder than a shell."""

    def __init__(self, folders: Sequence[str]) -> None:
        self._folders = tuple(dict.fromkeys(_real_folder(folder) for folder in folders))

    def names(self) -> dict[str, str]:
        """Short names for child processes, which see a file as (root name, relative path)."""
        return {f"r{number}": folder for number, folder in enumerate(self._folders)}

    def resolve_output(self, path: str) -> str:
        """The real path at which a product may be put; its folders need not exist yet."""
        folder, name = os.path.split(path)
        return self.output_in(self.resolve_folder(folder), name)

    def resolve_folder(self, path: str) -> str:
        """The real path of a folder inside a root; it and the folders above it need not exist yet."""
        if not path.startswith("/"):
            raise _unsafe(path, "is not an absolute path")
        _check_name(path)
        real = _real(path)
        self._check_inside(real, path)
        _check_name(real)
        _check_folder(_deepest_existing(real), path)
        return real

    def input_in(self, folder: str, name: str) -> str:
        """The real path of a regular file in a folder that `resolve_folder` gave: cheap for many of one folder."""
        real, mode = self._entry(folder, name)
        if mode is None:
            raise InputError(f"'{display(real)}' does not exist", code="input-missing", hint="check the path")
        return real

    def output_in(self, folder: str, name: str) -> str:
        """As `resolve_output`, for a folder that `resolve_folder` gave."""
        _check_name(name)
        if len(os.fsencode(name)) > MAX_OUTPUT_NAME_BYTES:
            raise _unsafe(
                _head(name), f"is longer than the {MAX_OUTPUT_NAME_BYTES} bytes that leave room for a receipt"
            )
        real, _ = self._entry(folder, name)
        return real

    def open(self, path: str) -> int:
        """A descriptor for reading; `path` is one that `input_in` or `output_in` gave."""
        for folder in self._folders:
            if _is_beneath(path, folder):
                return open_beneath(folder, way_below(folder, path))
        raise self._outside(path)

    def _entry(self, folder: str, name: str) -> tuple[str, int | None]:
        """The real path of one name in a real folder, and the mode of what is there, if anything."""
        _check_name(name)
        if name in (".", "..") or "/" in name:
            raise _unsafe(name, "is not the name of a file")
        path = real = os.path.join(folder, name)
        mode = _mode(path)
        if mode is not None and stat.S_ISLNK(mode):
            real = _real(path)
            self._check_inside(real, path)
            _check_name(real)
            mode = _mode(real)
        if mode is not None and not stat.S_ISREG(mode):
            raise _unsafe(path, "is not a regular file")
        return real, mode

    def _check_inside(self, real: str, asked: str) -> None:
        if not any(_is_beneath(real, folder) for folder in self._folders):
            raise self._outside(asked)

    def _outside(self, path: str) -> InputError:
        return InputError(
            f"'{display(path)}' lies outside the allowed folders",
            code="path-outside-roots",
            hint="add its folder to `roots` in the settings; allowed now: " + ", ".join(map(display, self._folders)),
        )


def _real_folder(folder: str) -> str:
    real = os.path.realpath(folder)
    if not os.path.isdir(real):
        raise ConfigError(f"the root '{display(folder)}' is not a folder", hint="correct `roots` in the settings")
    return real


def _is_beneath(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder if folder == "/" else folder + "/")


def _real(path: str) -> str:
    try:
        return os.path.realpath(path)
    except OSError as error:  # a link that vanished between being seen and being read
        raise _unreadable(path, error) from error


def _mode(path: str) -> int | None:
    try:
        return os.lstat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: str, error: OSError) -> InputError:
    return InputError(
        f"'{display(path)}' cannot be looked at: {error.strerror}",
        code="input-unreadable",
        hint="check owner and mode of the folders above it",
    )


def _deepest_existing(real: str) -> str:
    while _mode(real) is None:
        real = os.path.dirname(real)
    return real


def _check_folder(real: str, asked: str) -> None:
    mode = _mode(real)
    if mode is None or not stat.S_ISDIR(mode):
        raise _unsafe(asked, "has something on its way that is not a folder")


def _check_name(path: str) -> None:
    why = why_unsafe(path)
    if why:
        raise _unsafe(_head(path) if why == TOO_LONG else path, why)


def _head(path: str) -> str:
    """As much of a long name as leaves room for what is wrong with it."""
    return display(path, HEAD_CHARS)


def _unsafe(path: str, why: str) -> InputError:
    return InputError(
        f"'{display(path)}' {why}", code="path-unsafe", hint="rename it, or name a plain file in an existing folder"
    )
