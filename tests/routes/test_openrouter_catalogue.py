"""What a catalogue changes: voices, parameters, durations and prices are then the provider's own, model by model."""

import contextlib
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from pipeline.children.lanes import Lanes
from pipeline.core.errors import RouteBusy, UnsupportedOperation
from pipeline.core.operations import Operation, operation_name
from pipeline.routes._chat_wire import EFFORTS
from pipeline.routes.catalogue import LISTINGS
from pipeline.routes.openrouter import OpenRouter, open_driver
from tests.exchanges import RecordingExchange, tools
from tests.routes.conftest import recording, say, transcribe
from tests.routes.remote import KEYS, PNG, ask, at, clip, edit, file_of, picture, png, refused
from tests.standin.fixture import StandIn

pytestmark = pytest.mark.real_time


def fresh(standin: StandIn, lanes: Lanes, folder: Path, *, mode: str = "required") -> OpenRouter:
    config = msgspec.structs.replace(at("openrouter", standin), discovery=mode)
    return open_driver(config, tools(lanes, keys=KEYS, cache=str(folder / "catalogue")))


@pytest.fixture
async def known(standin: StandIn, lanes: Lanes, tmp_path: Path) -> AsyncIterator[OpenRouter]:
    """A driver that has asked for every listing."""
    driver = fresh(standin, lanes, tmp_path)
    await driver.catalogue.refresh(LISTINGS)
    yield driver
    await driver.aclose()


async def test_t11_k21_a_model_that_is_listed_binds_and_one_that_is_not_does_not(known: OpenRouter) -> None:
    assert known.bind("speak", "hexgrad/kokoro-82m").asked is None
    with pytest.raises(UnsupportedOperation) as unknown:
        known.bind("speak", "acme/loud-tts-9")
    assert unknown.value.code == "model-unknown"


async def test_k16_k21_a_plan_asks_only_for_the_listings_that_its_operations_need(
    standin: StandIn, lanes: Lanes, tmp_path: Path
) -> None:
    driver = fresh(standin, lanes, tmp_path)
    await driver.prepare([("speak", None), ("speak", "openai/gpt-5.4-mini"), ("speak", "no model"), ("retouch", None)])
    assert [seen["operation"] for seen in standin.requests()] == ["models", "endpoints"]
    assert driver.estimate(say("Good morning."), driver.bind("speak", None)).usd is not None
    await driver.aclose()


async def test_k34_with_the_listing_of_speech_alone_a_chat_model_is_still_replaced(
    standin: StandIn, lanes: Lanes, tmp_path: Path
) -> None:
    driver = fresh(standin, lanes, tmp_path)
    await driver.catalogue.refresh(["speech"])
    assert driver.bind("speak", "openai/gpt-5.4-mini").asked == "openai/gpt-5.4-mini"
    with pytest.raises(UnsupportedOperation, match="lists no model"):
        driver.bind("speak", "acme/loud-tts-9")
    await driver.aclose()


async def test_a_listing_that_is_not_here_makes_no_model_unknown(
    standin: StandIn, lanes: Lanes, tmp_path: Path
) -> None:
    driver = fresh(standin, lanes, tmp_path)
    await driver.catalogue.refresh(["speech"])
    assert driver.bind("complete", "acme/writer-1").model == "acme/writer-1"
    await driver.aclose()


@pytest.mark.parametrize("model", ["openai/gpt-5.4-mini:nitro", "~openai/gpt-latest", "openrouter/auto"])
async def test_variants_and_moving_names_of_the_provider_are_not_unknown(known: OpenRouter, model: str) -> None:
    assert known.bind("complete", model).model == model


@pytest.mark.parametrize("mode", ["required", "best-effort"])
async def test_k17_k18_without_an_answer_required_discovery_fails_and_best_effort_goes_on(
    standin: StandIn, lanes: Lanes, tmp_path: Path, mode: str
) -> None:
    standin.fault("404", path="models")
    driver = fresh(standin, lanes, tmp_path, mode=mode)
    with pytest.raises(RouteBusy) if mode == "required" else contextlib.nullcontext():
        await driver.prepare([("speak", None)])
    assert driver.bind("speak", None).model == "hexgrad/kokoro-82m"
    await driver.aclose()


async def test_k19_with_discovery_off_nobody_is_asked(standin: StandIn, lanes: Lanes, tmp_path: Path) -> None:
    driver = fresh(standin, lanes, tmp_path, mode="off")
    await driver.prepare([("speak", None), ("make_image", None)])
    assert standin.requests() == []
    await driver.aclose()


async def test_k21_a_chat_model_is_told_by_the_catalogue(known: OpenRouter) -> None:
    binding = known.bind("speak", "openai/gpt-5.4-mini")
    assert (binding.model, binding.asked) == ("hexgrad/kokoro-82m", "openai/gpt-5.4-mini")


async def test_k37_voices_are_those_of_the_catalogue(known: OpenRouter) -> None:
    row = known.catalogue.model("hexgrad/kokoro-82m")
    assert row is not None
    assert row.supported_voices
    assert refused(known, say("Good morning.", voice=row.supported_voices[0])) == []
    assert refused(known, say("Good morning.", voice="nobody")) == ["voice-unknown"]


async def test_k26_k27_parameters_of_pictures_are_those_of_the_catalogue(known: OpenRouter, tmp_path: Path) -> None:
    image = file_of(tmp_path, "a.png", png(), PNG)
    assert refused(known, picture(aspect_ratio="16:9")) == []
    assert refused(known, picture(aspect_ratio="17:9")) == ["operation-unsupported"]
    assert refused(known, edit(image)) == []
    known_parameters = known._shelf.parameters("google/gemini-3.1-flash-image")
    assert known_parameters is not None
    assert known_parameters["input_references"].high == 14


async def test_v12_durations_are_read_from_the_catalogue_and_not_snapped(known: OpenRouter) -> None:
    row = known.catalogue.video("google/veo-3.1-fast")
    assert row is not None
    assert row.supported_durations is not None
    assert refused(known, clip(seconds=int(row.supported_durations[0]))) == []
    assert refused(known, clip(seconds=5)) == ["operation-unsupported"]


@pytest.mark.parametrize(
    ("operation", "model"),
    [
        (say("Good morning."), None),
        (msgspec.structs.replace(transcribe(), audio=recording("austen-0880.wav", seconds=2.99)), "openai/whisper-1"),
        (clip(seconds=4, resolution="720p", audio=True), None),
        (ask(), None),
    ],
)
async def test_t4_estimates_come_from_the_catalogue(known: OpenRouter, operation: Operation, model: str | None) -> None:
    usd = known.estimate(operation, known.bind(operation_name(operation), model)).usd
    assert isinstance(usd, Decimal)
    assert usd > 0


async def test_the_dearest_endpoint_counts_for_speech(known: OpenRouter) -> None:
    binding, text = known.bind("speak", None), say("x" * 1000)
    alone = known.estimate(text, binding).usd
    await known.catalogue.refresh(["endpoints:hexgrad/kokoro-82m"])
    dearest = known.estimate(text, binding).usd
    assert alone is not None
    assert dearest is not None
    assert dearest > alone


async def test_a_picture_is_estimated_by_its_endpoints(known: OpenRouter) -> None:
    binding = known.bind("make_image", "bytedance-seed/seedream-4.5")
    assert known.estimate(picture(), binding).usd is None
    await known.catalogue.refresh(["image-endpoints:bytedance-seed/seedream-4.5"])
    usd = known.estimate(msgspec.structs.replace(picture(), n=2), binding).usd
    assert usd == Decimal("0.08")


async def test_an_open_choice_of_a_clip_counts_with_its_dearest(known: OpenRouter) -> None:
    binding = known.bind("make_video", None)
    open_usd, low_usd = (
        known.estimate(operation, binding).usd
        for operation in (clip(), clip(seconds=4, resolution="720p", audio=False))
    )
    assert open_usd is not None
    assert low_usd is not None
    assert open_usd > low_usd


@pytest.mark.parametrize("model", ["google/gemini-2.5-pro", "google/gemini-2.5-flash", "deepseek/deepseek-v4"])
async def test_every_effort_is_sent_in_a_word_that_the_model_takes(
    known: OpenRouter, standin: StandIn, model: str
) -> None:
    """The stand-in refuses what the model does not list, and `none` where thinking cannot be switched off."""
    binding = known.bind("complete", model)
    for effort in EFFORTS:
        await known.perform(ask(effort=effort), binding, RecordingExchange())
    assert standin.count("complete") == standin.paid("complete") == len(EFFORTS)


async def test_more_tokens_than_a_model_gives_are_refused(known: OpenRouter) -> None:
    assert refused(known, ask(max_tokens=16_384)) == []
    assert refused(known, ask(max_tokens=16_385)) == ["job-invalid"]


async def test_a_short_chat_is_not_estimated_below_what_is_billed_for_it(known: OpenRouter) -> None:
    """With all that is put around a document."""
    operation = ask("Go.", "Hi.", max_tokens=100)
    binding = known.bind("complete", "anthropic/claude-sonnet-4")
    reply = await known.perform(operation, binding, RecordingExchange())
    worst = known.estimate(operation, binding).usd
    assert worst is not None
    assert worst - 100 * Decimal("0.000015") >= int(reply.facts["tokens_in"]) * Decimal("0.000003")


async def test_a_kept_listing_that_nobody_can_read_is_fetched_anew(
    standin: StandIn, lanes: Lanes, tmp_path: Path
) -> None:
    for _ in range(2):
        driver = fresh(standin, lanes, tmp_path)
        await driver.catalogue.refresh(["speech"])
        assert driver.catalogue.model("hexgrad/kokoro-82m") is not None
        await driver.aclose()
        for kept in (tmp_path / "catalogue").iterdir():
            kept.write_text("half a listing")
    assert standin.count("models") == 2


async def test_a_model_that_will_be_gone_is_told_of_in_time(standin: StandIn, lanes: Lanes, tmp_path: Path) -> None:
    said: list[str] = []
    config = msgspec.structs.replace(at("openrouter", standin), discovery="required")
    told = msgspec.structs.replace(tools(lanes, keys=KEYS, cache=str(tmp_path)), warn=said.append)
    driver = open_driver(config, told)
    await driver.prepare([("complete", "liquid/lfm-2.5-2.6b:free"), ("complete", "openai/gpt-5.4-mini")])
    assert said == ["route openrouter: liquid/lfm-2.5-2.6b:free ends on 2026-12-31; name another model before"]
    await driver.aclose()
