"""Who is told how a run gets on: a person who waits, a program that follows it, or nobody."""

from collections.abc import Mapping
from typing import Protocol, TextIO

from pipeline.core.model import Decision, Outcome, RunId

_PLAIN_TERMINALS = frozenset({"dumb", "unknown"})


class Onlooker(Protocol):
    """Told of every job: queued in a lane, begun there, gone from it, and once how it ended. Neither raises nor blocks.

    A job that goes on by another route leaves one lane and is queued in another; one that waits for a parent is queued
    when its turn comes.
    """

    def started(self, run: RunId) -> None: ...

    def planned(self, jobs: int) -> None: ...

    def queued(self, lane: str, decision: Decision) -> None: ...

    def begun(self, lane: str, decision: Decision) -> None: ...

    def left(self, lane: str, decision: Decision) -> None: ...

    def ended(self, outcome: Outcome) -> None: ...


class Nobody:
    """Nobody waits."""

    def started(self, run: RunId) -> None:
        return

    def planned(self, jobs: int) -> None:
        return

    def queued(self, lane: str, decision: Decision) -> None:
        return

    def begun(self, lane: str, decision: Decision) -> None:
        return

    def left(self, lane: str, decision: Decision) -> None:
        return

    def ended(self, outcome: Outcome) -> None:
        return


def is_watched(stream: TextIO) -> bool:
    """Does somebody sit at this stream?"""
    try:
        return stream.isatty()
    except ValueError:  # closed
        return False


def is_lively(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """May a bar be drawn on this stream?"""
    return is_watched(stream) and environ.get("TERM", "") not in _PLAIN_TERMINALS
