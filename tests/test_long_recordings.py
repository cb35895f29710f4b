"""Long recordings in whole runs: true times to the end, no finished part asked for again, every limit at its edge.

The recordings are GENERATED from real clips. MEDIASPOOL_TEST_HOURS sets the length of the longest; the suite is content
with less than the ten hours that were measured with it.
"""

import json
import os
import signal
import time
from pathlib import Path

import av
import numpy as np
import pytest

from pipeline import desk
from pipeline.core.hearing import Hearing, fits
from pipeline.core.model import Media, Sha256
from pipeline.core.operations import MediaRef, Transcribe
from pipeline.core.wav import wrap_pcm
from pipeline.routes._transcribe_wire import _OPENAI_DIALECT, _OPENROUTER, openai_hearing, openrouter_hearing
from pipeline.routes.whisper import HEARING
from tests.cli.conftest import seat
from tests.crash_support import run_child, strays
from tests.makers import Folder, outcomes, verdicts
from tests.recordings import RATE, SAMPLES, Said, make_long
from tests.standin.fixture import StandIn
from tests.test_crash import held

HOURS = float(os.environ.get("MEDIASPOOL_TEST_HOURS", "0.5"))
MIDWAY = [f"stored@{int(HOURS * 6)}"] if HOURS >= 1 else []  # half of its parts
PATIENCE_S = 120.0 + HOURS * 200
MANIFEST = """
schema = 1
name = "long"
[[job]]
id = "talk"
kind = "transcription"
input = "{up}recordings/{file}"
formats = ["json"]
out = "{up}out/talk.json"
{more}
"""
PAGE = (Path(__file__).parents[1] / "docs/routes.md").read_text()


def folder_of(root: Path, *, seconds: float, up: str = "", bound: float = 300.0) -> tuple[Folder, list[Said]]:
    folder = Folder(root, manifest=MANIFEST.format(file="talk.flac", more="", up=up))
    config = folder.config.read_text().replace('driver = "scripted"', 'driver = "listener"')
    folder.config.write_text(f'{config}max_seconds = "{bound:g}"\n')
    return folder, make_long(folder.root / "recordings/talk.flac", seconds)


def told(folder: Folder) -> dict[str, list[dict[str, float]]]:
    found: dict[str, list[dict[str, float]]] = json.loads(folder.product("talk.json").read_text())
    return found


def facts(folder: Folder) -> dict[str, str]:
    found: dict[str, str] = json.loads(folder.product("talk.json.receipt.json").read_text())["facts"]
    return found


def silent_before(clip: str) -> float:
    """Seconds of digital silence at the beginning of a clip itself."""
    with av.open(str(SAMPLES / clip)) as container:
        first = next(container.decode(audio=0)).to_ndarray().reshape(-1)
    return float(np.flatnonzero(first)[0]) / RATE


@pytest.mark.real_time
@pytest.mark.engines
@pytest.mark.timeout(3600)
def test_words_of_a_long_recording_are_at_their_time_to_the_very_end(tmp_path: Path) -> None:
    folder, said = folder_of(tmp_path, seconds=HOURS * 3600)
    assert verdicts(folder.run()) == {"talk": "done"}
    starts = [segment["start"] for segment in told(folder)["segments"]]
    wanted = [item.start + silent_before(item.clip) for item in said]
    assert len(starts) == len(wanted)
    off = [abs(found - true) for found, true in zip(starts, wanted, strict=True)]
    print(f"{len(said)} clips in {HOURS:g} h, at most {max(off) * 1000:.1f} ms off, the last {off[-1] * 1000:.1f} ms")
    assert max(off) < 0.05
    assert folder.calls() == int(facts(folder)["parts"])
    assert (verdicts(folder.run()), folder.calls()) == ({"talk": "unchanged"}, int(facts(folder)["parts"]))


@pytest.mark.real_time
@pytest.mark.engines
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kill", ["sending@1", "received@2", "stored@3", "made", *MIDWAY])
def test_invariant_4_a_recording_that_is_killed_midway_repeats_no_finished_part(kill: str, tmp_path: Path) -> None:
    seconds, bound = (HOURS * 3600, 300.0) if kill in MIDWAY else (240.0, 50.0)
    folder, said = folder_of(tmp_path, seconds=seconds, up="../../", bound=bound)
    (folder.spool / "incoming").mkdir(parents=True)
    folder.manifest.rename(folder.spool / "incoming/long.toml")
    assert run_child(folder, f"point:{kill}", timeout_s=PATIENCE_S).returncode == -signal.SIGKILL
    sent = folder.calls()
    second = run_child(folder, "none", timeout_s=PATIENCE_S)
    assert second.returncode == 0, second.stderr
    parts = int(facts(folder)["parts"])
    repeated = folder.calls() - parts
    assert parts >= 6
    assert sent == 0 or repeated <= 2  # at most what was under way: the route is two wide, and free
    assert len(told(folder)["segments"]) == len(said)
    assert strays(folder) == []
    print(f"{seconds / 3600:.2f} h, killed at {kill}: {parts} parts, {sent} calls before, {folder.calls()} in all")


@pytest.mark.real_time
@pytest.mark.engines
@pytest.mark.parametrize("kill", ["sending@3", "stored@3"])
def test_invariants_1_and_4_parts_that_were_paid_for_are_never_asked_for_again(
    tmp_path: Path, standin: StandIn, kill: str
) -> None:
    """By the count of the server. What was under way is held; paid for once more where told so, and nothing else is."""
    folder, _ = folder_of(tmp_path, seconds=200.0, up="../../")
    folder.configure({}, extra="doubt_per_call_usd = 0\n")
    folder.add_route("shop", driver="openrouter", base_url=standin.base_url, key=standin.key)
    (folder.spool / "incoming").mkdir(parents=True)
    asked = MANIFEST.format(file="talk.flac", up="../../", more='route = "shop/google/chirp-3"')  # a minute at most
    (folder.spool / "incoming/long.toml").write_text(asked)
    assert run_child(folder, f"point:{kill}").returncode == -signal.SIGKILL
    second = run_child(folder, "none")
    paid, unsure = paid_parts(standin), held(folder)
    assert len(paid) == len(set(paid))
    assert second.returncode == 3, second.stderr  # held; or suspect, because the stand-in's words are few
    assert folder.product("talk.json").exists() != bool(unsure)
    if unsure:
        desk.resolve(seat(folder), (), "pay-again")
        assert run_child(folder, "none").returncode == 3
    parts = int(facts(folder)["parts"])
    assert parts >= 4
    assert len(set(paid_parts(standin))) == parts
    assert len(paid_parts(standin)) <= parts + unsure
    assert strays(folder) == []


def paid_parts(standin: StandIn) -> list[str]:
    return [str(request["media"]) for request in standin.requests("transcribe") if request["paid"]]


@pytest.fixture
def shop(tmp_path: Path, standin: StandIn) -> Folder:
    made = Folder(tmp_path)
    made.now = time.time() + 3600
    made.add_route("shop", driver="openrouter", base_url=standin.base_url, key=standin.key)
    made.add_route("home", driver="openai", base_url=standin.openai_url, key=standin.key)
    return made


def speech(path: Path, samples: int) -> None:
    """Exactly so many samples of somebody speaking."""
    clip = np.frombuffer((SAMPLES / "jfk.wav").read_bytes()[-350_000:], dtype="<i2")
    path.write_bytes(wrap_pcm(np.resize(clip, samples).tobytes(), rate=RATE, channels=1))


def sent(folder: Folder, standin: StandIn, route: str) -> int:
    folder.manifest.write_text(MANIFEST.format(file="talk.wav", up="", more=f'route = ["{route}"]'))
    assert outcomes(folder.run())["talk"].verdict in ("done", "suspect")  # its words are counted, not heard
    return standin.count("transcribe")


@pytest.mark.real_time
@pytest.mark.engines
@pytest.mark.parametrize(("aside", "calls"), [(-1, 1), (0, 1), (1, 2)])
def test_the_seconds_of_a_model_are_met_exactly_at_their_edge(
    shop: Folder, standin: StandIn, aside: int, calls: int
) -> None:
    speech(shop.root / "recordings/talk.wav", 60 * RATE + aside)
    assert sent(shop, standin, "shop/google/chirp-3") == calls


@pytest.mark.real_time
@pytest.mark.engines
@pytest.mark.parametrize("aside", [-2, 0, 2])
@pytest.mark.parametrize(("route", "edge"), [("shop/openai/whisper-1", 26_214_400), ("home/whisper-1", 24_998_976)])
def test_the_bytes_of_a_call_are_met_exactly_at_their_edge(
    shop: Folder, standin: StandIn, route: str, edge: int, aside: int
) -> None:
    """One sample more, and what is sent is a compressed part in place of the file."""
    size = edge + aside
    speech(shop.root / "recordings/talk.wav", (size - 44) // 2)
    assert (shop.root / "recordings/talk.wav").stat().st_size == size
    assert sent(shop, standin, route) == 1
    (media,) = [request["media"] for request in standin.requests("transcribe")]
    assert isinstance(media, list)
    assert (media[0]["bytes"] == size) == (aside <= 0)
    assert media[0]["bytes"] <= edge


@pytest.mark.real_time
@pytest.mark.engines
def test_settings_may_say_that_a_model_takes_less_or_more(shop: Folder, standin: StandIn) -> None:
    speech(shop.root / "recordings/talk.wav", 70 * RATE)
    shop.config.write_text(f'{shop.config.read_text()}[routes.shop.hearing."google/chirp-3"]\nmax_seconds = 90.0\n')
    assert sent(shop, standin, "shop/google/chirp-3") == 1
    shop.config.write_text(shop.config.read_text().replace("max_seconds = 90.0", 'max_seconds = 20.0\npart = "flac"'))
    shop.product("talk.json").unlink()
    shop.product("talk.json.receipt.json").unlink()
    speech(shop.root / "recordings/talk.wav", 70 * RATE + 1)
    assert sent(shop, standin, "shop/google/chirp-3") >= 5


@pytest.mark.real_time
@pytest.mark.engines
def test_a_retry_after_a_gap_asks_for_what_is_missing_alone(shop: Folder, standin: StandIn) -> None:
    clip = np.frombuffer((SAMPLES / "jfk.wav").read_bytes()[-350_000:], dtype="<i2")
    sound = np.concatenate([clip, clip[: 9 * RATE], clip[RATE:]])  # no two parts are alike
    (shop.root / "recordings/talk.wav").write_bytes(wrap_pcm(sound.tobytes(), rate=RATE, channels=1))
    shop.config.write_text(f'{shop.config.read_text()}[routes.shop.hearing."google/chirp-3"]\nmax_seconds = 12.0\n')
    standin.fault("transcript-missing", path="transcribe", after=1, times=1)
    parts = sent(shop, standin, "shop/google/chirp-3")
    assert (parts >= 3, "gap_seconds" in facts(shop)) == (True, True)
    desk.retry(seat(shop), ("talk",), ())
    assert (sent(shop, standin, "shop/google/chirp-3"), "gap_seconds" in facts(shop)) == (parts + 1, False)
    desk.retry(seat(shop), ("talk",), ())
    assert sent(shop, standin, "shop/google/chirp-3") == 2 * parts + 1


REMOTE = [
    (f"openrouter `{name}`", openrouter_hearing(name.replace("*", "x"), is_json=False)) for name, _ in _OPENROUTER
]
ROWS = [
    *REMOTE,
    *((f"openai `{row}`", openai_hearing(row.replace("*", "-"))) for row, _ in _OPENAI_DIALECT),
    ("openrouter, any other", openrouter_hearing("some/model", is_json=False)),
    ("openai, any other", openai_hearing("some-model")),
    ("whisper", HEARING),
]


@pytest.mark.parametrize(("name", "row"), ROWS, ids=[name for name, _ in ROWS])
def test_every_row_of_the_table_holds_at_its_edge_and_stands_on_the_page(name: str, row: Hearing) -> None:
    (line,) = [line for line in PAGE.splitlines() if line.startswith(f"| {name} |")]
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    longest, largest = row.longest_seconds, row.max_file_bytes
    assert cells[1] == ("any" if longest is None else f"{longest:g}")
    assert cells[2] == ("any" if largest is None else f"{largest:,}")
    assert cells[5].startswith({"none": "none", "segment": "segments", "word": "words"}[row.times])
    assert cells[6] == ("–" if row.rate_unit == "none" else row.rate_unit)
    if longest is not None:
        assert [fits(ask(row, seconds=longest + off), row) for off in (-0.001, 0, 0.001)] == [True, True, False]
    if largest is not None:
        assert [fits(ask(row, size=largest + off), row) for off in (-1, 0, 1)] == [True, True, False]


def ask(row: Hearing, *, seconds: float = 1.0, size: int = 1000) -> Transcribe:
    media = Media(media_type=min(row.takes), family="audio", extension="x", demuxer="x")
    return Transcribe(audio=MediaRef(sha256=Sha256("0" * 64), path="/x", size=size, media=media, seconds=seconds))
