"""What the split stage is asked and what it answers, on both sides of the process border. No av here."""

from collections.abc import Mapping

from msgspec import Struct

RATE = 16_000


class PartForm(Struct, frozen=True, kw_only=True):
    """How parts of one media type are written: muxer, codec, bits a second where the codec takes a wish.

    `bytes_per_s` is the most that a second comes to.
    """

    muxer: str
    demuxer: str
    codec: str
    extension: str
    bytes_per_s: int
    bitrate: int | None = None


FORMS: Mapping[str, PartForm] = {
    "audio/mpeg": PartForm(
        muxer="mp3", demuxer="mp3", codec="libmp3lame", extension="mp3", bitrate=48_000, bytes_per_s=6_100
    ),
    "audio/ogg": PartForm(
        muxer="ogg", demuxer="ogg", codec="libopus", extension="ogg", bitrate=32_000, bytes_per_s=6_000
    ),
    "audio/flac": PartForm(muxer="flac", demuxer="flac", codec="flac", extension="flac", bytes_per_s=33_000),
    "audio/wav": PartForm(muxer="wav", demuxer="wav", codec="pcm_s16le", extension="wav", bytes_per_s=32_010),
}


class SplitParams(Struct, frozen=True, kw_only=True):
    """`stretches` are samples of 16 kHz, from and to, in order; one may begin before the last has ended.

    `channel` None is the mix of all. Part number n is written to the output's path with n and the extension after it.
    """

    demuxer: str
    media_type: str
    stretches: tuple[tuple[int, int], ...]
    track: int = 0
    channel: int | None = None


class PartFacts(Struct, frozen=True, kw_only=True):
    """A finished part: its file beside the output's root, what is in it, and the hash of its bytes."""

    path: str
    size: int
    samples: int
    sha256: str


class SplitFacts(Struct, frozen=True, kw_only=True):
    parts: tuple[PartFacts, ...]
