"""kill -9 at every named point of paid calls on the stand-in, then run again: at most one of them is ever paid.

Afterwards the product is there, or the call is held and listed. Clips are found again by their tickets. Invariants 1, 3
and 4, by the count of the server and not by ours.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from msgspec import Struct

from pipeline.overview import status
from tests.cli.conftest import seat
from tests.crash_support import strays
from tests.makers import Folder
from tests.pages import ROOT
from tests.standin.fixture import StandIn
from tests.test_crash import AFTER, BEFORE, held, without_verdict

pytestmark = [pytest.mark.real_time, pytest.mark.timeout(900)]
SENT = "sent"  # the request is with the server to its last byte, and nothing has come back


class Try(Struct, frozen=True, kw_only=True):
    """One job, its paid operation, the points that only such a call passes, and its products."""

    job: str
    operation: str
    more: tuple[str, ...]
    products: tuple[str, ...]


TRIES: Mapping[str, Try] = {
    "speech": Try(
        job='kind = "tts"\ntext = "The kites are high."\nlanguage = "en"\nout = "../../out/one.wav"\n',
        operation="speak",
        more=("identified",),
        products=("one.wav",),
    ),
    "three pictures": Try(
        job='kind = "image"\nprompt = "A kite."\nn = 3\nout = "../../out/one.{ext}"\n'
        'model = "bytedance-seed/seedream-4.5"\n',
        operation="make_image",
        more=("identified", "part"),
        products=("one.*", "one.2.*", "one.3.*"),
    ),
    "clip": Try(
        job='kind = "video"\nprompt = "A kite."\nseconds = 2\nresolution = "480p"\nout = "../../out/one.{ext}"\n'
        'model = "x-ai/grok-imagine-video"\n',
        operation="make_video",
        more=("submitted", "part"),
        products=("one.mp4", "one.2.mp4", "one.jpg"),
    ),
}


def points(tried: Try) -> list[str]:
    return [*BEFORE, SENT, *tried.more, *AFTER]


def make(root: Path, standin: StandIn, tried: Try) -> Folder:
    standin.reset()
    standin.fault("urls-two", path="make_video")
    folder = Folder(root)
    folder.configure({}, extra="doubt_per_call_usd = 0\n")
    folder.add_route("shop", driver="openrouter", base_url=standin.base_url, key=standin.key)
    (folder.spool / "incoming").mkdir(parents=True)
    text = f'schema = 1\nname = "crash"\n[[job]]\nid = "kite-7"\nroute = "shop"\n{tried.job}'
    (folder.spool / "incoming/crash.toml").write_text(text)
    return folder


def start(folder: Folder, kill: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "tests.crash_child", str(folder.spool), str(folder.config), kill]
    environ = {**os.environ, **folder.environ}
    return subprocess.Popen(command, env=environ, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def run(folder: Folder, kill: str = "none") -> int:
    with start(folder, kill) as child:
        child.communicate(timeout=120)
        return child.returncode


def kill_when_sent(folder: Folder, standin: StandIn, tried: Try) -> int:
    """From outside, while the server holds its answer back."""
    standin.fault("no-answer", path=tried.operation, times=1)
    with start(folder, "none") as child:
        standin.wait(tried.operation)
        child.kill()
        child.communicate(timeout=60)
        return child.returncode


def is_made(folder: Folder, tried: Try) -> bool:
    out = folder.product("")
    return all(any(path.stat().st_size for path in out.glob(name)) for name in tried.products)


@pytest.mark.parametrize("name", TRIES)
def test_invariants_1_and_3_a_remote_call_killed_anywhere_is_paid_once_and_made_or_held(
    tmp_path: Path, standin: StandIn, name: str, record_property: Callable[[str, object], None]
) -> None:
    tried, made, waiting = TRIES[name], 0, 0
    for number, point in enumerate(points(tried)):
        folder = make(tmp_path / str(number), standin, tried)
        killed = kill_when_sent(folder, standin, tried) if point == SENT else run(folder, f"point:{point}")
        assert killed == -signal.SIGKILL, point
        run(folder)
        if held(folder):
            run(folder)
        assert standin.paid(tried.operation) <= 1, point
        assert is_made(folder, tried) != bool(held(folder)), point
        assert bool(held(folder)) == ("kite-7" in status(seat(folder)).text), point
        assert strays(folder) == [] or held(folder), point
        if not held(folder):
            assert (standin.paid(tried.operation), without_verdict(folder)) == (1, 0), point
        made, waiting = made + is_made(folder, tried), waiting + bool(held(folder))
        shutil.rmtree(folder.root)
    line = f"kill -9, {name}: {made + waiting}/{len(points(tried))} points, {made} made, {waiting} held, 0 paid twice"
    record_property("figure", line)
    print(line)


def test_invariant_4_a_run_that_goes_on_with_a_clip_may_be_killed_too(tmp_path: Path, standin: StandIn) -> None:
    tried = TRIES["clip"]
    again = ["recovered", "resumed", "first-bytes", "part", "staged", "received", "adopted", "stored", "published"]
    for number, point in enumerate(again):
        folder = make(tmp_path / str(number), standin, tried)
        assert run(folder, "point:submitted") == -signal.SIGKILL
        assert run(folder, f"point:{point}") == -signal.SIGKILL, point
        assert run(folder) == 0, point
        assert is_made(folder, tried)
        assert (standin.paid("make_video"), without_verdict(folder)) == (1, 0), point
    print(f"kill -9 of a run that resumes a clip: {len(again)}/{len(again)}, 0 submitted twice")


@pytest.mark.parametrize("point", ["submitted", "part"])
def test_invariants_4_and_17_a_disk_that_fills_under_a_clip_costs_no_clip(
    tmp_path: Path, standin: StandIn, point: str
) -> None:
    tried = TRIES["clip"]
    folder = make(tmp_path, standin, tried)
    with start(folder, f"full:{point}") as child:
        _, told = child.communicate(timeout=120)
    assert (child.returncode, told) == (74, "")  # a full disk, and no bug of ours
    assert run(folder) == 0
    assert is_made(folder, tried)
    assert standin.paid("make_video") == 1


def test_invariant_4_a_server_that_is_down_for_a_while_costs_no_clip(tmp_path: Path, standin: StandIn) -> None:
    tried = TRIES["clip"]
    state = str(tmp_path / "standin.json")
    server = StandIn(state=state)
    folder = make(tmp_path / "user", server, tried)
    folder.config.write_text(folder.config.read_text() + 'call_timeout = "5s"\n')
    assert run(folder, "point:submitted") == -signal.SIGKILL
    server.stop()
    began = time.monotonic()
    assert run(folder) != 0
    assert time.monotonic() - began < 100
    server.start()
    assert run(folder) == 0
    assert is_made(folder, tried)
    assert server.paid("make_video") == 1
    server.stop()
