"""Options and words of routes: a slip is refused, and what cannot change an answer pays for nothing twice."""

from importlib import import_module
from pathlib import Path

import pytest

from pipeline.children.lanes import Lanes
from pipeline.core.errors import ConfigError
from pipeline.routes import DRIVERS
from pipeline.routes.openai import OpenAi
from pipeline.routes.openrouter import OpenRouter
from tests.exchanges import tools
from tests.makers import Folder, outcomes
from tests.routes.conftest import route
from tests.routes.remote import Desk

OPERATIONS = ("speak", "transcribe", "make_image", "edit_image", "complete")
SLIPS = [
    ("openrouter", {"image_dialekt": "chat"}, "did you mean 'image_dialect'?"),
    ("openrouter", {"image_dialect": "chatty"}, "it takes: chat"),
    ("openrouter", {"transcribe_body": "form"}, "it takes: auto, json, multipart"),
    ("openrouter", {"prompt_cache": "off"}, "it takes: false, true"),
    ("openrouter", {"free": "true"}, "there are: "),
    ("openai", {"free": "truee"}, "it takes: false, true"),
    ("openai", {"segments": "strikt"}, "it takes: strict"),
    ("openai", {"prompt_cache": "true"}, "there are: "),
    ("openai", {"models.vendor/one": "x"}, "there are: "),
]
# What a person may write or take out without a single answer being another one, and where it would be one.
HARMLESS = {
    "models": "hexgrad/kokoro-82m openai/gpt-4o-mini-transcribe google/gemini-3.1-flash-image openai/gpt-5.4-mini"
    " gpt-4o-mini-tts whisper-1 gpt-image-1 gpt-5.4-mini",
    "result_origins": "https://cdn.example.com",
    "key.speak": "TEST_KEY",
    "speak_chars": "600",
    "speak_tokens.hexgrad/kokoro-82m": "900",
}
TELLING = [
    ("openrouter", "image_dialect", "chat", {"make_image", "edit_image"}),
    ("openrouter", "segments", "strict", {"transcribe"}),
    ("openai", "segments", "strict", {"transcribe"}),
    ("openai", "transcribe_prompt", "Names: Ada.", {"transcribe"}),
    ("openai", "voices", "anna bert", {"speak"}),
    *(("openrouter", name, value, set[str]()) for name, value in HARMLESS.items()),
    *(("openai", name, value, set[str]()) for name, value in HARMLESS.items()),
    ("openrouter", "response_cache", "true", set[str]()),
    ("openrouter", "response_cache_ttl_seconds", "300", set[str]()),
    ("openrouter", "prompt_cache", "false", set[str]()),
    ("openrouter", "transcribe_body", "multipart", set[str]()),
    ("openai", "free", "true", set[str]()),
]


@pytest.mark.parametrize(("driver", "options", "hint"), SLIPS)
async def test_an_option_that_the_driver_does_not_know_is_refused(
    desk: Desk, driver: str, options: dict[str, str], hint: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        _open(desk, driver, options=options)
    assert caught.value.hint.startswith(hint)
    assert next(iter(options)) in caught.value.message


EMBEDDED_SLIPS = [
    ("whisper", {"multilingal": "false"}, "did you mean 'multilingual'?"),
    ("whisper", {"multilingual": "no"}, "it takes: false, true"),
    ("whisper", {"folder": "/srv/models/one"}, "did you mean 'folder.'?"),
    *((driver, {"speed": "2"}, "it knows none") for driver in ("hibari", "pico", "pillow", "stills", "loopback")),
]


@pytest.mark.parametrize(("driver", "options", "hint"), EMBEDDED_SLIPS)
def test_an_option_that_an_embedded_engine_does_not_know_is_refused(
    lanes: Lanes, driver: str, options: dict[str, str], hint: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        import_module(DRIVERS[driver].partition(":")[0]).open_driver(route(driver, **options), tools(lanes))
    assert caught.value.hint.startswith(hint)


def test_a_slip_in_the_options_of_an_embedded_engine_costs_only_the_jobs_of_its_route(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.record("a.wav")
    folder.configure({}, extra='[routes.other]\ndriver = "loopback"\noptions = { sped = "2" }\n')
    extra = '[[job]]\nid = "slip"\nkind = "tts"\ntext = "One."\nroute = "other"\nout = "out/slip.wav"\n'
    folder.manifest.write_text(folder.manifest.read_text() + extra)
    found = outcomes(folder.run())
    assert (found["slip"].verdict, found["slip"].code) == ("refused", "config-invalid")
    assert found["notes/a.wav#text"].verdict == "done"


@pytest.mark.parametrize(("driver", "words"), [("openai", "verbose-json wav"), ("openrouter", "verbose_json")])
async def test_a_word_of_capabilities_that_the_driver_does_not_know_is_refused(
    desk: Desk, driver: str, words: str
) -> None:
    with pytest.raises(ConfigError, match="capabilities"):
        _open(desk, driver, capabilities={"*": words})


@pytest.mark.parametrize(("driver", "option", "value", "bears_on"), TELLING)
async def test_an_option_changes_the_calls_whose_answers_it_bears_on_and_no_others(
    desk: Desk, driver: str, option: str, value: str, bears_on: set[str]
) -> None:
    plain, told = _open(desk, driver), _open(desk, driver, options={option: value})
    changed = {each for each in OPERATIONS if plain.bind(each, None).engine != told.bind(each, None).engine}
    assert changed == bears_on


def _open(desk: Desk, driver: str, **changes: object) -> OpenRouter | OpenAi:
    return desk.openrouter(**changes) if driver == "openrouter" else desk.openai(**changes)
