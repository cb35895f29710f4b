"""Disks for tests: a small one that can be filled and made read-only at a chosen moment."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


class Disk:
    """A mounted tmpfs. What fills it is one file, so that it is empty again at once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._filler = folder / ".filler"

    def fill(self) -> None:
        """Not a single page is free afterwards."""
        with contextlib.suppress(OSError), self._filler.open("ab", buffering=0) as file:
            while file.write(bytes(1 << 16)):
                pass
        with contextlib.suppress(OSError), self._filler.open("ab", buffering=0) as file:
            while file.write(bytes(1)):
                pass

    def empty(self) -> None:
        self._filler.unlink(missing_ok=True)

    def take_files(self, count: int) -> None:
        """So many files and folders at most may be on it, from now on."""
        subprocess.run(["mount", "-o", f"remount,nr_inodes={count}", os.fspath(self.folder)], check=True)

    def read_only(self, is_so: bool) -> None:
        mode = "ro" if is_so else "rw"
        subprocess.run(["mount", "-o", f"remount,{mode}", os.fspath(self.folder)], check=True)


@contextlib.contextmanager
def mounted(folder: Path, size: str = "48m") -> Iterator[Disk]:
    folder.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", os.fspath(folder)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting a tmpfs needs root and CAP_SYS_ADMIN")
    try:
        yield Disk(folder)
    finally:
        subprocess.run(["umount", "-l", os.fspath(folder)], check=True)


@contextlib.contextmanager
def bound(folder: Path, to: Path) -> Iterator[None]:
    """`folder` is `to` by another mount of the same disk, as two volumes of a container are."""
    command = ["mount", "--bind", os.fspath(to), os.fspath(folder)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("a mount needs root and CAP_SYS_ADMIN")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", os.fspath(folder)], check=True)
