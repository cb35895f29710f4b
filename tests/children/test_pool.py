"""The pool: a child that hangs, crashes or lies costs its own job and nothing else."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import CancelledError, wait
from pathlib import Path

import msgspec
import pytest

from pipeline import one_cpu
from pipeline.children.limits import MEGABYTE
from pipeline.children.pool import PoolSettings, StagePool
from pipeline.children.process import ChildSettings
from pipeline.children.run import run_stage
from pipeline.children.stage import FileRef, StageResult, StageSpec
from pipeline.core.errors import StoreError
from tests.children.conftest import ODD_CHILD, PoolMaker, ask, is_running, peak_of_children, pid_of

pytestmark = pytest.mark.real_time


def outcome(odd_pool: PoolMaker, stage: str, **settings: int) -> StageResult:
    return odd_pool(**settings).submit_stage(ask(stage), {}).result(timeout=30)


def test_one_child_answers_many_jobs(odd_pool: PoolMaker) -> None:
    pool = odd_pool(workers=2)
    pids = {pid_of(pool.submit_stage(ask("print"), {}).result(timeout=30)) for _ in range(5)}
    assert len(pids) == 1


def test_no_child_starts_before_the_first_job(odd_pool: PoolMaker) -> None:
    before = threading.active_count()
    odd_pool(workers=2)
    assert threading.active_count() == before


def test_where_the_system_gives_no_thread_it_is_said_and_the_pool_goes_on(odd_pool: PoolMaker) -> None:
    pool, usual = odd_pool(), threading.stack_size(1 << 47)
    try:
        with pytest.raises(StoreError, match="no thread"):
            pool.submit_stage(ask("print"), {})
    finally:
        threading.stack_size(usual)
    assert pid_of(pool.submit_stage(ask("print"), {}).result(timeout=30)) > 0


def test_the_executor_door_runs_only_run_stage(odd_pool: PoolMaker) -> None:
    pool = odd_pool()
    assert pid_of(pool.submit(run_stage, ask("print"), {}).result(timeout=30)) > 0
    with pytest.raises(TypeError):
        pool.submit(len, [])


def test_an_engines_printing_cannot_touch_the_answers(odd_pool: PoolMaker) -> None:
    assert outcome(odd_pool, "print").code is None


def test_no_key_reaches_a_child(odd_pool: PoolMaker) -> None:
    pool = odd_pool(environ={"OPENAI_API_KEY": "sk-canary", "PATH": "/usr/bin", "https_proxy": "http://canary"})
    result = pool.submit_stage(ask("environ"), {}).result(timeout=30)
    seen = msgspec.json.decode(result.facts, type=dict[str, str])
    assert b"canary" not in bytes(result.facts)
    assert seen["HF_HUB_OFFLINE"] == seen["OMP_NUM_THREADS"] == "1"


def test_a_child_is_not_in_the_terminals_process_group(odd_pool: PoolMaker) -> None:
    assert pid_of(outcome(odd_pool, "group")) != os.getpgrp()


@pytest.mark.skipif(len(one_cpu.allowed()) < 2, reason="one CPU is all there is here")
def test_a_child_may_use_every_cpu_though_the_run_is_kept_on_one(odd_pool: PoolMaker) -> None:
    everywhere, pool = one_cpu.allowed(), odd_pool()
    os.sched_setaffinity(0, {min(everywhere)})
    try:
        pid = pid_of(pool.submit_stage(ask("print"), {}).result(timeout=30))
    finally:
        os.sched_setaffinity(0, everywhere)
    assert os.sched_getaffinity(pid) == everywhere


@pytest.mark.skipif(shutil.which("localedef") is None, reason="makes a locale of its own")
def test_a_child_knows_files_by_the_same_names_as_the_run_whatever_the_locale(tmp_path: Path) -> None:
    old = "de_DE.ISO-8859-1"
    subprocess.run(["localedef", "-i", "de_DE", "-f", "ISO-8859-1", str(tmp_path / old)], check=False)
    argv = ("/usr/bin/env", f"LOCPATH={tmp_path}", sys.executable, "-P", ODD_CHILD)
    pool = StagePool(PoolSettings(workers=1, child=ChildSettings(memory_mb=500, argv=argv)), environ={"LC_ALL": old})
    try:
        result = pool.submit_stage(ask("names"), {}).result(timeout=30)
    finally:
        pool.close()
    assert bytes(result.facts) == b'"utf-8"'


def test_an_odd_file_name_reaches_the_child_and_comes_back(odd_pool: PoolMaker) -> None:
    name = FileRef(root="r", path="caf\udce9 \u202e.wav")
    result = odd_pool().submit_stage(StageSpec(stage="echo", inputs=(name,)), {}).result(timeout=30)
    assert result.output == name


@pytest.mark.parametrize(
    ("stage", "code", "told"),
    [
        ("exit", "engine-crashed", "exit code 7"),
        ("exit-late", "engine-crashed", "exit code 7"),
        ("segfault", "engine-crashed", "SIGSEGV"),
        ("garbage", "engine-crashed", "not a message"),
        ("oversize", "engine-crashed", "not a message"),
        ("stranger", "engine-crashed", "another question"),
        ("raise", "engine-crashed", "ValueError at odd_child.py"),
    ],
)
def test_a_broken_child_costs_only_its_job(odd_pool: PoolMaker, stage: str, code: str, told: str) -> None:
    pool = odd_pool()
    first, bad, last = (pool.submit_stage(ask(name), {}) for name in ("print", stage, "print"))
    result = bad.result(timeout=30)
    assert (result.code, told in result.message) == (code, True), result
    assert pid_of(first.result(timeout=30)) != pid_of(last.result(timeout=30))


def test_an_unexpected_error_never_quotes_its_text(odd_pool: PoolMaker) -> None:
    assert "sentence" not in outcome(odd_pool, "raise").message


@pytest.mark.parametrize("when", ["twice", "twice-late"])
def test_a_child_that_answers_twice_spoils_no_later_job(odd_pool: PoolMaker, when: str) -> None:
    pool = odd_pool()
    pool.submit_stage(ask(when), {}).result(timeout=30)
    results = [pool.submit_stage(ask("print"), {}).result(timeout=30) for _ in range(2)]
    assert [result.code for result in results] == [None, None]


def test_a_hanging_child_is_killed_at_its_deadline(odd_pool: PoolMaker) -> None:
    pool = odd_pool()
    started = time.monotonic()
    assert pool.submit_stage(ask("hang", deadline_s=0.5), {}).result(timeout=30).code == "limit-time"
    assert time.monotonic() - started < 5
    assert pid_of(pool.submit_stage(ask("print"), {}).result(timeout=30)) > 0


def test_invariant_13_a_child_that_eats_memory_is_stopped_near_its_bound(odd_pool: PoolMaker) -> None:
    pool = odd_pool(memory_mb=300)
    future = pool.submit_stage(ask("eat"), {})
    peak = peak_of_children(future)
    assert future.result(timeout=60).code == "limit-memory"
    assert 300 * MEGABYTE < peak < 900 * MEGABYTE
    assert pid_of(pool.submit_stage(ask("print"), {}).result(timeout=30)) > 0


def test_invariant_13_a_file_beyond_the_byte_bound_is_stopped_by_the_kernel(odd_pool: PoolMaker, tmp_path: str) -> None:
    limits = msgspec.structs.replace(ask("write").limits, max_output_bytes=1000)
    spec = msgspec.structs.replace(ask("write"), limits=limits)
    result = odd_pool().submit_stage(spec, {"staging": str(tmp_path)}).result(timeout=30)
    assert result.code == "engine-crashed"
    assert os.path.getsize(os.path.join(tmp_path, "big")) < 200_000


def test_a_child_that_keeps_too_much_is_replaced_before_it_fails_an_innocent_job(odd_pool: PoolMaker) -> None:
    pool = odd_pool(memory_mb=140)
    pids = [pid_of(pool.submit_stage(ask("grow"), {}).result(timeout=30)) for _ in range(3)]
    assert len(set(pids)) == 3


def test_a_child_is_replaced_after_its_share_of_jobs(odd_pool: PoolMaker) -> None:
    pool = odd_pool(max_jobs=2)
    pids = [pid_of(pool.submit_stage(ask("print"), {}).result(timeout=30)) for _ in range(4)]
    assert (pids[0] == pids[1], pids[1] == pids[2], pids[2] == pids[3]) == (True, False, True)


def test_cancelling_running_work_kills_its_child_first(odd_pool: PoolMaker) -> None:
    pool = odd_pool()
    pid = pid_of(pool.submit_stage(ask("print"), {}).result(timeout=30))
    future = pool.submit_stage(ask("hang"), {})
    while not future.running():
        os.sched_yield()
    assert future.cancel()
    with pytest.raises(CancelledError):
        future.result(timeout=30)
    assert not is_running(pid)


def test_cancelling_waiting_work_leaves_the_running_work_alone(odd_pool: PoolMaker) -> None:
    pool = odd_pool()
    running = pool.submit_stage(ask("hang", deadline_s=1.0), {})
    waiting = pool.submit_stage(ask("print"), {})
    assert waiting.cancel()
    assert running.result(timeout=30).code == "limit-time"
    assert wait([waiting], timeout=30).not_done == set()


def test_closing_kills_every_child_and_cancels_what_waits(odd_pool: PoolMaker) -> None:
    pool = odd_pool(workers=2)
    pids = [pid_of(pool.submit_stage(ask("print"), {}).result(timeout=30))]
    futures = [pool.submit_stage(ask("hang"), {}) for _ in range(4)]
    pool.close()
    assert all(future.cancelled() for future in futures)
    assert not any(map(is_running, pids))
    with pytest.raises(RuntimeError):
        pool.submit_stage(ask("print"), {})


def test_shutdown_lets_submitted_work_finish(odd_pool: PoolMaker) -> None:
    pool = odd_pool()
    futures = [pool.submit_stage(ask("print"), {}) for _ in range(3)]
    pool.shutdown()
    assert all(future.result(timeout=0).code is None for future in futures)


def test_a_program_that_cannot_be_started_is_a_result(tmp_path: str) -> None:
    from pipeline.children.pool import PoolSettings, StagePool
    from pipeline.children.process import ChildSettings

    child = ChildSettings(memory_mb=100, argv=(os.path.join(tmp_path, "absent"),))
    with StagePool(PoolSettings(workers=1, child=child)) as pool:
        assert pool.submit_stage(ask("print"), {}).result(timeout=30).code == "engine-crashed"


PARENT = """
import json, sys
from pipeline.children.pool import PoolSettings, StagePool
from pipeline.children.process import ChildSettings
from pipeline.children.stage import StageSpec
pool = StagePool(PoolSettings(workers=1, child=ChildSettings(memory_mb=500, argv=(sys.executable, "-P", sys.argv[1]))))
print(json.loads(bytes(pool.submit_stage(StageSpec(stage="print"), {}).result().facts)), flush=True)
pool.submit_stage(StageSpec(stage=sys.argv[2]), {}).result()
"""


@pytest.mark.parametrize("stage", ["hang", "print"])
def test_no_child_outlives_a_parent_killed_with_9(stage: str) -> None:
    """Busy or idle, while its parent gets SIGKILL."""
    path = json.dumps(sys.path)
    code = f"import json, sys; sys.path[:] = json.loads({path!r})\n{PARENT}\nsys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code, ODD_CHILD, stage], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert is_running(pid)
        parent.send_signal(signal.SIGKILL)
    until = time.monotonic() + 10
    while is_running(pid) and time.monotonic() < until:
        os.sched_yield()
    assert not is_running(pid)
