"""The picture stages on real pictures: measured before decoded, upright, exact, and nothing of the camera left."""

import io
import struct
import zlib
from pathlib import Path
from typing import TypeVar

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct
from PIL import Image, ImageDraw, ImageOps

from pipeline.children.lanes import Lanes
from pipeline.children.picture_work import CompositeParams, LookFacts, LookParams, RetouchParams, SaveFacts, SaveParams
from pipeline.children.run import run_stage
from pipeline.children.stage import FileRef, StageLimits, StageResult, StageSpec
from pipeline.core.errors import LimitExceeded
from tests.children.conftest import own_children, peak_of_children

F = TypeVar("F", bound=Struct)
RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)
GPS = 0x8825


def quarters(size: int = 8) -> Image.Image:
    """Red and green above, blue and white below: every turn can be told."""
    picture = Image.new("RGB", (2 * size, size), RED)
    draw = ImageDraw.Draw(picture)
    draw.rectangle((size, 0, 2 * size, size // 2 - 1), fill=GREEN)
    draw.rectangle((0, size // 2, size - 1, size), fill=BLUE)
    draw.rectangle((size, size // 2, 2 * size, size), fill=WHITE)
    return picture


def corners(picture: Image.Image) -> list[object]:
    wide, high = picture.width - 1, picture.height - 1
    return [picture.convert("RGB").getpixel(place) for place in ((0, 0), (wide, 0), (0, high), (wide, high))]


class Bench:
    """A folder, the stages run in this process over it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, name: str, picture: Image.Image, **options: object) -> FileRef:
        picture.save(self.folder / name, **options)  # type: ignore[arg-type]  # what the format takes
        return self.ref(name)

    def ref(self, name: str) -> FileRef:
        return FileRef(root="in", path=name)

    def run(self, stage: str, params: Struct, *inputs: FileRef, output: str | None = None) -> StageResult:
        spec = StageSpec(
            stage=f"picture_stages:{stage}",
            inputs=inputs,
            output=self.ref(output) if output else None,
            params=msgspec.Raw(msgspec.json.encode(params)),
            limits=StageLimits(max_output_bytes=10_000_000),
        )
        return run_stage(spec, {"in": str(self.folder)})

    def made(self, name: str) -> Image.Image:
        with Image.open(self.folder / name) as picture:
            picture.load()
            return picture.copy()

    def retouched(self, picture: Image.Image, *steps: str, overlay: Image.Image | None = None) -> Image.Image:
        inputs = [self.put("in.png", picture), *([self.put("top.png", overlay)] if overlay else [])]
        params = RetouchParams(
            media_type="image/png",
            steps=steps,
            target_type="image/png",
            overlay_type="image/png" if overlay else None,
        )
        result = self.run("retouch", params, *inputs, output="out.png")
        assert result.code is None, result
        return self.made("out.png")


def facts(result: StageResult, kind: type[F]) -> F:
    assert result.code is None, result
    return msgspec.json.decode(result.facts, type=kind)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def turned_jpeg(bench: Bench, orientation: int = 6) -> FileRef:
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[GPS] = {1: "N", 2: (52.0, 31.0, 0.0)}
    return bench.put("camera.jpg", quarters(64), quality=95, subsampling=0, exif=exif)


# look


@pytest.mark.parametrize(
    ("name", "media_type", "options"),
    [
        ("a.png", "image/png", {}),
        ("a.jpg", "image/jpeg", {}),
        ("a.webp", "image/webp", {"lossless": True}),
        ("a.gif", "image/gif", {}),
    ],
)
def test_a_picture_of_each_type_is_measured(
    bench: Bench, name: str, media_type: str, options: dict[str, object]
) -> None:
    ref = bench.put(name, quarters(), **options)
    found = facts(bench.run("look", LookParams(media_type=media_type), ref), LookFacts)
    assert (found.width, found.height, found.frames, found.is_turned) == (16, 8, 1, False)


def test_a_picture_that_a_camera_turned_is_measured_as_it_is_shown(bench: Bench) -> None:
    found = facts(bench.run("look", LookParams(media_type="image/jpeg"), turned_jpeg(bench)), LookFacts)
    assert (found.width, found.height, found.is_turned) == (64, 128, True)


def test_frames_and_transparency_are_told(bench: Bench) -> None:
    frames = [Image.new("RGBA", (4, 4), (200, 10 * number, 0, 0)) for number in range(3)]
    frames[0].save(bench.folder / "moving.webp", save_all=True, append_images=frames[1:], lossless=True)
    found = facts(bench.run("look", LookParams(media_type="image/webp"), bench.ref("moving.webp")), LookFacts)
    assert (found.frames, found.has_alpha) == (3, True)


def test_only_the_decoder_of_the_recognised_type_is_tried(bench: Bench) -> None:
    bench.put("a.png", quarters())
    result = bench.run("look", LookParams(media_type="image/jpeg"), bench.ref("a.png"))
    assert result.code == "input-damaged"


def test_a_type_that_is_no_picture_is_refused_unopened(bench: Bench) -> None:
    assert bench.run("look", LookParams(media_type="image/svg+xml"), bench.ref("none")).code == "input-type"


@pytest.mark.parametrize("share", [0.5, 0.9])
def test_invariant_16_a_picture_cut_short_is_damaged(bench: Bench, share: float) -> None:
    noise = Image.effect_noise((64, 64), 90).convert("RGB")
    for name, media_type in (("a.png", "image/png"), ("a.jpg", "image/jpeg")):
        bench.put(name, noise)
        path = bench.folder / name
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
        result = bench.run("look", LookParams(media_type=media_type), bench.ref(name))
        assert result.code == "input-damaged"
        assert name not in result.message


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(["PNG", "JPEG", "GIF", "WEBP"]), st.data())
def test_any_damage_gives_a_verdict_and_never_a_crash(
    tmp_path_factory: pytest.TempPathFactory, kind: str, data: st.DataObject
) -> None:
    bench = Bench(tmp_path_factory.mktemp("damage"))
    body = io.BytesIO()
    quarters().save(body, kind)
    raw = bytearray(body.getvalue())
    for _ in range(data.draw(st.integers(1, 8))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    (bench.folder / "x").write_bytes(raw)
    result = bench.run("look", LookParams(media_type=f"image/{kind.lower()}", max_pixels=1_000_000), bench.ref("x"))
    assert result.code in (None, "input-damaged", "limit-pixels")


# bombs


def bomb(width: int, height: int) -> bytes:
    """A PNG of one colour: hardly any bytes for any number of pixels."""
    packer = zlib.compressobj(9)
    row = b"\0" * (1 + 4 * width)
    data = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)), (b"IDAT", data), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )


@pytest.mark.real_time
async def test_invariant_15_a_bomb_is_refused_by_its_size_before_a_pixel_is_decoded(
    lanes: Lanes, tmp_path: Path
) -> None:
    (tmp_path / "in" / "bomb.png").write_bytes(bomb(13_000, 13_000))
    params = msgspec.Raw(msgspec.json.encode(LookParams(media_type="image/png")))
    spec = StageSpec(stage="picture_stages:look", inputs=(FileRef(root="in", path="bomb.png"),), params=params)
    others = frozenset(own_children())
    future = lanes.submit("media", spec)
    peak = peak_of_children(future, others=others)
    assert future.result().code == "limit-pixels"
    assert peak < 200_000_000
    with pytest.raises(LimitExceeded):
        await lanes.run("media", spec)


def test_invariant_15_frames_count_as_pixels(bench: Bench) -> None:
    frames = [Image.new("L", (100, 100), number) for number in range(20)]
    frames[0].save(bench.folder / "many.gif", save_all=True, append_images=frames[1:])
    result = bench.run("look", LookParams(media_type="image/gif", max_pixels=199_999), bench.ref("many.gif"))
    assert result.code == "limit-pixels"


def test_a_step_that_would_make_too_many_pixels_is_refused_before_it_does(bench: Bench) -> None:
    ref = bench.put("a.png", quarters())
    for step in ("resize 16000x16000", "resize 1000%", "border 2000 white", "cover 9000x9000", "fit 16000x16000"):
        params = RetouchParams(media_type="image/png", steps=(step,), target_type="image/png", max_pixels=5_000)
        assert bench.run("retouch", params, ref, output="o.png").code == "limit-pixels", step


# upright, other formats


@pytest.mark.parametrize("orientation", range(2, 9))
def test_an_upright_copy_shows_the_same_and_tells_nothing_of_the_camera(bench: Bench, orientation: int) -> None:
    ref = turned_jpeg(bench, orientation)
    result = bench.run("save", SaveParams(media_type="image/jpeg"), ref, output="upright.jpg")
    with Image.open(bench.folder / "camera.jpg") as camera:
        shown = ImageOps.exif_transpose(camera)
    made = bench.made("upright.jpg")
    assert made.size == shown.size == (facts(result, SaveFacts).width, facts(result, SaveFacts).height)
    assert dict(made.getexif()) == {}
    for one, other in zip(corners(made), corners(shown), strict=True):
        assert isinstance(one, tuple)
        assert isinstance(other, tuple)
        assert max(abs(a - b) for a, b in zip(one, other, strict=True)) <= 8


def test_the_same_picture_gives_the_same_bytes(bench: Bench) -> None:
    ref = turned_jpeg(bench)
    for name in ("one.jpg", "two.jpg"):
        bench.run("save", SaveParams(media_type="image/jpeg"), ref, output=name)
    assert (bench.folder / "one.jpg").read_bytes() == (bench.folder / "two.jpg").read_bytes()


def test_what_is_transparent_becomes_white_in_a_jpeg(bench: Bench) -> None:
    ref = bench.put("clear.png", Image.new("RGBA", (8, 8), (0, 0, 0, 0)))
    params = SaveParams(media_type="image/png", target_type="image/jpeg")
    facts(bench.run("save", params, ref, output="a.jpg"), SaveFacts)
    assert bench.made("a.jpg").getpixel((4, 4)) == WHITE


def test_another_format_loses_no_pixel_where_it_can_keep_them(bench: Bench) -> None:
    ref = bench.put("a.png", quarters())
    params = SaveParams(media_type="image/png", target_type="image/webp")
    facts(bench.run("save", params, ref, output="a.webp"), SaveFacts)
    assert bench.made("a.webp").convert("RGB").tobytes() == quarters().tobytes()


# composite


def mask_of(size: tuple[int, int], hole: tuple[int, int, int, int]) -> Image.Image:
    mask = Image.new("RGBA", size, (0, 0, 0, 255))
    ImageDraw.Draw(mask).rectangle(hole, fill=(0, 0, 0, 0))
    return mask


def composited(bench: Bench, original: Image.Image, edited: Image.Image, mask: Image.Image) -> StageResult:
    inputs = [bench.put(f"{name}.png", picture) for name, picture in (("o", original), ("e", edited), ("m", mask))]
    return bench.run("composite", CompositeParams(media_types=("image/png",) * 3), *inputs, output="made.png")


def test_pixels_outside_of_the_mask_are_the_original_s_and_inside_the_edit_s(bench: Bench) -> None:
    original = Image.effect_noise((32, 16), 80).convert("RGB")
    result = composited(bench, original, Image.new("RGB", (32, 16), RED), mask_of((32, 16), (8, 4, 15, 11)))
    assert not facts(result, SaveFacts).is_scaled
    made = bench.made("made.png")
    for x in range(32):
        for y in range(16):
            inside = 8 <= x <= 15 and 4 <= y <= 11
            assert made.getpixel((x, y)) == (RED if inside else original.getpixel((x, y)))


def test_an_edit_of_another_size_is_scaled_and_said_so(bench: Bench) -> None:
    result = composited(bench, quarters(), Image.new("RGB", (99, 50), RED), mask_of((16, 8), (0, 0, 3, 3)))
    assert facts(result, SaveFacts).is_scaled
    assert bench.made("made.png").size == (16, 8)


def test_a_mask_that_marks_nothing_or_does_not_fit_is_refused(bench: Bench) -> None:
    edited = Image.new("RGB", (16, 8), RED)
    assert composited(bench, quarters(), edited, Image.new("RGB", (16, 8))).code == "input-type"
    assert composited(bench, quarters(), edited, mask_of((8, 8), (0, 0, 3, 3))).code == "input-type"


# retouch


@pytest.mark.parametrize(
    ("step", "size", "expected"),
    [
        ("rotate 90", (8, 16), [BLUE, RED, WHITE, GREEN]),
        ("rotate 180", (16, 8), [WHITE, BLUE, GREEN, RED]),
        ("rotate -90", (8, 16), [GREEN, WHITE, RED, BLUE]),
        ("rotate 0", (16, 8), [RED, GREEN, BLUE, WHITE]),
        ("flip", (16, 8), [BLUE, WHITE, RED, GREEN]),
        ("mirror", (16, 8), [GREEN, RED, WHITE, BLUE]),
        ("crop 8x4+8+0", (8, 4), [GREEN] * 4),
        ("crop 16x2", (16, 2), [RED, GREEN, BLUE, WHITE]),
        ("invert", (16, 8), [(0, 255, 255), (255, 0, 255), (255, 255, 0), (0, 0, 0)]),
        ("grayscale", (16, 8), [(76,) * 3, (150,) * 3, (29,) * 3, (255,) * 3]),
        ("border 2 #010203", (20, 12), [(1, 2, 3)] * 4),
        ("resize 32x8", (32, 8), [RED, GREEN, BLUE, WHITE]),
        ("resize 32x", (32, 16), [RED, GREEN, BLUE, WHITE]),
        ("resize x4", (8, 4), None),
        ("resize 200%", (32, 16), [RED, GREEN, BLUE, WHITE]),
        ("fit 100x8", (16, 8), [RED, GREEN, BLUE, WHITE]),
        ("cover 8x8", (8, 8), None),
        ("rotate 45", (18, 18), [WHITE] * 4),
        ("brightness 0", (16, 8), [(0, 0, 0)] * 4),
        ("contrast 1", (16, 8), [RED, GREEN, BLUE, WHITE]),
        ("saturation 0", (16, 8), None),
        ("sharpness 2", (16, 8), None),
        ("sharpen", (16, 8), None),
        ("autocontrast", (16, 8), [RED, GREEN, BLUE, WHITE]),
        ("blur 1", (16, 8), None),
    ],
)
def test_a_step_does_exactly_what_it_says(
    bench: Bench, step: str, size: tuple[int, int], expected: list[object] | None
) -> None:
    made = bench.retouched(quarters(), step)
    assert made.size == size
    assert expected is None or corners(made) == expected


def test_steps_follow_each_other_and_the_same_ones_give_the_same_bytes(bench: Bench) -> None:
    steps = ("resize 64x32", "rotate 90", "crop 20x20+0+0", "blur 2", "text bottom 6 black ok")
    first = bench.retouched(quarters(), *steps).tobytes()
    assert (bench.made("out.png").size, bench.retouched(quarters(), *steps).tobytes()) == ((20, 20), first)


def test_transparency_survives_colour_and_ends_at_a_background(bench: Bench) -> None:
    clear = Image.new("RGBA", (8, 8), (10, 20, 30, 0))
    assert bench.retouched(clear, "grayscale", "invert").getpixel((0, 0))[3] == 0  # type: ignore[index]
    assert corners(bench.retouched(clear, "background red")) == [RED] * 4


def test_an_overlay_lies_where_it_should(bench: Bench) -> None:
    made = bench.retouched(Image.new("RGB", (8, 8)), "overlay bottom-right", overlay=Image.new("RGB", (2, 2), RED))
    assert [made.getpixel(place) for place in ((5, 5), (6, 6), (7, 7))] == [(0, 0, 0), RED, RED]


def test_text_is_drawn_inside_of_the_picture(bench: Bench) -> None:
    made = bench.retouched(Image.new("RGB", (200, 100)), "text center 20 white Good morning").convert("L")
    left, top, right, bottom = made.getbbox() or (0, 0, 0, 0)
    assert (left > 20, top > 30, right < 180, bottom < 70) == (True,) * 4


@pytest.mark.parametrize(
    ("step", "code"),
    [
        ("crop 99x99", "input-type"),
        ("crop 4x4+14+0", "input-type"),
        ("text top 40 white far too long for this", "text-unsupported"),
        ("text top 4 white \u6f22", "text-unsupported"),
        ("overlay center", "input-missing"),
    ],
)
def test_what_a_picture_does_not_allow_is_refused(bench: Bench, step: str, code: str) -> None:
    params = RetouchParams(media_type="image/png", steps=(step,), target_type="image/png")
    assert bench.run("retouch", params, bench.put("a.png", quarters()), output="o.png").code == code


def test_a_picture_that_moves_is_not_retouched(bench: Bench) -> None:
    frames = [Image.new("L", (8, 8), number) for number in (0, 200)]
    frames[0].save(bench.folder / "moving.gif", save_all=True, append_images=frames[1:])
    params = RetouchParams(media_type="image/gif", steps=("flip",), target_type="image/png")
    result = bench.run("retouch", params, bench.ref("moving.gif"), output="o.png")
    assert (result.code, "moves" in result.message) == ("input-type", True)
