"""The OpenAI dialect of the stand-in: other formats, forms only, masks, addresses on another port, string codes."""

import io
from pathlib import Path

import av
import httpx
import pytest

from tests.standin import pictures
from tests.standin.fixture import StandIn

pytestmark = pytest.mark.real_time
JFK = (Path(__file__).parents[2] / "samples" / "media" / "jfk.mp3").read_bytes()
SPEECH = {"model": "tts-1", "input": "The quick brown fox.", "voice": "nova"}


def error(reply: httpx.Response) -> dict[str, object]:
    found = reply.json()["error"]
    assert set(found) == {"message", "type", "param", "code"}
    return dict(found)


def hear(openai: httpx.Client, wanted: str, model: str = "whisper-1") -> httpx.Response:
    data = {"model": model, "response_format": wanted}
    return openai.post("/audio/transcriptions", files={"file": ("jfk.mp3", JFK)}, data=data)


@pytest.mark.parametrize(
    ("wanted", "media_type", "demuxer"),
    [
        (None, "audio/mpeg", "mp3"),
        ("opus", "audio/ogg", "ogg"),
        ("aac", "audio/aac", "aac"),
        ("flac", "audio/flac", "flac"),
        ("wav", "audio/wav", "wav"),
    ],
)
def test_speech_comes_in_every_format_and_decodes(
    openai: httpx.Client, wanted: str | None, media_type: str, demuxer: str
) -> None:
    reply = openai.post("/audio/speech", json={**SPEECH, **({"response_format": wanted} if wanted else {})})
    assert reply.headers["content-type"] == media_type
    with av.open(io.BytesIO(reply.content), "r", format=demuxer) as source:
        frames = list(source.decode(audio=0))
    assert sum(frame.samples / frame.sample_rate for frame in frames) == pytest.approx(1.48, abs=0.2)


def test_a_wav_may_have_placeholder_sizes(openai: httpx.Client, standin: StandIn) -> None:
    standin.fault("wav-placeholder")
    body = openai.post("/audio/speech", json={**SPEECH, "response_format": "wav"}).content
    assert body[4:8] == body[40:44] == b"\xff\xff\xff\xff"


@pytest.mark.parametrize(
    ("wanted", "start"),
    [("text", "this is the stand in"), ("srt", "1\n00:00:00,000 --> "), ("vtt", "WEBVTT\n\n1\n00:00:00.000 --> ")],
)
def test_texts_and_captions_are_plain(openai: httpx.Client, wanted: str, start: str) -> None:
    reply = hear(openai, wanted)
    assert reply.headers["content-type"] == "text/plain"
    assert reply.text.startswith(start)


def test_speakers_have_letters_and_their_segments_words_for_ids(openai: httpx.Client) -> None:
    said = hear(openai, "diarized_json", "gpt-4o-transcribe-diarize").json()
    assert [row["speaker"] for row in said["segments"][:2]] == ["B", "A"]
    assert said["segments"][0]["id"] == "seg_001"


def test_verbose_json_tells_its_duration(openai: httpx.Client) -> None:
    said = hear(openai, "verbose_json").json()
    assert said["duration"] == pytest.approx(11.0, abs=0.1)
    assert said["usage"] == {"type": "duration", "seconds": 11}


def test_a_format_that_a_model_lacks_is_refused_with_a_word_for_a_code(openai: httpx.Client) -> None:
    found = error(hear(openai, "verbose_json", "gpt-4o-mini-transcribe"))
    assert found["code"] == "unsupported_value"
    assert "is not compatible with model 'gpt-4o-mini-transcribe-api-ev3'" in str(found["message"])


def test_json_is_no_form(openai: httpx.Client) -> None:
    assert openai.post("/audio/transcriptions", json={"model": "whisper-1"}).status_code == 415


def test_a_key_is_optional_and_a_wrong_one_is_not(openai: httpx.Client) -> None:
    assert openai.get("/models", headers={"Authorization": ""}).json()["object"] == "list"
    bad = openai.post("/audio/speech", json=SPEECH, headers={"Authorization": "Bearer wrong"})
    assert (bad.status_code, error(bad)["code"]) == (401, "invalid_api_key")
    assert openai.post("/audio/speech", json=SPEECH, headers={"Authorization": ""}).status_code == 200


def test_new_models_give_bytes_and_old_ones_addresses_on_another_port(openai: httpx.Client, standin: StandIn) -> None:
    new = openai.post("/images/generations", json={"model": "gpt-image-1", "prompt": "x", "size": "1536x1024"}).json()
    old = openai.post("/images/generations", json={"model": "dall-e-2", "prompt": "x", "size": "256x256"}).json()
    assert "b64_json" in new["data"][0]
    url = old["data"][0]["url"]
    assert url.startswith(f"{standin.elsewhere}/files/")
    assert pictures.size_of(httpx.get(url, trust_env=False).content) == (256, 256)


def edit(openai: httpx.Client, mask: bytes) -> httpx.Response:
    files = {"image": ("a.png", pictures.picture("png", 64, 48)), "mask": ("mask.png", mask)}
    return openai.post("/images/edits", files=files, data={"model": "gpt-image-1", "prompt": "x"})


def test_a_mask_must_have_the_size_of_the_picture(openai: httpx.Client, standin: StandIn) -> None:
    assert edit(openai, pictures.picture("png", 64, 48, is_clear=True)).status_code == 200
    wrong = edit(openai, pictures.picture("png", 48, 64))
    assert (wrong.status_code, error(wrong)["param"]) == (400, "mask")
    assert (standin.count("edit_image"), standin.paid("edit_image")) == (2, 1)


def test_several_pictures_can_be_edited_at_once(openai: httpx.Client, standin: StandIn) -> None:
    files = [("image[]", (f"{place}.png", pictures.picture("png", 32, 32, place))) for place in range(3)]
    reply = openai.post("/images/edits", files=files, data={"model": "gpt-image-1", "prompt": "x", "n": "2"})
    assert len(reply.json()["data"]) == 2
    assert len(standin.requests()[0]["media"]) == 3  # type: ignore[arg-type]  # a list, by `world.Seen`


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"model": "gpt-image-1", "prompt": "x", "response_format": "b64_json"}, "unknown_parameter"),
        ({"model": "gpt-image-1", "prompt": "x", "size": "640x480"}, "invalid_value"),
        ({"model": "dall-e-3", "prompt": "x", "n": 2}, "invalid_value"),
    ],
)
def test_generations_refuse_what_openai_refuses(openai: httpx.Client, asked: dict[str, object], code: str) -> None:
    assert error(openai.post("/images/generations", json=asked))["code"] == code


def test_a_completion_tells_tokens_and_no_price(openai: httpx.Client) -> None:
    asked = {"model": "gpt-4.1-mini", "messages": [{"role": "user", "content": "Hello"}]}
    said = openai.post("/chat/completions", json=asked).json()
    assert said["usage"]["prompt_tokens"] > 0
    assert "cost" not in said["usage"]


def test_models_are_names_and_nothing_more(openai: httpx.Client) -> None:
    rows = openai.get("/models").json()["data"]
    assert {tuple(row) for row in rows} == {("id", "object", "created", "owned_by")}


@pytest.mark.parametrize("fault", ["500", "429-retry-after", "402-credits", "echo"])
def test_faults_have_the_shape_of_the_dialect(openai: httpx.Client, standin: StandIn, fault: str) -> None:
    standin.fault(fault)
    reply = openai.post("/audio/speech", json=SPEECH)
    assert set(reply.json()["error"]) == {"message", "type", "param", "code"}
