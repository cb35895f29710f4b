"""Parts of a recording: every sample in its place, the same bytes every time, one channel or all, bounded memory."""

import hashlib
from itertools import pairwise
from pathlib import Path

import av as pyav
import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.children import limits, pcm
from pipeline.children.lanes import Lanes
from pipeline.children.run import run_stage
from pipeline.children.split_stage import LOOK_BACK, Tape
from pipeline.children.split_work import FORMS, SplitFacts, SplitParams
from pipeline.children.stage import FileRef, StageLimits, StageResult, StageSpec
from pipeline.core.hearing import PARTS, Cut
from pipeline.core.model import Media
from pipeline.core.wav import wrap_pcm
from pipeline.media import recordings
from pipeline.media.containers import examine
from tests.children.conftest import MEDIA, own_children, pcm_of, peak_of_children
from tests.children.test_survey_stage import make_hours

RATE = pcm.RATE
SECONDS = ((0.0, 4.0), (3.5, 7.25), (7.25, 11.0))


def split(folder: Path, name: str = "jfk.wav", *, form: str = "audio/flac", **more: object) -> StageResult:
    """The parts of a sample, or of a file of the folder."""
    told = {"stretches": tuple((round(a * RATE), round(b * RATE)) for a, b in SECONDS), **more}
    max_bytes = told.pop("max_bytes", None)
    params = SplitParams(demuxer="wav", media_type=form, **told)  # type: ignore[arg-type]  # fields of the struct
    spec = StageSpec(
        stage="split_stage:split",
        inputs=(FileRef(root="samples" if name == "jfk.wav" else "in", path=name),),
        output=FileRef(root="in", path="part-"),
        params=msgspec.Raw(msgspec.json.encode(params)),
        limits=StageLimits(max_output_bytes=max_bytes),  # type: ignore[arg-type]  # a number or None
    )
    return run_stage(spec, {"samples": str(MEDIA), "in": str(folder)})


def made(result: StageResult) -> SplitFacts:
    assert result.code is None, result
    return msgspec.json.decode(result.facts, type=SplitFacts)


def decoded(path: Path) -> pcm.Pcm:
    resampler = pyav.AudioResampler(format="s16", layout="mono", rate=RATE)
    with pyav.open(str(path)) as container:
        frames = [out.to_ndarray().reshape(-1) for f in container.decode(audio=0) for out in resampler.resample(f)]
    return np.concatenate([*frames, *(out.to_ndarray().reshape(-1) for out in resampler.resample(None))])


def jfk() -> pcm.Pcm:
    return pcm_of("jfk.wav")


@pytest.mark.parametrize("form", ["audio/flac", "audio/wav"])
def test_a_part_has_exactly_the_samples_of_its_stretch(tmp_path: Path, form: str) -> None:
    facts = made(split(tmp_path, form=form))
    for (start, end), part in zip(SECONDS, facts.parts, strict=True):
        body = (tmp_path / part.path).read_bytes()
        assert np.array_equal(decoded(tmp_path / part.path), jfk()[round(start * RATE) : round(end * RATE)])
        assert (part.size, part.sha256) == (len(body), hashlib.sha256(body).hexdigest())
        assert part.samples == round((end - start) * RATE)


@pytest.mark.parametrize("form", sorted(FORMS))
def test_every_form_is_whole_of_its_type_and_as_long_as_its_stretch(tmp_path: Path, form: str) -> None:
    for (start, end), part in zip(SECONDS, made(split(tmp_path, form=form)).parts, strict=True):
        with (tmp_path / part.path).open("rb") as file:
            found = examine(file, part.size)
        assert found.ok, found
        assert found.media is not None
        assert (found.media.media_type, found.media.demuxer) == (form, FORMS[form].demuxer)
        assert found.seconds == pytest.approx(end - start, abs=0.15)
        assert part.size <= FORMS[form].bytes_per_s * (end - start) + 2_000


@pytest.mark.parametrize("form", sorted(FORMS))
def test_compressed_parts_begin_where_they_should(tmp_path: Path, form: str) -> None:
    """Within a hundredth of a second: an encoder's delay is told in the file, and decoders take it away."""
    part = made(split(tmp_path, form=form)).parts[1]
    heard, wanted = decoded(tmp_path / part.path).astype(float), jfk()[round(3.5 * RATE) : round(7.25 * RATE)]
    size = min(len(heard), len(wanted)) // 2
    shifts = range(-1600, 1601, 16)
    middle = heard[size // 2 : size // 2 + size]
    fit = [float(np.dot(middle, wanted[size // 2 + s : size // 2 + s + size])) for s in shifts]
    assert abs(shifts[int(np.argmax(fit))]) <= 160


@pytest.mark.parametrize("form", sorted(FORMS))
def test_the_same_recording_gives_the_same_bytes_every_time(tmp_path: Path, form: str) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert made(split(tmp_path / "a", form=form)) == made(split(tmp_path / "b", form=form))


def test_each_channel_can_be_a_part_of_its_own(tmp_path: Path) -> None:
    left, right = np.full(RATE, 1000, "<i2"), np.full(RATE, -2000, "<i2")
    stereo = np.stack([left, right], axis=1).reshape(-1)
    (tmp_path / "two.wav").write_bytes(wrap_pcm(stereo.tobytes(), rate=RATE, channels=2))
    for channel, level in ((0, 1000), (1, -2000), (None, -500)):
        facts = made(split(tmp_path, "two.wav", stretches=((0, RATE),), channel=channel))
        assert np.abs(decoded(tmp_path / facts.parts[0].path) - level).max() <= 1
    assert split(tmp_path, "two.wav", stretches=((0, RATE),), channel=2).code == "input-type"


def test_parts_that_grow_beyond_their_room_are_stopped(tmp_path: Path) -> None:
    assert split(tmp_path, form="audio/wav", max_bytes=300_000).code == "limit-bytes"
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) <= 300_000


def test_a_stretch_beyond_the_end_is_damage(tmp_path: Path) -> None:
    assert split(tmp_path, stretches=((0, RATE), (20 * RATE, 21 * RATE))).code == "input-damaged"


@settings(max_examples=60)
@given(
    blocks=st.lists(st.integers(1, 5 * RATE), min_size=1, max_size=20),
    cuts=st.lists(st.floats(0, 1), max_size=6),
    overlap=st.integers(0, LOOK_BACK // 2),
)
def test_a_tape_gives_every_stretch_whatever_the_blocks(blocks: list[int], cuts: list[float], overlap: int) -> None:
    total = sum(blocks)
    numbers = np.arange(total).astype(np.int16)
    tape = Tape(iter(np.split(numbers, np.cumsum(blocks)[:-1])))
    edges = [0, *sorted(round(cut * total) for cut in cuts), total]
    for start, end in pairwise(edges):
        begin = max(start - overlap, 0)
        pieces = list(tape.between(begin, end))
        assert np.array_equal(np.concatenate([numbers[:0], *pieces]), numbers[begin:end])


@pytest.mark.real_time
@pytest.mark.parametrize(("form", "hours"), [("flac", 2), ("mp3", 0.25), ("opus", 0.25)])
async def test_invariant_15_hours_are_split_in_the_memory_of_a_moment(
    lanes: Lanes, tmp_path: Path, form: str, hours: float
) -> None:
    """Generated: hours of a soft tone in FLAC. The samples of two hours alone are 230 MB."""
    source = tmp_path / "in" / "hours.flac"
    make_hours(source, hours=hours)
    media = Media(media_type="audio/flac", family="audio", extension="flac", demuxer="flac")
    stretches = tuple((float(at), at + 300.0) for at in range(0, round(hours * 3600), 300))
    cut = Cut(media_type=PARTS[form], stretches=stretches)
    spec = recordings.split(lanes.ref(str(source)), media, lanes.scratch("-"), cut, max_seconds=None, max_bytes=None)
    others = frozenset(own_children())
    future = lanes.submit("media", spec)
    peak = peak_of_children(future, others=others)
    found = recordings.parts(future.result(), cut.media_type, str(tmp_path / "staging"))
    assert [ref.seconds for ref in found] == [300.0] * len(stretches)
    assert all(Path(ref.path).stat().st_size == ref.size for ref in found)
    assert peak < 150 * limits.MEGABYTE
