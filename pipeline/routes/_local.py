"""What the embedded engines' drivers share: refusals for missing extras, health, and handing over a scratch file.

Imports no engine. Promises that a scratch file is gone when its block ends, whatever happened in it.
"""

import contextlib
import functools
import importlib.metadata
import os
from collections.abc import Iterable, Iterator
from decimal import Decimal

import trio

from pipeline.children import weights
from pipeline.children.lanes import Lanes
from pipeline.children.stage import FileRef
from pipeline.core.drivers import DriverFacts, Exchange, Health
from pipeline.core.errors import UnsupportedOperation
from pipeline.core.model import Refusal

CHUNK_BYTES = 1 << 16
FREE = Decimal(0)


@contextlib.contextmanager
def scratch(lanes: Lanes, suffix: str) -> Iterator[FileRef]:
    ref = lanes.scratch(suffix)
    try:
        yield ref
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(lanes.path(ref))


async def hand_over(exchange: Exchange, path: str) -> None:
    """The file's bytes, in order, in pieces."""
    async with await trio.open_file(path, "rb") as file:
        while chunk := await file.read(CHUNK_BYTES):
            await exchange.write(chunk)


@functools.lru_cache(maxsize=8)
def version(distribution: str) -> str:
    """The installed version, for the identity of an engine."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "absent"


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
