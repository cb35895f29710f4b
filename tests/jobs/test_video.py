"""The kind `video`: what is asked of frames, a poster as the proof that a clip plays, and clips of a wrong length."""

from pathlib import Path

import msgspec
import pytest

from jobs.video import Video, VideoSpec
from pipeline.core.errors import ContractError, InputError
from pipeline.core.kinds import Answered, ClipFacts, PictureFacts, Sources
from pipeline.core.model import Asset, Media, Source
from pipeline.core.operations import MakeVideo, Operation
from tests.jobs.scripted import MP4, ScriptedContext, png, source

KIND = Video()
PROMPT = "Waves roll in."


def ask(**options: object) -> VideoSpec:
    return msgspec.convert({"prompt": PROMPT, **options}, VideoSpec)


def context(
    tmp_path: Path,
    *bodies: bytes,
    first: Source | None = None,
    more: Sources | None = None,
    clip: ClipFacts | None = None,
    picture: PictureFacts | None = None,
) -> ScriptedContext:
    return ScriptedContext(
        tmp_path,
        source=first,
        more=more or {},
        parts=lambda _: list(bodies or (MP4,)),
        clip=clip or ClipFacts(width=64, height=48, seconds=4.04),
        picture=picture or PictureFacts(width=4, height=3),
        facts={"polls": "3"},
    )


def codes(spec: VideoSpec, first: Source | None = None, **more: Source) -> list[str]:
    return [reason.code for reason in KIND.check(spec, first, more)]


def test_the_input_is_the_first_frame() -> None:
    more = {"last_frame": source("image/png", b"z")}
    (asked,) = KIND.operations(ask(last_frame="z"), source("image/jpeg", b"a"), more)
    assert isinstance(asked, MakeVideo)
    assert (asked.first_frame, asked.last_frame) != (None, None)
    (same,) = KIND.operations(
        ask(first_frame="a", last_frame="z"), None, {"first_frame": source("image/jpeg", b"a"), **more}
    )
    assert asked == same


def test_every_option_reaches_the_operation_unchanged() -> None:
    (asked,) = KIND.operations(ask(seconds=7, resolution="720p", aspect_ratio="16:9", audio=False, seed=3), None)
    wanted = MakeVideo(prompt=PROMPT, seconds=7, resolution="720p", aspect_ratio="16:9", audio=False, seed=3)
    assert asked == wanted


def test_references_keep_their_order() -> None:
    more = {f"references.{number}": source("image/png", str(number).encode()) for number in (2, 10, 1, 0)}
    (asked,) = KIND.operations(ask(references=["r"] * 4), None, more)
    assert isinstance(asked, MakeVideo)
    wanted = [source("image/png", name).sha256 for name in (b"0", b"1", b"2", b"10")]
    assert [ref.sha256 for ref in asked.references] == wanted


@pytest.mark.parametrize(
    ("spec", "names"),
    [(ask(), ("mp4", "jpg")), (ask(poster="png"), ("mp4", "png")), (ask(poster="none"), ("mp4",))],
)
def test_a_poster_lies_beside_the_clip_unless_none_is_wanted(spec: VideoSpec, names: tuple[str, ...]) -> None:
    assert KIND.products(spec) == names


def test_what_contradicts_itself_is_refused_with_every_reason() -> None:
    picture = source("image/png")
    spec = ask(first_frame="a", references=["r"], size="1280x720", resolution="720p")
    found = codes(spec, picture, first_frame=picture, **{"references.0": picture})
    assert found == ["job-invalid"] * 3


def test_v13_a_video_as_a_reference_is_refused_with_the_reason() -> None:
    (reason,) = KIND.check(ask(references=["r"]), None, {"references.0": source("video/mp4")})
    assert (reason.code, "only pictures are taken" in reason.message) == ("input-type", True)


async def test_frames_are_sent_upright(tmp_path: Path) -> None:
    turned = PictureFacts(width=3, height=4, is_turned=True)
    ctx = context(tmp_path, first=source("image/jpeg"), more={"last_frame": source("image/png", b"z")}, picture=turned)
    await KIND.run(ask(last_frame="z"), ctx)
    (asked,) = ctx.calls
    assert isinstance(asked, MakeVideo)
    assert asked.first_frame is not None
    assert asked.last_frame is not None
    assert [Path(frame.path).name for frame in (asked.first_frame, asked.last_frame)] == ["first.jpg", "last.png"]


async def test_the_clip_is_published_as_it_came_with_what_was_seen_of_it(tmp_path: Path) -> None:
    result = await KIND.run(ask(seconds=4), context(tmp_path))
    clip, poster = result.drafts
    assert Path(str(clip.path)).read_bytes() == MP4
    assert (poster.name, poster.media_type) == ("jpg", "image/jpeg")
    assert result.facts == {"polls": "3", "size": "64x48", "sound": "no", "seconds": "4.04"}


async def test_a_clip_of_another_container_is_named_by_what_it_is(tmp_path: Path) -> None:
    class Webm(ScriptedContext):
        async def ask(self, operation: Operation) -> Answered:
            answered = await super().ask(operation)
            media = Media(media_type="video/webm", family="video", extension="webm", demuxer="matroska")
            return Answered(assets=(msgspec.structs.replace(answered.assets[0], media=media),))

    result = await KIND.run(ask(), Webm(tmp_path, parts=lambda _: [MP4]))
    assert (result.drafts[0].name, result.drafts[0].extension) == ("mp4", "webm")


@pytest.mark.parametrize(("seconds", "verdict"), [(4.9, "done"), (3.1, "done"), (5.1, "suspect"), (2.0, "suspect")])
async def test_a_clip_much_shorter_or_longer_than_asked_is_suspect(
    tmp_path: Path, seconds: float, verdict: str
) -> None:
    clip = ClipFacts(width=64, height=48, seconds=seconds)
    result = await KIND.run(ask(seconds=4), context(tmp_path, clip=clip))
    assert result.verdict == verdict
    assert len(result.drafts) == 2


async def test_further_clips_of_one_answer_are_published_too(tmp_path: Path) -> None:
    result = await KIND.run(ask(), context(tmp_path, MP4, MP4 + b"\0"))
    assert [draft.name for draft in result.drafts] == ["mp4", "jpg", "2.mp4"]
    assert Path(str(result.drafts[2].path)).read_bytes() == MP4 + b"\0"
    assert result.reason == "the answer has 2 clips"


async def test_a_video_that_does_not_play_is_no_answer(tmp_path: Path) -> None:
    class Broken(ScriptedContext):
        async def poster(self, clip: Asset, target: Path, *, media_type: str) -> ClipFacts:
            await self._work("poster")
            raise InputError("no picture of it can be decoded", code="input-damaged")

    with pytest.raises(ContractError, match="no video that plays"):
        await KIND.run(ask(), Broken(tmp_path, parts=lambda _: [MP4]))


async def test_a_picture_is_no_video(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="picture"):
        await KIND.run(ask(), context(tmp_path, png()))
