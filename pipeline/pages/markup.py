"""HTML that cannot be broken by what it shows: every text is escaped here, and every address was made by us.

Promises: a string becomes text or the value of an attribute, never markup; a character that no page may hold becomes
U+FFFD; what a browser would follow or load is an `Address`, which only a path, a place on the page or a picture of ours
can become, so no name turns into `javascript:` or into a host.
"""

import base64
import os
import re
from collections.abc import Iterable
from html import escape
from urllib.parse import quote

from msgspec import Struct

_NEVER = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_VOID = frozenset({"br", "img", "input", "link", "meta", "source"})
_FOLLOWED = frozenset({"href", "src", "poster"})


class Markup(Struct, frozen=True):
    """A piece of finished HTML."""

    html: str


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
    return escape(_NEVER.sub("\ufffd", value), quote=True)


def element(tag: str, *children: Child, **attributes: Value) -> Markup:
    """`class_` and `data_kind` become `class` and `data-kind`; True is a bare attribute, None and False are none."""
    start = f"<{tag}{''.join(_attribute(name, value) for name, value in attributes.items())}>"
    return Markup(start if tag in _VOID else f"{start}{joined(children).html}</{tag}>")


def joined(children: Iterable[Child]) -> Markup:
    return Markup("".join(child.html if isinstance(child, Markup) else text(child) for child in children if child))


def raw(tag: str, content: str) -> Markup:
    """A style or script of ours, as it is: its hash stands in the page's policy."""
    if f"</{tag}" in content.lower():
        raise ValueError(f"a {tag} that ends early")
    return Markup(f"<{tag}>{content}</{tag}>")


def file_address(path: str, folder: str) -> Address:
    """A file as seen from a page in `folder`. Odd bytes, `#`, `?`, `%` and `:` are bytes of a name and nothing more."""
    near = os.path.relpath(path, folder)
    return Address(quote(os.fsencode(near if near.startswith("../") else f"./{near}")))


def here(name: str) -> Address:
    """A place on the same page."""
    return Address(f"#{quote(name)}")


def picture(media_type: str, body: bytes) -> Address:
    """A small picture inside the page. `media_type` is one that we wrote."""
    return Address(f"data:{media_type};base64,{base64.b64encode(body).decode('ascii')}")


def _attribute(name: str, value: Value) -> str:
    name = name.rstrip("_").replace("_", "-")
    if value is None or value is False:
        return ""
    if (name in _FOLLOWED) is not isinstance(value, Address):
        raise TypeError(f"{name} takes {'an address' if name in _FOLLOWED else 'a text'}")
    if value is True:
        return f" {name}"
    return f' {name}="{text(value.url if isinstance(value, Address) else str(value))}"'
