"""Which model answers on OpenRouter: defaults, short names, replacements, models that are gone, ids that are none."""

import msgspec
import pytest

from pipeline.children.lanes import Lanes
from pipeline.core.errors import ConfigError, UnsupportedOperation
from pipeline.core.model import Binding
from pipeline.routes._models import NOTHING_KNOWN, OPENROUTER, Knowledge, choose, sort_of
from pipeline.routes.openrouter import OpenRouter, open_driver
from tests.exchanges import tools
from tests.routes.remote import KEYS, at

KOKORO = "hexgrad/kokoro-82m"


def opened(lanes: Lanes, **changes: object) -> OpenRouter:
    return open_driver(msgspec.structs.replace(at("openrouter", None), **changes), tools(lanes, keys=KEYS))


def bound(lanes: Lanes, operation: str, model: str | None, **changes: object) -> Binding:
    return opened(lanes, **changes).bind(operation, model)


@pytest.mark.parametrize(
    ("operation", "model"),
    [
        ("speak", KOKORO),
        ("transcribe", "openai/gpt-4o-mini-transcribe"),
        ("make_image", "google/gemini-3.1-flash-image"),
        ("make_video", "google/veo-3.1-fast"),
        ("complete", "openai/gpt-5.4-mini"),
    ],
)
def test_g16_k41_v6_t36_every_operation_has_a_default_model(lanes: Lanes, operation: str, model: str) -> None:
    binding = bound(lanes, operation, None)
    assert (binding.model, binding.asked) == (model, None)


@pytest.mark.parametrize("model", ["openai/gpt-5.4-mini", "anthropic/claude-sonnet-4", "google/gemini-2.5-pro"])
def test_k1_k2_g1_g8_o8_models_of_many_vendors_are_addressed_on_one_route(lanes: Lanes, model: str) -> None:
    assert bound(lanes, "complete", model).model == model


@pytest.mark.parametrize("model", ["openai/gpt-5.4-mini", "anthropic/claude-sonnet-4", "google/gemini-2.5-pro"])
def test_k34_a_chat_model_on_a_speech_job_is_replaced_by_the_default_and_that_is_told(lanes: Lanes, model: str) -> None:
    binding = bound(lanes, "speak", model)
    assert (binding.model, binding.asked) == (KOKORO, model)


def test_k34_a_named_speech_model_is_kept(lanes: Lanes) -> None:
    binding = bound(lanes, "speak", "x-ai/grok-voice-tts-1.0")
    assert (binding.model, binding.asked) == ("x-ai/grok-voice-tts-1.0", None)


def test_k41_a_chat_model_on_a_transcription_is_replaced_and_a_real_one_overrides_that(lanes: Lanes) -> None:
    replaced = bound(lanes, "transcribe", "openai/gpt-5.4-mini")
    assert (replaced.model, replaced.asked) == ("openai/gpt-4o-mini-transcribe", "openai/gpt-5.4-mini")
    assert bound(lanes, "transcribe", "openai/whisper-1").model == "openai/whisper-1"


def test_a_chat_model_is_replaced_by_the_routes_own_default_where_that_fits(lanes: Lanes) -> None:
    own = {"speak": "x-ai/grok-voice-tts-1.0"}
    assert bound(lanes, "speak", "openai/gpt-5.4-mini", models=own).model == "x-ai/grok-voice-tts-1.0"
    chat = {"speak": "openai/gpt-5.4-mini"}
    binding = bound(lanes, "speak", None, models=chat)
    assert (binding.model, binding.asked) == (KOKORO, "openai/gpt-5.4-mini")


@pytest.mark.parametrize("alias", ["tts-1", "tts-1-hd", "gpt-4o-mini-tts"])
def test_k35_short_names_of_speech_map_to_the_named_model_which_is_gone_and_names_its_successor(
    lanes: Lanes, alias: str
) -> None:
    with pytest.raises(UnsupportedOperation) as gone:
        bound(lanes, "speak", alias)
    assert gone.value.code == "model-unknown"
    assert "openai/gpt-4o-mini-tts-2025-12-15" in gone.value.message
    assert alias in gone.value.message
    assert KOKORO in gone.value.hint


@pytest.mark.parametrize("alias", ["tts-1", "tts-1-hd", "gpt-4o-mini-tts"])
def test_k35_where_a_catalogue_lists_the_model_again_the_short_names_reach_it(lanes: Lanes, alias: str) -> None:
    listed = Knowledge(sorts=lambda _model: frozenset({"speech"}), lists=lambda _model: True)
    choice = choose(at("openrouter", None), OPENROUTER, "speak", alias, known=listed)
    assert (choice.model, choice.asked) == ("openai/gpt-4o-mini-tts-2025-12-15", alias)


@pytest.mark.parametrize(
    ("alias", "model"),
    [
        ("whisper-1", "openai/whisper-1"),
        ("gpt-4o-transcribe", "openai/gpt-4o-transcribe"),
        ("gpt-4o-mini-transcribe", "openai/gpt-4o-mini-transcribe"),
    ],
)
def test_short_names_of_transcription_reach_the_model_they_name_and_no_other(
    lanes: Lanes, alias: str, model: str
) -> None:
    binding = bound(lanes, "transcribe", alias)
    assert (binding.model, binding.asked) == (model, alias)


def test_the_settings_own_aliases_come_first(lanes: Lanes) -> None:
    binding = bound(lanes, "speak", "tts-1", aliases={"tts-1": KOKORO})
    assert (binding.model, binding.asked) == (KOKORO, "tts-1")


@pytest.mark.parametrize(
    "model", ["no-such-model", "openai/", "/gpt", "a/b/c", "open ai/gpt", "openai/gpt\n", "x" * 201 + "/y", "../x/y"]
)
def test_t31_an_id_that_is_none_is_refused_before_use(lanes: Lanes, model: str) -> None:
    with pytest.raises(UnsupportedOperation) as refused:
        bound(lanes, "complete", model)
    assert refused.value.code == "model-unknown"
    assert "\n" not in refused.value.message


@pytest.mark.parametrize(
    ("operation", "model"),
    [("speak", "openai/whisper-1"), ("transcribe", KOKORO), ("complete", "google/veo-3.1"), ("make_image", KOKORO)],
)
def test_a_model_for_other_media_is_refused_and_not_replaced(lanes: Lanes, operation: str, model: str) -> None:
    with pytest.raises(UnsupportedOperation) as refused:
        bound(lanes, operation, model)
    assert model in refused.value.message


def test_a_model_of_no_known_sort_is_asked_as_it_is_named(lanes: Lanes) -> None:
    """K4: models need not be listed anywhere."""
    binding = bound(lanes, "speak", "acme/loud-speaker-3")
    assert (binding.model, binding.asked) == ("acme/loud-speaker-3", None)


def test_k21_a_catalogue_that_lists_models_refuses_one_that_it_does_not_list(lanes: Lanes) -> None:
    nothing_like_it = Knowledge(sorts=lambda _model: None, lists=lambda _model: False)
    with pytest.raises(UnsupportedOperation) as refused:
        choose(at("openrouter", None), OPENROUTER, "speak", "acme/loud-speaker-3", known=nothing_like_it)
    assert refused.value.code == "model-unknown"


@pytest.mark.parametrize("operation", ["speak", "transcribe"])
def test_k22_k28_k29_speech_and_transcription_are_there_whatever_the_chat_model_is(
    lanes: Lanes, operation: str
) -> None:
    driver = opened(lanes, models={"complete": "anthropic/claude-sonnet-4"})
    assert operation in driver.facts.operations
    assert driver.bind(operation, None).model == OPENROUTER.defaults[operation]


@pytest.mark.parametrize("operation", ["speak", "transcribe"])
def test_k54_the_settings_may_switch_an_operation_off(lanes: Lanes, operation: str) -> None:
    driver = opened(lanes, can={operation: False})
    assert operation not in driver.facts.operations
    with pytest.raises(UnsupportedOperation, match="switched off"):
        driver.bind(operation, None)


def test_k55_the_settings_may_not_switch_on_what_the_driver_has_nothing_for(lanes: Lanes) -> None:
    with pytest.raises(ConfigError) as refused:
        opened(lanes, can={"retouch": True})
    assert "retouch" in refused.value.message
    assert "speak" in opened(lanes, can={"speak": True}).facts.operations


def test_the_engine_changes_with_what_could_change_an_answer(lanes: Lanes) -> None:
    plain = bound(lanes, "complete", None).engine
    routed = bound(lanes, "complete", None, routing={"openai/gpt-5.4-mini": '["azure"]'}).engine
    other = bound(lanes, "complete", None, routing={"openai/gpt-5.4-nano": '["azure"]'}).engine
    assert plain != routed
    assert plain == other


@pytest.mark.parametrize(
    ("model", "sort"),
    [
        ("openai/gpt-4o-mini-transcribe", "transcription"),
        ("google/gemini-3.8-flash-tts", "speech"),
        ("x-ai/grok-imagine-video", "video"),
        ("x-ai/grok-imagine-image-2.0", "image"),
        ("x-ai/grok-4", "chat"),
        ("deepgram/nova-3", "transcription"),
        ("deepgram/aura-2", "speech"),
        ("amazon/nova-pro-v1", None),
        ("acme/thing", None),
    ],
)
def test_the_sort_of_a_model_is_read_from_its_id_or_not_known(model: str, sort: str | None) -> None:
    assert sort_of(model) == sort
    assert NOTHING_KNOWN.sorts(model) is None
