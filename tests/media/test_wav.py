"""The only writer of WAV: what it writes is a whole WAV, and what a pipe left open is none."""

import io
import wave

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.errors import InputError, LimitExceeded
from pipeline.core.wav import MAX_DATA_BYTES, wav_header, wrap_pcm
from pipeline.media.containers import examine
from pipeline.media.wav import read_layout
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


@pytest.mark.parametrize(("data_bytes", "rate", "channels"), [(3, 16000, 1), (4, 16000, 3), (2, 1, 1), (2, 16000, 0)])
def test_what_would_be_a_lying_header_is_not_written(data_bytes: int, rate: int, channels: int) -> None:
    with pytest.raises(InputError) as caught:
        wav_header(data_bytes, rate=rate, channels=channels)
    assert caught.value.code == "input-damaged"


def test_more_than_a_wav_can_hold_is_not_written() -> None:
    with pytest.raises(LimitExceeded):
        wav_header(MAX_DATA_BYTES // 2 * 2 + 2, rate=16000, channels=1)


def test_a_wav_from_a_pipe_is_refused() -> None:
    body = made(Recipe(muxer="wav", sound="pcm_s16le", is_live=True))
    assert not examine(io.BytesIO(body), len(body)).ok


@pytest.mark.parametrize("stated", [b"\0\0\0\0", b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\x80"])
def test_every_known_placeholder_for_a_size_is_refused(stated: bytes) -> None:
    whole_wav = wrap_pcm(SAMPLES, rate=16000, channels=1)
    file = io.BytesIO(whole_wav[:4] + stated + whole_wav[8:40] + stated + whole_wav[44:])
    assert not examine(file, len(whole_wav)).ok


def test_the_layout_says_where_the_samples_lie(whole: dict[str, Specimen]) -> None:
    body = whole["wav-bext-first"].body
    layout = read_layout(io.BytesIO(body), len(body))
    assert body[layout.data_at : layout.data_at + layout.data_bytes] == SAMPLES
