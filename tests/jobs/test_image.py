"""The kind `image`: what is asked, what is refused before anything is sent, and what of an answer is published."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from jobs.image import Image, ImageSpec
from pipeline.core.errors import ContractError, InputError, LimitExceeded
from pipeline.core.kinds import PictureFacts, Sources
from pipeline.core.model import Asset, Source
from pipeline.core.operations import EditImage, MakeImage, MediaRef, Operation, Picture, Retouch
from tests.jobs.scripted import JPEG, ScriptedContext, png, source

PROMPT = "A lighthouse at dawn."
KIND = Image()
CLEAR = PictureFacts(width=4, height=3, has_alpha=True)


def ask(**options: object) -> ImageSpec:
    return msgspec.convert({"prompt": PROMPT, **options}, ImageSpec)


def steps(*lines: str, **options: object) -> ImageSpec:
    return msgspec.convert({"steps": lines, **options}, ImageSpec)


def making(*bodies: bytes) -> Callable[[Operation], list[bytes]]:
    return lambda _: list(bodies)


def context(
    tmp_path: Path,
    *bodies: bytes,
    first: Source | None = None,
    more: Sources | None = None,
    picture: PictureFacts = CLEAR,
    facts: dict[str, str] | None = None,
) -> ScriptedContext:
    return ScriptedContext(
        tmp_path, source=first, more=more or {}, parts=making(*(bodies or (png(),))), picture=picture, facts=facts
    )


def codes(spec: ImageSpec, first: Source | None = None, **more: Source) -> list[str]:
    return [reason.code for reason in KIND.check(spec, first, more)]


# what is asked


def test_a_prompt_alone_makes_and_a_prompt_with_pictures_edits() -> None:
    (made,) = KIND.operations(ask(n=2, seed=7), None)
    assert made == MakeImage(prompt=PROMPT, n=2, picture=Picture(seed=7))
    more = {"images.1": source("image/png", b"2"), "images.0": source("image/jpeg", b"1")}
    (edit,) = KIND.operations(ask(images=["1", "2"]), source("image/png", b"0"), more)
    assert isinstance(edit, EditImage)
    assert [ref.sha256 for ref in edit.images] == [source("image/png", name).sha256 for name in (b"0", b"1", b"2")]


def test_every_option_reaches_the_operation_in_the_words_of_the_model() -> None:
    options = {"aspect_ratio": "16:9", "resolution": "2K", "quality": "high", "background": "auto", "compression": 80}
    (made,) = KIND.operations(ask(format="jpg", **options), None)
    assert isinstance(made, MakeImage)
    assert made.picture == Picture(format="jpeg", **options)  # type: ignore[arg-type]  # the same words


def test_a_format_that_is_converted_to_is_not_asked_of_the_model() -> None:
    (made,) = KIND.operations(ask(format="webp", convert=True), None)
    assert isinstance(made, MakeImage)
    assert made.picture.format is None


def test_steps_are_a_retouch_and_no_prompt() -> None:
    (made,) = KIND.operations(
        steps("flip", "overlay top", overlay="o"), source("image/png"), {"overlay": source("image/gif")}
    )
    assert isinstance(made, Retouch)
    assert (made.steps, made.overlay is not None, made.format) == (("flip", "overlay top"), True, None)


@pytest.mark.parametrize(
    ("spec", "names"),
    [(ask(), ("png",)), (ask(n=3, format="jpg"), ("jpg", "2.jpg", "3.jpg")), (steps("flip", format="webp"), ("webp",))],
)
def test_the_names_of_all_pictures_are_known_before_the_run(spec: ImageSpec, names: tuple[str, ...]) -> None:
    assert KIND.products(spec) == names


# what is refused


@pytest.mark.parametrize(
    "spec",
    [
        ask(size="1024x1024", aspect_ratio="1:1"),
        ask(background="transparent", format="jpg"),
        ask(compression=80, format="png"),
        ask(convert=True),
        ask(overlay="o.png"),
    ],
)
def test_wishes_that_contradict_each_other_are_refused(spec: ImageSpec) -> None:
    assert codes(spec) == ["job-invalid"]


def test_a_mask_without_a_picture_and_too_many_pictures_are_refused() -> None:
    assert codes(ask(mask="m"), None, mask=source("image/png")) == ["job-invalid"]
    many = {f"images.{number}": source("image/png") for number in range(16)}
    assert codes(ask(images=["a"] * 16), source("image/png"), **many) == ["job-invalid"]


@pytest.mark.parametrize(
    ("spec", "found"),
    [
        (steps("make it pop"), ["job-invalid"]),
        (steps("flip", n=2, seed=1), ["job-invalid"]),
        (steps("flip", prompt="prettier"), ["job-invalid"]),
        (steps("overlay top"), ["job-invalid"]),
        (steps("flip", overlay="o.png"), ["job-invalid"]),
        (steps("flip", "nonsense", prompt="x", seed=1), ["job-invalid"] * 3),
    ],
)
def test_steps_are_refused_where_they_are_none_or_more_is_asked(spec: ImageSpec, found: list[str]) -> None:
    assert codes(spec, source("image/png")) == found


def test_steps_need_a_picture() -> None:
    assert codes(steps("flip")) == ["input-missing"]


def test_every_input_must_be_a_picture() -> None:
    assert codes(ask(images=["a"]), None, **{"images.0": source("application/pdf")}) == ["input-type"]
    assert codes(ask(), source("image/png", size=60_000_000)) == ["limit-bytes"]


async def test_a_mask_of_another_size_or_without_a_hole_is_told_before_anything_is_sent(tmp_path: Path) -> None:
    more = {"mask": source("image/png", b"mask")}
    solid = context(tmp_path, first=source("image/png"), more=more, picture=PictureFacts(width=4, height=3))
    with pytest.raises(InputError, match="marks nothing"):
        await KIND.run(ask(mask="m"), solid)
    uneven = Uneven(tmp_path, source=source("image/png"), more=more, parts=making(png()))
    with pytest.raises(InputError, match="4x3, its picture 9x9"):
        await KIND.run(ask(mask="m"), uneven)
    assert solid.calls == uneven.calls == []


class Uneven(ScriptedContext):
    async def look(self, ref: MediaRef | Asset) -> PictureFacts:
        seen = await super().look(ref)
        is_mask = ref.sha256 == self.more["mask"].sha256
        return CLEAR if is_mask else msgspec.structs.replace(seen, width=9, height=9)


@pytest.mark.parametrize("spec", [ask(), steps("flip")])
async def test_a_picture_that_moves_is_not_sent(tmp_path: Path, spec: ImageSpec) -> None:
    ctx = context(tmp_path, first=source("image/gif"), picture=PictureFacts(width=4, height=3, frames=2))
    with pytest.raises(InputError, match="moves"):
        await KIND.run(spec, ctx)
    assert ctx.calls == []


async def test_a_picture_that_a_camera_turned_is_sent_upright(tmp_path: Path) -> None:
    ctx = context(tmp_path, first=source("image/jpeg"), picture=PictureFacts(width=3, height=4, is_turned=True))
    await KIND.run(ask(), ctx)
    (edit,) = ctx.calls
    assert isinstance(edit, EditImage)
    assert edit.images[0].path == str(tmp_path / "input-0.jpg")
    assert edit.images[0].sha256 != source("image/jpeg").sha256


# what is published


async def test_the_bytes_that_came_are_published_each_under_its_name(tmp_path: Path) -> None:
    ctx = context(tmp_path, png(shade=1), png(shade=2))
    result = await KIND.run(ask(n=2), ctx)
    assert [draft.name for draft in result.drafts] == ["png", "2.png"]
    assert [Path(str(draft.path)).read_bytes() for draft in result.drafts] == [png(shade=1), png(shade=2)]
    assert (result.facts["pictures"], result.facts["sizes"]) == ("2", "4x3 4x3")


async def test_fewer_pictures_than_asked_are_accepted_and_told(tmp_path: Path) -> None:
    result = await KIND.run(ask(n=3), context(tmp_path, png()))
    assert (result.verdict, result.reason, len(result.drafts)) == ("done", "1 of 3 pictures were made", 1)


async def test_more_pictures_than_asked_are_not_published(tmp_path: Path) -> None:
    result = await KIND.run(ask(), context(tmp_path, png(shade=1), png(shade=2)))
    assert len(result.drafts) == 1


async def test_a_picture_is_named_by_what_it_is(tmp_path: Path) -> None:
    result = await KIND.run(ask(), context(tmp_path, JPEG))
    (draft,) = result.drafts
    assert (draft.name, draft.extension, draft.media_type, result.reason) == ("png", "jpg", "image/jpeg", "")


async def test_another_format_than_asked_is_kept_as_it_is_and_told(tmp_path: Path) -> None:
    result = await KIND.run(ask(format="png"), context(tmp_path, JPEG))
    assert (result.drafts[0].extension, result.reason) == ("jpg", "made as image/jpeg, not as png, and named so")


async def test_it_is_converted_only_where_the_job_says_so(tmp_path: Path) -> None:
    ctx = context(tmp_path, JPEG)
    result = await KIND.run(ask(format="png", convert=True), ctx)
    (draft,) = result.drafts
    assert (draft.extension, draft.media_type, result.reason) == (None, "image/png", "converted from image/jpeg")
    assert ctx.pictures == ["look", "convert to image/png"]


async def test_jpg_and_jpeg_are_the_same_ending(tmp_path: Path) -> None:
    result = await KIND.run(ask(format="jpeg"), context(tmp_path, JPEG))
    assert (result.drafts[0].name, result.drafts[0].extension, result.reason) == ("jpeg", None, "")


class Fussy(ScriptedContext):
    """Sees damage in the first picture of an answer, or one too large."""

    error: Exception = InputError("the picture cannot be decoded", code="input-damaged")

    async def look(self, ref: MediaRef | Asset) -> PictureFacts:
        seen = await super().look(ref)
        if self.pictures == ["look"]:
            raise self.error
        return seen


async def test_one_picture_that_cannot_be_decoded_does_not_cost_the_others(tmp_path: Path) -> None:
    result = await KIND.run(ask(n=2), Fussy(tmp_path, parts=making(png(shade=1), png(shade=2))))
    (draft,) = result.drafts
    assert (result.verdict, draft.name) == ("suspect", "png")
    assert Path(str(draft.path)).read_bytes() == png(shade=2)
    assert "cannot be decoded" in result.reason


async def test_a_paid_picture_that_is_too_large_to_check_is_kept_as_suspect(tmp_path: Path) -> None:
    ctx = Fussy(tmp_path, parts=making(png()))
    ctx.error = LimitExceeded("too many pixels", code="limit-pixels")
    result = await KIND.run(ask(), ctx)
    assert (result.verdict, len(result.drafts), result.facts["sizes"]) == ("suspect", 1, "unknown")


async def test_no_picture_at_all_is_no_answer(tmp_path: Path) -> None:
    with pytest.raises(ContractError):
        await KIND.run(ask(), context(tmp_path, b"%PDF-1.4"))


# masks


async def test_a_mask_that_was_sent_is_the_model_s_affair(tmp_path: Path) -> None:
    ctx = context(tmp_path, first=source("image/png"), more={"mask": source("image/png", b"m")})
    result = await KIND.run(ask(mask="m"), ctx)
    assert "composite" not in ctx.pictures
    assert (result.reason, "composited" in result.facts) == ("", False)


async def test_a_mask_that_was_not_sent_is_laid_in_here_and_told(tmp_path: Path) -> None:
    more = {"mask": source("image/png", b"m")}
    ctx = context(tmp_path, JPEG, first=source("image/jpeg"), more=more, facts={"mask": "not sent"})
    result = await KIND.run(ask(mask="m", format="jpg"), ctx)
    (draft,) = result.drafts
    assert ctx.pictures[-1] == "composite"
    assert (draft.media_type, draft.extension, result.facts["composited"]) == ("image/png", "png", "here")
    assert "stays as it was outside of the mask" in result.reason
