"""The pages for those who run mediaspool and those who judge it: nothing that can happen is without its line."""

import re

import pytest

from jobs import image, video
from pipeline.report import EXIT_CODES
from pipeline.routes import _images_wire, _options, _video_wire
from tests import pages


def test_the_table_of_the_bad_night_has_a_row_for_every_exit_code_and_a_command_in_every_row() -> None:
    lines = pages.section("docs/operations.md", "At three in the morning").splitlines()
    rows = [line[2:-2].split(" | ") for line in lines if line.startswith("| ")][1:]
    told = {int(code) for row in rows if row[0].startswith("exit code") for code in re.findall(r"\d+", row[0])}
    assert told == set(EXIT_CODES) - {0}
    assert [row for row in rows if "`" not in row[2] and "](" not in row[2]] == []


def test_every_part_of_the_page_of_errors_is_reached_from_the_page_of_operations() -> None:
    parts = {anchor for anchor in pages.anchors("docs/errors.md") if anchor != "errors"}
    assert {link.partition("#")[2] for link in pages.links("docs/operations.md") if "errors.md#" in link} == parts


def test_every_line_of_the_threat_model_names_its_test() -> None:
    model = pages.page("docs/SECURITY.md").partition("## Media\n")[2].partition("## Packages\n")[0]
    rows = [line for line in model.splitlines() if line.startswith("| ") and not line.startswith("| what could happen")]
    assert rows
    assert [row for row in rows if "`test_" not in row.rpartition(" | ")[2]] == []


@pytest.mark.parametrize("options", [_options.OPENROUTER, _options.OPENAI], ids=["openrouter", "openai"])
def test_every_option_of_a_remote_driver_is_on_the_page_of_routes(options: _options.Known) -> None:
    """Those that bound parts stand in an example."""
    examples = "\n".join(pages.blocks("docs/routes.md", "toml"))
    assert {name for name in options if not (_is_told(name) or f'"{name}.' in examples)} == set()


@pytest.mark.parametrize("word", sorted(_options.OPENROUTER_WORDS | _options.OPENAI_WORDS))
def test_every_word_for_what_a_model_can_do_is_on_the_page_of_routes(word: str) -> None:
    assert _is_told(word)


@pytest.mark.parametrize(
    ("kind", "taken", "sent"),
    [
        ("image", image.MAX_PROMPT_CHARS, _images_wire.MAX_PROMPT_CHARS),
        ("video", video.MAX_PROMPT_CHARS, _video_wire.MAX_PROMPT_CHARS),
    ],
)
def test_a_prompt_may_be_as_long_as_its_page_says_and_no_route_takes_less(kind: str, taken: int, sent: int) -> None:
    section = pages.section("docs/manifest.md", f"`{kind}`")
    assert (taken, f"| `prompt` | text, up to {taken:,} characters |" in section) == (sent, True)


def _is_told(name: str) -> bool:
    return f"`{name}`" in pages.page("docs/routes.md")
