"""Long speech by remote routes on the stand-in: parts, formats that the model lacks, odd headers, and a lost part."""

import time
from pathlib import Path

import av
import pytest

from pipeline.media.containers import examine
from tests.makers import Folder, outcomes, verdicts
from tests.standin.fixture import StandIn

pytestmark = pytest.mark.real_time
TEXT = " ".join(f"This is sentence number {number} of a text that goes on for a while." for number in range(6))
PARTS = 3  # of at most 150 characters
JOB = 'schema = 1\nname = "remote"\n[[job]]\nid = "one"\nkind = "tts"\ninput = "long.txt"\nlanguage = "en"\n'


@pytest.fixture
def folder(tmp_path: Path, standin: StandIn) -> Folder:
    made = Folder(tmp_path)
    made.now = time.time() + 3600
    made.add_route("shop", driver="openrouter", base_url=standin.base_url, key=standin.key)
    made.add_route("home", driver="openai", base_url=standin.openai_url, key=standin.key)
    options = "".join(f'[routes.{name}.options]\nspeak_chars = "150"\n' for name in ("shop", "home"))
    made.config.write_text(made.config.read_text() + options)
    (tmp_path / "long.txt").write_text(TEXT)
    return made


def job(folder: Folder, route: str, **more: object) -> None:
    keys = "".join(f'{name} = "{value}"\n' for name, value in more.items())
    folder.manifest.write_text(f'{JOB}route = "{route}"\n{keys}')


def texts(standin: StandIn) -> list[str]:
    fields = [request["fields"] for request in standin.requests("speak")]
    return [str(found["input"]) for found in fields if isinstance(found, dict)]


def seconds_of(path: Path) -> float:
    with av.open(str(path)) as made:
        return float(made.duration or 0) / 1_000_000


@pytest.mark.parametrize(
    ("form", "media_type"),
    [
        ("wav", "audio/wav"),
        ("mp3", "audio/mpeg"),
        ("opus", "audio/ogg"),
        ("flac", "audio/flac"),
        ("m4a", "audio/mp4"),
    ],
)
@pytest.mark.parametrize(
    ("model", "voice", "asked"),
    [("hexgrad/kokoro-82m", "af_alloy", "pcm"), ("mistralai/voxtral-mini-tts-2603", "en_paul_neutral", "mp3")],
    ids=["samples", "mp3 alone"],
)
def test_every_format_is_made_here_of_what_the_model_makes(
    folder: Folder, standin: StandIn, model: str, voice: str, asked: str, form: str, media_type: str
) -> None:
    job(folder, f"shop/{model}", voice=voice, out=f"out/one.{form}")
    outcome = outcomes(folder.run())["one"]
    assert (outcome.verdict, standin.count("speak")) == ("done", PARTS)
    assert " ".join(sorted(texts(standin), key=TEXT.index)) == TEXT
    assert {request["fields"]["response_format"] for request in standin.requests("speak")} == {asked}  # type: ignore[index]
    path = folder.product(f"one.{form}")
    with path.open("rb") as file:
        found = examine(file, path.stat().st_size)
    assert found.ok
    assert found.media is not None
    assert found.media.media_type == media_type
    assert seconds_of(path) == pytest.approx(len(TEXT) * 0.074, rel=0.05)


def test_an_announced_rate_is_kept_and_never_taken_for_another(folder: Folder, standin: StandIn) -> None:
    standin.fault("pcm-44100")
    job(folder, "shop", voice="af_alloy", out="out/one.wav")
    assert verdicts(folder.run()) == {"one": "done"}
    assert seconds_of(folder.product("one.wav")) == pytest.approx(len(TEXT) * 0.074, rel=0.05)


def test_a_wav_with_placeholder_sizes_is_repaired(folder: Folder, standin: StandIn) -> None:
    standin.fault("wav-placeholder")
    job(folder, "home", out="out/one.mp3")
    assert verdicts(folder.run()) == {"one": "done"}
    assert seconds_of(folder.product("one.mp3")) == pytest.approx(len(TEXT) * 0.074, rel=0.05)


def test_a_part_that_fails_repeats_none_that_is_finished(folder: Folder, standin: StandIn) -> None:
    config = folder.config.read_text().replace('driver = "openrouter"', 'driver = "openrouter"\nwidth = 1')
    folder.config.write_text(config)
    job(folder, "shop", voice="af_alloy", out="out/one.mp3")
    standin.fault("422", after=1, times=1)
    assert verdicts(folder.run()) == {"one": "failed"}
    sent = standin.count("speak")
    assert verdicts(folder.run(is_forced=True)) == {"one": "done"}
    assert standin.count("speak") - sent == PARTS - 1


def test_settings_and_tokens_shorten_the_parts(folder: Folder, standin: StandIn) -> None:
    config = folder.config.read_text().replace('speak_chars = "150"', 'speak_chars = "400"\nspeak_tokens = "50"')
    folder.config.write_text(config)
    job(folder, "shop", voice="af_alloy", out="out/one.mp3")
    assert verdicts(folder.run()) == {"one": "done"}
    assert max(map(len, texts(standin))) <= 150
    assert " ".join(sorted(texts(standin), key=TEXT.index)) == TEXT
