"""The frame of every page: head, policy, look, and how amounts and times are written.

A page is one file that fetches nothing: its policy allows the style and the script inside it by their hashes, media and
pictures of this machine, and nothing else.
"""

import base64
import functools
import hashlib
import io
from datetime import UTC, datetime
from decimal import Decimal
from importlib import resources

from pipeline import __version__
from pipeline.core.pricing import missing
from pipeline.pages.markup import Address, Child, Markup, element, here, joined, raw

MINUTE_S, HOUR_S = 60, 3600
_KILO = 1000
_UNITS = ("B", "kB", "MB", "GB", "TB")
_PROMISE = (
    "This page holds names, transcripts and texts of your jobs; it never holds a prompt or a key. "
    "It fetches nothing from a network."
)


_ROW, _BETWEEN, _ROW_END = Markup(("<div><dt>",)), Markup(("</dt><dd>",)), Markup(("</dd></div>",))


def document(title: str, body: Markup, *, has_script: bool, about: Child = None) -> bytes:
    """The whole file. `about` goes into the head, near its beginning."""
    style, script = _asset("look.css"), _asset("look.js") if has_script else ""
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_policy(style, script)),
        about,
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("meta", name="referrer", content="no-referrer"),
        element("title", title),
        raw("style", style),
    )
    whole = element("html", head, element("body", body, raw("script", script) if script else None), lang="en")
    file = io.BytesIO()  # it hands over what it holds without a copy
    file.writelines(piece.encode() for piece in ("<!doctype html>\n", *whole.pieces, "\n"))
    return file.getvalue()


def skip_link(target: str, words: str) -> Markup:
    return element("a", words, class_="skip", href=here(target))


def footer(*children: Child) -> Markup:
    return element("footer", *children, element("p", _PROMISE), element("p", f"mediaspool {__version__}"))


def figures(*pairs: tuple[str, Child]) -> Markup:
    """Names and values. A value that is None is left out with its name."""
    cells = (child for name, value in pairs if value is not None for child in (_ROW, name, _BETWEEN, value, _ROW_END))
    return element("dl", joined(cells), class_="figures")


def link(words: Child, address: Address, **attributes: str) -> Markup:
    return element("a", words, href=address, **attributes)


def moment(iso: str) -> Markup:
    """A time of the records, which are UTC."""
    try:
        at = datetime.fromisoformat(iso).astimezone(UTC)
    except (ValueError, OverflowError):
        return element("span", iso)
    return element("time", f"{at:%Y-%m-%d %H:%M} UTC", datetime=f"{at:%Y-%m-%dT%H:%M:%SZ}")


def money(usd: Decimal | None) -> str:
    if usd is None:
        return "unknown"
    return f"{usd.normalize():f} USD" if usd else "0 USD"


def spent(usd: Decimal | None, known: Decimal, unpriced: int) -> str:
    """A sum of calls, some of which may have no known price; older pages tell only that the sum is not known."""
    if usd is not None or not unpriced:
        return money(usd)
    return f"{f'at least {money(known)}' if known else 'unknown'}; {missing(unpriced)}"


def duration(seconds: float) -> str:
    if seconds < MINUTE_S:
        return f"{seconds:.1f} s"
    if seconds < HOUR_S:
        return f"{seconds / MINUTE_S:.1f} min"
    return f"{seconds / HOUR_S:.1f} h"


def clock(seconds: float) -> str:
    """A place in a recording: 1:05, 1:02:03."""
    minutes, rest = divmod(int(seconds), MINUTE_S)
    hours, minutes = divmod(minutes, MINUTE_S)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def weight(size: float) -> str:
    for unit in _UNITS[:-1]:
        if size < _KILO:
            return f"{size:.0f} {unit}"
        size /= _KILO
    return f"{size:.0f} {_UNITS[-1]}"


def counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


@functools.cache
def _asset(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _policy(style: str, script: str) -> str:
    """`file:` because a page that is opened from a disk has no host whose own it could be."""
    scripts = _hash(script) if script else "'none'"
    return (
        f"default-src 'none'; style-src {_hash(style)}; script-src {scripts}; img-src 'self' file: data:;"
        " media-src 'self' file:; base-uri 'none'; form-action 'none'"
    )


def _hash(content: str) -> str:
    digest = hashlib.sha256(content.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"
