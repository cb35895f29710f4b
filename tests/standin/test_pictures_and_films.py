"""Pictures, films, costs and keys of the stand-in: what it makes decodes, what a model does not list is refused."""

import base64
import hashlib
import io

import av
import httpx
import pytest

from tests.standin import pictures
from tests.standin.fixture import StandIn

pytestmark = pytest.mark.real_time
KLEIN = {"model": "black-forest-labs/flux.2-klein-4b", "prompt": "a red circle"}
SEEDREAM = {"model": "bytedance-seed/seedream-4.5", "prompt": "a red circle"}
GROK = {"model": "x-ai/grok-imagine-video", "prompt": "waves", "duration": 1, "resolution": "480p"}
SMALL = base64.b64encode(pictures.picture("png", 64, 48)).decode()
DOT = base64.b64encode(pictures.picture("png", 1, 1)).decode()


def reference(data: str = SMALL) -> dict[str, object]:
    return {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}}


def problem(reply: httpx.Response) -> str:
    return str(reply.json()["error"]["message"])


def painted(reply: httpx.Response, place: int = 0) -> bytes:
    return base64.b64decode(reply.json()["data"][place]["b64_json"])


def test_a_picture_is_a_jpeg_though_nothing_asked_for_one(client: httpx.Client) -> None:
    reply = client.post("/images", json={**KLEIN, "aspect_ratio": "16:9"})
    said = reply.json()
    assert said["created"] == 0
    assert said["data"][0]["media_type"] == "image/jpeg"
    assert pictures.size_of(painted(reply)) == (1360, 768)
    assert reply.headers["x-generation-id"].startswith("gen-img-")
    assert reply.headers["x-provider-name"] == "Black Forest Labs"


@pytest.mark.parametrize(
    ("asked", "start"),
    [
        ({**KLEIN, "output_format": "png"}, b"\x89PNG"),
        ({"model": "meta/muse-image", "prompt": "x"}, b"RIFF"),
        ({"model": "recraft/recraft-v4.1-vector", "prompt": "x"}, b"<svg"),
    ],
)
def test_every_format_is_what_it_is_called(client: httpx.Client, asked: dict[str, object], start: bytes) -> None:
    body = painted(client.post("/images", json=asked))
    assert body.startswith(start)
    assert start == b"<svg" or pictures.size_of(body) == (1024, 1024)


def test_several_pictures_differ_and_cost_more(client: httpx.Client) -> None:
    reply = client.post("/images", json={**SEEDREAM, "n": 3})
    assert len({painted(reply, place) for place in range(3)}) == 3
    assert reply.json()["usage"]["cost"] == 0.12


def test_an_edit_is_counted_as_one(client: httpx.Client, standin: StandIn) -> None:
    reply = client.post("/images", json={**KLEIN, "input_references": [reference()]})
    assert reply.status_code == 200
    assert (standin.count("edit_image"), standin.count("make_image"), standin.paid("edit_image")) == (1, 0, 1)
    assert standin.requests()[0]["media"] == [
        {
            "name": "url",
            "type": "image/png",
            "bytes": len(base64.b64decode(SMALL)),
            "sha256": hashlib.sha256(base64.b64decode(SMALL)).hexdigest(),
        }
    ]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"model": "openai/gpt-image-1-mini", "aspect_ratio": "21:9"},
            '"21:9". Provider rejections: OpenAI: aspect_ratio: not supported. Accepted: 1:1, 3:2, 2:3, auto',
        ),
        ({"n": 5}, "Provider rejections: Black Forest Labs: n: must be exactly 1"),
        ({"mask": "x"}, "Unrecognized key: mask"),
        ({"prompt": ""}, "prompt"),
        ({"input_references": ["data:image/png;base64,AAAA"]}, "input_references.0"),
        ({"input_references": [reference(DOT)]}, "too small"),
        ({"input_references": [reference("AAAA")]}, "Invalid image"),
        ({"model": "inclusionai/ming-image-0.1-design-layer"}, "must have between 1 and 1 items"),
        ({"model": SEEDREAM["model"], "size": "512x512", "resolution": "2K"}, "conflicts"),
        ({"model": "openai/gpt-image-1-mini", "output_format": "jpeg", "background": "transparent"}, "transparent"),
        ({"provider": {"zdr": True}}, "Unrecognized key: 'zdr'"),
    ],
)
def test_pictures_refuse_what_the_real_service_refuses(
    client: httpx.Client, standin: StandIn, change: dict[str, object], words: str
) -> None:
    reply = client.post("/images", json={**KLEIN, **change})
    assert (reply.status_code, words in problem(reply)) == (400, True), problem(reply)
    assert standin.paid("make_image") + standin.paid("edit_image") == 0


def test_openai_models_stream_and_the_others_do_not(client: httpx.Client) -> None:
    streamed = client.post("/images", json={"model": "openai/gpt-image-1", "prompt": "x", "stream": True})
    buffered = client.post("/images", json={**KLEIN, "stream": True})
    assert "image_generation.completed" in streamed.text
    assert streamed.text.endswith("data: [DONE]\n\n")
    assert buffered.json()["data"]


def test_the_lists_of_pictures_and_films_are_open_and_full_of_nulls(client: httpx.Client) -> None:
    del client.headers["authorization"]
    images = {row["id"]: row for row in client.get("/images/models").json()["data"]}
    films = {row["id"]: row for row in client.get("/videos/models").json()["data"]}
    prices = client.get("/images/models/black-forest-labs/flux.2-klein-4b/endpoints").json()["endpoints"][0]["pricing"]
    assert images["meta/muse-image"]["supported_parameters"] == {}
    assert images["inclusionai/ming-image-0.1-design-layer"]["supported_parameters"]["input_references"]["min"] == 1
    assert films["black-forest-labs/flux-video-upscale"]["pricing_skus"] is None
    assert prices[0] == {"billable": "output_image", "unit": "megapixel", "cost_usd": 0.014}


# films


def submit(client: httpx.Client, **more: object) -> str:
    reply = client.post("/videos", json={**GROK, **more})
    assert reply.status_code == 202, reply.text
    return str(reply.json()["id"])


def states(client: httpx.Client, number: str, polls: int) -> list[str]:
    replies = [client.get(f"/videos/{number}") for _ in range(polls)]
    return [str(each.json()["status"]) if each.status_code == 200 else str(each.status_code) for each in replies]


def test_a_film_is_submitted_asked_after_and_fetched(client: httpx.Client, standin: StandIn) -> None:
    reply = client.post("/videos", json=GROK)
    number = reply.json()["id"]
    assert reply.json() == {"id": number, "polling_url": f"{standin.base_url}/videos/{number}", "status": "pending"}
    assert "x-generation-id" not in reply.headers
    assert states(client, number, 2) == ["pending", "completed"]
    done = client.get(f"/videos/{number}").json()
    assert done["usage"] == {"cost": 0.05, "is_byok": False}
    film = client.get(done["unsigned_urls"][0], headers={"Range": "bytes=100-"})
    assert (film.status_code, film.headers["content-type"], film.content[4:12]) == (200, "video/mp4", b"ftypisom")
    assert (standin.paid("make_video"), standin.count("poll"), standin.count("content")) == (1, 3, 1)


@pytest.mark.parametrize(
    ("asked", "size", "sounds"),
    [
        ({}, (854, 480), 0),
        ({"aspect_ratio": "9:16"}, (480, 854), 0),
        ({"model": "kwaivgi/kling-v3.0-std", "duration": 3, "resolution": "720p"}, (1280, 720), 1),
    ],
)
def test_a_film_has_the_size_length_and_sound_that_were_asked(
    client: httpx.Client, standin: StandIn, asked: dict[str, object], size: tuple[int, int], sounds: int
) -> None:
    standin.fault("video-at-once")
    number = submit(client, **asked)
    client.get(f"/videos/{number}")
    with av.open(io.BytesIO(client.get(f"/videos/{number}/content").content), "r", format="mov") as film:
        stream = film.streams.video[0]
        assert (stream.width, stream.height, len(film.streams.audio)) == (*size, sounds)
        assert (film.duration or 0) / 1_000_000 == pytest.approx(asked.get("duration", 1), abs=0.2)


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("video-never-ends", ["pending"] * 4),
        ("video-in-progress", ["pending", "in_progress", "completed", "completed"]),
        ("video-failed", ["pending", "failed", "failed", "failed"]),
        ("video-cancelled", ["in_progress", "cancelled", "cancelled", "cancelled"]),
        ("video-expired", ["pending", "expired", "expired", "expired"]),
        ("video-queued", ["queued", "warming_up", "completed", "completed"]),
        ("video-lost", ["completed", "404", "404", "404"]),
        ("video-late", ["404", "404", "pending", "completed"]),
    ],
)
def test_a_job_lives_by_its_script(client: httpx.Client, standin: StandIn, fault: str, told: list[str]) -> None:
    standin.fault(fault)
    assert states(client, submit(client), 4) == told


def test_a_script_can_be_written(client: httpx.Client, standin: StandIn) -> None:
    standin.fault("video-script", script=["pending", "!500", "completed"])
    assert states(client, submit(client), 3) == ["pending", "500", "completed"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"duration": 99}, "Duration 99s is not supported for this model. Supported durations: 1, 2, 3"),
        ({"resolution": "4K"}, "Resolution 4K is not supported for this model. Supported resolutions: 480p, 720p"),
        ({"aspect_ratio": "9:21"}, "Aspect ratio 9:21 is not supported"),
        ({"prompt": ""}, "xAI video generations require a prompt when no image input is provided"),
        (
            {"input_references": [{"type": "audio_url", "audio_url": {"url": "https://x.example/a.mp3"}}]},
            'model "x-ai/grok-imagine-video" does not accept audio input references',
        ),
        (
            {
                "model": "bytedance/seedance-2.0-mini",
                "duration": 4,
                "input_references": [{"type": "video_url", "video_url": {"url": "data:video/mp4;base64,AAAA"}}],
            },
            "Invalid reference URL: input_references[0].video_url.url: Only HTTPS URLs are allowed",
        ),
        ({"frame_images": [{**reference(), "frame_type": "last_frame"}]}, "frame_type last_frame is not supported"),
        ({"previous_job_id": "gen-vid-1-x"}, "does not support previous_job_id"),
        ({"model": "hexgrad/kokoro-82m"}, "does not support video output"),
    ],
)
def test_films_refuse_what_the_real_service_refuses(
    client: httpx.Client, standin: StandIn, change: dict[str, object], words: str
) -> None:
    reply = client.post("/videos", json={**GROK, **change})
    assert (reply.status_code, words in problem(reply)) == (400, True), problem(reply)
    assert standin.paid("make_video") == 0


def test_a_first_frame_costs_what_the_list_says(client: httpx.Client) -> None:
    number = submit(client, frame_images=[{**reference(), "frame_type": "first_frame"}])
    client.get(f"/videos/{number}")
    assert client.get(f"/videos/{number}").json()["usage"]["cost"] == 0.052


def test_films_are_for_the_key_alone_and_indexes_end(client: httpx.Client) -> None:
    number = submit(client)
    client.get(f"/videos/{number}")
    none = {"Authorization": ""}
    assert problem(client.get(f"/videos/{number}/content?index=5")) == "Video index 5 out of range (1 videos available)"
    assert problem(client.get("/videos/gen-vid-0/content")) == "Job gen-vid-0 not found"
    assert client.get(f"/videos/{number}/content", headers=none).status_code == 401
    assert client.get(f"/videos/{number}", headers=none).status_code == 401


@pytest.mark.parametrize(
    ("fault", "seen"),
    [("urls-missing", "missing"), ("urls-null", None), ("urls-empty", []), ("urls-http", 1), ("urls-two", 2)],
)
def test_addresses_of_results_can_be_odd(client: httpx.Client, standin: StandIn, fault: str, seen: object) -> None:
    standin.fault(fault)
    number = submit(client)
    client.get(f"/videos/{number}")
    found = client.get(f"/videos/{number}").json().get("unsigned_urls", "missing")
    assert (len(found) if isinstance(seen, int) else found) == seen


def test_an_expired_address_answers_with_xml_and_sees_no_key(client: httpx.Client, standin: StandIn) -> None:
    standin.fault("urls-expired")
    number = submit(client)
    client.get(f"/videos/{number}")
    url = client.get(f"/videos/{number}").json()["unsigned_urls"][0]
    reply = httpx.get(url, trust_env=False)
    assert (reply.status_code, b"ExpiredToken" in reply.content) == (403, True)
    assert standin.requests("file")[0]["key"] == "none"


# costs, keys


def test_the_cost_of_speech_is_known_late_and_is_not_that_of_the_catalogue(client: httpx.Client) -> None:
    asked = {"model": "hexgrad/kokoro-82m", "input": "a" * 44, "voice": "af_sky"}
    number = client.post("/audio/speech", json=asked).headers["x-generation-id"]
    replies = [client.get("/generation", params={"id": number}) for _ in range(3)]
    assert [each.status_code for each in replies] == [404, 404, 200]
    assert problem(replies[0]) == f"Generation {number} not found"
    assert replies[2].json()["data"]["total_cost"] == 0.000176
    assert replies[2].json()["data"]["api_type"] == "tts"


def test_the_key_tells_what_is_left(client: httpx.Client, standin: StandIn) -> None:
    client.post("/images", json=SEEDREAM)
    assert client.get("/key").json()["data"]["limit_remaining"] == 49.96
    assert client.get("/credits").json()["data"]["total_usage"] == 0.04
    standin.fault("credits-forbidden")
    assert client.get("/credits").status_code == 403
    assert client.get("/key", headers={"Authorization": ""}).status_code == 401
