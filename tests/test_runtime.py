"""What was opened for looking is closed again, with every thread that did something for it."""

import threading
from pathlib import Path

import msgspec
import pytest
import trio

from pipeline.core.drivers import RouteConfig
from pipeline.core.model import Runner
from pipeline.routes._tools import Tools
from pipeline.runtime import open_drivers, open_view
from tests.makers import Folder
from tests.scripted import ScriptedDriver

pytestmark = pytest.mark.real_time


class Reader(ScriptedDriver):
    """Shows the runner that remote drivers read with what they send."""

    def __init__(self, route: RouteConfig, tools: Tools) -> None:
        super().__init__(route)
        self.files = tools.files


def open_driver(route: RouteConfig, tools: Tools) -> Reader:
    return Reader(route, tools)


def thread_of(runner: Runner) -> threading.Thread:
    return trio.run(runner, threading.current_thread)


def check_ended(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.join(5)
    assert [thread for thread in threads if thread.is_alive()] == []


def test_a_look_at_the_routes_leaves_no_thread_behind(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    world = msgspec.structs.replace(folder.world(), drivers={"scripted": f"{__name__}:open_driver"})
    with open_drivers(folder.settings, str(folder.spool), world) as drivers:
        driver = drivers("scripted")
        assert isinstance(driver, Reader)
        thread = thread_of(driver.files)
        assert thread.is_alive()
    check_ended([thread])


def test_a_look_at_a_plan_leaves_no_thread_behind(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    with open_view(folder.settings, str(folder.spool), folder.world()) as runtime:
        threads = [thread_of(runner) for runner in runtime.threads]
        assert all(thread.is_alive() for thread in threads)
    assert len(threads) == 4
    check_ended(threads)
