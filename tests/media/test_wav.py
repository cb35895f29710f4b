"""The only writer of WAV: what it writes is a whole WAV, and what a pipe left open it can close."""

import io
import os
import wave

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.errors import InputError, LimitExceeded
from pipeline.media.containers import examine
from pipeline.media.wav import MAX_DATA_BYTES, read_layout, read_pcm, repair_sizes, wav_header, wrap_pcm, write_wav
from tests.media.foundry import Recipe, made
from tests.media.zoo import SAMPLES, Specimen


@given(
    frames=st.integers(1, 300),
    rate=st.sampled_from([8000, 16000, 22050, 24000, 44100, 48000]),
    channels=st.integers(1, 6),
)
@settings(max_examples=60, deadline=None)
def test_what_is_wrapped_is_a_whole_wav_that_others_read_too(frames: int, rate: int, channels: int) -> None:
    pcm = bytes(at % 256 for at in range(frames * channels * 2))
    body = wrap_pcm(pcm, rate=rate, channels=channels)
    verdict = examine(io.BytesIO(body), len(body))
    assert (verdict.ok, verdict.seconds) == (True, frames / rate)
    with wave.open(io.BytesIO(body)) as other:
        assert (other.getframerate(), other.getnchannels(), other.getsampwidth()) == (rate, channels, 2)
        assert other.readframes(frames) == pcm


def test_what_is_wrapped_is_read_back() -> None:
    body = wrap_pcm(SAMPLES, rate=24000, channels=2)
    pcm = read_pcm(io.BytesIO(body), len(body), max_bytes=10_000)
    assert (pcm.rate, pcm.channels, pcm.data, pcm.seconds) == (24000, 2, SAMPLES, 1000 / 24000)


def test_a_wav_written_in_chunks_has_its_true_sizes() -> None:
    target = io.BytesIO()
    assert write_wav(target, [SAMPLES[:1000], b"", SAMPLES[1000:]], rate=16000, channels=1) == len(SAMPLES)
    assert target.getvalue() == wrap_pcm(SAMPLES, rate=16000, channels=1)


def test_an_interrupted_wav_is_not_taken_for_one() -> None:
    def chunks() -> "list[bytes]":
        raise KeyboardInterrupt

    target = io.BytesIO()
    with pytest.raises(KeyboardInterrupt):
        write_wav(
            target, (part for each in [SAMPLES, None] for part in ([each] if each else chunks())), rate=8000, channels=1
        )
    assert not examine(target, len(target.getvalue())).ok


class _Reluctant(io.BytesIO):
    """Takes few bytes at a time, as an unbuffered file on a nearly full disk does."""

    def write(self, data: "bytes | memoryview") -> int:  # type: ignore[override]  # the base takes any buffer
        return super().write(data[:7])


def test_short_writes_lose_nothing() -> None:
    target = _Reluctant()
    write_wav(target, [SAMPLES], rate=16000, channels=1)
    assert target.getvalue() == wrap_pcm(SAMPLES, rate=16000, channels=1)


@pytest.mark.parametrize(("data_bytes", "rate", "channels"), [(3, 16000, 1), (4, 16000, 3), (2, 1, 1), (2, 16000, 0)])
def test_what_would_be_a_lying_header_is_not_written(data_bytes: int, rate: int, channels: int) -> None:
    with pytest.raises(InputError) as caught:
        wav_header(data_bytes, rate=rate, channels=channels)
    assert caught.value.code == "input-damaged"


def test_more_than_a_wav_can_hold_is_not_written() -> None:
    with pytest.raises(LimitExceeded):
        wav_header(MAX_DATA_BYTES // 2 * 2 + 2, rate=16000, channels=1)


def test_a_wav_from_a_pipe_is_refused_tolerated_when_asked_and_repaired(tmp_path: "os.PathLike[str]") -> None:
    body = made(Recipe(muxer="wav", sound="pcm_s16le", is_live=True))
    path = os.path.join(tmp_path, "live.wav")
    with open(path, "w+b", buffering=0) as file:
        file.write(body)
        assert not examine(file, len(body)).ok
        assert examine(file, len(body), streaming=True).seconds == 1.0
        assert repair_sizes(file, len(body))
        assert examine(file, os.path.getsize(path)).ok
        assert not repair_sizes(file, os.path.getsize(path))


@pytest.mark.parametrize("stated", [b"\0\0\0\0", b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\x80"])
def test_every_known_placeholder_is_repaired(stated: bytes) -> None:
    whole_wav = wrap_pcm(SAMPLES, rate=16000, channels=1)
    file = io.BytesIO(whole_wav[:4] + stated + whole_wav[8:40] + stated + whole_wav[44:])
    assert not examine(file, len(whole_wav)).ok
    assert repair_sizes(file, len(whole_wav))
    assert file.getvalue() == whole_wav


def test_repair_cuts_off_half_a_sample() -> None:
    whole_wav = wrap_pcm(SAMPLES, rate=16000, channels=1)
    file = io.BytesIO(whole_wav[:40] + b"\xff\xff\xff\xff" + whole_wav[44:] + b"\x01")
    assert repair_sizes(file, len(whole_wav) + 1)
    assert file.getvalue() == whole_wav


def test_repair_closes_a_header_whose_outer_size_alone_is_open() -> None:
    whole_wav = wrap_pcm(SAMPLES, rate=16000, channels=1)
    file = io.BytesIO(whole_wav[:4] + b"\xff\xff\xff\xff" + whole_wav[8:])
    assert repair_sizes(file, len(whole_wav))
    assert file.getvalue() == whole_wav


def test_repair_refuses_what_is_no_wav() -> None:
    with pytest.raises(InputError) as caught:
        repair_sizes(io.BytesIO(bytes(100)), 100)
    assert caught.value.code == "input-damaged"


def test_reading_stays_below_its_bound_and_takes_16_bits_only(whole: dict[str, Specimen]) -> None:
    body = wrap_pcm(SAMPLES, rate=16000, channels=1)
    with pytest.raises(LimitExceeded):
        read_pcm(io.BytesIO(body), len(body), max_bytes=len(SAMPLES) - 1)
    floats = whole["wav-float"].body
    with pytest.raises(InputError, match="pcm_f32le"):
        read_pcm(io.BytesIO(floats), len(floats), max_bytes=10**9)


def test_the_layout_says_where_the_samples_lie(whole: dict[str, Specimen]) -> None:
    body = whole["wav-bext-first"].body
    layout = read_layout(io.BytesIO(body), len(body))
    assert body[layout.data_at : layout.data_at + layout.data_bytes] == SAMPLES
