"""Books as chapters: where they begin, what they are called, and names that cannot collide."""

import os

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from jobs._chapters import MAX_SLUG_BYTES, book_of, chapter_names, playlist
from jobs._sentences import has_words, plain_markdown
from jobs._text import canonical
from pipeline.core.confine import is_safe_name

MARKDOWN = """\
# The Book

A word before.

## One

First.

### Deeper

Still first.

```
## no heading
```

## Two

Second.

Three
=====

Third.
"""


def told(text: str, *, is_markdown: bool) -> list[tuple[str, str]]:
    chapters = book_of(canonical(text), is_markdown=is_markdown).chapters
    return [(chapter.title, " ".join(chapter.text.split())) for chapter in chapters]


def test_markdown_headings_of_the_highest_repeated_level_and_above_begin_chapters() -> None:
    assert told(MARKDOWN, is_markdown=True) == [
        ("The Book", "The Book A word before. One First. Deeper Still first. no heading Two Second."),
        ("Three", "Three Third."),
    ]
    assert [title for title, _ in told(MARKDOWN.replace("=====", "-----"), is_markdown=True)] == [
        "The Book",
        "One",
        "Two",
        "Three",
    ]


@pytest.mark.parametrize(
    ("text", "title"),
    [("# B\n\n## C\n\nx\n\n## D\n\ny\n", "B"), ("# C\n\nx\n\n# D\n\ny\n", ""), ("# C\n\nx\n", ""), ("x\n", "")],
)
def test_a_book_is_called_by_the_heading_above_its_chapters(text: str, title: str) -> None:
    assert book_of(text, is_markdown=True).title == title


def test_a_title_with_nothing_below_it_belongs_to_the_chapter_that_follows() -> None:
    assert told("# Moby-Dick\n\n## Loomings\n\nCall me.\n\n## Bag\n\nShirts.\n", is_markdown=True) == [
        ("Loomings", "Moby-Dick Loomings Call me."),
        ("Bag", "Bag Shirts."),
    ]


@pytest.mark.parametrize(
    "line",
    [
        "Chapter 1",
        "CHAPTER XII. The End",
        "Chapter One: Loomings",
        "Kapitel 3",
        "Chapitre IV",
        "Глава 5",
        "第三章 旅",
        "Epilogue",
    ],
)
def test_a_line_that_stands_alone_and_says_so_begins_a_chapter_of_plain_text(line: str) -> None:
    assert told(f"Before.\n\n{line}\n\nAfter.\n", is_markdown=False) == [("", "Before."), (line, f"{line} After.")]


@pytest.mark.parametrize(
    "text", ["Chapter 1 was long.\nAnd so on.\n", "He read\n\nchapters of it\n\nall day.\n", "# One\n\nTwo.\n"]
)
def test_other_lines_of_plain_text_do_not(text: str) -> None:
    assert [title for title, _ in told(text, is_markdown=False)] == [""]


def words(text: str) -> list[str]:
    return [part for part in text.split() if has_words(part)]


lines = st.sampled_from(
    ["# A", "## B", "## C *d*", "### E", "Text here.", "More text.", "", "", "Chapter 2", "===", "```", "F"]
)


@given(st.lists(lines, max_size=25), st.booleans())
@example(["===", "", "Chapter 2"], False)
def test_every_word_is_in_exactly_one_chapter_in_order(written: list[str], is_markdown: bool) -> None:
    text = canonical("\n".join(written))
    plain = plain_markdown(text) if is_markdown else text
    joined = " ".join(chapter.text for chapter in book_of(text, is_markdown=is_markdown).chapters)
    assert words(joined) == words(plain)  # a rule alone above the first heading is no word, and is not spoken


@given(st.lists(st.text(max_size=80), min_size=1, max_size=120))
def test_names_of_chapters_are_safe_short_stable_and_all_different(titles: list[str]) -> None:
    names = chapter_names(titles, "mp3")
    assert names == chapter_names(titles, "mp3")
    assert len({name.casefold() for name in names}) == len(titles)
    assert all(is_safe_name(name) and "/" not in name and not name.startswith(".") for name in names)
    assert max(len(os.fsencode(name)) for name in names) <= MAX_SLUG_BYTES + 9


def test_names_tell_number_and_title() -> None:
    titles = ["Loomings", "", "The Carpet-Bag / ../etc", "हिन्दी", "X" * 300]
    names = chapter_names(titles, "opus")
    assert names[:4] == ["01-loomings.opus", "02.opus", "03-the-carpet-bag-etc.opus", "04-हिन्दी.opus"]
    assert chapter_names(["a"] * 100, "mp3")[99] == "100-a.mp3"


def test_a_playlist_names_the_files_beside_it() -> None:
    assert playlist(["b.01.mp3"], ["One, two"], [61.6]) == b"#EXTM3U\n#EXTENC:UTF-8\n#EXTINF:62,One, two\nb.01.mp3\n"
