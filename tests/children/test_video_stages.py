"""The video stages: clips of stills are what was asked, frame for frame, and every video shows its first picture."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import msgspec
import numpy as np
import pytest
from msgspec import Struct
from PIL import Image, ImageDraw

from pipeline.children.run import run_stage
from pipeline.children.stage import FileRef, StageLimits, StageResult, StageSpec
from pipeline.children.video_stages import LABEL
from pipeline.children.video_work import CROSSFADE, MOTIONS, PosterFacts, PosterParams, StillsFacts, StillsParams
from pipeline.media.containers import examine
from tests.children.conftest import tone

SMALL = (128, 96)


def disc(at: tuple[int, int], background: str = "navy") -> Image.Image:
    picture = Image.new("RGB", (320, 240), background)
    ImageDraw.Draw(picture).ellipse((at[0] - 30, at[1] - 30, at[0] + 30, at[1] + 30), fill="orange")
    return picture


class Bench:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        disc((160, 120)).save(folder / "a.png")
        disc((40, 40), "darkred").save(folder / "b.jpg", quality=95)

    def run(self, stage: str, params: Struct, *names: str, output: str, max_bytes: int = 10_000_000) -> StageResult:
        spec = StageSpec(
            stage=f"video_stages:{stage}",
            inputs=tuple(FileRef(root="in", path=name) for name in names),
            output=FileRef(root="in", path=output),
            params=msgspec.Raw(msgspec.json.encode(params)),
            limits=StageLimits(max_output_bytes=max_bytes),
        )
        return run_stage(spec, {"in": str(self.folder)})

    def clip(self, motion: str = "zoom in", *, output: str = "clip.mp4", **options: Any) -> StageResult:
        names = ("a.png", "b.jpg") if motion == CROSSFADE else ("a.png",)
        types = ("image/png", "image/jpeg")[: len(names)]
        base = StillsParams(motion=motion, seconds=1, media_types=types, size=SMALL)
        return self.run("stills", msgspec.structs.replace(base, **options), *names, output=output)

    def frames(self, name: str = "clip.mp4") -> list[Image.Image]:
        with av.open(str(self.folder / name)) as container:
            return [Image.fromarray(frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]


def facts(result: StageResult) -> StillsFacts:
    assert result.code is None, result
    return msgspec.json.decode(result.facts, type=StillsFacts)


def difference(one: Image.Image, other: Image.Image) -> float:
    pairs = zip(one.convert("L").tobytes(), other.convert("L").tobytes(), strict=True)
    return sum(abs(a - b) for a, b in pairs) / (one.width * one.height)


def middle(picture: Image.Image) -> tuple[float, float]:
    """Where the orange disc is."""
    found = [
        (place % picture.width, place // picture.width)
        for place, (red, _, blue) in enumerate(zip(*[iter(picture.tobytes())] * 3, strict=True))
        if red > 180 and blue < 120
    ]
    return sum(x for x, _ in found) / len(found), sum(y for _, y in found) / len(found)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.mark.parametrize("motion", [*MOTIONS, CROSSFADE])
def test_every_motion_makes_a_whole_video_of_the_length_asked(bench: Bench, motion: str) -> None:
    found = facts(bench.clip(motion))
    assert (found.width, found.height, found.frames, found.seconds) == (*SMALL, 25, 1.0)
    with (bench.folder / "clip.mp4").open("rb") as file:
        verdict = examine(file, (bench.folder / "clip.mp4").stat().st_size)
    assert (verdict.ok, verdict.seconds, verdict.streams) == (True, 1.0, ("video",))


def test_the_same_stills_give_the_same_bytes_and_say_what_they_are(bench: Bench) -> None:
    for name in ("one.mp4", "two.mp4"):
        facts(bench.clip(output=name))
    body = (bench.folder / "one.mp4").read_bytes()
    assert body == (bench.folder / "two.mp4").read_bytes()
    assert LABEL.encode() in body


def test_a_crossfade_goes_from_the_first_still_to_the_last(bench: Bench) -> None:
    facts(bench.clip(CROSSFADE))
    frames = bench.frames()
    first, last = (Image.open(bench.folder / name).resize(SMALL) for name in ("a.png", "b.jpg"))
    with first, last:
        assert difference(frames[0], first) < 3 < difference(frames[0], last)
        assert difference(frames[-1], last) < 3 < difference(frames[-1], first)


@pytest.mark.parametrize(
    ("motion", "across", "down"),
    [("pan left", 1, 0), ("pan right", -1, 0), ("pan up", 0, 1), ("pan down", 0, -1), ("hold", 0, 0)],
)
def test_a_pan_moves_the_view_and_so_the_picture_the_other_way(
    bench: Bench, motion: str, across: int, down: int
) -> None:
    facts(bench.clip(motion))
    frames = bench.frames()
    (x, y), (later_x, later_y) = middle(frames[0]), middle(frames[-1])
    assert [_sign(later_x - x), _sign(later_y - y)] == [across, down]


def _sign(distance: float) -> int:
    return 0 if abs(distance) < 2 else 1 if distance > 0 else -1


@pytest.mark.parametrize(
    ("options", "size"),
    [
        ({"size": None, "short_side": 96}, (128, 96)),
        ({"size": None, "short_side": 96, "aspect": (16, 9)}, (170, 96)),
        ({"size": None, "short_side": 96, "aspect": (9, 16)}, (96, 170)),
        ({"size": (200, 64)}, (200, 64)),
    ],
)
def test_the_size_is_asked_or_follows_the_first_still(
    bench: Bench, options: dict[str, Any], size: tuple[int, int]
) -> None:
    found = facts(bench.clip("hold", **options))
    assert (found.width, found.height) == size


@pytest.mark.parametrize(
    ("motion", "names"), [("crossfade", ("a.png",)), ("zoom in", ("a.png", "a.png")), ("a cat", ("a.png",))]
)
def test_a_motion_that_is_none_for_these_stills_makes_nothing(
    bench: Bench, motion: str, names: tuple[str, ...]
) -> None:
    params = StillsParams(motion=motion, seconds=1, media_types=("image/png",) * len(names), size=SMALL)
    assert bench.run("stills", params, *names, output="clip.mp4").code == "input-type"


def test_a_clip_beyond_its_bytes_or_pixels_is_stopped(bench: Bench) -> None:
    params = StillsParams(motion="zoom in", seconds=1, media_types=("image/png",), size=SMALL)
    assert bench.run("stills", params, "a.png", output="clip.mp4", max_bytes=500).code == "limit-bytes"
    small = msgspec.structs.replace(params, max_pixels=10_000)
    assert bench.run("stills", small, "a.png", output="clip.mp4").code == "limit-pixels"


# poster


def poster(bench: Bench, name: str, *, demuxer: str = "mov", max_pixels: int | None = None) -> StageResult:
    params = PosterParams(demuxer=demuxer, target_type="image/jpeg", max_pixels=max_pixels)
    return bench.run("poster", params, name, output="poster.jpg")


def test_a_poster_is_the_first_picture_and_the_length_is_measured(bench: Bench) -> None:
    facts(bench.clip("zoom in"))
    result = poster(bench, "clip.mp4")
    assert result.code is None, result
    found = msgspec.json.decode(result.facts, type=PosterFacts)
    assert found == PosterFacts(width=128, height=96, seconds=1.0, has_audio=False)
    with Image.open(bench.folder / "poster.jpg") as made:
        assert difference(made, bench.frames()[0]) < 3


def test_sound_and_cover_pictures_are_told_from_the_pictures(bench: Bench) -> None:
    (bench.folder / "tone.wav").write_bytes(tone(1.0, rate=48_000))
    facts(bench.clip())
    _with_sound(bench.folder)
    result = poster(bench, "loud.mp4")
    assert msgspec.json.decode(result.facts, type=PosterFacts).has_audio


def _with_sound(folder: Path) -> None:
    with av.open(str(folder / "loud.mp4"), "w") as made, av.open(str(folder / "tone.wav")) as sound:
        video = made.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = 64, 64, "yuv420p"
        audio = made.add_stream("aac", rate=48_000, layout="mono")
        frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 99, np.uint8), format="rgb24")
        frame.pts, frame.time_base = 0, Fraction(1, 25)
        made.mux(video.encode(frame))
        made.mux(video.encode(None))
        for piece in sound.decode(audio=0):
            made.mux(audio.encode(piece))
        made.mux(audio.encode(None))


def test_a_recording_without_pictures_has_no_poster(bench: Bench) -> None:
    (bench.folder / "tone.wav").write_bytes(tone(0.5))
    assert poster(bench, "tone.wav", demuxer="wav").code == "input-type"


def test_a_video_that_cannot_be_decoded_has_no_poster(bench: Bench) -> None:
    facts(bench.clip())
    path = bench.folder / "clip.mp4"
    body = bytearray(path.read_bytes())
    at = body.index(b"mdat") + 4
    end = body.index(b"moov")
    body[at : end - 4] = bytes(end - 4 - at)
    path.write_bytes(body)
    assert poster(bench, "clip.mp4").code == "input-damaged"


def test_invariant_15_a_video_of_too_many_pixels_is_not_decoded(bench: Bench) -> None:
    facts(bench.clip())
    assert poster(bench, "clip.mp4", max_pixels=10_000).code == "limit-pixels"
