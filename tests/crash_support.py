"""What tests of killed runs share: the run in a process of its own, and what it may have left behind."""

import os
import subprocess
import sys

from tests.makers import Folder


def run_child(folder: Folder, kill: str, *, timeout_s: float = 120.0) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.crash_child", str(folder.spool), str(folder.config), kill]
    environ = {**os.environ, **folder.environ}
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False, env=environ)


def strays(folder: Folder) -> list[str]:
    """Files that nobody owns: parts, staged payloads, manifests that are neither done nor failed."""
    found = [path for path in folder.root.rglob("*") if path.name.endswith(".part") or "staging" in path.parts]
    left = [path for name in ("incoming", "claimed") for path in (folder.spool / name).iterdir()]
    return [str(path) for path in (*found, *left) if path.is_file()]
