"""Weighing sounds: loudness against signals whose loudness is known, silence, clipping, and what is written anew."""

import io
import math
from pathlib import Path

import av as pyav
import msgspec
import numpy as np
import pytest
from av.audio.stream import AudioStream
from numpy.typing import NDArray

from pipeline.children import sound_stage
from pipeline.children.lanes import Lanes
from pipeline.children.stage import FileRef
from pipeline.core.errors import InputError
from pipeline.core.sound import Change, Sound
from pipeline.core.wav import wrap_pcm
from pipeline.media import av
from tests.children.conftest import MEDIA, pcm_of

pytestmark = pytest.mark.real_time
Wave = NDArray[np.float64]


def sine(dbfs: float, seconds: float, *, rate: int = 48_000, hertz: float = 997.0) -> Wave:
    time = np.arange(round(seconds * rate)) / rate
    return np.asarray(10 ** (dbfs / 20) * np.sin(2 * math.pi * hertz * time))


class Scale:
    """Weighs a wave at 48 kHz as it is."""

    def __init__(self, lanes: Lanes, folder: Path) -> None:
        self._lanes = lanes
        self._path = folder / "in" / "sound.wav"

    async def weigh(self, wave: Wave, *, channels: int = 1) -> Sound:
        samples = np.repeat(np.clip(np.rint(wave * 32768), -32768, 32767).astype("<i2"), channels)
        self._path.write_bytes(wrap_pcm(samples.tobytes(), rate=48_000, channels=channels))
        return await weighed(self._lanes, self._path)


@pytest.fixture
def scale(lanes: Lanes, tmp_path: Path) -> Scale:
    return Scale(lanes, tmp_path)


def change_of(path: Path, change: Change, demuxer: str = "wav") -> tuple[Sound, Wave]:
    """What a change makes of a sound, in this process."""
    ref, roots = FileRef(root="in", path=path.name), {"in": str(path.parent)}
    with sound_stage.opened(ref, roots, demuxer, change) as found:
        samples = np.concatenate(list(found.lumps))
        meter = sound_stage.SoundMeter(found.rate, found.channels)
    meter.add(samples)
    return meter.told(), samples / 32768


async def weighed(lanes: Lanes, path: Path, demuxer: str = "wav") -> Sound:
    return av.sound_facts(await lanes.run("media", av.weigh(lanes.ref(str(path)), demuxer)))


# EBU Tech 3341: a stereo sine of 1 kHz at -23 dBFS in both channels has -23 LUFS; in one channel alone, 3 less. Its
# gate leaves out what lies 10 LU under the rest.
@pytest.mark.parametrize(
    ("wave", "channels", "lufs"),
    [
        (sine(-23, 20, hertz=1000.0), 2, -23.0),
        (sine(-33, 20, hertz=1000.0), 2, -33.0),
        (sine(-20, 20), 1, -23.0),
        (np.concatenate([sine(-36, 10), sine(-23, 60), sine(-36, 10)]), 2, -23.0),
        (np.concatenate([sine(-23, 10), np.zeros(480_000)]), 2, -23.0),
    ],
    ids=["case 1", "case 2", "one channel", "case 3", "half of it silent"],
)
async def test_loudness_is_that_of_the_standards_own_signals(
    scale: Scale, wave: Wave, channels: int, lufs: float
) -> None:
    assert (await scale.weigh(wave, channels=channels)).lufs == pytest.approx(lufs, abs=0.1)


@pytest.mark.parametrize("codec", ["pcm_s24le", "pcm_f32le", "pcm_u8", "pcm_mulaw", "adpcm_ms", "adpcm_ima_wav"])
async def test_a_wav_is_what_its_head_says_whatever_its_samples_are_written_in(
    lanes: Lanes, tmp_path: Path, codec: str
) -> None:
    path = tmp_path / "in" / "odd.wav"
    with pyav.open(str(path), "w", format="wav") as made:
        stream = made.add_stream(codec, rate=8000, layout="mono")
        assert isinstance(stream, AudioStream)
        frame = pyav.AudioFrame.from_ndarray((sine(-20, 4, rate=8000) * 32768).astype("<i2")[None, :], "s16", "mono")
        frame.rate = 8000
        made.mux([packet for part in (frame, None) for packet in stream.encode(part)])
    sound, samples = change_of(path, Change())
    assert (sound.rate, sound.channels, sound.clipped) == (8000, 1, 0.0)
    assert sound.seconds == len(samples) / 8000 == pytest.approx(4.0, abs=0.2)
    assert sound.lufs == pytest.approx(-23.0, abs=0.5)


async def test_too_little_sound_has_no_loudness_and_silence_is_all_silence(scale: Scale) -> None:
    assert (await scale.weigh(sine(-20, 0.2))).lufs is None
    still = await scale.weigh(np.zeros(96_000))
    assert (still.lufs, still.peak, still.silence, still.longest_silence_s) == (None, 0.0, 1.0, 0.0)


async def test_silence_is_counted_as_a_share_and_between_two_sounds(scale: Scale) -> None:
    pause = np.zeros(48_000 * 3)
    found = await scale.weigh(np.concatenate([pause, sine(-20, 2), pause[:48_000], sine(-20, 2), pause]))
    assert found.silence == pytest.approx(7 / 11, abs=0.01)
    assert found.longest_silence_s == pytest.approx(1.0, abs=0.06)


async def test_clipping_is_what_lies_flat_at_full_scale(scale: Scale) -> None:
    assert (await scale.weigh(sine(-0.1, 2))).clipped == 0.0
    over = await scale.weigh(np.clip(sine(6.02, 2, hertz=100), -1, 1))
    assert over.clipped == pytest.approx(2 / 3, abs=0.02)  # a sine at twice full scale is cut two thirds of the time


@pytest.mark.parametrize("gain", [-6.0, 5.0, 20.0])
async def test_a_gain_is_exact_and_held_below_the_ceiling(lanes: Lanes, tmp_path: Path, gain: float) -> None:
    path = tmp_path / "in" / "quiet.wav"
    path.write_bytes(wrap_pcm((sine(-20, 4) * 32768).astype("<i2").tobytes(), rate=48_000, channels=1))
    sound, samples = change_of(path, Change(gain_db=gain))
    assert 20 * math.log10(float(np.abs(samples).max())) == pytest.approx(min(-20 + gain, -1.0), abs=0.1)
    assert sound.seconds == pytest.approx(4.0, abs=0.001)


async def test_a_limiter_moves_no_sample(lanes: Lanes, tmp_path: Path) -> None:
    wave = np.zeros(48_000)
    wave[24_000:24_100] = 0.2
    path = tmp_path / "in" / "tick.wav"
    path.write_bytes(wrap_pcm((wave * 32768).astype("<i2").tobytes(), rate=48_000, channels=1))
    _, samples = change_of(path, Change(gain_db=3.0))
    assert int(np.argmax(np.abs(samples) > 0.1)) == pytest.approx(24_000, abs=2)


@pytest.mark.parametrize("tempo", [1.1, 1.35])
async def test_a_faster_tempo_keeps_the_pitch(lanes: Lanes, tmp_path: Path, tempo: float) -> None:
    path = tmp_path / "in" / "tone.wav"
    path.write_bytes(
        wrap_pcm((sine(-10, 4, rate=16_000, hertz=440) * 32768).astype("<i2").tobytes(), rate=16_000, channels=1)
    )
    sound, samples = change_of(path, Change(tempo=tempo))
    assert sound.seconds == pytest.approx(4.0 / tempo, abs=0.03)
    strongest = int(np.argmax(np.abs(np.fft.rfft(samples)))) * 16_000 / len(samples)
    assert strongest == pytest.approx(440, abs=3)


async def test_any_recording_is_decoded_to_the_wanted_shape(lanes: Lanes) -> None:
    sound, samples = change_of(MEDIA / "jfk.mp3", Change(rate=24_000, channels=2), demuxer="mp3")
    assert (sound.rate, sound.channels) == (24_000, 2)
    assert len(samples) / 2 / 24_000 == sound.seconds == pytest.approx(11.0, abs=0.1)


@pytest.mark.parametrize("channels", [1, 2])
async def test_samples_that_need_no_change_are_the_same_bytes(lanes: Lanes, tmp_path: Path, channels: int) -> None:
    body = (MEDIA / "jfk.wav").read_bytes()[-11 * 32_000 :]
    (tmp_path / "in" / "some.wav").write_bytes(wrap_pcm(body, rate=16_000, channels=channels))
    sound, samples = change_of(tmp_path / "in" / "some.wav", Change())
    assert (samples * 32768).astype("<i2").tobytes() == body
    assert sound.seconds == 11.0 / channels


def test_loudness_is_left_out_where_nobody_asks_and_nothing_else_is() -> None:
    samples = pcm_of("jfk.wav")
    told = []
    for hears_loudness in (True, False):
        meter = sound_stage.SoundMeter(16_000, 1, hears_loudness=hears_loudness)
        meter.add(samples)
        told.append(meter.told())
    assert told[0].lufs == -15.4
    assert told[1] == msgspec.structs.replace(told[0], lufs=None)


@pytest.mark.parametrize("channels", [1, 2])
async def test_sound_that_hides_in_a_wav_is_heard_as_what_it_is(lanes: Lanes, tmp_path: Path, channels: int) -> None:
    """AC-3 under the head of a WAV, which would be noise."""
    raw = io.BytesIO()
    with pyav.open(raw, "w", format="ac3") as made:
        stream = made.add_stream("ac3", rate=48_000, layout="stereo")
        assert isinstance(stream, AudioStream)
        frame = pyav.AudioFrame.from_ndarray(
            (sine(-20, 2).repeat(2) * 32768).astype("<i2").reshape(1, -1), "s16", "stereo"
        )
        frame.rate = 48_000
        cut = pyav.AudioResampler(stream.format, "stereo", 48_000, 1536)
        made.mux(
            [packet for part in (*cut.resample(frame), *cut.resample(None), None) for packet in stream.encode(part)]
        )
    body = raw.getvalue()
    path = tmp_path / "in" / "hiding.wav"
    path.write_bytes(wrap_pcm(body[: len(body) // 4 * 4], rate=48_000, channels=channels))
    sound, _ = change_of(path, Change())
    assert sound.seconds == pytest.approx(2.0, abs=0.1)
    assert sound.peak == pytest.approx(0.1, abs=0.01)


async def test_what_is_no_sound_is_refused(lanes: Lanes, tmp_path: Path) -> None:
    path = tmp_path / "in" / "page.wav"
    path.write_bytes(b"<html>busy</html>" * 50)
    with pytest.raises(InputError):
        await weighed(lanes, path)
