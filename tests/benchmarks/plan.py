"""(3) A plan of 100,000 unchanged jobs: time and peak memory of a whole process.

The jobs derive canonical text from 100,000 small text files. Set-up, not measured: the planner's own decisions are
settled straight into the ledger with a product on disk each, which a real run would have done one by one.
"""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import trio

from pipeline.app import Reading, RunRequest, claim, lane_roots, plan, read
from pipeline.batch import Stop
from pipeline.core.model import Decision, JobReceipt, Media, Product, Sha256
from pipeline.runtime import Runtime, open_runtime
from pipeline.state.ledger_rows import FileFacts
from pipeline.state.spool import Spool
from tests.benchmarks.table import Row, environment
from tests.makers import Folder

JOBS = 100_000
MAX_MB = 300.0
LINE = '{{"id": "{0}", "kind": "canonical_text", "input": "texts/{0}.txt", "out": "out/{0}.{{ext}}"}}\n'
BODY = b"as it was\n"
TEXT = Media(media_type="text/plain", family="text", extension="txt")
CHILD = """
import sys
from pipeline.program import main
try:
    main()
finally:
    with open("/proc/self/status") as file:
        print(next(line.split()[1] for line in file if line.startswith("VmHWM")), file=sys.stderr)
"""


def measure() -> list[Row]:
    with tempfile.TemporaryDirectory() as name:
        folder = Folder(Path(name))
        make_texts(folder)
        trio.run(settle_all, folder)
        wall, megabytes = run_plan(folder)
    return [
        Row(
            name=f"(3) plan of {JOBS:,} unchanged jobs",
            figure=f"{wall:.1f} s",
            beside=f"{wall / JOBS * 1e6:.0f} µs a job",
        ),
        Row(
            name="    its peak memory",
            figure=f"{megabytes} MB",
            target=f"< {MAX_MB:g} MB",
            is_met=megabytes < MAX_MB,
        ),
    ]


def make_texts(folder: Folder) -> None:
    (folder.root / "texts").mkdir()
    (folder.root / "out").mkdir()
    for number in range(JOBS):
        (folder.root / f"texts/{number}.txt").write_text(f"text number {number}\n")
    folder.manifest = folder.root / "many.jsonl"
    folder.manifest.write_text('{"schema": 1}\n' + "".join(LINE.format(number) for number in range(JOBS)))


async def settle_all(folder: Folder) -> None:
    request = RunRequest(spool=str(folder.spool), files=(str(folder.manifest),))
    spool, world = Spool.create(request.spool), folder.world()
    claims = claim(request, folder.settings, spool, world.now())
    roots = lane_roots(folder.settings, spool, claims)
    async with open_runtime(folder.settings, spool, world, roots=roots) as runtime:
        readings = await runtime.runner(read, runtime, claims, request)
        await runtime.runner(settle, runtime, readings, request)


def settle(runtime: Runtime, readings: list[Reading], request: RunRequest) -> None:
    (batch,) = plan(runtime, readings, request, Stop())
    with runtime.ledger.group():
        for decision in batch.decisions:
            settle_one(runtime, decision, batch.manifest)


def settle_one(runtime: Runtime, decision: Decision, manifest: str) -> None:
    digest = Sha256(hashlib.sha256(BODY).hexdigest())
    products = tuple(
        Product(name=item.name, path=item.path, sha256=digest, size=len(BODY)) for item in decision.job.products
    )
    for product in products:
        Path(product.path).write_bytes(BODY)
        facts = FileFacts(sha256=digest, size=len(BODY), media=TEXT, seconds=None, tracks=())
        runtime.ledger.remember_file(product.path, os.stat(product.path), facts)
    assert decision.key is not None, decision.reasons
    receipt = JobReceipt(
        schema=1,
        job=decision.job.id,
        kind=decision.job.kind,
        key=decision.key,
        verdict="done",
        reason="",
        source_sha256=decision.source.sha256 if decision.source else None,
        source_name=None,
        route=None,
        model=None,
        engine=None,
        calls=(),
        products=products,
        usd=None,
        finished_at=runtime.world.clock(),
    )
    runtime.ledger.settle_job(
        place=decision.job.place,
        job=decision.job.id,
        manifest=manifest,
        receipt=receipt,
        verdict="done",
        code=None,
        reason="",
        key=decision.key,
        identity="",
    )


def run_plan(folder: Folder) -> tuple[float, int]:
    """`mediaspool plan --json` as a process of its own; every job must be unchanged."""
    command = [sys.executable, "-c", CHILD, "plan", str(folder.manifest), "--spool", str(folder.spool), "--json"]
    started = time.perf_counter()
    done = subprocess.run(command, capture_output=True, check=False, env=environment())
    wall = time.perf_counter() - started
    if done.returncode != 0:
        sys.exit(done.stderr.decode()[-2000:])
    counts = json.loads(done.stdout)["counts"]
    assert counts == {"unchanged": JOBS}, counts
    return wall, int(done.stderr.split()[-1]) // 1024
