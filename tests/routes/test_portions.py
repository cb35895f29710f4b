"""How much text a call of each speech model may carry: the table, its page, the settings, and the edges."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from pipeline.children.lanes import Lanes
from pipeline.core.drivers import Driver, RouteConfig, portion_of
from pipeline.core.errors import ConfigError
from pipeline.core.model import RouteId
from pipeline.core.operations import Speak
from pipeline.core.portions import DEFAULT_PORTION, Portion, estimated_tokens
from pipeline.routes import _voices
from pipeline.routes._tools import Tools
from pipeline.routes.openai import open_driver as open_openai
from pipeline.routes.openrouter import open_driver as open_openrouter
from tests import pages
from tests.exchanges import tools

PAGE = "docs/routes.md"
OPEN: Mapping[str, Callable[[RouteConfig, Tools], Driver]] = {"openrouter": open_openrouter, "openai": open_openai}


def driver(lanes: Lanes, name: str, **options: str) -> Driver:
    told: Mapping[str, str] = {key.replace("__", "."): value for key, value in options.items()}
    route = RouteConfig(id=RouteId(name), driver=name, width=2, options=told, base_url="http://127.0.0.1:9/v1")
    return OPEN[name](route, tools(lanes))


@pytest.fixture
def lanes(tmp_path: Path) -> Lanes:
    return Lanes(roots={}, staging=str(tmp_path), engine_workers=1, media_workers=1, memory_mb=100)


@pytest.mark.parametrize(
    ("name", "model", "wanted"),
    [
        ("openrouter", "hexgrad/kokoro-82m", Portion(max_chars=1000, max_tokens=4096)),
        ("openrouter", "google/gemini-3.8-flash-tts", Portion(max_chars=800)),
        ("openrouter", "vendor/unheard-of-tts", Portion(max_chars=1000)),
        ("openai", "gpt-4o-mini-tts", Portion(max_chars=1000, max_tokens=2000)),
    ],
)
def test_each_model_tells_what_a_part_may_be(lanes: Lanes, name: str, model: str, wanted: Portion) -> None:
    opened = driver(lanes, name)
    assert portion_of(opened, opened.bind("speak", model)) == wanted


def test_the_settings_say_otherwise_for_one_model_or_for_all(lanes: Lanes) -> None:
    opened = driver(lanes, "openai", speak_chars="600", **{"speak_chars__tts-1": "5000", "speak_tokens__tts-1": "90"})
    assert portion_of(opened, opened.bind("speak", "gpt-4o-mini-tts")) == Portion(max_chars=600, max_tokens=2000)
    assert portion_of(opened, opened.bind("speak", "tts-1")) == Portion(max_chars=5000, max_tokens=90)


def test_how_a_text_is_cut_is_no_part_of_an_engines_identity(lanes: Lanes) -> None:
    engines = {driver(lanes, "openai", **told).bind("speak", None).engine for told in ({}, {"speak_chars": "600"})}
    assert len(engines) == 1


@pytest.mark.parametrize("wrong", ["many", "-5", "0", "49", "1e3", ""])
def test_a_bound_that_is_none_is_refused(lanes: Lanes, wrong: str) -> None:
    opened = driver(lanes, "openai", speak_chars=wrong)
    with pytest.raises(ConfigError, match="speak_chars"):
        portion_of(opened, opened.bind("speak", None))


@pytest.mark.parametrize(("sign", "count"), [("a", 4095), ("a", 4096), ("a", 4097), ("語", 2000), ("語", 2001)])
def test_characters_and_tokens_are_refused_beyond_their_edge_and_not_before(
    lanes: Lanes, sign: str, count: int
) -> None:
    opened = driver(lanes, "openai")
    reasons = opened.check(Speak(text=sign * count, language="en"), opened.bind("speak", "gpt-4o-mini-tts"))
    is_over = count > 4096 or estimated_tokens(sign * count) > 2000
    assert [reason.code for reason in reasons] == ["limit-chars"] * is_over


def test_the_page_has_every_row_of_the_table() -> None:
    page = pages.section(PAGE, "Length of a part")
    rows = dict((*_voices._OPENROUTER, *_voices._OPENAI_DIALECT))  # the page is made of this table
    usual = (_voices.PART_CHARS, _voices.MAX_CHARS, None)
    for pattern, row in rows.items():
        told = (row.part_chars, row.max_chars, row.max_tokens)
        if told != usual:
            line = next(line for line in page.splitlines() if f"`{pattern}`" in line)
            assert line.endswith(f"| {row.part_chars} | {row.max_chars} | {row.max_tokens or '–'} |")
    assert f"| every other | {usual[0]} | {usual[1]} | – |" in page
    assert f"voices get {DEFAULT_PORTION.max_chars} characters" in page
