"""The pages of the documentation as tests read them: sections, tables, code blocks, links, words typed at a shell.

Knows Markdown as far as our own pages use it, and nothing of what they say.
"""

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
NAMES = ("README.md", *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md"))))

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^#{1,6} +(.*)$", re.MULTILINE)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_SPAN = re.compile(r"`([^`\n]+)`")


def page(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def section(name: str, heading: str) -> str:
    """What stands below a heading, up to the next one of any level."""
    text = _BLOCK.sub("", page(name))
    found = [match for match in _HEADING.finditer(text) if match[1] == heading]
    assert len(found) == 1, f"{name} has {len(found)} headings '{heading}'"
    return _HEADING.split(text[found[0].end() :], maxsplit=1)[0]


def table(name: str, heading: str) -> dict[str, list[str]]:
    """The cells of a section's table by the word in code at the start of each row."""
    rows = [line[2:-2].split(" | ") for line in section(name, heading).splitlines() if line.startswith("| ")]
    return {word[1]: cells for cells in rows if (word := re.match(r"`([^`]+)`", cells[0]))}


def blocks(name: str, language: str) -> list[str]:
    return [body for tongue, body in _BLOCK.findall(page(name)) if tongue == language]


def links(name: str) -> list[str]:
    return [link for link in _LINK.findall(_BLOCK.sub("", page(name))) if "://" not in link]


def anchors(name: str) -> set[str]:
    """The fragments that lead to a heading of this page, as the usual renderers make them."""
    titles = (match[1] for match in _HEADING.finditer(_BLOCK.sub("", page(name))))
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def typed(name: str) -> Iterator[list[str]]:
    """The words of each mediaspool command on a page: in a block a line, in the text what stands in code."""
    text = page(name)
    lines = [line for _, body in _BLOCK.findall(text) for line in body.splitlines()]
    for line in [*lines, *_SPAN.findall(_BLOCK.sub("", text))]:
        found = re.search(r"(?:^|[/=\s])mediaspool((?: +[^#\s]+)+)", line.partition("#")[0])
        if found:
            yield found[1].split()


def targets(name: str) -> set[str]:
    """The targets of the Makefile that a page tells people to make."""
    text = page(name)
    lines = [line for _, body in _BLOCK.findall(text) for line in body.splitlines()]
    return {
        found[1]
        for line in [*lines, *_SPAN.findall(_BLOCK.sub("", text))]
        if (found := re.match(r"make ([\w-]+)", line))
    }
