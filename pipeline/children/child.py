"""The entry point of a child process: reads asks from its standard input, answers on what was its standard output.

Whatever an engine prints goes to stderr and cannot touch a frame. The child ends when its input ends, when its parent
dies, or when a stage raises something unexpected; the last words are then the class of the error and its place,
never its text, which may quote a user's file.
"""

import os
import sys
import traceback
from collections.abc import Callable
from types import TracebackType

from pipeline.children import framing, limits
from pipeline.children.run import run_stage
from pipeline.children.stage import Roots, StageResult, StageSpec

READ_BYTES = 1 << 16
Work = Callable[[StageSpec, Roots], StageResult]


def main() -> None:
    """Arguments: the parent's process id, and megabytes of address space or 0. (The bootstrap took the first one.)"""
    parent, address_mb = int(sys.argv[2]), int(sys.argv[3])
    limits.die_with(parent)
    limits.bound_process(address_mb or None)
    limits.keep_at_hand()
    Child(*_private_pipes()).serve(run_stage)


class Child:
    """The loop of one child over two private descriptors."""

    def __init__(self, asks: int, answers: int) -> None:
        self._asks = asks
        self._answers = answers
        self._reader = framing.FrameReader()
        self._number = 0

    def serve(self, work: Work) -> None:
        sys.excepthook = self._last_words
        while (ask := self._next_ask()) is not None:
            self._number = ask.number
            limits.bound_job(max_output_bytes=ask.spec.limits.max_output_bytes, deadline_s=ask.spec.deadline_s)
            self._answer(work(ask.spec, ask.roots))

    def _next_ask(self) -> framing.Ask | None:
        while (body := self._reader.take()) is None:
            chunk = os.read(self._asks, READ_BYTES)
            if not chunk:
                return None
            self._reader.feed(chunk)
        return framing.read_ask(body)

    def _answer(self, result: StageResult) -> None:
        body = framing.answer_frame(self._number, result)
        while body:
            body = body[os.write(self._answers, body) :]

    def _last_words(self, kind: type[BaseException], _: BaseException, trace: TracebackType | None) -> None:
        frames = traceback.extract_tb(trace)
        place = f"{os.path.basename(frames[-1].filename)}:{frames[-1].lineno}" if frames else "an unknown place"
        self._answer(StageResult(code="engine-crashed", message=f"{kind.__name__} at {place}"))


def _private_pipes() -> tuple[int, int]:
    """Move the pipes away from 0 and 1, where engines would find them."""
    asks, answers = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return asks, answers
