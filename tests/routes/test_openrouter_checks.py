"""What is refused on OpenRouter before anything is sent: all reasons at once, and not one request."""

from pathlib import Path

import msgspec
import pytest

from pipeline.children.lanes import Lanes
from pipeline.core.model import Media
from pipeline.core.operations import MediaRef, Operation, Speak, Transcribe
from pipeline.routes.openrouter import OPERATIONS, OpenRouter, open_driver
from tests.exchanges import tools
from tests.routes.conftest import recording, say, transcribe
from tests.routes.remote import KEYS, MP4, PNG, Desk, ask, at, clip, edit, file_of, picture, png, refused

GEMINI = "google/gemini-3.8-flash-tts"
TYPES = ["wav", "webm", "mpeg", "mpga", "opus", "aac", "flac", "mp4", "m4a", "pcm"]


@pytest.fixture
def driver(lanes: Lanes) -> OpenRouter:
    return open_driver(at("openrouter", None), tools(lanes, keys=KEYS))


def sound(media_type: str, *, size: int = 1000, seconds: float | None = 3.0) -> Transcribe:
    media = Media(media_type=media_type, family="audio", extension="bin")
    ref = msgspec.structs.replace(recording("austen-0880.wav"), media=media, size=size, seconds=seconds)
    return Transcribe(audio=ref)


@pytest.mark.parametrize("wanted", ["opus", "flac", "m4a"])
def test_k36_only_mp3_and_pcm_are_made_and_pcm_becomes_wav(driver: OpenRouter, wanted: str) -> None:
    def speak(form: str) -> Speak:
        return Speak(text="Good morning.", language="en", format=form)  # type: ignore[arg-type]  # formats of Speak

    assert refused(driver, speak("mp3")) == refused(driver, speak("wav")) == []
    assert refused(driver, speak(wanted)) == ["operation-unsupported"]


def test_k36_a_model_that_makes_pcm_alone_is_not_asked_for_mp3(driver: OpenRouter) -> None:
    assert refused(driver, Speak(text="Hello", language="en", format="mp3"), GEMINI) == ["operation-unsupported"]
    assert refused(driver, say("Hello"), GEMINI) == []


@pytest.mark.parametrize("voice", ["nobody", "alloy", "AF_ALLOY", "Kore"])
def test_k37_a_voice_that_the_model_does_not_have_is_refused(driver: OpenRouter, voice: str) -> None:
    assert refused(driver, say("Good morning.", voice=voice)) == ["voice-unknown"]


@pytest.mark.parametrize("voice", ["af_alloy", "bm_lewis"])
def test_k37_a_voice_of_the_model_itself_is_taken(driver: OpenRouter, voice: str) -> None:
    assert refused(driver, say("Good morning.", voice=voice)) == []


def test_a_model_that_needs_a_voice_and_has_no_usual_one_says_so(driver: OpenRouter) -> None:
    mp3 = Speak(text="Hello", language="en", format="mp3")
    assert refused(driver, mp3, "mistralai/voxtral-mini-tts-2603") == ["voice-unknown"]
    assert (
        refused(driver, msgspec.structs.replace(mp3, voice="gb_jane_neutral"), "mistralai/voxtral-mini-tts-2603") == []
    )


@pytest.mark.parametrize(("language", "codes"), [("es", []), ("ja", []), ("de", ["language-unsupported"])])
def test_a_language_without_a_voice_is_refused_and_one_with_a_voice_gets_it(
    driver: OpenRouter, language: str, codes: list[str]
) -> None:
    assert refused(driver, say("Texto de prueba.", language)) == codes


def test_all_reasons_against_speech_are_told_at_once(driver: OpenRouter) -> None:
    wrong = Speak(text="x" * 5000 + "\0", language="en", voice="nobody", speed=9.0, format="flac")
    codes = ["text-unsupported", "limit-chars", "voice-unknown", "operation-unsupported", "operation-unsupported"]
    assert refused(driver, wrong) == codes


@pytest.mark.parametrize("name", TYPES)
def test_k50_the_promised_types_of_sound_are_taken(driver: OpenRouter, name: str) -> None:
    known = {"mpga": "mpeg", "opus": "ogg", "m4a": "mp4"}
    assert refused(driver, sound(f"audio/{known.get(name, name)}")) == []


@pytest.mark.parametrize("media_type", ["audio/x-matroska", "audio/midi", "image/png", "text/plain"])
def test_k43_other_types_are_refused_before_the_request(driver: OpenRouter, media_type: str) -> None:
    assert refused(driver, sound(media_type)) == ["input-type"]


@pytest.mark.parametrize(("size", "codes"), [(25 * 1024 * 1024, []), (25 * 1024 * 1024 + 1, ["limit-bytes"])])
def test_k44_more_than_25_mib_is_refused_before_the_request(driver: OpenRouter, size: int, codes: list[str]) -> None:
    assert refused(driver, sound("audio/wav", size=size)) == codes


def test_a_recording_longer_than_the_provider_listens_is_refused(driver: OpenRouter) -> None:
    assert refused(driver, sound("audio/wav", seconds=3600.0)) == ["limit-seconds"]
    assert refused(driver, sound("audio/wav", seconds=90.0), "google/chirp-3") == ["limit-seconds"]
    assert refused(driver, sound("audio/mpeg"), "google/chirp-3") == ["input-type"]


def test_all_reasons_against_a_recording_are_told_at_once(driver: OpenRouter) -> None:
    wrong = msgspec.structs.replace(sound("audio/midi", size=10**9, seconds=9e9), language="haw", track=2)
    codes = ["input-type", "language-unsupported", "limit-bytes", "limit-seconds", "operation-unsupported"]
    assert refused(driver, wrong) == codes


@pytest.mark.parametrize(
    ("told", "codes"),
    [
        ({"aspect_ratio": "16:9"}, []),
        ({"aspect_ratio": "17:9"}, ["operation-unsupported"]),
        ({"quality": "high"}, ["operation-unsupported"]),
        ({"resolution": "8K"}, ["operation-unsupported"]),
        ({"size": "1024x1024"}, ["operation-unsupported"]),
        ({"seed": 7}, ["operation-unsupported"]),
    ],
)
def test_a_picture_is_asked_only_for_what_its_model_lists(
    driver: OpenRouter, told: dict[str, str | int], codes: list[str]
) -> None:
    assert refused(driver, picture(**told)) == codes


@pytest.mark.parametrize(
    "told",
    [
        {"size": "1024x1024", "aspect_ratio": "16:9"},
        {"size": "2K", "resolution": "1K"},
        {"background": "transparent", "format": "jpeg"},
        {"compression": 50, "format": "png"},
    ],
)
def test_contradictions_are_refused_for_any_model(driver: OpenRouter, told: dict[str, str | int]) -> None:
    assert refused(driver, picture(**told), "acme/image-1") == ["job-invalid"]


def test_more_pictures_than_the_model_makes_at_once_are_refused(driver: OpenRouter) -> None:
    many = msgspec.structs.replace(picture(), n=4)
    assert refused(driver, many) == ["job-invalid"]
    assert refused(driver, many, "openai/gpt-image-1") == []
    assert refused(driver, msgspec.structs.replace(many, n=11), "openai/gpt-image-1") == ["job-invalid"]


def test_pictures_to_edit_are_counted_weighed_and_looked_at(driver: OpenRouter, tmp_path: Path) -> None:
    image = file_of(tmp_path, "a.png", png(), PNG)
    huge = msgspec.structs.replace(image, size=40_000_000)
    assert refused(driver, edit(image)) == []
    assert refused(driver, edit(recording("austen-0880.wav"))) == ["input-type"]
    assert refused(driver, edit(huge)) == ["limit-bytes"]
    assert refused(driver, edit(image, image), "krea/krea-2-medium") == ["operation-unsupported"]
    assert refused(driver, edit()) == ["input-missing"]


def test_a_model_that_only_edits_makes_no_picture_from_words(driver: OpenRouter) -> None:
    assert refused(driver, picture(), "inclusionai/ming-image-0.1-design-layer") == ["operation-unsupported"]


@pytest.mark.parametrize(
    ("told", "codes"),
    [
        ({"seconds": 4, "resolution": "720p", "aspect_ratio": "16:9"}, []),
        ({"seconds": 6, "resolution": "1080P", "aspect_ratio": "9:16"}, []),
        ({"seconds": 8}, []),
        ({"seconds": 5}, ["operation-unsupported"]),
        ({"seconds": 60}, ["operation-unsupported"]),
        ({"aspect_ratio": "1:1"}, ["operation-unsupported"]),
        ({"resolution": "480p"}, ["operation-unsupported"]),
        ({"seconds": 5, "resolution": "480p", "aspect_ratio": "1:1"}, ["operation-unsupported"] * 3),
        ({"size": "1280x720", "resolution": "720p"}, ["job-invalid"]),
        ({"prompt": None}, ["job-invalid"]),
    ],
)
def test_v12_durations_and_sizes_of_a_clip_are_as_listed_and_never_snapped(
    driver: OpenRouter, told: dict[str, object], codes: list[str]
) -> None:
    assert refused(driver, clip(**told)) == codes


def test_v13_a_video_or_a_sound_as_reference_is_refused_with_the_reason(driver: OpenRouter) -> None:
    video = msgspec.structs.replace(recording("austen-0880.wav"), media=MP4)
    reasons = driver.check(clip(references=(video,)), driver.bind("make_video", None))
    assert [reason.code for reason in reasons] == ["input-type"]
    assert "text and pictures only" in reasons[0].message


def test_frames_and_references_do_not_go_together(driver: OpenRouter, tmp_path: Path) -> None:
    image = file_of(tmp_path, "a.png", png(), PNG)
    assert refused(driver, clip(first_frame=image, last_frame=image)) == []
    assert refused(driver, clip(references=(image, image))) == []
    assert refused(driver, clip(first_frame=image, references=(image,))) == ["job-invalid"]
    assert refused(driver, clip(last_frame=image), "alibaba/wan-3.0") == ["operation-unsupported"]


def test_sound_and_seed_of_a_clip_follow_the_model(driver: OpenRouter) -> None:
    assert refused(driver, clip(audio=True, seed=3)) == []
    assert refused(driver, clip(audio=True), "runway/gen-4.5") == ["operation-unsupported"]
    assert refused(driver, clip(audio=False, seed=3), "x-ai/grok-imagine-video") == ["operation-unsupported"] * 2


@pytest.mark.parametrize(
    ("told", "codes"),
    [
        ({"prompt": " "}, ["job-invalid"]),
        ({"schema": "{"}, ["job-invalid"]),
        ({"schema": '{"format": "date", "unevaluated": false}'}, ["job-invalid"]),
        ({"effort": "extreme"}, ["job-invalid"]),
        ({"temperature": 3.0}, ["job-invalid"]),
        ({"max_tokens": 0}, ["job-invalid"]),
        ({"document": "a\0b"}, ["text-unsupported"]),
        ({"schema": '{"type": "object"}', "effort": "max", "temperature": 0.5}, []),
    ],
)
def test_a_prompt_that_cannot_be_answered_is_refused(
    driver: OpenRouter, told: dict[str, object], codes: list[str]
) -> None:
    assert refused(driver, ask(**told)) == codes  # type: ignore[arg-type]  # fields of Complete


@pytest.mark.parametrize(
    "wrong",
    [
        say("Good morning.", voice="nobody"),
        transcribe(language="haw"),
        picture(quality="best"),
        clip(seconds=5),
        ask(prompt=""),
    ],
)
async def test_nothing_is_sent_by_a_check(desk: Desk, wrong: Operation) -> None:
    assert refused(desk.openrouter(), wrong)
    assert desk.standin.requests() == []


def test_an_operation_that_is_switched_off_is_refused_by_the_check_too(lanes: Lanes) -> None:
    route = msgspec.structs.replace(at("openrouter", None), can=dict.fromkeys(OPERATIONS, False))
    driver = open_driver(route, tools(lanes, keys=KEYS))
    binding = open_driver(at("openrouter", None), tools(lanes)).bind("speak", None)
    assert [reason.code for reason in driver.check(say("Hello"), binding)] == ["operation-unsupported"]


def test_a_file_that_is_gone_does_not_break_a_check(driver: OpenRouter) -> None:
    image = recording("austen-0880.wav")
    gone = MediaRef(sha256=image.sha256, path="/nonexistent/a.png", size=10, media=PNG)
    assert refused(driver, edit(gone, mask=gone)) == []
