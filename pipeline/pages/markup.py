"""HTML that cannot be broken by what it shows: every text is escaped here, and every address was made by us.

Promises: a string becomes text or the value of an attribute, never markup; a character that no page may hold becomes
U+FFFD; what a browser would follow or load is an `Address`, which only a path, a place on the page or a picture of ours
can become, so no name turns into `javascript:` or into a host.
"""

import base64
import functools
import os
import re
from collections.abc import Iterable
from html import escape
from urllib.parse import quote

from msgspec import Struct

_NEVER = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_NOT_AS_IT_IS = re.compile(f"[&<>\"'{_NEVER.pattern[1:]}")
PIECE_CHARS = 16_384
_VOID = frozenset({"br", "img", "input", "link", "meta", "source"})
_FOLLOWED = frozenset({"href", "src", "poster"})


class Markup(Struct, frozen=True):
    """Finished HTML. A small one is one piece; a large one stays in its pieces, so that no page is in memory twice."""

    pieces: tuple[str, ...]

    @property
    def html(self) -> str:
        return "".join(self.pieces)


class Address(Struct, frozen=True):
    """What a link or a player may point at, ready for an attribute."""

    url: str

    def at(self, seconds: float) -> "Address":
        """The same recording from that second on, also for a browser without scripts."""
        return Address(f"{self.url}#t={seconds:.2f}")


Child = Markup | str | None
Value = str | int | bool | Address | None


def text(value: str) -> str:
    """A string as the text of a page or the value of an attribute."""
    if _NOT_AS_IT_IS.search(value) is None:  # most are names and numbers, and a page has thousands of them
        return value
    return escape(_NEVER.sub("\ufffd", value), quote=True)


def element(tag: str, *children: Child, **attributes: Value) -> Markup:
    """`class_` and `data_kind` become `class` and `data-kind`; True is a bare attribute, None and False are none."""
    parts = [f"<{tag}"]
    for name, value in attributes.items():
        if value is not None and value is not False:
            parts.append(_attribute(_attribute_name(name), value))
    parts.append(">")
    if tag not in _VOID:
        _add(parts, children)
        parts.append(f"</{tag}>")
    return _markup(parts)


def joined(children: Iterable[Child]) -> Markup:
    parts: list[str] = []
    _add(parts, children)
    return _markup(parts)


def _add(parts: list[str], children: Iterable[Child]) -> None:
    for child in children:
        if isinstance(child, Markup):
            parts += child.pieces
        elif child:
            parts.append(text(child))


def _markup(parts: list[str]) -> Markup:
    is_large = sum(map(len, parts)) > PIECE_CHARS
    return Markup(tuple(parts) if is_large else ("".join(parts),))


def raw(tag: str, content: str) -> Markup:
    """A style or script of ours, as it is: its hash stands in the page's policy."""
    if f"</{tag}" in content.lower():
        raise ValueError(f"a {tag} that ends early")
    return Markup((f"<{tag}>{content}</{tag}>",))


def file_address(path: str, folder: str) -> Address:
    """A file as seen from a page in `folder`. Odd bytes, `#`, `?`, `%` and `:` are bytes of a name and nothing more."""
    above, name = os.path.split(os.path.normpath(path))
    near = os.path.join(_way(folder, above), name)
    return Address(quote(os.fsencode(near if near.startswith(("../", "./")) else f"./{near}")))


@functools.lru_cache(maxsize=256)
def _way(folder: str, there: str) -> str:
    """From a folder to another: the files of a page lie in few of them."""
    return os.path.relpath(there, folder)


def here(name: str) -> Address:
    """A place on the same page."""
    return Address(f"#{quote(name)}")


def picture(media_type: str, body: bytes) -> Address:
    """A small picture inside the page. `media_type` is one that we wrote."""
    return Address(f"data:{media_type};base64,{base64.b64encode(body).decode('ascii')}")


@functools.cache  # of the names in this package's code
def _attribute_name(written: str) -> str:
    return written.rstrip("_").replace("_", "-")


def _attribute(name: str, value: str | int | Address) -> str:
    if (name in _FOLLOWED) is not isinstance(value, Address):
        raise TypeError(f"{name} takes {'an address' if name in _FOLLOWED else 'a text'}")
    if value is True:
        return f" {name}"
    return f' {name}="{text(value.url if isinstance(value, Address) else str(value))}"'
