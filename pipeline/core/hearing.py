"""What is known of a recording before anybody is asked for its words, and what one call may carry of it. Pure."""

from collections.abc import Iterable, Mapping
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from pipeline.core.model import Refusal
from pipeline.core.operations import Span, Transcribe


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


class Cut(Struct, frozen=True, kw_only=True):
    """How a recording is made into parts: stretches in seconds from its first sample, in order, one a part.

    One may begin before the last has ended. `channel` None is the mix of all.
    """

    media_type: str
    stretches: tuple[tuple[float, float], ...]
    track: int = 0
    channel: int | None = None


Times = Literal["none", "segment", "word"]
RateUnit = Literal["none", "second", "hour", "token", "request"]


class Hearing(Struct, frozen=True, kw_only=True):
    """What one transcription call takes and gives: a row of the table of limits, for one route and model.

    `takes` are the media types that are sent as they are. `max_bytes` counts what is sent, which is a third more than
    the file where it travels as base64; `max_seconds` counts sound. None is no bound. What is longer than
    `part_seconds` is cut although a call would take it, because parts are heard side by side. Parts have the media
    type `part`, and their number is a multiple of `share` where there are several. `times` is the finest that the
    model tells; `rate_unit` is what its price counts.
    """

    takes: frozenset[str]
    max_bytes: int | None = None
    is_base64: bool = False
    max_seconds: float | None = None
    part_seconds: float | None = None
    forms: tuple[str, ...] = ()
    times: Times = "word"
    has_tracks: bool = False
    rate_unit: RateUnit = "none"
    part: str = "audio/mpeg"
    share: int = 1

    def sent_bytes(self, size: int) -> int:
        """What a file of `size` bytes comes to on its way."""
        return -(-size // 3) * 4 if self.is_base64 else size

    @property
    def longest_seconds(self) -> float | None:
        """What goes in one call."""
        bounds = [bound for bound in (self.max_seconds, self.part_seconds) if bound is not None]
        return min(bounds, default=None)

    @property
    def max_file_bytes(self) -> int | None:
        """The largest file whose sent form fits."""
        return self.max_bytes // 4 * 3 if self.is_base64 and self.max_bytes is not None else self.max_bytes


class HearingRule(Struct, frozen=True, kw_only=True):
    """What the settings say in place of a row's own bounds. `takes` and `part` are words of SOUNDS and PARTS."""

    max_bytes: int | None = None
    max_seconds: float | None = None
    takes: tuple[str, ...] | None = None
    part: str | None = None


SOUNDS: Mapping[str, tuple[str, ...]] = {
    "wav": ("audio/wav",),
    "mp3": ("audio/mpeg",),
    "m4a": ("audio/mp4", "video/mp4"),
    "ogg": ("audio/ogg",),
    "webm": ("audio/webm", "video/webm"),
    "flac": ("audio/flac",),
    "aac": ("audio/aac",),
    "mkv": ("audio/x-matroska", "video/x-matroska"),
    "pcm": ("audio/pcm",),
}
"""Containers by the word that providers use for them."""
PARTS: Mapping[str, str] = {"mp3": "audio/mpeg", "opus": "audio/ogg", "flac": "audio/flac", "wav": "audio/wav"}
"""What parts can be made as: mono, at 16 kHz."""


def sounds(words: Iterable[str]) -> frozenset[str]:
    return frozenset(media_type for word in words for media_type in SOUNDS[word])


def ruled(hearing: Hearing, rule: HearingRule | None) -> Hearing:
    """The row as the settings change it."""
    if rule is None:
        return hearing
    bound = "max_seconds" if hearing.part_seconds is None else "part_seconds"
    told = {
        "max_bytes": rule.max_bytes,
        bound: rule.max_seconds,
        "takes": None if rule.takes is None else sounds(rule.takes),
        "part": None if rule.part is None else PARTS[rule.part],
    }
    return replace(hearing, **{name: value for name, value in told.items() if value is not None})


def beyond(ask: Transcribe, hearing: Hearing) -> list[Refusal]:
    """Every bound of the row that a call passes. What is here can be cured by making parts; nothing else can."""
    audio, reasons = ask.audio, []
    if audio.media.media_type not in hearing.takes:
        reasons.append(Refusal(code="input-type", message=f"{audio.media.media_type} is not taken as it is"))
    sent = hearing.sent_bytes(audio.size)
    if hearing.max_bytes is not None and sent > hearing.max_bytes:
        message = f"{sent} bytes to send; one call takes {hearing.max_bytes}"
        reasons.append(Refusal(code="limit-bytes", message=message, hint="make parts of the recording"))
    if hearing.max_seconds is not None and audio.seconds is not None and audio.seconds > hearing.max_seconds:
        message = f"{audio.seconds:.3f} seconds; one call takes {hearing.max_seconds:g}"
        reasons.append(Refusal(code="limit-seconds", message=message, hint="make parts of the recording"))
    if ask.track and not hearing.has_tracks:
        message = f"track {ask.track} cannot be chosen in a call"
        reasons.append(Refusal(code="operation-unsupported", message=message, hint="make a file of that track"))
    return reasons


def fits(ask: Transcribe, hearing: Hearing) -> bool:
    """Does it go in one call? What has a bound on its seconds must have known seconds."""
    longest, seconds = hearing.longest_seconds, ask.audio.seconds
    is_short = longest is None or (seconds is not None and seconds <= longest)
    return is_short and not beyond(ask, hearing)
