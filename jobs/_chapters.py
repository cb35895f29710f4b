"""A book as chapters: where they begin, what they are called, and under which names they are published.

Promises: every paragraph is in exactly one chapter, in order; a heading is the first paragraph of its own; names are
safe on every file system, differ even where case does not count, and follow from the text alone.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence

from msgspec import Struct

from jobs._sentences import has_words, plain_markdown
from jobs._text import canonical

MAX_TITLE_CHARS = 120
MAX_SLUG_BYTES = 48
_ATX = re.compile(r"^ {0,3}(#{1,6})[ \t]+(.*?)(?:[ \t]+#+)?[ \t]*$")
_SETEXT = re.compile(r"^ {0,3}(=+|-+)[ \t]*$")
_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})")
# A line of its own that begins with one of these words and a number, or is such a word alone.
_WORDS = "chapter part book canto act kapitel teil buch chapitre partie livre capítulo capitulo parte libro capitolo"
_WORDS += " hoofdstuk deel rozdział część kapittel kapitola глава часть κεφάλαιο"
_ALONE = "prologue epilogue preface introduction foreword afterword contents prolog epilog vorwort nachwort einleitung"
_ALONE += " avant-propos épilogue préface prólogo epílogo prefacio prologo prefazione"
_NUMBER = r"(?:\d{1,4}|[ivxlcdm]{1,8}|[^\W\d_]{3,12}(?:-[^\W\d_]{3,6})?)"
_PLAIN = re.compile(
    rf"^(?:(?:{'|'.join(_WORDS.split())})\s+(?:the\s+)?{_NUMBER}(?:\s*[.:–—-].*)?|(?:{'|'.join(_ALONE.split())})[.:]?"
    r"|第\s*[\d〇零一二三四五六七八九十百千]{1,8}\s*[章回部卷节節編话話].*)$",
    re.IGNORECASE,
)
_DASHES = re.compile("-+")


class ChapterText(Struct, frozen=True, kw_only=True):
    """One chapter: its title, empty where it has no heading, and its text with the heading in front. Canonical."""

    title: str
    text: str


class _Heading(Struct, frozen=True, kw_only=True):
    """From the line `at`, over `lines` lines."""

    at: int
    lines: int
    level: int
    title: str


class Book(Struct, frozen=True, kw_only=True):
    """A text in chapters; `title` is empty where no heading stands above those of the chapters."""

    title: str
    chapters: tuple[ChapterText, ...]


def book_of(text: str, *, is_markdown: bool) -> Book:
    """At least one chapter where the text has words; a text without headings is one chapter without a title."""
    lines = text.split("\n")
    headings = list(_markdown_headings(lines) if is_markdown else _plain_headings(lines))
    found = [_chapter(lines, start, end, is_markdown) for start, end in _spans(headings, len(lines))]
    title = headings[0].title if headings and headings[0].level < _chapter_level(headings) else ""
    return Book(title=title, chapters=tuple(_joined([chapter for chapter in found if has_words(chapter.text)])))


def _spans(headings: Sequence[_Heading], count: int) -> Iterator[tuple[_Heading, int]]:
    """From each heading that begins a chapter to the next one; first what stands before them all."""
    level = _chapter_level(headings)
    chosen = [_Heading(at=0, lines=0, level=0, title=""), *(each for each in headings if each.level <= level)]
    ends = [*(heading.at for heading in chosen[1:]), count]
    yield from zip(chosen, ends, strict=True)


def _chapter_level(headings: Sequence[_Heading]) -> int:
    """The highest level that occurs more than once: above it stands the title of the book."""
    counts = Counter(heading.level for heading in headings)
    return next((level for level in sorted(counts) if counts[level] > 1), min(counts, default=0))


def _chapter(lines: Sequence[str], heading: _Heading, end: int, is_markdown: bool) -> ChapterText:
    body = "\n".join(lines[heading.at + heading.lines : end])
    plain = plain_markdown(body) if is_markdown else body
    return ChapterText(title=heading.title, text=canonical(f"{heading.title}\n\n{plain}"))


def _joined(chapters: list[ChapterText]) -> list[ChapterText]:
    """A heading with nothing below it, such as the title of the book, belongs to the chapter that follows."""
    joined: list[ChapterText] = []
    before = ""
    for number, chapter in enumerate(chapters):
        is_bare = chapter.title and chapter.text.strip() == chapter.title
        if is_bare and number + 1 < len(chapters):
            before += f"{chapter.text}\n"
            continue
        title = chapter.title or before.split("\n")[0]
        joined.append(ChapterText(title=title, text=canonical(before + chapter.text)))
        before = ""
    return joined


def _markdown_headings(lines: Sequence[str]) -> Iterator[_Heading]:
    fence = ""
    for number, line in enumerate(lines):
        mark = _FENCE.match(line)
        if mark is not None:
            fence = "" if fence and mark[1].startswith(fence) else fence or mark[1]
        elif not fence:
            heading = _atx(line, number) or _setext(lines, number)
            if heading is not None and has_words(heading.title):
                yield heading


def _atx(line: str, number: int) -> _Heading | None:
    match = _ATX.match(line)
    return match and _Heading(at=number, lines=1, level=len(match[1]), title=_title(plain_markdown(match[2])))


def _setext(lines: Sequence[str], number: int) -> _Heading | None:
    """A line with text, a line of `=` or `-` below it, and nothing above it."""
    below = _SETEXT.match(lines[number + 1]) if number + 1 < len(lines) else None
    stands_alone = number == 0 or not lines[number - 1].strip()
    if below is None or not stands_alone or not lines[number].strip():
        return None
    level = 1 if below[1].startswith("=") else 2
    return _Heading(at=number, lines=2, level=level, title=_title(plain_markdown(lines[number])))


def _plain_headings(lines: Sequence[str]) -> Iterator[_Heading]:
    """Lines that stand alone and say that they are a chapter."""
    for number, line in enumerate(lines):
        text = line.strip()
        around = [*lines[max(number - 1, 0) : number], *lines[number + 1 : number + 2]]
        if text and len(text) <= MAX_TITLE_CHARS and not "".join(around).strip() and _PLAIN.match(text):
            yield _Heading(at=number, lines=1, level=1, title=_title(text))


def _title(text: str) -> str:
    return " ".join(text.split())[:MAX_TITLE_CHARS].strip()


def chapter_names(titles: Sequence[str], ending: str) -> list[str]:
    """`01-loomings.mp3`, `02.mp3` without a title. The number makes each one different, whatever the titles are."""
    digits = max(2, len(str(len(titles))))
    stems = (f"{number:0{digits}d}{_slug(title)}" for number, title in enumerate(titles, start=1))
    return [f"{stem}.{ending}" for stem in stems]


def _slug(title: str) -> str:
    """Letters and digits of any script in small, dashes between; short, and never half a character."""
    folded = unicodedata.normalize("NFC", title.casefold())
    words = _DASHES.sub("-", "".join(char if _is_kept(char) else "-" for char in folded)).strip("-")
    short = words.encode("utf-8", "ignore")[:MAX_SLUG_BYTES].decode("utf-8", "ignore")
    if len(short) < len(words) and "-" in short:
        short = short.rpartition("-")[0]
    return f"-{short.strip('-')}" if short.strip("-") else ""


def _is_kept(char: str) -> bool:
    """A letter or a digit, or what hangs on one."""
    return char.isalnum() or unicodedata.category(char).startswith("M")


def playlist(names: Sequence[str], titles: Sequence[str], seconds: Sequence[float]) -> bytes:
    """The files in order, as a player opens them: names beside the playlist, never a path."""
    lines = ["#EXTM3U", "#EXTENC:UTF-8"]
    for name, title, length in zip(names, titles, seconds, strict=True):
        lines += [f"#EXTINF:{round(length)},{title or name}", name]
    return ("\n".join(lines) + "\n").encode("utf-8", "replace")
