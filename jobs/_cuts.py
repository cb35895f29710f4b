"""Where a long recording is cut: at its quietest points, and with some sound in common only where nobody pauses.

Pure: the same survey gives the same stretches. Promises that together they cover every moment, that none is longer than
allowed, and that two neighbours share sound only where no pause was found between them.
"""

import math

from msgspec import Struct

from pipeline.core.hearing import Quiet, Survey

OVERLAP_S = 8.0
OVERLAP_SHARE = 0.25  # of the longest part, where parts are so short that the usual overlap would be much of them
ROOM = 0.9  # of the longest part is reckoned with, so that there is a choice of places
SHORTEST_SHARED_S = 60.0  # more parts than needed are only made where they are at least as long
EARLIEST, LATEST = 0.6, 1.25  # of an even length: how far from it a cut is looked for
PAUSE_LEVEL = 0.1  # of the loudest half second: what counts as a pause where voice activity is not known


class Stretch(Struct, frozen=True, kw_only=True):
    """One part, in seconds from the first sample: heard from `start` to `end`, and answering for `begins` to `ends`.

    The two differ by what it has in common with its neighbours.
    """

    start: float
    end: float
    begins: float
    ends: float


class Window(Struct, frozen=True, kw_only=True):
    """Where a cut is looked for, and where it would make the parts even. What is left after it always fits."""

    earliest: float
    even: float
    latest: float


def cut(survey: Survey, *, longest_s: float, share: int = 1) -> tuple[Stretch, ...]:
    """As many stretches as `number` says, each of at most `longest_s`."""
    wanted, overlap = number(survey.seconds, longest_s, share), overlap_of(longest_s)
    made: list[Stretch] = []
    start = begins = 0.0
    for left in range(wanted, 1, -1):
        even = (survey.seconds - begins) / left
        window = Window(
            earliest=max(begins + even * EARLIEST, survey.seconds - (left - 1) * (longest_s - overlap)),
            even=begins + even,
            latest=begins + min(even * LATEST, longest_s - overlap),
        )
        at, is_pause = _quietest(survey, window)
        common = 0.0 if is_pause else overlap / 2
        made.append(Stretch(start=start, end=round(at + common, 3), begins=begins, ends=at))
        start, begins = round(at - common, 3), at
    return (*made, Stretch(start=start, end=survey.seconds, begins=begins, ends=survey.seconds))


def number(seconds: float, longest_s: float, share: int = 1) -> int:
    """How many parts there will be: known before anybody has listened, so that a plan can reckon with them."""
    if seconds <= longest_s:
        return 1
    needed = math.ceil(seconds / ((longest_s - overlap_of(longest_s)) * ROOM))
    shared = math.ceil(needed / share) * share
    return shared if seconds / shared >= SHORTEST_SHARED_S else needed


def overlap_of(longest_s: float) -> float:
    return min(OVERLAP_S, longest_s * OVERLAP_SHARE)


def speaks(survey: Survey, stretch: Stretch) -> bool:
    """May somebody speak in it? Where voice activity is not known, yes."""
    return survey.speech is None or any(span.start < stretch.end and span.end > stretch.start for span in survey.speech)


def _quietest(survey: Survey, window: Window) -> tuple[float, bool]:
    """Where to cut, and whether nobody speaks there; of equal silences the one that makes the parts most even."""
    points = [point for point in survey.quiet if window.earliest <= point.at <= window.latest]
    if not points:
        return round(window.even, 3), False
    best = min(points, key=lambda point: (not _is_pause(point, survey), point.rms, abs(point.at - window.even)))
    return best.at, _is_pause(best, survey)


def _is_pause(point: Quiet, survey: Survey) -> bool:
    if point.is_speech is None:
        return point.rms <= PAUSE_LEVEL * survey.loudest_rms
    return not point.is_speech
