"""What the openai driver reads from its settings and refuses beforehand; one driver for every server of the dialect."""

from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from pipeline.children.lanes import Lanes
from pipeline.core.errors import ConfigError, UnsupportedOperation
from pipeline.core.model import Media
from pipeline.core.operations import Operation, Speak
from pipeline.routes.openai import OpenAi, open_driver
from tests.exchanges import tools
from tests.routes.conftest import recording, say, transcribe
from tests.routes.remote import KEYS, PNG, Desk, ask, at, clip, edit, file_of, picture, png, refused


def opened(lanes: Lanes, **changes: object) -> OpenAi:
    return open_driver(msgspec.structs.replace(at("openai", None), **changes), tools(lanes, keys=KEYS))


@pytest.fixture
def driver(lanes: Lanes) -> OpenAi:
    return opened(lanes)


def test_t13_a_provider_routing_is_for_openrouter_alone(lanes: Lanes) -> None:
    with pytest.raises(ConfigError, match="knows none"):
        opened(lanes, routing={"gpt-4o-mini": '["azure"]'})


def test_k55_video_cannot_be_switched_on(lanes: Lanes) -> None:
    with pytest.raises(ConfigError):
        opened(lanes, can={"make_video": True})


def test_k54_speech_can_be_switched_off(lanes: Lanes) -> None:
    with pytest.raises(UnsupportedOperation, match="switched off"):
        opened(lanes, can={"speak": False}).bind("speak", None)


@pytest.mark.parametrize("model", ["tts-1", "whisper-1", "gpt-sovits", "Systran/faster-whisper-small"])
def test_names_on_a_server_of_ones_own_mean_what_they_mean_there(driver: OpenAi, model: str) -> None:
    for operation in ("speak", "transcribe", "complete"):
        binding = driver.bind(operation, model)
        assert (binding.model, binding.asked) == (model, None)


def test_k34_on_the_real_host_a_chat_model_on_a_speech_job_is_replaced_and_that_is_told(lanes: Lanes) -> None:
    binding = opened(lanes, base_url=None).bind("speak", "gpt-5.4-mini")
    assert (binding.model, binding.asked) == ("gpt-4o-mini-tts", "gpt-5.4-mini")


def test_k37_an_unknown_voice_is_refused_where_the_voices_are_known(lanes: Lanes, driver: OpenAi) -> None:
    assert refused(driver, say("Hello", voice="nobody")) == ["voice-unknown"]
    assert refused(driver, say("Hello", voice="nova")) == []
    assert refused(driver, say("Hello", voice="anna"), "local-voice") == []
    named = opened(lanes, options={"voices": "anna bert"})
    assert refused(named, say("Hello", voice="nova"), "local-voice") == ["voice-unknown"]
    assert named._speech("local-voice").voice == "anna"


@pytest.mark.parametrize(
    ("media_type", "codes"),
    [("audio/wav", []), ("audio/mpeg", []), ("audio/aac", ["input-type"]), ("audio/pcm", ["input-type"])],
)
def test_k43_types_that_the_model_does_not_read_are_refused(driver: OpenAi, media_type: str, codes: list[str]) -> None:
    media = Media(media_type=media_type, family="audio", extension="bin")
    operation = transcribe()
    audio = msgspec.structs.replace(operation.audio, media=media)
    assert refused(driver, msgspec.structs.replace(operation, audio=audio)) == codes


def test_k44_more_than_25_mib_is_refused(driver: OpenAi) -> None:
    operation = transcribe()
    audio = msgspec.structs.replace(operation.audio, size=25 * 1024 * 1024 + 1)
    assert refused(driver, msgspec.structs.replace(operation, audio=audio)) == ["limit-bytes"]


@pytest.mark.parametrize("told", [{"aspect_ratio": "16:9"}, {"resolution": "2K"}, {"seed": 1}])
def test_a_picture_is_not_asked_for_what_the_dialect_has_no_field_for(
    driver: OpenAi, told: dict[str, str | int]
) -> None:
    assert refused(driver, picture(**told)) == ["operation-unsupported"]


def test_a_mask_of_another_size_or_kind_is_refused_beforehand(driver: OpenAi, tmp_path: Path) -> None:
    image = file_of(tmp_path, "a.png", png(64, 64), PNG)
    small = file_of(tmp_path, "m.png", png(32, 32, alpha=0), PNG)
    assert refused(driver, edit(image, mask=small)) == ["input-type"]
    assert refused(driver, edit(image, mask=recording("austen-0880.wav"))) == ["input-type"]
    assert refused(driver, edit(image, mask=file_of(tmp_path, "n.png", png(64, 64, alpha=0), PNG))) == []


@pytest.mark.parametrize(
    "wrong", [say("Hello", voice="nobody"), picture(seed=1), ask(prompt=""), transcribe(language="haw")]
)
async def test_nothing_is_sent_by_a_check(desk: Desk, wrong: Operation) -> None:
    assert refused(desk.openai(), wrong)
    assert desk.standin.requests() == []


def test_an_operation_that_the_dialect_lacks_is_refused(driver: OpenAi) -> None:
    reasons = driver.check(clip(), driver.bind("speak", None))
    assert [reason.code for reason in reasons] == ["operation-unsupported"]


def test_formats_that_no_server_makes_are_refused_with_what_it_makes(driver: OpenAi) -> None:
    reasons = driver.check(Speak(text="Hi", language="en", format="m4a"), driver.bind("speak", None))
    assert [reason.code for reason in reasons] == ["operation-unsupported"]
    assert "wav" in reasons[0].hint


@pytest.mark.parametrize(("options", "usd"), [({}, None), ({"free": "true"}, Decimal(0))])
def test_t22_the_price_is_unknown_unless_the_settings_say_free(
    lanes: Lanes, options: dict[str, str], usd: Decimal | None
) -> None:
    driver = opened(lanes, options=options)
    assert driver.estimate(say("Hello"), driver.bind("speak", None)).usd == usd


def test_g1_o1_another_server_is_another_address_and_nothing_else(lanes: Lanes) -> None:
    one, two = (opened(lanes, base_url=f"http://127.0.0.1:{port}/v1") for port in (1, 2))
    assert one.bind("speak", None) == two.bind("speak", None)
    assert one.facts == two.facts


def test_a_server_without_a_key_is_fine_unless_it_is_the_real_host(lanes: Lanes) -> None:
    assert opened(lanes, key=None).probe().ok
    real = open_driver(msgspec.structs.replace(at("openai", None), base_url=None, key=None), tools(lanes)).probe()
    assert not real.ok
    assert "OPENAI_API_KEY" in real.hint


def test_an_origin_of_results_without_its_scheme_is_refused_before_anything_is_paid(lanes: Lanes) -> None:
    with pytest.raises(ConfigError, match=r"result_origins of route .* has '127\.0\.0\.1:9000'"):
        opened(lanes, options={"result_origins": "http://127.0.0.1:8000 127.0.0.1:9000"})
