"""The OpenAI dialect against a real server on loopback: every operation, every form of transcript."""

import io
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
import trio
from trio.testing import MockClock

from pipeline.core.errors import ContractError, Rejected
from pipeline.core.operations import EditImage, Speak, Transcribe
from pipeline.media.containers import examine
from pipeline.media.wav import read_layout
from tests.routes.conftest import recording, say
from tests.routes.remote import PNG, Desk, ask, edit, file_of, picture, png

pytestmark = pytest.mark.real_time
CHAT = "gpt-4o-mini"


@pytest.fixture
def mock_clock() -> MockClock:
    """Waits of seconds take a few hundredths, and the server's answers what they take."""
    return MockClock(rate=40.0)


def heard(name: str = "austen-0880.wav", seconds: float = 2.99, **told: object) -> Transcribe:
    return msgspec.structs.replace(Transcribe(audio=recording(name, seconds=seconds)), **told)


async def test_k31_k33_speech_is_asked_for_as_wav_with_the_usual_voice(desk: Desk) -> None:
    reply = await desk.ask(desk.openai(), say("Good morning."))
    assert read_layout(io.BytesIO(desk.exchange.body), len(desk.exchange.body)).rate == 24_000
    assert (reply.media_type, reply.usd) == ("audio/wav", None)
    assert desk.sent("speak") == {
        "model": "gpt-4o-mini-tts",
        "input": "Good morning.",
        "voice": "alloy",
        "response_format": "wav",
    }


async def test_a_wav_whose_sizes_were_left_open_leaves_with_true_ones(desk: Desk) -> None:
    desk.standin.fault("wav-placeholder")
    reply = await desk.ask(desk.openai(), say("Good morning."))
    assert examine(io.BytesIO(desk.exchange.body), len(desk.exchange.body)).ok
    assert reply.facts["wav_sizes"] == "repaired"


@pytest.mark.parametrize(("form", "media_type"), [("mp3", "audio/mpeg"), ("flac", "audio/flac"), ("opus", "audio/ogg")])
async def test_other_formats_pass_through_as_they_come(desk: Desk, form: str, media_type: str) -> None:
    wish = Speak(text="Good morning.", language="en", format=form)  # type: ignore[arg-type]  # formats of Speak
    reply = await desk.ask(desk.openai(), wish, "tts-1")
    found = examine(io.BytesIO(desk.exchange.body), len(desk.exchange.body))
    assert found.media is not None
    assert (reply.media_type, found.media.media_type) == (media_type, media_type)


async def test_a_server_that_makes_samples_alone_is_asked_for_those(desk: Desk) -> None:
    await desk.ask(desk.openai(capabilities={"*": "pcm"}), say("Good morning."))
    assert desk.sent("speak")["response_format"] == "pcm"
    assert examine(io.BytesIO(desk.exchange.body), len(desk.exchange.body)).ok


async def test_k40_a_recording_goes_as_a_form_with_a_made_up_name(desk: Desk) -> None:
    await desk.ask(desk.openai(), heard(language="en-US"))
    seen = desk.standin.requests("transcribe")[0]
    assert "multipart/form-data" in str(seen["headers"])
    assert "austen" not in str(seen)
    sent = desk.sent("transcribe")
    assert (sent["model"], sent["language"], sent["response_format"]) == ("whisper-1", "en", "verbose_json")


@pytest.mark.parametrize("form", ["verbose_json", "json", "text", "srt", "vtt"])
async def test_every_form_of_transcript_becomes_the_same_words(desk: Desk, form: str) -> None:
    reply = await desk.ask(desk.openai(capabilities={"whisper-1": form}), heard())
    spoken = " ".join(segment.text for segment in desk.transcript.segments)
    assert spoken == "this is the stand in server"
    assert reply.facts["form"] == form
    assert desk.sent("transcribe")["response_format"] == form


async def test_speakers_are_counted_and_long_recordings_are_cut_there(desk: Desk) -> None:
    model = "gpt-4o-transcribe-diarize"
    reply = await desk.ask(desk.openai(), heard("jfk.wav", 31.0), model)
    assert int(reply.facts["speakers"]) >= 1
    assert desk.sent("transcribe")["chunking_strategy"] == "auto"


async def test_a_wish_in_the_settings_goes_with_every_transcription(desk: Desk) -> None:
    await desk.ask(desk.openai(options={"transcribe_prompt": "Names: Ada."}), heard())
    assert desk.sent("transcribe")["prompt"] == "Names: Ada."


async def test_a_price_of_the_settings_is_the_cost_where_the_server_tells_none(desk: Desk) -> None:
    driver = desk.openai(prices={"transcribe minute": "0.006"})
    assert (await desk.ask(driver, heard())).usd == Decimal("0.006")
    assert (await desk.ask(desk.openai(), heard())).usd is None


async def test_a_server_that_the_settings_call_free_costs_nothing(desk: Desk) -> None:
    driver = desk.openai(options={"free": "true"})
    assert not driver.bind("speak", None).paid
    assert (await desk.ask(driver, say("Good morning."))).usd == 0


async def test_text_is_bounded_in_the_words_that_local_servers_know(desk: Desk) -> None:
    await desk.ask(desk.openai(), ask(max_tokens=200, effort="high"), CHAT)
    sent = desk.sent("complete")
    assert (sent["max_tokens"], sent["reasoning_effort"]) == (200, "high")
    assert "provider" not in sent


async def test_a_server_without_schemas_gets_them_in_words_and_is_judged_here(desk: Desk) -> None:
    schema = '{"type": "object", "required": ["title"]}'
    with pytest.raises(ContractError):
        await desk.ask(desk.openai(capabilities={CHAT: "words"}), ask(schema=schema), CHAT)
    sent = desk.sent("complete")
    assert "response_format" not in sent
    assert "required" in str(sent["messages"])


async def test_a_picture_is_made(desk: Desk) -> None:
    reply = await desk.ask(desk.openai(), picture(size="1024x1024"))
    assert reply.media_type == "image/png"
    assert desk.sent("make_image") == {"model": "gpt-image-1", "prompt": "a red kite", "size": "1024x1024"}


async def test_a_picture_with_an_address_elsewhere_is_fetched_without_the_key(desk: Desk) -> None:
    elsewhere = desk.standin.elsewhere
    driver = desk.openai(options={"result_origins": elsewhere}, capabilities={"dall-e-2": "url"})
    await desk.ask(driver, picture(size="256x256"), "dall-e-2")
    assert examine(io.BytesIO(desk.exchange.body), len(desk.exchange.body)).ok
    assert [seen["key"] for seen in desk.standin.requests("file")] == ["none"]


@pytest.mark.parametrize("fault", ["url-metadata", "url-file", "url-http", "url-private"])
async def test_a_picture_at_an_address_that_is_never_fetched_is_lost_and_not_paid_again(desk: Desk, fault: str) -> None:
    desk.standin.fault(fault)
    with pytest.raises(ContractError) as wrong:
        await desk.ask(desk.openai(capabilities={"dall-e-2": "url"}), picture(size="256x256"), "dall-e-2")
    assert (wrong.value.retryable, wrong.value.code) == (False, "address-refused")
    assert desk.standin.count("make_image") == 1


async def test_a_picture_whose_keeper_fails_for_a_while_is_fetched_all_the_same(
    desk: Desk, mock_clock: MockClock
) -> None:
    driver = desk.openai(options={"result_origins": desk.standin.elsewhere}, capabilities={"dall-e-2": "url"})
    desk.standin.fault("503", path="file", times=3)
    began = trio.current_time()
    await desk.ask(driver, picture(size="256x256"), "dall-e-2")
    assert examine(io.BytesIO(desk.exchange.body), len(desk.exchange.body)).ok
    assert trio.current_time() - began >= 1 + 2 + 4
    assert (desk.standin.count("make_image"), desk.standin.count("file")) == (1, 4)


async def test_an_edit_sends_pictures_and_mask_as_files(desk: Desk, tmp_path: Path) -> None:
    image, mask = file_of(tmp_path, "a.png", png(), PNG), file_of(tmp_path, "m.png", png(alpha=0), PNG)
    reply = await desk.ask(desk.openai(), edit(image, mask=mask))
    assert reply.facts["mask"] == "sent"
    media = desk.standin.requests("edit_image")[0]["media"]
    assert isinstance(media, list)
    assert [part["sha256"] for part in media] == [image.sha256, mask.sha256]


async def test_several_pictures_to_edit_are_a_list(desk: Desk, tmp_path: Path) -> None:
    images = tuple(file_of(tmp_path, f"{name}.png", png(64, 64 + name), PNG) for name in range(2))
    reply = await desk.ask(desk.openai(), edit(*images, n=2))
    assert (reply.facts["pictures"], len(desk.exchange.bodies)) == ("2", 2)


async def test_t28_an_error_with_a_word_for_a_code_is_understood(desk: Desk, tmp_path: Path) -> None:
    image = file_of(tmp_path, "a.png", png(), PNG)
    with pytest.raises(Rejected) as wrong:
        await desk.ask(desk.openai(), EditImage(prompt="x", images=(image,)), "no-such-model")
    assert "no-such-model" in wrong.value.message
