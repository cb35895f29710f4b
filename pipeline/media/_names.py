"""Names of media types: what libmagic's releases call each of ours, and what people and providers declare.

Two tables, matched exactly. A new release of libmagic that renames something means a new entry here, never a rule.
"""

from collections.abc import Mapping

from msgspec import Struct

_MP4 = frozenset(
    [
        # No opinion on the many brands it has not heard of; that one we know is among them is checked on our side.
        "application/octet-stream",
        *("audio/x-m4a", "audio/mp4", "video/mp4", "video/x-m4v", "video/quicktime", "application/mp4"),
        *("audio/3gpp", "audio/3gpp2", "video/3gpp", "video/3gpp2"),
    ]
)
_WEBM = frozenset(("video/webm", "audio/webm"))
_MATROSKA = frozenset(
    ("video/x-matroska", "audio/x-matroska", "application/x-matroska", "video/matroska", "audio/matroska")
)
_MARKUP = frozenset(("text/plain", "text/html", "text/xml", "application/xhtml+xml"))
_PROSE = """plain csv html calendar troff vtt pgp x-algol68 x-asm x-awk x-bcpl x-c x-c++ x-clojure x-diff x-execline
x-forth x-fortran x-gawk x-info x-java x-lisp x-lua x-luatex x-m4 x-makefile x-modulefile x-ms-regedit x-msdos-batch
x-nawk x-objective-c x-pascal x-perl x-php x-po x-python x-ruby x-script.python x-shellscript x-systemtap x-tcl x-tex
x-texinfo x-wine-extension-reg vcard javascript"""
"""Prose is taken for all sorts of code by its first words."""
_TEXT = frozenset(
    [
        *(f"text/{name}" for name in _PROSE.split()),
        *("application/csv", "application/json", "application/x-ndjson", "application/javascript"),
        *("application/x-subrip", "application/vnd.hp-hpgl", "message/rfc822", "message/news"),
    ]
)

OPINIONS: Mapping[str, frozenset[str]] = {
    "audio/wav": frozenset(("audio/x-wav", "audio/wav", "audio/vnd.wave")),
    "audio/mpeg": frozenset(("audio/mpeg", "audio/mp3")),
    "audio/aac": frozenset(("audio/x-hx-aac-adts", "audio/aac", "audio/x-aac", "audio/aacp")),
    "audio/ogg": frozenset(("audio/ogg", "application/ogg", "video/ogg", "audio/opus", "audio/vorbis")),
    "audio/flac": frozenset(("audio/flac", "audio/x-flac")),
    "audio/mp4": _MP4,
    "video/mp4": _MP4,
    "audio/webm": _WEBM,
    "video/webm": _WEBM,
    "audio/x-matroska": _MATROSKA,
    "video/x-matroska": _MATROSKA,
    "image/png": frozenset(("image/png", "image/apng", "image/vnd.mozilla.apng")),
    "image/jpeg": frozenset(("image/jpeg", "image/jpg")),
    "image/gif": frozenset(("image/gif",)),
    "image/webp": frozenset(("image/webp",)),
    "application/pdf": frozenset(("application/pdf",)),
    "text/plain": _TEXT,
    "text/html": _MARKUP,
    "application/json": frozenset(("application/json", "application/x-ndjson", "text/plain", "text/html")),
    "text/vtt": frozenset(("text/vtt", "text/plain")),
    "application/x-subrip": frozenset(("application/x-subrip", "text/plain")),
    "application/vnd.apple.mpegurl": frozenset(
        ("text/plain", "application/vnd.apple.mpegurl", "audio/x-mpegurl", "audio/mpegurl", "application/x-mpegurl")
    ),
}


class Declared(Struct, frozen=True):
    """A declared type in our words. `extension` and `codec` are set where the name says more than the type does."""

    media_type: str
    extension: str | None = None
    codec: str | None = None


_ALIASES: Mapping[str, Declared] = {
    **{name: Declared("audio/wav") for name in ("audio/x-wav", "audio/wave", "audio/vnd.wave", "audio/x-pn-wav")},
    **{
        name: Declared("audio/mpeg")
        for name in ("audio/mp3", "audio/mpeg3", "audio/x-mp3", "audio/x-mpeg", "audio/mpga")
    },
    **{name: Declared("audio/aac") for name in ("audio/aacp", "audio/x-aac", "audio/x-hx-aac-adts")},
    **{name: Declared("audio/ogg") for name in ("application/ogg", "audio/x-ogg", "audio/oga")},
    "audio/opus": Declared("audio/ogg", codec="opus"),
    "audio/vorbis": Declared("audio/ogg", codec="vorbis"),
    "audio/x-flac": Declared("audio/flac"),
    **{name: Declared("audio/mp4") for name in ("audio/m4a", "audio/x-m4a", "audio/x-m4b", "audio/m4b", "audio/mp4a")},
    "video/x-m4v": Declared("video/mp4"),
    "video/quicktime": Declared("video/mp4", extension="mov"),
    "video/3gpp": Declared("video/mp4", extension="3gp"),
    "audio/3gpp": Declared("audio/mp4", extension="3gp"),
    "audio/matroska": Declared("audio/x-matroska"),
    "video/matroska": Declared("video/x-matroska"),
    **{name: Declared("image/png") for name in ("image/x-png", "image/apng", "image/vnd.mozilla.apng")},
    **{name: Declared("image/jpeg") for name in ("image/jpg", "image/pjpeg")},
    "application/x-pdf": Declared("application/pdf"),
    **{name: Declared("text/plain") for name in ("text/markdown", "text/x-markdown", "text/csv")},
    "text/tab-separated-values": Declared("text/plain"),
    "application/xhtml+xml": Declared("text/html"),
    "text/json": Declared("application/json"),
    **{
        name: Declared("application/x-subrip")
        for name in ("application/srt", "text/srt", "text/x-srt", "text/x-subrip")
    },
    **{
        name: Declared("application/vnd.apple.mpegurl")
        for name in ("audio/x-mpegurl", "audio/mpegurl", "application/x-mpegurl", "vnd.apple.mpegurl")
    },
}


def canonical(declared: str) -> Declared:
    """A media type as a header or a person gives it, without its parameters, in our own words."""
    name = declared.split(";")[0].strip().lower()
    return _ALIASES.get(name, Declared(name))
