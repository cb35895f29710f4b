"""The stage: free, repeatable work that a child process does. Exact under JSON, so it could run on another machine.

A stage is a top-level importable function `(StageSpec, Roots) -> StageResult`. It never sees the ledger, a secret or a
final name. Files are (root name, relative path) pairs; the pool tells the child where each root lies.
"""

from collections.abc import Mapping

import msgspec
from msgspec import Struct

Roots = Mapping[str, str]


class FileRef(Struct, frozen=True, kw_only=True):
    """A file as (root name, path relative to it)."""

    root: str
    path: str


class StageLimits(Struct, frozen=True, kw_only=True):
    """Bounds in the child: bytes of the output file, seconds of media decoded, pages and characters read."""

    max_output_bytes: int | None = None
    max_seconds: float | None = None
    max_pages: int | None = None
    max_chars: int | None = None


class StageSpec(Struct, frozen=True, kw_only=True):
    """One piece of work. `stage` is `"module:function"` under pipeline.children; `params` its own struct as JSON."""

    stage: str
    inputs: tuple[FileRef, ...] = ()
    output: FileRef | None = None
    params: msgspec.Raw = msgspec.Raw(b"{}")
    limits: StageLimits = StageLimits()
    deadline_s: float = 3600.0


class StageResult(Struct, frozen=True, kw_only=True):
    """`code` None means it worked. `facts` is the stage's result struct as JSON; `message` is never media or text."""

    code: str | None = None
    message: str = ""
    output: FileRef | None = None
    facts: msgspec.Raw = msgspec.Raw(b"{}")
    seconds: float = 0.0


def packed(told: Struct) -> msgspec.Raw:
    """Params or facts as the JSON that crosses the border."""
    return msgspec.Raw(msgspec.json.encode(told))
