"""Run one stage in this process: the function that travels through an Executor.

Turns the expected errors of a stage into its result. Anything else is a bug or a broken library and is left to end the
process, which the pool reports. Promises that only functions of modules in `pipeline.children` are ever called.
"""

import importlib
import re
import time
from collections.abc import Callable

import msgspec

from pipeline.children.stage import Roots, StageResult, StageSpec
from pipeline.core.errors import MediaspoolError

Stage = Callable[[StageSpec, Roots], StageResult]
_NAME = re.compile(r"[a-z_]+:[a-z_]+")


def run_stage(spec: StageSpec, roots: Roots) -> StageResult:
    """The stage's result, with the seconds it took. An expected error is a result with its code."""
    started = time.monotonic()
    try:
        result = find_stage(spec.stage)(spec, roots)
    except MediaspoolError as error:
        result = StageResult(code=error.code, message=error.message)
    except MemoryError:
        result = StageResult(code="limit-memory", message="the stage asked for more memory than allowed")
    return msgspec.structs.replace(result, seconds=time.monotonic() - started)


def find_stage(name: str) -> Stage:
    """`"module:function"` under pipeline.children -> the function; LookupError when there is none."""
    if not _NAME.fullmatch(name):
        raise LookupError(f"{name!r} does not name a stage")
    module, function = name.split(":")
    stage: Stage = getattr(importlib.import_module(f"pipeline.children.{module}"), function)
    return stage
