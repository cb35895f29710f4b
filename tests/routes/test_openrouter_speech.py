"""Speech through OpenRouter, against a real server on loopback."""

import io
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
import trio

from pipeline.children.lanes import Lanes
from pipeline.core.errors import ContractError, InDoubt, MediaspoolError, ReplyTooLarge, Unavailable
from pipeline.core.model import Limits
from pipeline.core.operations import Speak
from pipeline.media.containers import examine
from pipeline.media.wav import read_layout
from tests.routes.conftest import say
from tests.routes.remote import Desk

pytestmark = pytest.mark.real_time
MP3 = Speak(text="The quick brown fox.", language="en", format="mp3")


async def test_k31_k33_g14_g16_o15_v14_kokoro_speaks_mp3_through_the_speech_endpoint(desk: Desk) -> None:
    reply = await desk.ask(desk.openrouter(), MP3)
    assert reply.media_type == "audio/mpeg"
    assert desk.sent("speak") == {
        "model": "hexgrad/kokoro-82m",
        "input": "The quick brown fox.",
        "voice": "af_alloy",
        "response_format": "mp3",
    }
    assert desk.standin.requests("speak")[0]["path"] == "/audio/speech"


async def test_samples_leave_as_a_wav_with_the_announced_rate(desk: Desk) -> None:
    reply = await desk.ask(desk.openrouter(), say("The quick brown fox."))
    layout = read_layout(io.BytesIO(desk.exchange.body), len(desk.exchange.body))
    assert (reply.media_type, layout.rate, layout.channels) == ("audio/wav", 24_000, 1)
    assert reply.facts == {"pcm_rate": "24000", "pcm_channels": "1"}
    assert desk.sent("speak")["response_format"] == "pcm"


async def test_another_announced_rate_is_kept(desk: Desk) -> None:
    desk.standin.fault("pcm-44100")
    reply = await desk.ask(desk.openrouter(), say("The quick brown fox."))
    assert read_layout(io.BytesIO(desk.exchange.body), len(desk.exchange.body)).rate == 44_100
    assert reply.facts["pcm_rate"] == "44100"


async def test_a_rate_that_is_not_announced_is_assumed_and_the_assumption_is_told(desk: Desk) -> None:
    desk.standin.fault("pcm-no-rate")
    reply = await desk.ask(desk.openrouter(), say("The quick brown fox."))
    assert reply.facts["pcm_assumed"] == "rate channels"
    assert reply.seconds == pytest.approx((len(desk.exchange.body) - 44) / 48_000)


async def test_k32_the_wav_is_whole_and_its_seconds_are_those_of_its_samples(desk: Desk) -> None:
    reply = await desk.ask(desk.openrouter(), say("The quick brown fox."))
    found = examine(io.BytesIO(desk.exchange.body), len(desk.exchange.body))
    assert found.ok
    assert found.seconds == pytest.approx(reply.seconds)


@pytest.mark.parametrize("fault", ["pcm-odd", "pcm-rate-absurd", "pcm-rate-zero", "pcm-rate-garbage"])
async def test_samples_that_cannot_be_are_refused(desk: Desk, fault: str) -> None:
    desk.standin.fault(fault)
    with pytest.raises(ContractError):
        await desk.ask(desk.openrouter(), say("The quick brown fox."))
    assert desk.exchange.body == b""


async def test_the_id_of_the_call_is_kept_before_the_first_byte(desk: Desk) -> None:
    reply = await desk.ask(desk.openrouter(), MP3)
    assert desk.exchange.steps[:2] == ["sending", f"identified {reply.request_id}"]
    assert str(reply.request_id).startswith("gen-tts-")


async def test_speech_tells_no_price_and_unknown_is_not_zero(desk: Desk) -> None:
    assert (await desk.ask(desk.openrouter(), MP3)).usd is None


async def test_a_price_is_told_later_by_the_id_of_the_call(desk: Desk) -> None:
    driver = desk.openrouter()
    reply = await desk.ask(driver, MP3)
    prices = [await driver.price_of(str(reply.request_id)) for _ in range(4)]
    assert prices[0] is None
    assert isinstance(prices[-1], Decimal)
    assert prices[-1] > 0


async def test_a_price_of_a_call_that_nobody_knows_is_unknown(desk: Desk) -> None:
    assert await desk.openrouter().price_of("gen-tts-1-unknown") is None


async def test_a_server_that_takes_no_question_about_prices_has_told_nothing_of_this_one(desk: Desk) -> None:
    desk.standin.fault("429-retry-after", path="generation", seconds=0)
    with pytest.raises(Unavailable):
        await desk.openrouter().price_of("gen-tts-1-some")


async def test_k38_samples_without_end_are_stopped_at_the_cap_and_leave_nothing(desk: Desk, lanes: Lanes) -> None:
    desk.standin.fault("endless")
    staging = Path(lanes.path(lanes.scratch(""))).parent
    before = sorted(staging.iterdir())
    with pytest.raises(ReplyTooLarge, match="more than 3000000 bytes of sound") as wrong:
        await desk.ask(desk.openrouter(limits=Limits(max_output_bytes=3_000_000)), say("The quick brown fox."))
    assert "max_output_mb" in wrong.value.hint
    assert sorted(staging.iterdir()) == before
    assert desk.exchange.body == b""


@pytest.mark.parametrize("fault", ["empty", "text-as-media", "type-html"])
async def test_k39_what_is_no_whole_sound_never_becomes_an_answer(desk: Desk, fault: str) -> None:
    desk.standin.fault(fault)
    with pytest.raises(MediaspoolError) as wrong:
        await desk.ask(desk.openrouter(), say("The quick brown fox."))
    assert not wrong.value.retryable
    assert desk.standin.paid("speak") == 1


async def test_a_page_instead_of_sound_leaves_the_call_in_doubt_and_sends_nothing_again(desk: Desk) -> None:
    desk.standin.fault("html-200")
    with pytest.raises(InDoubt):
        await desk.ask(desk.openrouter(), MP3)
    assert desk.standin.count("speak") == 1


async def test_a_speed_is_sent_only_where_it_is_not_the_voices_own(desk: Desk) -> None:
    await desk.ask(desk.openrouter(), msgspec.structs.replace(MP3, speed=1.5))
    assert desk.sent("speak")["speed"] == 1.5


async def test_options_of_a_provider_travel_with_speech(desk: Desk) -> None:
    routing = {"hexgrad/kokoro-82m": '{"options": {"azure": {"style": "calm"}}, "zdr": true}'}
    await desk.ask(desk.openrouter(routing=routing), MP3)
    assert desk.sent("speak")["provider"] == {"options": {"azure": {"style": "calm"}}, "zdr": True}


async def test_a_cancelled_call_leaves_no_scratch_file_and_the_server_sees_it_end(desk: Desk, lanes: Lanes) -> None:
    desk.standin.fault("no-answer")
    staging = Path(lanes.path(lanes.scratch(""))).parent
    before = sorted(staging.iterdir())
    driver = desk.openrouter()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(desk.ask, driver, say("The quick brown fox."))
        await desk.standin.arrived("speak")
        await trio.sleep(0.1)
        nursery.cancel_scope.cancel()
    await desk.standin.ended("speak")
    assert sorted(staging.iterdir()) == before


async def test_the_gemini_voice_is_asked_for_pcm_alone(desk: Desk) -> None:
    await desk.ask(desk.openrouter(), say("Hello there."), "google/gemini-3.8-flash-tts")
    sent = desk.sent("speak")
    assert (sent["voice"], sent["response_format"]) == ("Kore", "pcm")


async def test_t25_an_unknown_model_is_named_together_with_the_path(desk: Desk) -> None:
    with pytest.raises(MediaspoolError) as unknown:
        await desk.ask(desk.openrouter(), say("Hello"), "acme/loud-speaker-tts")
    assert "acme/loud-speaker-tts" in unknown.value.message
    assert "POST audio/speech" in unknown.value.message
