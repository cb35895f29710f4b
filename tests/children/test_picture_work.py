"""The language of retouch steps: whole, strict, and silent about what a step says."""

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.children import picture_work as work
from pipeline.core.errors import InputError

GOOD: list[tuple[str, work.Step]] = [
    ("resize 800x600", work.Resize(width=800, height=600)),
    ("resize 800x", work.Resize(width=800, height=None)),
    ("resize x600", work.Resize(width=None, height=600)),
    ("resize 50%", work.Scale(percent=50)),
    ("fit 800x600", work.Fit(width=800, height=600)),
    ("cover 10x20", work.Cover(width=10, height=20)),
    ("crop 4x3+1+2", work.Crop(width=4, height=3, left=1, top=2)),
    ("crop 4x3", work.Crop(width=4, height=3, left=None, top=None)),
    ("  rotate -90 ", work.Rotate(degrees=-90)),
    ("grayscale", work.Turn(name="grayscale")),
    ("saturation 0", work.Adjust(name="saturation", factor=0)),
    ("blur 3", work.Blur(radius=3)),
    ("border 10 #abc", work.Border(pixels=10, colour=(0xAA, 0xBB, 0xCC, 255))),
    ("background #01020304", work.Background(colour=(1, 2, 3, 4))),
    ("overlay bottom-right 0.5", work.Overlay(where="bottom-right", opacity=0.5)),
    (
        "text top 40 white Good  morning",
        work.Text(where="top", size=40, colour=(255, 255, 255, 255), words="Good morning"),
    ),
]
BAD = [
    *("", "make it pop", "resize", "resize 800", "resize x", "resize 0x5", "resize 99999x1", "resize 5%5", "fit 800x"),
    *("crop 4x3+1", "crop x3", "rotate", "rotate 361", "rotate ninety", "grayscale 1", "blur -1", "blur nan"),
    *("border 10.7 white", "text top 40.5 white a"),
    *("border 10", "border 0 white", "background mauve", "overlay", "overlay middle", "overlay top 2", "blur 1e3"),
    *(
        "text top 40 white",
        "text top 40 mauve a",
        "text top 1 white a",
        "text nowhere 40 white a",
        "text top 40 white \x07",
    ),
]


@pytest.mark.parametrize(("text", "step"), GOOD)
def test_a_step_means_one_thing(text: str, step: work.Step) -> None:
    assert work.parse_step(text) == step


@pytest.mark.parametrize("text", BAD)
def test_what_is_no_step_is_refused_with_how_to_write_it(text: str) -> None:
    with pytest.raises(InputError) as refused:
        work.parse_step(text)
    assert refused.value.code == "job-invalid"
    assert refused.value.hint


def test_a_wrong_step_is_told_by_its_number_and_not_by_its_words() -> None:
    with pytest.raises(InputError, match="step 2") as refused:
        work.parse_steps(["flip", "text top 40 mauve canary"])
    assert "canary" not in f"{refused.value.message} {refused.value.hint}"


@pytest.mark.parametrize("count", [0, work.MAX_STEPS + 1])
def test_no_steps_and_too_many_are_refused(count: int) -> None:
    with pytest.raises(InputError, match=f"{count} steps"):
        work.parse_steps(["flip"] * count)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(work.STEP_NAMES), st.text(max_size=30))
def test_any_words_behind_a_name_are_a_step_or_refused(name: str, rest: str) -> None:
    with contextlib.suppress(InputError):
        assert isinstance(work.parse_step(f"{name} {rest}"), work.Step)


@pytest.mark.parametrize(
    ("own", "wanted", "made"),
    [
        ("image/jpeg", None, "image/jpeg"),
        ("image/gif", None, "image/png"),
        ("image/png", "jpg", "image/jpeg"),
        ("image/png", "webp", "image/webp"),
    ],
)
def test_a_picture_keeps_its_type_where_that_can_be_written(own: str, wanted: str | None, made: str) -> None:
    assert work.target_type(own, wanted) == made
