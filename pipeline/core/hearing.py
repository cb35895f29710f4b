"""What is known of a recording before anybody is asked for its words. Pure values."""

from msgspec import Struct

from pipeline.core.operations import Span


class Quiet(Struct, frozen=True, array_like=True):
    """The quietest half second of a short stretch: its middle in seconds, and its level, 1.0 being full scale.

    `is_speech` None: no voice activity was asked, so only the level tells.
    """

    at: float
    rms: float
    is_speech: bool | None


class Survey(Struct, frozen=True, kw_only=True):
    """One audio track, decoded once to its last sample. Levels are of the mono mix, 1.0 being full scale.

    `seconds` counts samples; `first_s` is where the first one stands on the container's clock. `loudest_rms` is the
    level of the loudest half second. `speech` is where somebody speaks, in seconds from the first sample, with pauses
    of less than two seconds inside; None: voice activity could not be asked here, only the level is known. `quiet` has
    one point for every two seconds, in order.
    """

    seconds: float
    first_s: float
    peak: float
    rms: float
    loudest_rms: float
    channels: int
    tracks: int
    speech: tuple[Span, ...] | None
    quiet: tuple[Quiet, ...]

    @property
    def speech_seconds(self) -> float | None:
        return None if self.speech is None else sum(span.end - span.start for span in self.speech)
