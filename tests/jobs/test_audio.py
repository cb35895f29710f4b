"""Joining speech: one true WAV, trimmed, faded, paused; the only user of pydub."""

import contextlib
import subprocess
import sys
import wave
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs._audio import EDGE_MS, join_speech
from pipeline.core.errors import ContractError, LimitExceeded, StoreError
from pipeline.media.wav import wrap_pcm
from tests.jobs.scripted import speech, tone

EDGES_S = 2 * EDGE_MS / 1000


def join(path: Path, *bodies: bytes, max_bytes: int | None = None) -> None:
    with join_speech(path, max_bytes=max_bytes) as joined:
        for body in bodies:
            joined.append(body, pause_s=0)


def samples(path: Path) -> tuple[int, bytes]:
    with wave.open(str(path)) as reader:
        return reader.getframerate(), reader.readframes(reader.getnframes())


def test_pieces_become_one_wav_with_measured_pauses(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    with join_speech(path, max_bytes=None) as joined:
        first = joined.append(speech(1.0), pause_s=9.0)
        joined.append(speech(0.5), pause_s=0.25)
    rate, pcm = samples(path)
    assert len(pcm) / 2 / rate == joined.seconds
    assert joined.seconds == pytest.approx(1.0 + 0.25 + 0.5 + 2 * EDGES_S, abs=0.03)
    assert first.seconds == pytest.approx(1.0 + EDGES_S, abs=0.02)


def test_silence_at_the_edges_of_a_piece_is_trimmed_whatever_its_length(tmp_path: Path) -> None:
    with join_speech(tmp_path / "a.wav", max_bytes=None) as joined:
        short = joined.append(speech(0.4, edge_s=0.1), pause_s=0)
        long = joined.append(speech(0.4, edge_s=2.0), pause_s=0)
    assert short.seconds == pytest.approx(long.seconds, abs=0.02)


def test_a_seam_is_faded_so_that_it_cannot_click(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    loud = wrap_pcm(b"\x00\x60" * 8000, rate=16_000, channels=1)
    with join_speech(path, max_bytes=None) as joined:
        joined.append(loud, pause_s=0)
    _, pcm = samples(path)
    assert abs(int.from_bytes(pcm[:2], "little", signed=True)) < 2000
    assert abs(int.from_bytes(pcm[-2:], "little", signed=True)) < 2000
    assert pcm[8000:8002] == b"\x00\x60"


def test_a_silent_piece_is_told_apart(tmp_path: Path) -> None:
    with join_speech(tmp_path / "a.wav", max_bytes=None) as joined:
        assert joined.append(wrap_pcm(bytes(16_000), rate=16_000, channels=1), pause_s=0).is_silent
        assert not joined.append(speech(0.2), pause_s=0).is_silent


def test_stereo_stays_stereo(tmp_path: Path) -> None:
    with join_speech(tmp_path / "a.wav", max_bytes=None) as joined:
        joined.append(wrap_pcm(tone(0.5, channels=2), rate=16_000, channels=2), pause_s=0)
    with wave.open(str(tmp_path / "a.wav")) as reader:
        assert (reader.getnchannels(), reader.getnframes()) == (2, round(joined.seconds * 16_000))


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "reply-damaged"),
        (b"<html>no</html>" * 10, "reply-damaged"),
        (wrap_pcm(b"", rate=16_000, channels=1), "reply-empty"),
        (speech(0.5)[:-100], "reply-damaged"),
    ],
)
def test_what_is_no_speech_is_refused(tmp_path: Path, body: bytes, code: str) -> None:
    with pytest.raises(ContractError) as caught:
        join(tmp_path / "a.wav", body)
    assert caught.value.code == code


def test_pieces_of_different_rates_are_refused_and_not_joined_at_the_wrong_speed(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="differ"):
        join(tmp_path / "a.wav", speech(0.2), speech(0.2, rate=24_000))


def test_a_file_that_would_be_too_large_stops_at_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    with pytest.raises(LimitExceeded) as caught:
        join(path, *[speech(0.5)] * 100, max_bytes=40_000)
    assert caught.value.code == "limit-bytes"
    assert path.stat().st_size <= 40_044


def test_a_broken_off_file_is_no_wav(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    with pytest.raises(ContractError):
        join(path, speech(0.5), b"garbage")
    assert path.stat().st_size > 16_000
    assert not path.read_bytes().startswith(b"RIFF")


def test_a_full_disk_is_a_store_error() -> None:
    with pytest.raises(StoreError) as caught:
        join(Path("/dev/full"), speech(1.0))
    assert caught.value.code == "disk-full"


@settings(max_examples=60)
@given(tail=st.binary(max_size=200), kept=st.integers(0, 60))
def test_any_bytes_are_joined_or_refused_as_a_broken_contract(tail: bytes, kept: int) -> None:
    body = speech(0.01, edge_s=0)[:kept] + tail
    with contextlib.suppress(ContractError):
        join(Path("/dev/null"), body)


def test_importing_pydub_warns_nobody_and_starts_nothing() -> None:
    code = (
        "import jobs._audio, sys; print([m for m in ('av', 'hibari', 'faster_whisper', 'magic') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")
