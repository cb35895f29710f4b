"""The whisper route: which models, languages and media it takes, and real transcripts."""

import shutil
from pathlib import Path

import pytest

from pipeline.children.lanes import Lanes
from pipeline.core.errors import EngineError, InputError, LimitExceeded
from pipeline.core.kinds import decode_transcript
from pipeline.core.model import Limits, Media
from pipeline.core.operations import Transcribe
from pipeline.routes import whisper
from tests.exchanges import RecordingExchange, tools
from tests.routes.conftest import MP3, recording, route, transcribe

pytestmark = [pytest.mark.engines, pytest.mark.real_time]


def codes(driver: whisper.Whisper, operation: Transcribe, model: str = "base") -> list[str]:
    return [reason.code for reason in driver.check(operation, driver.bind("transcribe", model))]


@pytest.mark.parametrize(
    ("tag", "code"),
    [
        ("en-US", "en"),
        ("de", "de"),
        ("nb-NO", "no"),
        ("zh-Hant-TW", "zh"),
        ("fil", "tl"),
        ("pt_BR", "pt"),
        ("EN", "en"),
    ],
)
def test_a_language_tag_becomes_whispers_code(tag: str, code: str) -> None:
    assert whisper.language_code(tag) == code
    assert code in whisper.LANGUAGES


def test_it_knows_ninety_nine_languages() -> None:
    assert len(whisper.LANGUAGES) == 99


def test_reasons_are_told_all_at_once(lanes: Lanes) -> None:
    image = Media(media_type="image/png", family="image", extension="png")
    operation = transcribe(language="tlh", media=image)
    assert codes(whisper.open_driver(route("whisper"), tools(lanes)), operation) == [
        "input-type",
        "language-unsupported",
    ]


def test_the_english_model_refuses_other_languages(lanes: Lanes) -> None:
    driver = whisper.open_driver(route("whisper"), tools(lanes))
    assert codes(driver, transcribe(language="de"), "tiny.en") == ["language-unsupported"]
    assert codes(driver, transcribe(language="en-GB"), "tiny.en") == []
    assert codes(driver, transcribe(language=None), "tiny.en") == []


def test_models_and_the_multilingual_option_change_the_engines_identity(lanes: Lanes) -> None:
    plain = whisper.open_driver(route("whisper"), tools(lanes))
    one = whisper.open_driver(route("whisper", multilingual="false"), tools(lanes))
    engines = {plain.bind("transcribe", name).engine for name in ("base", "tiny.en")}
    assert len(engines | {one.bind("transcribe", "base").engine}) == 3
    assert any("d01c3014" in engine for engine in engines)


async def test_real_words_of_an_mp3(lanes: Lanes) -> None:
    driver = whisper.open_driver(route("whisper"), tools(lanes))
    exchange = RecordingExchange()
    operation = Transcribe(audio=recording("jfk.mp3", MP3, seconds=11.0))
    reply = await driver.perform(operation, driver.bind("transcribe", None), exchange)
    transcript = decode_transcript(exchange.body)
    assert "ask what you can do" in " ".join(segment.text for segment in transcript.segments)
    assert (transcript.engine, transcript.model) == (driver.bind("transcribe", None).engine, "base")
    assert reply.seconds == pytest.approx(11.0, abs=0.1)
    assert "country" not in str(reply.facts)


def test_invariant_15_a_recording_may_decode_to_little_more_than_it_declared() -> None:
    ask = Transcribe(audio=recording("jfk.wav", seconds=100.0))
    assert whisper.max_seconds(ask, Limits(max_seconds=100.0)) == pytest.approx(140.0)


async def test_invariant_15_a_recording_that_declares_no_length_stops_at_what_the_job_allows(lanes: Lanes) -> None:
    driver = whisper.open_driver(route("whisper"), tools(lanes))
    exchange = RecordingExchange(limits=Limits(max_seconds=2.0))
    with pytest.raises(LimitExceeded) as stopped:
        await driver.perform(transcribe(), driver.bind("transcribe", "tiny.en"), exchange)
    assert (stopped.value.code, exchange.body) == ("limit-seconds", b"")


async def test_a_recording_shorter_than_declared_is_damaged(lanes: Lanes) -> None:
    driver = whisper.open_driver(route("whisper"), tools(lanes))
    operation = Transcribe(audio=recording("austen-0880.wav", seconds=60.0))
    with pytest.raises(InputError) as damaged:
        await driver.perform(operation, driver.bind("transcribe", "tiny.en"), RecordingExchange())
    assert damaged.value.code == "input-damaged"


async def test_any_model_folder_that_the_settings_name_can_be_used(lanes: Lanes, tmp_path: Path) -> None:
    from pipeline.children import weights

    for name, body in weights.load(weights.WHISPER["tiny.en"]).items():
        (tmp_path / name).write_bytes(body)
    driver = whisper.open_driver(route("whisper", **{"folder.mine": str(tmp_path)}), tools(lanes))
    binding = driver.bind("transcribe", "mine")
    exchange = RecordingExchange()
    await driver.perform(transcribe(language="en"), binding, exchange)
    assert "young man" in exchange.body.decode()
    shutil.rmtree(tmp_path)


def test_a_model_folder_that_is_none_binds_to_nothing(lanes: Lanes, tmp_path: Path) -> None:
    driver = whisper.open_driver(route("whisper", **{"folder.mine": str(tmp_path)}), tools(lanes))
    with pytest.raises(EngineError):
        driver.bind("transcribe", "mine")
