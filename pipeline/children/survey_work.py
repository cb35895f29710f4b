"""What the survey stage is asked, on both sides of the process border; it answers a `core.hearing.Survey`."""

from msgspec import Struct


class SurveyParams(Struct, frozen=True, kw_only=True):
    """`track` counts audio tracks from 0. `expected_seconds` is what the container declares; fewer are damage."""

    demuxer: str
    track: int = 0
    expected_seconds: float | None = None
