"""What the PyAV stages are asked and what they answer: the structs on both sides of the process border.

No av here, so the asking side stays light. A demuxer name comes from our own recognition of the bytes, never from a
file name, and is the only input format that may open them.
"""

from msgspec import Struct

MIN_RATE, MAX_RATE = 4_000, 192_000
MAX_CHANNELS = 16


class ProbeParams(Struct, frozen=True, kw_only=True):
    demuxer: str


class StreamFacts(Struct, frozen=True, kw_only=True):
    """One stream. `rate` and `channels` are None for anything but audio; `language` as the container says it."""

    type: str
    codec: str
    channels: int | None = None
    rate: int | None = None
    language: str | None = None


class ProbeFacts(Struct, frozen=True, kw_only=True):
    """`seconds` is what the container says, or counted from packets where it says nothing. `decodable`: is there an
    audio stream whose first frame decodes?"""

    seconds: float | None
    streams: tuple[StreamFacts, ...]
    decodable: bool

    @property
    def tracks(self) -> tuple[str, ...]:
        """One line per audio stream, in the order that a track number counts."""
        audio = (stream for stream in self.streams if stream.type == "audio")
        return tuple(
            f"{stream.codec} {stream.rate} Hz {stream.channels} ch {stream.language or '-'}" for stream in audio
        )


class EncodeParams(Struct, frozen=True, kw_only=True):
    """The source is always a WAV of our own making. `bitrate` None is the type's default for speech."""

    media_type: str
    bitrate: int | None = None
    tags: dict[str, str] = {}


class EncodeFacts(Struct, frozen=True, kw_only=True):
    """`seconds` was counted in the finished file, read back."""

    seconds: float
    size: int
