"""The stand-in answers as the contract's section 11 says, over real sockets; what it sends really decodes."""

import base64
import io
import json
from pathlib import Path

import av
import httpx
import pytest

from tests.standin.fixture import StandIn

pytestmark = pytest.mark.real_time
MEDIA = Path(__file__).parents[2] / "samples" / "media"
KOKORO = {"model": "hexgrad/kokoro-82m", "input": "The quick brown fox.", "voice": "af_alloy"}
WHISPER = "openai/whisper-1"


def seconds(body: bytes, demuxer: str) -> float:
    with av.open(io.BytesIO(body), "r", format=demuxer) as source:
        return sum(frame.samples / frame.sample_rate for frame in source.decode(audio=0))


def upload(name: str = "jfk.wav", **more: object) -> dict[str, object]:
    data = base64.b64encode((MEDIA / name).read_bytes()).decode()
    return {"model": WHISPER, "input_audio": {"data": data, "format": name.rpartition(".")[2]}, **more}


def problem(reply: httpx.Response) -> str:
    return str(reply.json()["error"]["message"])


# speech


def test_pcm_is_the_default_and_its_rate_stands_in_the_type(client: httpx.Client) -> None:
    reply = client.post("/audio/speech", json=KOKORO)
    assert reply.headers["content-type"] == "audio/pcm;rate=24000;channels=1"
    assert reply.headers["x-generation-id"].startswith("gen-tts-")
    assert len(reply.content) == pytest.approx(2 * 24_000 * 0.074 * 20, abs=100)


def test_answers_are_chunked_and_tell_no_length(client: httpx.Client) -> None:
    reply = client.post("/audio/speech", json=KOKORO)
    assert "content-length" not in reply.headers
    assert reply.headers["transfer-encoding"] == "chunked"


@pytest.mark.parametrize(("fault", "start"), [(None, b"\xff"), ("mp3-id3", b"ID3")])
def test_mp3_decodes_with_and_without_a_tag(
    client: httpx.Client, standin: StandIn, fault: str | None, start: bytes
) -> None:
    if fault:
        standin.fault(fault)
    reply = client.post("/audio/speech", json={**KOKORO, "response_format": "mp3"})
    assert reply.headers["content-type"] == "audio/mpeg"
    assert reply.content.startswith(start)
    assert seconds(reply.content, "mp3") == pytest.approx(1.48, abs=0.15)


def test_the_schema_is_checked_before_the_key(client: httpx.Client) -> None:
    reply = client.post("/audio/speech", json={"model": "hexgrad/kokoro-82m"}, headers={"Authorization": "Bearer no"})
    assert reply.status_code == 400
    assert reply.json()["error"]["name"] == "ZodError"
    assert json.loads(problem(reply))[0]["path"] == ["input"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"input": "  "}, "input"),
        ({"response_format": "wav"}, "response_format"),
        ({"voice": ""}, "voice"),
        ({"voice": "nobody"}, "Voice nobody is not available"),
        ({"model": "no/such"}, "Model no/such does not exist"),
        ({"model": WHISPER}, "does not support speech output"),
        (
            {"model": "google/gemini-3.8-flash-tts", "voice": "Zephyr", "response_format": "mp3"},
            'Gemini TTS only supports response_format="pcm". Got "mp3".',
        ),
    ],
)
def test_speech_refuses_what_the_real_service_refuses(
    client: httpx.Client, change: dict[str, object], words: str
) -> None:
    reply = client.post("/audio/speech", json={**KOKORO, **change})
    assert reply.status_code == 400
    assert words in problem(reply)


def test_kokoro_wants_a_voice_and_a_retired_model_is_not_found(client: httpx.Client) -> None:
    voiceless = {name: value for name, value in KOKORO.items() if name != "voice"}
    gone = {**KOKORO, "model": "openai/gpt-4o-mini-tts-2025-12-15"}
    assert (
        problem(client.post("/audio/speech", json=voiceless)) == "An explicit voice is required for this TTS provider."
    )
    assert client.post("/audio/speech", json=gone).status_code == 404


# transcription


def test_a_recording_sent_as_json_is_measured_and_charged(client: httpx.Client) -> None:
    said = client.post("/audio/transcriptions", json=upload()).json()
    assert said["text"].startswith(" this is the stand in server")
    assert said["usage"] == {"seconds": 11.0, "cost": 0.0011}
    assert set(said) == {"text", "usage"}


def test_the_same_recording_as_a_form_gives_the_same_answer(client: httpx.Client) -> None:
    file = ("jfk.wav", (MEDIA / "jfk.wav").read_bytes())
    reply = client.post("/audio/transcriptions", files={"file": file}, data={"model": WHISPER, "prompt": "ignored"})
    assert reply.json() == client.post("/audio/transcriptions", json=upload()).json()


def test_verbose_json_has_segments_and_words_and_a_word_may_end_after_its_segment(client: httpx.Client) -> None:
    asked = upload(response_format="verbose_json", timestamp_granularities=["segment", "word"])
    said = client.post("/audio/transcriptions", json=asked).json()
    assert said["language"] == "en"
    assert said["duration"] == 11.0
    assert said["words"][4]["end"] > said["segments"][0]["end"]


def test_models_differ_in_rounding_space_and_what_they_tell(client: httpx.Client) -> None:
    rounded = client.post(
        "/audio/transcriptions", json=upload("jfk.mp3") | {"model": "microsoft/mai-transcribe-2"}
    ).json()
    silent = upload(response_format="verbose_json") | {"model": "deepgram/nova-3"}
    assert rounded["usage"]["seconds"] == int(rounded["usage"]["seconds"])
    assert not rounded["text"].startswith(" ")
    assert "language" not in client.post("/audio/transcriptions", json=silent).json()


def test_silence_gives_an_empty_text(client: httpx.Client) -> None:
    data = base64.b64encode(bytes(32_000)).decode()
    body = {"model": WHISPER, "input_audio": {"data": data, "format": "pcm"}}
    assert client.post("/audio/transcriptions", json=body).json()["text"] == ""


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"response_format": "srt"},
            'Unsupported response_format "srt". Only "json" and "verbose_json" are supported.',
        ),
        ({"model": "openai/gpt-4o-transcribe", "response_format": "verbose_json"}, "does not support verbose_json"),
        ({"diarize": True}, "The selected model does not support diarize."),
        ({"model": "openai/gpt-5.4-mini"}, "does not support transcription"),
        ({"input_audio": {"data": "data:audio/wav;base64,AAAA", "format": "wav"}}, "not a data URI"),
        ({"input_audio": {"data": "%%%", "format": "wav"}}, "not valid base64"),
        ({"input_audio": {"data": "AAAA"}}, "input_audio.format"),
        ({"input_audio": {"data": "AAAA", "format": "mp3"}}, "Provider returned 400"),
    ],
)
def test_transcription_refuses_what_the_real_service_refuses(
    client: httpx.Client, change: dict[str, object], words: str
) -> None:
    reply = client.post("/audio/transcriptions", json={**upload(), **change})
    assert reply.status_code == 400
    assert words in problem(reply)
    assert "user_id" in reply.json()


def test_a_form_above_25_megabytes_is_too_large(client: httpx.Client) -> None:
    reply = client.post("/audio/transcriptions", files={"file": ("a.wav", bytes(25_000_000))}, data={"model": WHISPER})
    assert reply.status_code == 413
    assert problem(reply).startswith("Multipart body exceeds the 25 MB upload limit.")


def test_a_form_needs_a_file_and_a_model(client: httpx.Client) -> None:
    file = {"file": ("jfk.mp3", (MEDIA / "jfk.mp3").read_bytes())}
    assert client.post("/audio/transcriptions", files=file).status_code == 400
    assert (
        client.post("/audio/transcriptions", files={"x": ("a.mp3", b"x")}, data={"model": WHISPER}).status_code == 400
    )


# keys, chat, catalogue


def test_no_key_and_a_bad_key_are_told_apart(client: httpx.Client) -> None:
    del client.headers["authorization"]
    asked = {"model": "openai/gpt-5.4-mini", "messages": [{"role": "user", "content": "Hello"}]}
    assert problem(client.post("/chat/completions", json=asked)) == "No cookie auth credentials found"
    bad = client.post("/chat/completions", json=asked, headers={"Authorization": "Bearer sk-or-v1-other"})
    assert (bad.status_code, problem(bad)) == (401, "User not found.")


def ask(**more: object) -> dict[str, object]:
    return {"model": "openai/gpt-5.4-mini", "messages": [{"role": "user", "content": "Hello"}], **more}


def test_a_completion_counts_what_came_in(client: httpx.Client) -> None:
    reply = client.post("/chat/completions", json=ask())
    said = reply.json()
    assert said["choices"][0]["message"]["content"].startswith("This is the stand-in server. It received 5 characters")
    assert said["usage"]["cost"] > 0
    assert said["id"] == reply.headers["x-generation-id"]


def test_a_structured_answer_fits_its_schema(client: httpx.Client) -> None:
    schema = {
        "type": "object",
        "properties": {"title": {"type": "string", "minLength": 12}, "tags": {"type": "array", "minItems": 2}},
    }
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "strict": True, "schema": schema}}
    said = client.post("/chat/completions", json=ask(response_format=wanted)).json()
    found = json.loads(said["choices"][0]["message"]["content"])
    assert len(found["title"]) == 12
    assert len(found["tags"]) == 2


def test_a_stream_has_comments_pieces_usage_and_an_end(client: httpx.Client) -> None:
    body = client.post("/chat/completions", json=ask(stream=True)).text
    assert body.startswith(": OPENROUTER PROCESSING\n\n")
    assert body.endswith("data: [DONE]\n\n")
    assert "\r" not in body
    assert '"usage"' in body.split("\n\n")[-3]


def test_the_older_way_to_pictures_gives_a_data_url_that_decodes(client: httpx.Client) -> None:
    asked = ask(modalities=["image"]) | {"model": "black-forest-labs/flux.2-pro"}
    said = client.post("/chat/completions", json=asked).json()
    url = said["choices"][0]["message"]["images"][0]["image_url"]["url"]
    assert base64.b64decode(url.partition(",")[2]).startswith(b"\xff\xd8\xff")


@pytest.mark.parametrize(
    ("change", "status", "words"),
    [
        ({"messages": []}, 400, 'Input required: specify "prompt" or "messages"'),
        ({"model": "no/such"}, 400, "no/such is not a valid model ID"),
        ({"model": "hexgrad/kokoro-82m"}, 400, "cannot be used with chat completions"),
        ({"modalities": ["image", "text"]}, 404, "requested output modalities: image, text"),
        (
            {"modalities": ["image", "text"], "model": "black-forest-labs/flux.2-pro"},
            404,
            "requested output modalities: image, text",
        ),
        ({"model": "google/gemini-2.5-pro", "reasoning": {"effort": "none"}}, 400, "Reasoning is mandatory"),
        ({"model": "deepseek/deepseek-v4", "reasoning": {"effort": "max"}}, 400, "Invalid reasoning effort"),
        ({"provider": {"ordre": []}}, 400, "Unrecognized key: 'ordre'"),
    ],
)
def test_chat_refuses_what_the_real_service_refuses(
    client: httpx.Client, change: dict[str, object], status: int, words: str
) -> None:
    reply = client.post("/chat/completions", json=ask(**change))
    assert (reply.status_code, words in problem(reply)) == (status, True)
    assert reply.headers["x-generation-id"].startswith("gen-")


def test_what_is_not_json_has_no_token(client: httpx.Client) -> None:
    reply = client.post("/chat/completions", content=b"hello", headers={"Content-Type": "application/json"})
    assert (reply.status_code, problem(reply)) == (400, "Input must have at least 1 token.")


def test_the_catalogue_shows_text_models_alone_unless_asked(client: httpx.Client) -> None:
    plain = {row["id"] for row in client.get("/models").json()["data"]}
    spoken = {row["id"]: row for row in client.get("/models?output_modalities=speech").json()["data"]}
    everything = client.get("/models?output_modalities=all").json()
    assert "openai/gpt-5.4-mini" in plain
    assert not plain & set(spoken)
    assert spoken["bytedance-seed/seed-audio-1-0"]["supported_voices"] == []
    assert spoken["fish-audio/s2.1-pro"]["supported_voices"] is None
    assert everything["total_count"] == len(everything["data"]) > len(plain) + len(spoken)


def test_a_wrong_modality_is_a_schema_error_and_pages_have_links(client: httpx.Client) -> None:
    bad = client.get("/models?output_modalities=smell")
    page = client.get("/models?limit=2").json()
    assert bad.json()["error"]["name"] == "ZodError"
    assert len(page["data"]) == 2
    assert "offset=2" in page["links"]["next"]


def test_the_dearest_endpoint_costs_more_than_the_catalogue_says(client: httpx.Client) -> None:
    found = client.get("/models/hexgrad/kokoro-82m/endpoints").json()["data"]["endpoints"]
    assert [each["pricing"]["prompt"] for each in found] == ["0.00000062", "0.000004"]
