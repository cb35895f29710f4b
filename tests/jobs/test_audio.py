"""Joining speech: one true WAV, trimmed, faded, paused; the only user of pydub."""

import subprocess
import sys
import tempfile
import wave
from itertools import pairwise
from pathlib import Path

import av
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs._audio import EDGE_MS, join_speech, one_wav
from pipeline.core.errors import ContractError, LimitExceeded, StoreError
from pipeline.media.containers import examine
from pipeline.media.wav import Pcm
from tests.jobs.scripted import RATE, speech, tone
from tests.jobs.sounding import samples, sounding

EDGES_S = 2 * EDGE_MS / 1000


def pcm(seconds: float, *, rate: int = RATE, edge_s: float = 0.3, amplitude: int = 8000, channels: int = 1) -> Pcm:
    samples = tone(seconds, rate=rate, edge_s=edge_s, amplitude=amplitude, channels=channels)
    return Pcm(rate=rate, channels=channels, samples=samples)


def test_pieces_become_one_wav_with_measured_pauses(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    with join_speech(path) as joined:
        first = joined.append(pcm(1.0), pause_s=9.0)
        second = joined.append(pcm(0.5), pause_s=0.25)
    rate, data = samples(path)
    assert len(data) / 2 / rate == joined.seconds
    assert joined.seconds == pytest.approx(1.0 + 0.25 + 0.5 + 2 * EDGES_S, abs=0.03)
    assert first.seconds == pytest.approx(1.0 + EDGES_S, abs=0.02)
    assert first.at_s == 0.0
    assert second.at_s == pytest.approx(first.seconds + 0.25, abs=0.001)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.floats(0.05, 0.6), st.floats(0, 0.5), st.floats(0, 0.8)), min_size=1, max_size=6))
def test_joining_loses_no_sound_and_says_none_twice(pieces: list[tuple[float, float, float]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.wav"
        with join_speech(path) as joined:
            placed = [joined.append(pcm(length, edge_s=edge), pause_s=pause) for length, edge, pause in pieces]
        found = sounding(path)
    sound = sum(end - start for start, end in found)
    assert sound == pytest.approx(sum(length for length, _, _ in pieces), abs=0.03 * len(pieces))
    pauses = sum(pause for _, _, pause in pieces[1:])
    assert joined.seconds == pytest.approx(sum(piece.seconds for piece in placed) + pauses, abs=0.001 * len(pieces))
    assert all(later.at_s >= piece.at_s + piece.seconds - 0.001 for piece, later in pairwise(placed))


def test_silence_at_the_edges_of_a_piece_is_trimmed_whatever_its_length(tmp_path: Path) -> None:
    with join_speech(tmp_path / "a.wav") as joined:
        short = joined.append(pcm(0.4, edge_s=0.1), pause_s=0)
        long = joined.append(pcm(0.4, edge_s=2.0), pause_s=0)
    assert short.seconds == pytest.approx(long.seconds, abs=0.02)


def test_a_seam_is_faded_so_that_it_cannot_click(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    with join_speech(path) as joined:
        joined.append(Pcm(rate=RATE, channels=1, samples=b"\x00\x60" * 8000), pause_s=0)
    _, data = samples(path)
    assert abs(int.from_bytes(data[:2], "little", signed=True)) < 2000
    assert abs(int.from_bytes(data[-2:], "little", signed=True)) < 2000
    assert data[8000:8002] == b"\x00\x60"


def test_both_sides_of_a_stereo_piece_are_faded_alike(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    with join_speech(path) as joined:
        joined.append(Pcm(rate=RATE, channels=2, samples=b"\x00\x60\x00\xa0" * 8000), pause_s=0)
    sounds = memoryview(samples(path)[1]).cast("h")
    left, right = list(sounds[::2]), list(sounds[1::2])
    assert left == [-each for each in right] == left[::-1]
    assert left[:4000] == sorted(left[:4000])
    assert (left[0], left[40], left[80]) == (0, 0x6000 // 2, 0x6000)


def test_a_piece_is_placed_at_its_time_and_cut_where_its_time_ends(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    with join_speech(path) as joined:
        joined.place(pcm(0.5), at_s=1.0, until_s=2.0)
        long = joined.place(pcm(1.5), at_s=2.0, until_s=3.0)
        joined.place(pcm(0.4), at_s=3.0, until_s=4.0)
        joined.pad_to(4.0)
    assert joined.seconds == 4.0
    assert long.seconds == pytest.approx(1.5, abs=0.04)
    starts = [start for start, _ in sounding(path)]
    assert starts == pytest.approx([1.0, 2.0, 3.0], abs=0.03)


def test_stereo_stays_stereo(tmp_path: Path) -> None:
    with join_speech(tmp_path / "a.wav") as joined:
        joined.append(pcm(0.5, channels=2), pause_s=0)
    with wave.open(str(tmp_path / "a.wav")) as reader:
        assert (reader.getnchannels(), reader.getnframes()) == (2, round(joined.seconds * RATE))


def test_speech_without_a_sample_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ContractError) as caught, join_speech(tmp_path / "a.wav") as joined:
        joined.append(Pcm(rate=RATE, channels=1, samples=b""), pause_s=0)
    assert caught.value.code == "reply-empty"


def test_pieces_of_different_rates_are_refused_and_not_joined_at_the_wrong_speed(tmp_path: Path) -> None:
    with join_speech(tmp_path / "a.wav") as joined:
        joined.append(pcm(0.2), pause_s=0)
        with pytest.raises(ContractError, match="differ"):
            joined.append(pcm(0.2, rate=24_000), pause_s=0)


async def test_wavs_become_one_with_its_tags_and_a_true_header(tmp_path: Path) -> None:
    reels = [tmp_path / "1.wav", tmp_path / "2.wav"]
    for reel in reels:
        reel.write_bytes(speech(0.5))
    spoken = b"".join(samples(reel)[1] for reel in reels)
    whole = tmp_path / "whole.wav"
    await one_wav(reels, whole, tags={"title": "Été", "comment": "source: a.txt", "track": "1"}, max_bytes=None)
    rate, data = samples(whole)
    assert (rate, data) == (RATE, spoken)
    with whole.open("rb") as file:
        found = examine(file, whole.stat().st_size)
    assert found.ok
    assert found.seconds == pytest.approx(2.2, abs=0.001)
    with av.open(str(whole)) as made:
        assert made.metadata == {"title": "Été", "comment": "source: a.txt"}


async def test_a_file_that_would_be_too_large_is_not_written(tmp_path: Path) -> None:
    (tmp_path / "1.wav").write_bytes(speech(1.0))
    with pytest.raises(LimitExceeded) as caught:
        await one_wav([tmp_path / "1.wav"], tmp_path / "whole.wav", tags={}, max_bytes=20_000)
    assert caught.value.code == "limit-bytes"
    assert not (tmp_path / "whole.wav").exists()


def break_off(path: Path) -> None:
    with join_speech(path) as joined:
        joined.append(pcm(0.5), pause_s=0)
        raise ZeroDivisionError


def test_a_broken_off_file_is_no_wav(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    with pytest.raises(ZeroDivisionError):
        break_off(path)
    assert path.stat().st_size > 16_000
    assert not path.read_bytes().startswith(b"RIFF")


def test_a_full_disk_is_a_store_error() -> None:
    with pytest.raises(StoreError) as caught, join_speech(Path("/dev/full")) as joined:
        joined.append(pcm(1.0), pause_s=0)
    assert caught.value.code == "disk-full"


def test_importing_pydub_warns_nobody_and_starts_nothing() -> None:
    code = (
        "import jobs._audio, sys; print([m for m in ('av', 'hibari', 'faster_whisper', 'magic') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")
