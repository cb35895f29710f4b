"""HTML that cannot be broken: whatever a text, a name or a path says, it stays a text, a value or a path."""

import os
from html.parser import HTMLParser
from urllib.parse import unquote_to_bytes, urljoin, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.pages.markup import Address, element, file_address, picture, raw

HOSTILE = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror='alert(1)'>",
    "</title></style></script><b>",
    "&lt;b&gt; &amp;amp;",
    "]]>--><!--",
    "a\x00b\ud800\udcffc\x1b[31m",
]
NAMES = [
    "javascript:alert(1).wav",
    "//host.example/a.wav",
    "a#b?c%20d.wav",
    "data:text/html,x",
    "\\\\host\\share",
    "new\nline \u202egnp.exe",
    os.fsdecode(b"not \xff utf-8.wav"),
    '"><script>alert(1)</script>.wav',
]


class Read(HTMLParser):
    """What a parser of HTML sees: tags, attributes and text."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.values: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.values += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


def plain(text: str) -> str:
    """What is left when everything that a page may not hold has become a question mark."""
    return "".join("\ufffd" if _is_never(ord(char)) else char for char in text)


def _is_never(point: int) -> bool:
    is_control = (point < 0x20 and point not in (9, 10, 13)) or 0x7F <= point < 0xA0
    return is_control or 0xD800 <= point < 0xE000 or point in (0xFFFE, 0xFFFF)


@pytest.mark.parametrize("words", HOSTILE)
def test_a_hostile_text_is_text_and_a_hostile_value_is_a_value(words: str) -> None:
    seen = Read(element("p", words, title=words, data_x=words).html)
    assert seen.tags == ["p"]
    assert seen.text == plain(words)
    assert seen.values == [("title", plain(words)), ("data-x", plain(words))]


@given(st.text(st.characters(exclude_categories=()), min_size=1))
def test_any_text_is_shown_as_it_is_and_can_be_written(words: str) -> None:
    html = element("p", words, title=words).html
    html.encode("utf-8")
    seen = Read(html)
    assert (seen.tags, seen.values) == (["p"], [("title", plain(words))])
    assert seen.text.replace("\r\n", "\n").replace("\r", "\n") == plain(words).replace("\r\n", "\n").replace("\r", "\n")


@pytest.mark.parametrize("name", NAMES)
def test_a_hostile_name_leads_to_its_file_and_nowhere_else(name: str) -> None:
    _leads_to("/spool/reports", f"/spool/reports/{name}" if "/" not in name else f"/spool/out/{name.lstrip('/')}")


@given(st.binary(min_size=1, max_size=40).filter(lambda body: not {b"\0", b"/"} & {bytes([c]) for c in body}))
def test_the_bytes_of_any_name_come_back_from_its_address(body: bytes) -> None:
    if body not in (b".", b".."):
        _leads_to("/home/me/spool/reports", f"/home/me/out/{os.fsdecode(body)}")


def _leads_to(folder: str, path: str) -> None:
    """As a browser resolves it from a page in the folder."""
    whole = urlsplit(urljoin(f"file://{folder}/page.html", file_address(path, folder).url))
    assert (whole.scheme, whole.netloc, whole.query, whole.fragment) == ("file", "", "", "")
    assert os.path.normpath(unquote_to_bytes(whole.path)) == os.path.normpath(os.fsencode(path))


@pytest.mark.parametrize("name", ["href", "src", "poster"])
def test_a_text_never_becomes_what_a_browser_follows(name: str) -> None:
    with pytest.raises(TypeError):
        element("a", "x", **{name: "javascript:alert(1)"})
    with pytest.raises(TypeError):
        element("a", "x", title=Address("x"))


def test_true_is_a_bare_attribute_and_none_is_no_attribute() -> None:
    html = element("input", checked=True, hidden=False, title=None, src=picture("image/webp", b"x")).html
    assert html == '<input checked src="data:image/webp;base64,eA==">'


def test_a_script_of_ours_cannot_end_before_its_end() -> None:
    with pytest.raises(ValueError, match="ends early"):
        raw("script", "x = '</SCRIPT>'")
