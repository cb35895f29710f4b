"""The thumbnail stage: small in pixels and in bytes, upright, and never more work than the picture deserves."""

import io
from pathlib import Path

import pytest
from PIL import Image

from pipeline.children.picture_work import ThumbnailFacts, ThumbnailParams
from tests.children.test_picture_stages import Bench, corners, facts, quarters, turned_jpeg

PNG, JPEG = "image/png", "image/jpeg"


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def asked(media_type: str, *, side: int = 32, max_bytes: int = 16_000) -> ThumbnailParams:
    return ThumbnailParams(media_type=media_type, side=side, max_bytes=max_bytes)


def opened(found: ThumbnailFacts) -> Image.Image:
    return Image.open(io.BytesIO(found.webp), formats=("WEBP",))


def test_a_thumbnail_keeps_the_shape_and_tells_the_size_of_the_whole(bench: Bench) -> None:
    found = facts(bench.run("thumbnail", asked(PNG), bench.put("a.png", quarters(200))), ThumbnailFacts)
    assert (found.width, found.height, opened(found).size) == (400, 200, (32, 16))


def test_a_small_picture_is_not_blown_up(bench: Bench) -> None:
    found = facts(bench.run("thumbnail", asked(PNG), bench.put("a.png", quarters(4))), ThumbnailFacts)
    assert opened(found).size == (8, 4)


def test_a_picture_that_a_camera_turned_is_upright_and_nothing_of_the_camera_is_left(bench: Bench) -> None:
    found = facts(bench.run("thumbnail", asked(JPEG), turned_jpeg(bench)), ThumbnailFacts)
    small = opened(found)
    assert (found.width, found.height, small.size) == (64, 128, (16, 32))
    assert not small.getexif()
    blue, red, *_ = corners(small)
    assert isinstance(blue, tuple)
    assert isinstance(red, tuple)
    assert blue[2] > 150 > blue[0]
    assert red[0] > 150 > red[2]


def test_transparency_stays(bench: Bench) -> None:
    clear = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
    found = facts(bench.run("thumbnail", asked(PNG), bench.put("a.png", clear)), ThumbnailFacts)
    assert opened(found).convert("RGBA").getchannel("A").getextrema() == (0, 0)


def test_what_is_hard_to_make_small_loses_quality_first_and_is_refused_last(bench: Bench) -> None:
    ref = bench.put("a.png", Image.effect_noise((256, 256), 90))
    found = facts(bench.run("thumbnail", asked(PNG, side=256, max_bytes=30_000), ref), ThumbnailFacts)
    assert len(found.webp) <= 30_000
    assert bench.run("thumbnail", asked(PNG, side=256, max_bytes=200), ref).code == "limit-bytes"


def test_a_picture_of_too_many_pixels_is_not_decoded_for_a_page(bench: Bench) -> None:
    ref = bench.put("a.png", Image.new("1", (9000, 9000)))
    assert bench.run("thumbnail", asked(PNG), ref).code == "limit-pixels"


def test_damage_is_a_verdict(bench: Bench) -> None:
    ref = bench.put("a.png", quarters(200))
    whole = (bench.folder / "a.png").read_bytes()
    (bench.folder / "a.png").write_bytes(whole[: len(whole) // 2])
    assert bench.run("thumbnail", asked(PNG), ref).code == "input-damaged"
