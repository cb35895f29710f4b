"""What a runtime has open: closed again after a look, with every thread, and an answer goes before other work."""

import threading
from pathlib import Path

import msgspec
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from pipeline.core.drivers import RouteConfig
from pipeline.core.model import Runner
from pipeline.routes._tools import Tools
from pipeline.runtime import FILE_THREADS, open_drivers, open_runtime, open_view
from pipeline.state.spool import Spool
from tests.makers import Folder
from tests.scripted import ScriptedDriver
from tests.test_till import call_of

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


async def _order_of_file_work(folder: Folder) -> list[str]:
    """All threads for files are taken, one piece of work waits for one, and then an answer comes."""
    order, is_free, are_free = list[str](), threading.Event(), threading.Event()

    def reached(point: str) -> None:
        if point in ("sending", "staged"):
            order.append(point)

    folder.reached = reached
    spool, call = Spool.create(str(folder.spool)), call_of("answered")
    owner = msgspec.structs.replace(call.owner, may_begin=lambda: True)
    async with (
        open_runtime(folder.settings, spool, folder.world(), roots={}) as runtime,
        trio.open_nursery() as nursery,
    ):
        nursery.cancel_scope.deadline = trio.current_time() + 10
        files, binding = runtime.bench.files, runtime.drivers("scripted").bind("speak", None)
        for taken in [is_free, *[are_free] * (FILE_THREADS - 1)]:
            nursery.start_soon(files, taken.wait, 10)
        await wait_all_tasks_blocked()
        nursery.start_soon(files, order.append, "waited before")
        await wait_all_tasks_blocked()
        nursery.start_soon(runtime.bench.caller.make_call, call.operation, binding, owner)
        while "sending" not in order:
            await trio.sleep(0.01)
        await wait_all_tasks_blocked(cushion=0.1)
        is_free.set()
        while len(order) < 3:
            await trio.sleep(0.01)
        are_free.set()
    return order


def test_an_answer_is_put_away_before_whatever_else_waits_for_a_thread(tmp_path: Path) -> None:
    assert trio.run(_order_of_file_work, Folder(tmp_path)) == ["sending", "staged", "waited before"]
