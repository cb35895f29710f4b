"""Options and words of remote routes: a slip is refused, and what cannot change an answer pays for nothing twice."""

import pytest

from pipeline.core.errors import ConfigError
from pipeline.routes.openai import OpenAi
from pipeline.routes.openrouter import OpenRouter
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
