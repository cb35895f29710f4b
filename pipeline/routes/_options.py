"""The options and words of capability that each driver knows, and whose answers each bears on.

Promises that a slip of the hand is refused, not passed over, and that an option names the calls whose answers it can
change and no others: for a switch that concerns nobody's answer nothing is asked, and paid, again.
"""

from collections.abc import Collection, Mapping
from difflib import get_close_matches

from msgspec import Struct

from pipeline.core.confine import display
from pipeline.core.drivers import RouteConfig
from pipeline.core.errors import ConfigError
from pipeline.routes._voices import BOUNDS


class Option(Struct, frozen=True, kw_only=True):
    """`values`: all that it may be, in small letters; none are any. `bears_on`: operations whose answers it changes."""

    values: frozenset[str] = frozenset()
    bears_on: frozenset[str] = frozenset()


Known = Mapping[str, Option]

KEY_OVER_HTTP = "key_over_http"
FOLDER = "folder."
_ASIDE = Option()  # who pays, where from, in what pieces: the same request has the same answer
_SWITCH = Option(values=frozenset({"true", "false"}))
_HEARING = frozenset({"transcribe"})
NONE: Known = {}
WHISPER: Known = {"multilingual": _SWITCH, FOLDER: _ASIDE}
_BOTH: Known = {
    KEY_OVER_HTTP: _SWITCH,
    **dict.fromkeys(("key.speak", "models", "result_origins", *BOUNDS), _ASIDE),
    "segments": Option(values=frozenset({"strict"}), bears_on=_HEARING),
}
OPENROUTER: Known = {
    **_BOTH,
    **dict.fromkeys(("prompt_cache", "response_cache", "response_cache_clear"), _SWITCH),
    **dict.fromkeys(("responseCache", "responseCacheClear"), _SWITCH),
    **dict.fromkeys(("response_cache_ttl_seconds", "responseCacheTtlSeconds"), _ASIDE),
    "transcribe_body": Option(values=frozenset({"auto", "json", "multipart"})),
    "image_dialect": Option(values=frozenset({"chat"}), bears_on=frozenset({"make_image", "edit_image"})),
}
OPENAI: Known = {
    **_BOTH,
    "free": _SWITCH,
    "voices": Option(bears_on=frozenset({"speak"})),
    "transcribe_prompt": Option(bears_on=_HEARING),
}
OPENROUTER_WORDS = frozenset({"chat-images"})
_OPENAI_WORDS = """verbose_json diarized_json srt vtt json text wav pcm mp3 opus flac aac b64_json url json_object words
max_tokens max_completion_tokens no-effort"""
OPENAI_WORDS = frozenset(_OPENAI_WORDS.split())


def refuse_slips(route: RouteConfig, options: Known, words: frozenset[str] = frozenset()) -> None:
    """ConfigError for the first option, value or word of capability that the driver would pass over."""
    for name, value in route.options.items():
        option = options.get(_plain(name))
        if option is None:
            raise _slip(f"route {route.id} has an option {display(name)}", name, options)
        if option.values and value.lower() not in option.values:
            what = f"the option {name} of route {route.id} is '{display(value[:40])}'"
            raise ConfigError(what, hint=f"it takes: {', '.join(sorted(option.values))}")
    for word in (word for told in route.capabilities.values() for word in told.split()):
        if word not in words:
            raise _slip(f"capabilities of route {route.id} have a word {display(word)}", word, words)


def shaping(route: RouteConfig, options: Known, operation: str) -> dict[str, str]:
    """The options that stand in the key of this operation's calls."""
    return {name: told for name, told in route.options.items() if operation in options[_plain(name)].bears_on}


def _plain(name: str) -> str:
    """Bounds may be said for one model, behind a dot, and a folder must be."""
    head, dot, model = name.partition(".")
    if head in BOUNDS:
        return head
    return FOLDER if model and head + dot == FOLDER else name


def _slip(what: str, word: str, known: Collection[str]) -> ConfigError:
    near = get_close_matches(word[:64], known, n=1)
    there = f"there are: {', '.join(sorted(known))}" if known else "it knows none: take it out"
    hint = f"did you mean '{near[0]}'?" if near else there
    return ConfigError(f"{what}, which its driver does not know", hint=hint)
