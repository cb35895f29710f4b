"""A child that misbehaves on demand: a real program behind the pool's own pipes. The stage's name says how."""

import json
import os
import select
import signal
import sys
import time

sys.path[:] = json.loads(sys.argv[1])

import msgspec  # noqa: E402

from pipeline.children import limits  # noqa: E402
from pipeline.children.child import Child  # noqa: E402
from pipeline.children.stage import Roots, StageResult, StageSpec  # noqa: E402

ASKS, ANSWERS = os.dup(0), os.dup(1)
KEPT: list[bytes] = []
SECOND_ANSWER = b"\0\0\0\x19" + b'{"number":1,"result":{}} '
RAW = {
    "garbage": b"\0\0\0\x05hello",
    "oversize": b"\xff\xff\xff\xff",
    "stranger": b'\0\0\0\x1a{"number":99,"result":{}}\n',
    "twice": SECOND_ANSWER,
    "twice-late": SECOND_ANSWER,
}


def fact(value: object) -> StageResult:
    return StageResult(facts=msgspec.Raw(msgspec.json.encode(value)))


def work(spec: StageSpec, roots: Roots) -> StageResult:
    if spec.stage == "print":
        os.write(1, b"an engine's chatter")
        sys.stdout.write("more of it")
        sys.stdout.flush()
    elif spec.stage == "environ":
        return fact(dict(os.environ))
    elif spec.stage == "echo":
        return StageResult(output=spec.inputs[0], facts=spec.params)
    elif spec.stage == "names":
        return fact(sys.getfilesystemencoding())
    elif spec.stage == "group":
        return fact(os.getpgrp())
    elif spec.stage == "eat":
        while True:
            KEPT.append(b"\1" * 10_000_000)
    elif spec.stage == "grow":
        KEPT.append(b"\1" * 90_000_000)
    elif spec.stage == "write":
        with open(os.path.join(roots["staging"], "big"), "wb") as file:
            file.write(bytes(10_000_000))
    else:
        end_badly(spec.stage)
    return fact(os.getpid())


def end_badly(how: str) -> None:
    if how == "hang":
        while True:
            time.sleep(3600)
    if how in ("exit", "exit-late"):
        os.close(ANSWERS)
        time.sleep(0.3 if how == "exit-late" else 0)
        os._exit(7)
    if how == "segfault":
        os.kill(os.getpid(), signal.SIGSEGV)
    if how == "raise":
        raise ValueError("a sentence from the user's text")
    os.write(ANSWERS, RAW.get(how, b""))
    if how == "twice-late":  # the second answer comes when the next question has been taken
        select.select([ASKS], [], [])


if __name__ == "__main__":
    limits.die_with(int(sys.argv[2]))
    limits.bound_process(int(sys.argv[3]) or None)
    os.dup2(2, 1)
    Child(ASKS, ANSWERS).serve(work)
