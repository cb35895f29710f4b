"""Joining speech: one true WAV, trimmed, faded, paused; the only user of pydub."""

import subprocess
import sys
import tempfile
import wave
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import av as pyav
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs._cues import EDGE_MS as CUE_EDGE_MS
from jobs._speaking import EDGE_MS
from pipeline.children import files
from pipeline.children.join_stage import Wav, read_again
from pipeline.children.join_work import JoinParams
from pipeline.children.lanes import Lanes, stage_error
from pipeline.children.run import run_stage
from pipeline.children.stage import FileRef, StageSpec
from pipeline.core.errors import ContractError, EngineError, LimitExceeded, StoreError
from pipeline.core.sound import Change, Join, Joined, Piece, Splice
from pipeline.core.wav import wrap_pcm
from pipeline.media import av
from pipeline.media.containers import examine
from tests.children.conftest import own_children
from tests.jobs.scripted import RATE, speech, tone
from tests.jobs.sounding import samples, sounding
from tests.standin.sound import encoded

EDGES_S = 2 * EDGE_MS / 1000
NOW = Splice()


def take(seconds: float, *, rate: int = RATE, edge_s: float = 0.3, channels: int = 1) -> bytes:
    return wrap_pcm(tone(seconds, rate=rate, edge_s=edge_s, channels=channels), rate=rate, channels=channels)


def steady(frame: bytes) -> bytes:
    return wrap_pcm(frame * 8000, rate=RATE, channels=len(frame) // 2)


def after(pause_s: float) -> Splice:
    return Splice(pause_s=pause_s)


def ask(folder: Path, takes: Sequence[bytes], wish: Join, *, max_bytes: int | None = None) -> StageSpec:
    """All takes lie in the root `in`, and the WAV is to lie beside them."""
    refs = [FileRef(root="in", path=f"take-{number}") for number in range(len(takes))]
    for ref, body in zip(refs, takes, strict=True):
        (folder / ref.path).write_bytes(body)
    demuxers = ["wav" if body.startswith(b"RIFF") else "mp3" for body in takes]
    return av.join(refs, demuxers, FileRef(root="in", path="a.wav"), wish=wish, max_bytes=max_bytes)


def carried_out(folder: Path, spec: StageSpec) -> Joined:
    result = run_stage(spec, {"in": str(folder)})
    if result.code is not None:
        raise stage_error(result.code, result.message)
    return av.join_facts(result)


def joined(folder: Path, takes: Sequence[bytes], *splices: Splice, edge_ms: int = EDGE_MS, **more: object) -> Joined:
    wish = Join(splices=splices, edge_ms=edge_ms, **more)  # type: ignore[arg-type]  # fields of Join
    return carried_out(folder, ask(folder, takes, wish))


def pieces_of(folder: Path, takes: Sequence[bytes], *splices: Splice) -> tuple[Piece, ...]:
    return joined(folder, takes, *splices).pieces


def test_takes_become_one_wav_with_measured_pauses(tmp_path: Path) -> None:
    made = joined(tmp_path, [take(1.0), take(0.5)], after(9.0), after(0.25), end_pause_s=0.5)
    first, second = made.pieces
    rate, data = samples(tmp_path / "a.wav")
    assert len(data) / 2 / rate == made.seconds
    assert made.seconds == pytest.approx(1.0 + 0.25 + 0.5 + 0.5 + 2 * EDGES_S, abs=0.03)
    assert first.seconds == pytest.approx(1.0 + EDGES_S, abs=0.02)
    assert first.at_s == 0.0
    assert second.at_s == pytest.approx(first.seconds + 0.25, abs=0.001)
    assert (made.sound, first.sound) == (None, None)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.floats(0.05, 0.6), st.floats(0, 0.5), st.floats(0, 0.8)), min_size=1, max_size=6))
def test_joining_loses_no_sound_and_says_none_twice(pieces: list[tuple[float, float, float]]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        takes = [take(length, edge_s=edge) for length, edge, _ in pieces]
        made = joined(folder, takes, *(after(pause) for _, _, pause in pieces))
        found = sounding(folder / "a.wav")
    sound = sum(end - start for start, end in found)
    assert sound == pytest.approx(sum(length for length, _, _ in pieces), abs=0.03 * len(pieces))
    pauses = sum(pause for _, _, pause in pieces[1:])
    assert made.seconds == pytest.approx(sum(piece.seconds for piece in made.pieces) + pauses, abs=0.001 * len(pieces))
    assert all(later.at_s >= piece.at_s + piece.seconds - 0.001 for piece, later in pairwise(made.pieces))


@pytest.mark.parametrize("channels", [1, 2])
def test_silence_at_the_edges_of_a_take_is_trimmed_whatever_its_length(tmp_path: Path, channels: int) -> None:
    takes = [take(0.4, edge_s=edge, channels=channels) for edge in (0.1, 0.985, 2.0)]
    short, some, long = pieces_of(tmp_path, takes, NOW, NOW, NOW)
    assert short.seconds == pytest.approx(0.4 + EDGES_S, abs=0.02)
    assert (some.seconds, long.seconds) == pytest.approx((short.seconds, short.seconds), abs=0.011)


def test_a_silent_take_stays_as_long_as_it_is(tmp_path: Path) -> None:
    (piece,) = pieces_of(tmp_path, [wrap_pcm(bytes(2 * 12_345), rate=RATE, channels=1)], NOW)
    assert piece.seconds == 12_345 / RATE


def test_a_seam_is_faded_so_that_it_cannot_click(tmp_path: Path) -> None:
    joined(tmp_path, [steady(b"\x00\x60")], NOW)
    _, data = samples(tmp_path / "a.wav")
    assert abs(int.from_bytes(data[:2], "little", signed=True)) < 2000
    assert abs(int.from_bytes(data[-2:], "little", signed=True)) < 2000
    assert data[8000:8002] == b"\x00\x60"


def test_both_sides_of_a_stereo_take_are_faded_alike(tmp_path: Path) -> None:
    joined(tmp_path, [steady(b"\x00\x60\x00\xa0")], NOW)
    sounds = memoryview(samples(tmp_path / "a.wav")[1]).cast("h")
    left, right = list(sounds[::2]), list(sounds[1::2])
    assert left == [-each for each in right] == left[::-1]
    assert left[:4000] == sorted(left[:4000])
    assert (left[0], left[40], left[80]) == (0, 0x6000 // 2, 0x6000)


def test_a_take_is_placed_at_its_time_and_cut_where_its_time_ends(tmp_path: Path) -> None:
    times = [Splice(at_s=at, until_s=at + 1.0) for at in (1.0, 2.0, 3.0)]
    made = joined(tmp_path, [take(0.5), take(1.5), take(0.4)], *times, edge_ms=CUE_EDGE_MS, end_at_s=4.0)
    assert made.seconds == 4.0
    assert made.pieces[1].seconds == pytest.approx(1.5, abs=0.04)
    starts = [start for start, _ in sounding(tmp_path / "a.wav")]
    assert starts == pytest.approx([1.0, 2.0, 3.0], abs=0.03)


def test_a_second_take_of_one_time_follows_the_first_after_its_pause(tmp_path: Path) -> None:
    splices = [Splice(at_s=0.5, until_s=3.0), Splice(pause_s=0.1, until_s=3.0)]
    first, second = joined(tmp_path, [take(0.5), take(0.4)], *splices, edge_ms=CUE_EDGE_MS).pieces
    assert first.at_s == 0.5
    assert second.at_s == pytest.approx(0.5 + first.seconds + 0.1, abs=0.0001)


def test_a_wav_that_is_long_enough_ends_before_the_next_take_and_with_its_pause(tmp_path: Path) -> None:
    made = joined(tmp_path, [take(1.0)] * 3, NOW, after(0.25), after(0.5), enough_s=2.0, end_pause_s=9.0, tags={})
    assert len(made.pieces) == 2
    assert made.seconds == made.pieces[1].at_s + made.pieces[1].seconds + 0.5
    assert made.sound is None


def test_a_wav_of_times_that_is_long_enough_ends_at_the_next_time_and_never_inside_of_one(tmp_path: Path) -> None:
    times = [Splice(at_s=0.0, until_s=3.0), Splice(until_s=3.0), Splice(at_s=3.5, until_s=5.0)]
    made = joined(tmp_path, [take(1.0)] * 3, *times, enough_s=0.5, end_at_s=5.0)
    assert (len(made.pieces), made.seconds) == (2, 3.5)


def test_without_a_file_the_same_lengths_are_told(tmp_path: Path) -> None:
    takes = [take(0.5), encoded("mp3", 1.0)]
    splices = [Splice(change=Change(rate=RATE, channels=1, tempo=tempo)) for tempo in (1.0, 1.3)]
    made = joined(tmp_path, takes, *splices)
    (tmp_path / "a.wav").unlink()
    spec = ask(tmp_path, takes, Join(splices=tuple(splices), edge_ms=EDGE_MS))
    bare = StageSpec(stage=spec.stage, inputs=spec.inputs, params=spec.params)
    assert carried_out(tmp_path, bare) == made
    assert not (tmp_path / "a.wav").exists()


@pytest.mark.real_time
async def test_a_finished_wav_has_its_tags_and_is_what_a_second_look_finds(lanes: Lanes, tmp_path: Path) -> None:
    tags = {"title": "Été", "comment": "source: a.txt", "track": "1"}
    wish = Join(splices=(Splice(is_weighed=True), after(0.5)), edge_ms=EDGE_MS, tags=tags)
    spec = ask(tmp_path / "in", [take(1.0), take(2.0)], wish)
    made = av.join_facts(await lanes.run("media", spec))
    path = tmp_path / "in" / "a.wav"
    with path.open("rb") as file:
        found = examine(file, path.stat().st_size)
    assert (found.ok, found.seconds) == (True, made.seconds)
    body = path.read_bytes()
    assert int.from_bytes(body[4:8], "little") == len(body) - 8
    with pyav.open(str(path)) as file:
        assert file.metadata == {"title": "Été", "comment": "source: a.txt"}
    again = [av.weigh(FileRef(root="in", path=name), "wav") for name in ("a.wav", "take-0")]
    whole, came = [av.sound_facts(await lanes.run("media", spec)) for spec in again]
    assert made.sound == whole
    assert whole.lufs is not None
    first = made.pieces[0].sound
    assert first is not None
    assert (first.seconds, first.peak, first.silence, first.lufs) == (came.seconds, came.peak, came.silence, None)
    assert made.pieces[1].sound is None


@pytest.mark.real_time
async def test_a_child_works_in_the_memory_that_it_has(lanes: Lanes, tmp_path: Path) -> None:
    spec = ask(tmp_path / "in", [take(5.0, rate=24_000)], Join(splices=(Splice(is_weighed=True),), edge_ms=60, tags={}))
    faults, others = [], own_children()
    for _ in range(2):
        for _ in range(8):
            await lanes.run("media", spec)
        (child,) = own_children() - others
        faults.append(int(Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[7]))
    assert faults[1] - faults[0] < 8 * 50


@pytest.mark.real_time
async def test_wavs_become_one_with_its_tags_and_a_true_header(lanes: Lanes, tmp_path: Path) -> None:
    reels = [tmp_path / "in" / "1.wav", tmp_path / "in" / "2.wav"]
    for reel in reels:
        reel.write_bytes(speech(0.5))
    target = lanes.scratch(".wav")
    refs = [lanes.ref(str(reel)) for reel in reels]
    tags = {"title": "Été", "comment": "source: a.txt", "track": "1"}
    facts = av.encode_facts(await lanes.run("media", av.encode(refs, target, media_type="audio/wav", tags=tags)))
    whole = Path(lanes.path(target))
    assert samples(whole) == (RATE, b"".join(samples(reel)[1] for reel in reels))
    with whole.open("rb") as file:
        assert examine(file, whole.stat().st_size).ok
    assert (facts.seconds, facts.sound.seconds, facts.size) == (2.2, 2.2, whole.stat().st_size)
    with pyav.open(str(whole)) as file:
        assert file.metadata == {"title": "Été", "comment": "source: a.txt"}


@pytest.mark.parametrize("body", [take(0.5)[:-2], take(0.5)[:30], take(0.5, rate=8000), b"busy"])
def test_a_file_that_is_not_what_was_written_does_not_count_as_made(tmp_path: Path, body: bytes) -> None:
    (tmp_path / "a.wav").write_bytes(body)
    written = Wav(None)
    written.begin(RATE, 1)
    written.add(take(0.5)[44:])
    with pytest.raises(EngineError):
        read_again(FileRef(root="in", path="a.wav"), {"in": str(tmp_path)}, written)


def test_stereo_stays_stereo(tmp_path: Path) -> None:
    made = joined(tmp_path, [take(0.5, channels=2)], NOW)
    with wave.open(str(tmp_path / "a.wav")) as reader:
        assert (reader.getnchannels(), reader.getnframes()) == (2, round(made.seconds * RATE))


@pytest.mark.parametrize(
    ("body", "code"),
    [(take(0.0, edge_s=0.0), "reply-empty"), (b"ID3" + bytes(400), "reply-damaged")],
    ids=["empty", "damaged"],
)
def test_a_take_that_is_no_sound_is_the_fault_of_who_answered(tmp_path: Path, body: bytes, code: str) -> None:
    with pytest.raises(ContractError, match="the speech ") as caught:
        joined(tmp_path, [take(0.5), body], NOW, NOW)
    assert caught.value.code == code


@pytest.mark.parametrize("more", [0, 2])
def test_a_take_has_no_more_samples_than_memory_is_meant_for(tmp_path: Path, more: int) -> None:
    params = JoinParams(demuxers=("wav",), join=Join(splices=(NOW,), edge_ms=EDGE_MS), max_take_bytes=16_000)
    spec = msgspec.structs.replace(
        ask(tmp_path, [wrap_pcm(bytes(16_000 + more), rate=RATE, channels=1)], params.join),
        params=msgspec.Raw(msgspec.json.encode(params)),
    )
    result = run_stage(spec, {"in": str(tmp_path)})
    assert result.code == ("reply-damaged" if more else None)


def test_takes_of_different_rates_are_refused_and_not_joined_at_the_wrong_speed(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="differ"):
        joined(tmp_path, [take(0.2), take(0.2, rate=24_000)], NOW, NOW)


def test_a_file_that_would_be_too_large_is_broken_off_and_no_wav(tmp_path: Path) -> None:
    spec = ask(tmp_path, [take(0.5), take(0.5)], Join(splices=(NOW, NOW), edge_ms=EDGE_MS), max_bytes=30_000)
    with pytest.raises(LimitExceeded) as caught:
        carried_out(tmp_path, spec)
    assert caught.value.code == "limit-bytes"
    assert 16_000 < (tmp_path / "a.wav").stat().st_size < 30_000
    assert not (tmp_path / "a.wav").read_bytes().startswith(b"RIFF")


def test_a_full_disk_is_a_store_error() -> None:
    with open("/dev/full", "wb", buffering=0) as full, pytest.raises(StoreError) as caught:
        Wav(files.Sink(full, None)).begin(RATE, 1)
    assert caught.value.code == "disk-full"


def test_importing_pydub_warns_nobody_and_only_this_stage_needs_it() -> None:
    code = (
        "import pipeline.children.child, pipeline.children.sound_stage, jobs.tts, sys; print('pydub' in sys.modules);"
        "import pipeline.children.join_stage; print('pydub' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.stdout.split(), done.stderr) == (["False", "True"], "")
