"""Whole runs by remote routes on the stand-in: what is asked of the server, what is kept, what debug artifacts hold."""

import base64
import json
import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from trio.testing import MockClock

from pipeline.core.wav import wrap_pcm
from pipeline.overview import status
from pipeline.report import summary
from tests.cli.conftest import seat
from tests.makers import Folder, outcomes, verdicts
from tests.sounds import quiet_sounds
from tests.standin.fixture import StandIn
from tests.test_hands import meanwhile

pytestmark = pytest.mark.real_time
MODEL = "hexgrad/kokoro-82m"
ONE = 'schema = 1\nname = "remote"\n[[job]]\nid = "one"\n'
SPEECH = ONE + 'kind = "tts"\ntext = "Wilhelmina sings tonight."\nvoice = "af_alloy"\nout = "out/one.mp3"\n'
HEARING = ONE + 'kind = "transcription"\ninput = "recordings/a.wav"\nout = "out/one.txt"\n'
PICTURE = ONE + 'kind = "image"\nprompt = "A kite."\nout = "out/one.{ext}"\n'
CLIP = ONE + 'kind = "video"\nprompt = "A kite."\nseconds = 2\nresolution = "480p"\nmodel = "x-ai/grok-imagine-video"\n'
CANON = ONE + 'kind = "canonical_text"\ninput = "recordings/a.wav"\nout = "out/one.{ext}"\n'


@pytest.fixture
def folder(tmp_path: Path, standin: StandIn) -> Folder:
    """Both dialects as routes, and a recording."""
    made = Folder(tmp_path)
    made.now = time.time() + 3600
    made.add_route("shop", driver="openrouter", base_url=standin.base_url, key=standin.key)
    made.add_route("home", driver="openai", base_url=standin.openai_url, key=standin.key)
    made.record("a.wav", 3.0)
    return made


def job(folder: Folder, text: str, route: str, *more: str) -> None:
    folder.manifest.write_text("\n".join([text + f'route = ["{route}"]', *more]))


def artifacts(folder: Folder) -> list[str]:
    return [path.read_text() for path in sorted((folder.spool / "debug").glob("*.json"))]


def test_a_signal_leaves_a_clip_that_is_being_made_to_the_next_run_at_once(folder: Folder, standin: StandIn) -> None:
    job(folder, CLIP, "shop", 'out = "out/one.{ext}"')
    folder.clock, began = MockClock(rate=20), time.monotonic()
    folder.config.write_text(f'drain_grace = "1h"\n{folder.config.read_text()}')
    standin.fault("video-script", path="make_video", script=["pending", "pending", "completed"])
    folder.reached = lambda point: signal.raise_signal(signal.SIGTERM) if point == "submitted" else None
    left = folder.run()
    assert time.monotonic() - began < 60  # the grace takes three minutes
    assert (outcomes(left)["one"].code, left.whole.exit_code) == ("deferred", 143)
    folder.clock = MockClock(rate=20)
    assert verdicts(folder.run()) == {"one": "done"}
    assert standin.paid("make_video") == 1


def test_k6_k7_t1_a_selector_names_route_and_model_and_the_server_hears_the_model_alone(
    folder: Folder, standin: StandIn
) -> None:
    job(folder, SPEECH, f"shop/{MODEL}")
    assert verdicts(folder.run()) == {"one": "done"}
    fields = standin.requests("speak")[-1]["fields"]
    assert isinstance(fields, dict)
    assert fields["model"] == MODEL


def test_k13_speech_becomes_a_file_beside_its_receipt(folder: Folder, standin: StandIn) -> None:
    job(folder, SPEECH, "shop")
    assert verdicts(folder.run()) == {"one": "done"}
    assert folder.product("one.mp3").stat().st_size > 1000
    assert folder.product("one.mp3.receipt.json").exists()
    assert standin.count("speak") == 1


@pytest.mark.engines
@pytest.mark.parametrize("sound", ["silence", "dither", "white", "brown", "hum"])
def test_a_recording_in_which_nobody_speaks_is_not_paid_for(folder: Folder, standin: StandIn, sound: str) -> None:
    pcm = (quiet_sounds(5.0)[sound] * 32767).astype("<i2").tobytes()
    (folder.root / "recordings/a.wav").write_bytes(wrap_pcm(pcm, rate=16_000, channels=1))
    job(folder, HEARING, "shop")
    outcome = outcomes(folder.run())["one"]
    assert outcome.verdict == "empty"
    assert not outcome.usd
    assert standin.count("transcribe") == 0
    assert outcome.reason.startswith("no speech in 5.0 s: ")
    assert "dBFS" in outcome.reason or "digital silence" in outcome.reason


def test_a_reference_beside_a_recording_is_scored_and_a_changed_one_is_noticed_at_no_cost(
    folder: Folder, standin: StandIn
) -> None:
    job(folder, HEARING, "shop")
    beside = folder.root / "recordings/a.ref.txt"
    scores = []
    for reference in ("something else altogether", None):
        beside.write_text(reference or folder.product("one.txt").read_text())
        outcome = outcomes(folder.run())["one"]
        scores.append((outcome.verdict, outcome.scores["word_error_rate"]))
    assert scores[0][1] != "0.0000"
    assert scores[1] == ("done", "0.0000")
    assert standin.count("transcribe") == 1
    assert verdicts(folder.run()) == {"one": "unchanged"}


@pytest.mark.parametrize("route", ["shop", "home"])
def test_k15_k42_canonical_text_of_a_recording_uses_the_chosen_route(
    folder: Folder, standin: StandIn, route: str
) -> None:
    job(folder, CANON, route)
    assert verdicts(folder.run()) == {"one": "done"}
    assert folder.product("one.txt").read_text().strip()
    (sent,) = [request for request in standin.requests() if request["method"] == "POST"]
    assert isinstance(sent["fields"], dict)
    assert str(sent["path"]).endswith("/audio/transcriptions")
    assert sent["fields"]["model"] == {"shop": "openai/gpt-4o-mini-transcribe", "home": "whisper-1"}[route]


def test_k46_a_debug_artifact_keeps_sizes_types_models_and_checksums_of_both_directions(
    folder: Folder, standin: StandIn
) -> None:
    job(folder, HEARING, "shop/openai/whisper-1")
    folder.run()
    (found,) = [json.loads(text) for text in artifacts(folder)]
    assert (found["model"], found["route"], found["operation"]) == ("openai/whisper-1", "shop", "transcribe")
    assert found["request"]["bytes"] == (folder.root / "recordings/a.wav").stat().st_size
    assert found["request"]["media_type"] == "audio/wav"
    assert len(found["request"]["sha256"]) == len(found["reply"]["sha256"]) == 64
    assert (found["reply"]["recognised"], found["reply"]["bytes"] > 0) == ("application/json", True)


@pytest.mark.parametrize("level", ["digest", "redacted"])
@pytest.mark.parametrize(("text", "product"), [(SPEECH, "one.mp3"), (HEARING, "one.txt")])
def test_k47_no_debug_artifact_keeps_sound_or_words(folder: Folder, level: str, text: str, product: str) -> None:
    folder.config.write_text(f'{folder.config.read_text()}[debug]\nlevel = "{level}"\n')
    job(folder, text, "shop")
    assert verdicts(folder.run()) == {"one": "done"}
    written = "".join(artifacts(folder))
    kept = folder.product(product).read_bytes()
    assert written
    assert "Wilhelmina" not in written
    assert base64.b64encode(kept[:300])[:40].decode() not in written
    words = re.findall("[a-z]{4,}", kept.decode().lower()) if product.endswith("txt") else []
    assert bool(words) == product.endswith("txt")
    assert [word for word in words if re.search(rf"\b{word}\b", written.lower())] == []


def test_k53_speech_is_offered_only_by_routes_whose_driver_has_it(folder: Folder, standin: StandIn) -> None:
    job(folder, SPEECH, "pillow")
    assert outcomes(folder.run())["one"].code == "operation-unsupported"
    folder.config.write_text(folder.config.read_text().replace("[routes.shop]", "[routes.shop]\ncan = {speak = false}"))
    job(folder, SPEECH, "shop")
    assert outcomes(folder.run())["one"].code == "operation-unsupported"
    assert standin.requests() == []


SLOW_S = 1.5
TIMES = {
    "the model's setting": ('call_timeouts = { make_image = "180s" }', "", "done"),
    "a job with more time": ('call_timeouts = { make_image = "0.3s" }', 'call_timeout = "60s"', "done"),
    "a job with less time": ('call_timeouts = { make_image = "60s" }', 'call_timeout = "0.3s"', "held"),
    "the stages of a request": ('timeouts = { first_byte = "0.3s", total = "0.4s" }', 'call_timeout = "60s"', "done"),
    "nobody but the stages": ('timeouts = { first_byte = "0.3s", total = "0.4s" }', "", "held"),
}


@pytest.mark.parametrize("who", TIMES)
def test_o12_v4_the_time_of_a_call_is_the_job_s_then_that_of_the_operation_s_setting(
    folder: Folder, standin: StandIn, who: str
) -> None:
    """A picture takes longer than the shorter time; whoever should be heard decides what becomes of it."""
    setting, key, verdict = TIMES[who]
    folder.config.write_text(folder.config.read_text().replace("[routes.shop]", f"[routes.shop]\n{setting}"))
    standin.fault("slow-first-byte", path="make_image", seconds=SLOW_S)
    job(folder, PICTURE, "shop", key)
    assert verdicts(folder.run()) == {"one": verdict}
    assert standin.count("make_image") == 1


def test_a_picture_that_is_of_no_use_is_no_product_and_is_kept_apart_for_a_person(
    folder: Folder, standin: StandIn
) -> None:
    """It was paid for."""
    standin.fault("image-cut", path="make_image")
    job(folder, PICTURE, "shop")
    assert (outcomes(folder.run())["one"].verdict, standin.paid("make_image")) == ("failed", 1)
    assert not folder.product("").exists() or list(folder.product("").iterdir()) == []
    (kept,) = (folder.spool / "quarantine").iterdir()
    assert kept.stat().st_size > 1000


def test_every_clip_of_an_answer_is_published_once(folder: Folder, standin: StandIn) -> None:
    standin.fault("urls-two")
    text = ONE + 'kind = "video"\nprompt = "A kite."\nseconds = 4\nout = "out/one.{ext}"\n'
    job(folder, text, "shop")
    assert verdicts(folder.run()) == {"one": "done"}
    made = {path.name for path in folder.product("").iterdir()}
    assert made == {"one.mp4", "one.2.mp4", "one.jpg", "one.mp4.receipt.json"}
    assert folder.product("one.mp4").read_bytes() != folder.product("one.2.mp4").read_bytes()
    assert verdicts(folder.run()) == {"one": "unchanged"}
    assert standin.paid("make_video") == 1


def test_a_manifest_asks_for_a_fault_by_the_id_of_a_model(folder: Folder, standin: StandIn) -> None:
    job(folder, SPEECH, "home/fault/413/tts-1")
    found = outcomes(folder.run())["one"]
    assert (found.verdict, found.code, standin.paid("speak")) == ("failed", "rejected", 0)
    assert [seen["fault"] for seen in standin.requests("speak")] == ["413"]


def test_t4_the_late_price_of_speech_is_booked_by_a_following_run(folder: Folder, standin: StandIn) -> None:
    job(folder, SPEECH, "shop")
    first = outcomes(folder.run())["one"]
    assert (first.verdict, first.usd) == ("done", None)
    assert "without a known price" in status(seat(folder)).text
    for _ in range(6):
        folder.now += 3600
        assert verdicts(folder.run()) == {"one": "unchanged"}
    told = status(seat(folder)).text
    assert "USD for 1 call" in told
    assert "without a known price" not in told
    assert (standin.count("speak"), standin.count("generation") > 1) == (1, True)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("404-model", f"answered 404 to POST audio/speech, model {MODEL}: "),
        ("401-bad-key", "check the secret that the route names as its key"),
        ("402-credits", "then run again"),
        ("reset-after-body", "(POST audio/speech); mediaspool status lists it; mediaspool resolve decides"),
    ],
)
def test_t25_what_a_person_reads_of_an_error_has_the_path_and_our_own_words_unmasked(
    folder: Folder, standin: StandIn, fault: str, words: str
) -> None:
    job(folder, SPEECH.replace("tonight", "tonight again"), "shop")
    standin.fault(fault, path="speak")
    outcome = outcomes(folder.run())["one"]
    assert words in f"{outcome.reason}; {outcome.hint}"


def test_a_route_that_closed_is_named_on_the_screen_once_with_its_reason_and_what_to_do(
    folder: Folder, standin: StandIn
) -> None:
    second = SPEECH.removeprefix(ONE).replace("tonight", "tomorrow").replace("one.mp3", "two.mp3")
    job(folder, SPEECH, "shop", '[[job]]\nid = "two"', f'{second}route = ["shop"]')
    standin.fault("401-bad-key", path="speak")
    (report,) = folder.run().reports
    assert (report.counts, report.exit_code) == ({"not-started": 2}, 77)
    (stop,) = [line for line in summary(report).splitlines() if line.startswith("stopped by")]
    assert stop.startswith("stopped by route-closed on shop: the route answered 401 to POST audio/speech")
    assert stop.endswith("; next: mediaspool routes")


def test_a_mask_fits_the_picture_as_it_is_seen_not_as_the_camera_lay(folder: Folder, standin: StandIn) -> None:
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.new("RGB", (300, 200), "white").save(folder.root / "photo.jpg", exif=turned)
    Image.new("RGBA", (200, 300), (0, 0, 0, 0)).save(folder.root / "upright.png")
    Image.new("RGBA", (300, 200), (0, 0, 0, 0)).save(folder.root / "lying.png")
    edit = PICTURE + 'input = "photo.jpg"\nmask = "%s"\n'
    job(folder, edit % "lying.png", "home")
    assert (outcomes(folder.run())["one"].code, standin.count("edit_image")) == ("input-type", 0)
    job(folder, edit % "upright.png", "home")
    assert (verdicts(folder.run()), standin.count("edit_image")) == ({"one": "done"}, 1)


@pytest.mark.parametrize(
    ("rest", "ends"), [(1000, ("not-started", "input-changing")), (None, ("refused", "input-missing"))]
)
def test_a_recording_that_cannot_be_read_any_more_since_it_was_planned_is_not_called_damaged(
    folder: Folder, standin: StandIn, rest: int | None, ends: tuple[str, str]
) -> None:
    path = folder.root / "recordings/a.wav"
    job(folder, HEARING, "shop")
    meanwhile(folder, "planned", path.unlink if rest is None else lambda: os.truncate(path, rest))
    outcome = outcomes(folder.run())["one"]
    assert (outcome.verdict, outcome.code, standin.count("transcribe")) == (*ends, 0)


def test_a_language_that_is_only_written_otherwise_asks_nobody_again(folder: Folder, standin: StandIn) -> None:
    for language in ("en", "EN", "en-US"):
        job(folder, HEARING, "shop", f'language = "{language}"')
        assert verdicts(folder.run()) == {"one": "done"}
    assert standin.paid("transcribe") == 1


@pytest.mark.parametrize("route", ["shop", "home"])
def test_an_answer_to_a_recording_that_is_moved_deleted_or_replaced_while_it_is_sent_is_kept_and_paid_once(
    folder: Folder, standin: StandIn, route: str
) -> None:
    """Each of these changes a time of the file that is open, and no byte of it."""
    path = folder.root / "recordings/a.wav"
    kept, other = folder.root / "kept.wav", folder.root / "other.wav"
    job(folder, HEARING, route)
    acts: tuple[Callable[[], object], ...] = (path.unlink, lambda: path.rename(kept), lambda: other.rename(path))
    for number, act in enumerate(acts, 1):
        before = folder.record("a.wav", 3.0 + number).read_bytes()
        other.write_bytes(b"RIFF, or another one")
        meanwhile(folder, "sending", act)
        folder.run()
        assert standin.paid("transcribe") == number
        path.write_bytes(before)
        assert set(verdicts(folder.run()).values()) <= {"done", "unchanged"}
        assert standin.paid("transcribe") == number


@pytest.mark.parametrize("route", ["shop", "home"])
def test_an_answer_to_a_recording_that_is_taken_away_or_replaced_once_it_was_sent_is_kept_and_paid_once(
    folder: Folder, standin: StandIn, route: str
) -> None:
    path = folder.root / "recordings/a.wav"
    before = path.read_bytes()
    job(folder, HEARING, route)
    acts: tuple[Callable[[], object], ...] = (path.unlink, lambda: path.write_bytes(b"RIFF, or another one"))
    for number, act in enumerate(acts, 1):
        meanwhile(folder, "first-bytes", act)
        folder.run()
        assert standin.paid("transcribe") == number
        meanwhile(folder, "never", path.unlink)
        path.write_bytes(before)
        assert set(verdicts(folder.run()).values()) <= {"done", "unchanged"}
        assert standin.paid("transcribe") == number
        folder.record("a.wav", 4.0)
        before = path.read_bytes()
