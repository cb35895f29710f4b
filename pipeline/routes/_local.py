"""What the embedded engines' drivers share: refusals for missing extras, health, and handing over a scratch file.

Imports no engine. Promises that a scratch file is gone when its block ends, whatever happened in it, and that a disk
which fails under it ends the run as one that is full or broken.
"""

import contextlib
import errno
import functools
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from decimal import Decimal
from typing import Literal

import trio

from pipeline.children import weights
from pipeline.children.lanes import Lanes
from pipeline.children.stage import FileRef
from pipeline.core.drivers import DriverFacts, Exchange, Health
from pipeline.core.errors import StoreError, UnsupportedOperation
from pipeline.core.model import Refusal

CHUNK_BYTES = 1 << 20
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_HINTS = {"disk-full": "free some space and run again", "io-error": "check the disk and the system log"}
_INSTALLED = ".dist-info"
FREE = Decimal(0)


@contextlib.contextmanager
def scratch(lanes: Lanes, suffix: str) -> Iterator[FileRef]:
    ref = lanes.scratch(suffix)
    try:
        yield ref
    except OSError as error:
        code = "disk-full" if error.errno in _FULL else "io-error"
        raise StoreError(f"a scratch file: {os.strerror(error.errno or 0)}", code=code, hint=_HINTS[code]) from error
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(lanes.path(ref))


@contextlib.asynccontextmanager
async def gathering(path: str, mode: Literal["xb", "wb"]) -> AsyncIterator[Callable[[bytes], Awaitable[None]]]:
    """Writes a file. Small pieces go to the disk together: each trip to a thread has its price."""
    held = bytearray()

    async def write(chunk: bytes) -> None:
        held.extend(chunk)
        if len(held) >= CHUNK_BYTES or not chunk:
            await file.write(bytes(held))
            held.clear()

    async with await trio.open_file(path, mode) as file:
        yield write
        await write(b"")


async def hand_over(exchange: Exchange, path: str) -> None:
    """The file's bytes, in order, in pieces."""
    at = 0
    while chunk := await trio.to_thread.run_sync(_piece, path, at):
        await exchange.write(chunk)
        at += len(chunk)
        if len(chunk) < CHUNK_BYTES:
            return


def _piece(path: str, at: int) -> bytes:
    """Opened anew for each: most answers are one piece, and so one trip to a thread."""
    with open(path, "rb") as file:
        file.seek(at)
        return file.read(CHUNK_BYTES)


@functools.lru_cache(maxsize=8)
def version(distribution: str) -> str:
    """The installed version, for the identity of an engine; from the name of the folder that says what is installed.

    The standard library reads more of it, and loads a parser of mail to do so.
    """
    wanted = distribution.replace("-", "_").lower()
    for folder in sys.path:
        for name in _names_in(folder):
            package, _, found = name.removesuffix(_INSTALLED).partition("-")
            if name.endswith(_INSTALLED) and package.lower() == wanted:
                return found
    return "absent"


def _names_in(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:  # an archive, or a folder that is not there: nothing is installed in it
        return []


def require_known(facts: DriverFacts, operation: str, model: str | None) -> None:
    """UnsupportedOperation unless the driver has the operation and, where one is named, the model."""
    if operation not in facts.operations:
        raise UnsupportedOperation(f"{facts.name} cannot {operation}")
    if model is not None and model not in facts.models:
        hint = f"leave the model out, or name {' or '.join(facts.models)}"
        raise UnsupportedOperation(f"{facts.name} has no model {model!r}", code="model-unknown", hint=hint)


def missing_extra(distribution: str, models: Iterable[weights.Model]) -> list[Refusal]:
    """One refusal with the command that cures it, or none. Looks for packages only, so it may be asked often."""
    if version(distribution) != "absent" and all(weights.is_installed(model) for model in models):
        return []
    message = f"{distribution} or its weights are not installed"
    return [Refusal(code="extra-missing", message=message, hint=weights.INSTALL_HINT)]


def require_extra(distribution: str, models: Iterable[weights.Model]) -> None:
    for refusal in missing_extra(distribution, models):
        raise UnsupportedOperation(refusal.message, code=refusal.code, hint=refusal.hint)


def health(distribution: str, models: Iterable[weights.Model]) -> Health:
    """Are the packages there, and do the weights hash to their pins? Reads them once in a process."""
    models = tuple(models)
    for refusal in missing_extra(distribution, models):
        return Health(ok=False, summary=refusal.message, hint=refusal.hint)
    broken = tuple(f"{model.name}: {name}" for model in models for name in weights.broken_files(model))
    if broken:
        hint = f"{weights.INSTALL_HINT} --force-reinstall"
        return Health(ok=False, summary="weights are not the packaged ones", hint=hint, details=broken)
    names = tuple(model.identity for model in models)
    return Health(ok=True, summary=f"{distribution} {version(distribution)}", details=names)


def primary(language: str) -> str:
    """The language of a BCP 47 tag without script and region, in lower case."""
    return language.replace("_", "-").partition("-")[0].lower()
