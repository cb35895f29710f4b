"""Lanes: names of files, the bridge to Trio, and which error a stage's code becomes."""

import os
import threading
from pathlib import Path

import pytest
import trio

from pipeline.children.lanes import Lanes, auto_workers, stage_error
from pipeline.children.stage import FileRef, StageSpec
from pipeline.core.errors import (
    CODES,
    EngineError,
    InputError,
    LimitExceeded,
    MediaspoolError,
    StoreError,
)
from pipeline.core.limits import Stint
from pipeline.media import av
from pipeline.runtime import media_workers
from pipeline.state.settings import EngineTable, Settings
from tests.children.conftest import own_children, tone

pytestmark = pytest.mark.real_time


def encode(lanes: Lanes, path: str) -> StageSpec:
    return av.encode([lanes.ref(path)], lanes.scratch(".flac"), media_type="audio/flac")


def test_a_file_is_named_by_its_innermost_root(tmp_path: Path) -> None:
    lanes = Lanes(
        roots={"r0": str(tmp_path)}, staging=f"{tmp_path}/spool", engine_workers=1, media_workers=1, memory_mb=100
    )
    assert lanes.ref(f"{tmp_path}/spool/x/y.wav") == FileRef(root="staging", path="x/y.wav")
    assert lanes.ref(f"{tmp_path}/spoolx.wav") == FileRef(root="r0", path="spoolx.wav")
    assert lanes.path(lanes.ref(f"{tmp_path}/a b.wav")) == f"{tmp_path}/a b.wav"


def test_a_file_outside_every_root_is_refused(lanes: Lanes) -> None:
    with pytest.raises(InputError) as refused:
        lanes.ref("/etc/passwd")
    assert refused.value.code == "path-outside-roots"


def test_scratch_names_are_unique_and_nothing_is_made_yet(lanes: Lanes) -> None:
    names = {lanes.scratch(".pcm").path for _ in range(100)}
    assert len(names) == 100
    assert not os.path.exists(lanes.path(lanes.scratch(".pcm")))


async def test_a_stage_that_works_gives_its_result(lanes: Lanes, tmp_path: Path) -> None:
    (tmp_path / "in" / "tone.wav").write_bytes(tone(2.0))
    spec = encode(lanes, f"{tmp_path}/in/tone.wav")
    assert (await lanes.run("media", spec)).output == spec.output


async def test_a_name_that_is_not_utf8_is_read_like_any_other(lanes: Lanes, tmp_path: Path) -> None:
    path = os.fsdecode(os.fsencode(tmp_path / "in") + b"/caf\xe9.wav")
    with open(path, "wb") as file:
        file.write(tone(1.0))
    assert (await lanes.run("media", encode(lanes, path))).code is None


async def test_a_stage_that_fails_raises_the_error_of_its_code(lanes: Lanes, tmp_path: Path) -> None:
    (tmp_path / "in" / "text.wav").write_bytes(b"hello" * 100)
    with pytest.raises(InputError) as damaged:
        await lanes.run("media", encode(lanes, f"{tmp_path}/in/text.wav"))
    assert damaged.value.code == "input-damaged"


async def test_a_link_is_never_followed_by_a_child(lanes: Lanes, tmp_path: Path) -> None:
    (tmp_path / "secret.wav").write_bytes(tone(1.0))
    (tmp_path / "in" / "link.wav").symlink_to(tmp_path / "secret.wav")
    with pytest.raises(InputError) as refused:
        await lanes.run("media", encode(lanes, f"{tmp_path}/in/link.wav"))
    assert refused.value.code.startswith("path-")


async def test_an_unknown_stage_is_an_engine_error_and_runs_nothing(lanes: Lanes) -> None:
    for stage in ("os:system", "../x:y", "av_stage"):
        with pytest.raises(EngineError):
            await lanes.run("media", StageSpec(stage=stage))


async def test_a_child_of_the_once_lane_is_gone_when_its_answer_is_there(lanes: Lanes, tmp_path: Path) -> None:
    (tmp_path / "in" / "tone.wav").write_bytes(tone(0.5))
    spec = encode(lanes, f"{tmp_path}/in/tone.wav")
    before = own_children()
    await lanes.run("once", spec)
    assert own_children() == before
    await lanes.run("media", spec)
    assert len(own_children() - before) == 1


async def test_a_cancelled_caller_returns_only_when_the_child_is_gone(lanes: Lanes, tmp_path: Path) -> None:
    """Ten minutes of Opus take longer than a second; afterwards nobody makes or writes the file again."""
    (tmp_path / "in" / "long.wav").write_bytes(tone(600.0, rate=48_000))
    target = lanes.scratch(".ogg")
    spec = av.encode([lanes.ref(f"{tmp_path}/in/long.wav")], target, media_type="audio/ogg")
    with trio.move_on_after(1.0) as scope:
        await lanes.run("media", spec)
    assert scope.cancelled_caught
    size = os.path.getsize(lanes.path(target))
    os.unlink(lanes.path(target))
    assert size > 0
    assert not os.path.exists(lanes.path(target))


async def test_who_is_cut_off_before_a_child_had_begun_was_only_in_line(lanes: Lanes, tmp_path: Path) -> None:
    (tmp_path / "in" / "long.wav").write_bytes(tone(600.0, rate=48_000))
    first, second = Stint(), Stint()

    async def encoded(stint: Stint) -> None:
        spec = av.encode([lanes.ref(f"{tmp_path}/in/long.wav")], lanes.scratch(".ogg"), media_type="audio/ogg")
        await lanes.run("media", spec, line=stint.in_line)

    with trio.move_on_after(2.0):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(encoded, first)
            await trio.sleep(1.0)  # its child has started
            nursery.start_soon(encoded, second)
    assert (first.has_begun, second.has_begun) == (True, False)


async def test_closing_while_somebody_waits_is_an_engine_error(lanes: Lanes, tmp_path: Path) -> None:
    (tmp_path / "in" / "long.wav").write_bytes(tone(600.0, rate=48_000))
    spec = av.encode([lanes.ref(f"{tmp_path}/in/long.wav")], lanes.scratch(".ogg"), media_type="audio/ogg")
    closer = threading.Timer(0.5, lanes.close)
    closer.start()
    with pytest.raises(EngineError):
        await lanes.run("media", spec)
    closer.join()


@pytest.mark.parametrize("code", sorted(CODES))
def test_every_code_of_a_stage_becomes_an_error_with_that_code(code: str) -> None:
    error = stage_error(code, "what happened")
    assert isinstance(error, MediaspoolError)
    assert error.code == code


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("limit-time", EngineError),
        ("limit-memory", EngineError),
        ("limit-seconds", LimitExceeded),
        ("input-damaged", InputError),
        ("text-unsupported", InputError),
        ("path-unsafe", InputError),
        ("disk-full", StoreError),
        ("engine-crashed", EngineError),
        ("voice-unknown", EngineError),
    ],
)
def test_a_stages_code_decides_the_class_of_its_error(code: str, kind: type[MediaspoolError]) -> None:
    assert type(stage_error(code, "x")) is kind


@pytest.mark.parametrize(
    ("cores", "available_mb", "workers"), [(2, 24_000, 2), (8, 3_700, 4), (1, 24_000, 1), (4, 300, 1), (16, 0, 1)]
)
def test_workers_follow_cores_and_memory(cores: int, available_mb: int, workers: int) -> None:
    assert auto_workers(cores=cores, available_mb=available_mb) == workers


def test_workers_of_this_machine_are_at_least_one() -> None:
    assert 1 <= auto_workers() <= (os.cpu_count() or 1)


@pytest.mark.parametrize(
    ("table", "children"), [({"workers": 9}, 4), ({"workers": 1}, 1), ({"workers": 9, "media_workers": 3}, 3)]
)
def test_there_is_a_media_child_for_two_engine_workers_unless_the_settings_say_how_many(
    table: dict[str, int], children: int
) -> None:
    assert media_workers(Settings(engines=EngineTable(**table))) == children
