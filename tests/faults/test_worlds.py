"""Runs of one workload on the stand-in while the world changes between them: hands, commands, signals, lost answers.

What happens, and in which order, is drawn from a seed. By the server's own list no request is paid for more often than
people agreed to; in the end every job is done, or its call is held and listed, or its job was dropped by hand.
"""

import os
import random
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
import pytest
from trio.testing import MockClock

from pipeline import desk, retention
from pipeline.overview import Status, status
from pipeline.rebuild import rebuild
from pipeline.runtime import World
from tests.cli.conftest import seat
from tests.faults.amounts import amount
from tests.makers import FAR_FUTURE, Folder, outcomes
from tests.standin.fixture import StandIn

pytestmark = [pytest.mark.real_time, pytest.mark.timeout(3600)]

STEPS = 8
JOBS: Mapping[str, str] = {
    "word": 'kind = "text"\nprompt = "Say hello."\nmax_tokens = 50\nout = "{out}/{stem}word.txt"\n',
    "twin": 'kind = "text"\nprompt = "Say hello."\nmax_tokens = 50\nout = "{out}/{stem}twin.txt"\n',
    "said": 'kind = "tts"\ninput = "in/said.txt"\nvoice = "af_alloy"\nout = "{out}/{stem}said.mp3"\n',
    "heard": 'kind = "transcription"\ninput = "recordings/a.wav"\nformats = ["txt", "srt"]\n'
    'out = "{out}/{stem}heard.{ext}"\n',
    "clean": 'kind = "canonical_text"\ninput = "@heard{mark}"\nout = "{out}/{stem}clean.{ext}"\n',
    "kite": 'kind = "image"\nroute = "home"\nprompt = "A kite"\nn = 2\nout = "{out}/{stem}kite.{ext}"\n',
    "film": 'kind = "video"\nprompt = "A kite."\nseconds = 2\nresolution = "480p"\nmodel = "x-ai/grok-imagine-video"\n'
    'out = "{out}/{stem}film.{ext}"\n',
}
PAID = {"word": "complete", "twin": "complete", "said": "speak", "heard": "transcribe", "kite": "make_image"}
POINTS = ("opened", "sending", "submitted", "received", "stored", "made", "published")
TROUBLES = ("close-after-body", "503-retry-after", "502-html", "cut-in-chunk", "429-bare")


class Walk:
    """One folder and what befalls it. `told` is the story so far, for whoever has to read a failure."""

    def __init__(self, root: Path, standin: StandIn, seed: int) -> None:
        standin.reset()
        self.chance, self.standin, self.told = random.Random(seed), standin, list[str]()
        self.names = {"name": "walk", "out": "out", "stem": "", "mark": ""}
        self.order = list(JOBS)
        self.agreed: Counter[str] = Counter()
        self.is_cleaned = self.is_lost = False
        self.folder = Folder(root)
        self.folder.now = time.time() + 3600
        self.folder.config.write_text(f'drain_grace = "5s"\ndoubt_per_call_usd = 0\n{self.folder.config.read_text()}')
        self.folder.add_route("shop", driver="openrouter", base_url=standin.base_url, key=standin.key)
        self.folder.add_route("home", driver="openai", base_url=standin.openai_url, key=standin.key)
        (root / "in").mkdir()
        (root / "in/said.txt").write_text("The kites are high. " * 3)
        self.folder.record("a.wav", 3.0)

    def run(self, **options: bool) -> None:
        jobs = "".join(f'[[job]]\nid = "{job}{self.names["mark"]}"\n{self._filled(JOBS[job])}' for job in self.order)
        head = f'schema = 1\nname = "{self.names["name"]}"\n[defaults]\nroute = ["shop"]\n'
        self.folder.manifest.write_text(head + jobs)
        self.folder.clock = MockClock(rate=50)
        ended = outcomes(self.folder.run(**options))
        self.folder.reached = lambda _point: None
        self.told.append(str({job: (outcome.verdict, outcome.code) for job, outcome in ended.items()}))

    def _filled(self, job: str) -> str:
        for name, value in self.names.items():
            job = job.replace("{" + name + "}", value)
        return job

    # what happens

    def nothing(self) -> None:
        self.run()

    def a_signal(self) -> None:
        point, left = self.chance.choice(POINTS), [self.chance.choice([1, 2])]
        times = self.chance.choice([1, 1, 2])

        def reached(name: str) -> None:
            left[0] -= name == point
            if left[0] == 0:
                left[0] = -1
                for _ in range(times):
                    signal.raise_signal(signal.SIGTERM)

        self.folder.reached = reached
        self.run()

    def a_lost_answer(self) -> None:
        self.standin.fault(self.chance.choice(TROUBLES), path=self.chance.choice(list(PAID.values())), times=1)
        self.run()

    def other_names(self) -> None:
        name = self.chance.choice(list(self.names))
        self.names[name] += "2" if name != "stem" or not self.is_cleaned else ""

    def another_order(self) -> None:
        self.chance.shuffle(self.order)

    def new_times_and_inodes(self) -> None:
        for path in [*self._products(), self.folder.root / "in/said.txt", self.folder.root / "recordings/a.wav"]:
            os.utime(path)
            shutil.copy(path, f"{path}~")
            os.replace(f"{path}~", path)

    def receipts_deleted(self) -> None:
        for path in self._products():
            if path.name.endswith(".receipt.json"):
                path.unlink()

    def a_product_deleted(self) -> None:
        products = self._products()
        if products and not self.is_cleaned:
            self.chance.choice(products).unlink()
            self.is_lost = True

    def folders_emptied(self) -> None:
        for name in ("debug", "reports", "quarantine", "catalogues", "done"):
            shutil.rmtree(self.folder.spool / name, ignore_errors=True)

    def the_spool_moved(self) -> None:
        if self.folder.spool.exists():
            self.folder.spool = self.folder.spool.rename(self.folder.root / f"spool{len(self.told)}")

    def forced(self) -> None:
        if not self.is_cleaned:
            self.run(is_forced=True)

    def cleaned(self) -> None:
        """Answers that have served go. A product that is gone by then costs a call, as the page says."""
        if self._is_used() and not self.is_lost:
            later: World = msgspec.structs.replace(self.folder.world(), now=lambda: FAR_FUTURE)
            retention.clean(seat(self.folder, world=later), is_real=True, asset_days=1.0)
            self.is_cleaned = True

    def the_ledger_lost(self) -> None:
        """Only while nothing is held, which no proof tells of."""
        if self._is_used() and not self.is_cleaned and not self._open() and self._has_answers():
            for path in self.folder.spool.glob("ledger.db*"):
                path.unlink()
            rebuild(seat(self.folder), [str(self.folder.root)])

    def a_decision(self) -> None:
        if self._is_used() and (held := self._open()):
            call = self.chance.choice(held)
            desk.resolve(seat(self.folder), [call[0]], self.chance.choice(["pay-again", "drop"]))
            self.agreed[call[1]] += 1

    def a_retry(self) -> None:
        job = self.chance.choice(list(PAID))
        if self._is_used() and not self.is_cleaned:
            desk.retry(seat(self.folder), [job + self.names["mark"]], ())
            self.agreed[PAID[job]] += 1

    # what must be true

    def check(self) -> None:
        seen = Counter(
            (str(asked["operation"]), msgspec.json.encode([asked["fields"], asked["media"]]))
            for asked in self.standin.requests()
            if asked["paid"]
        )
        again: Counter[str] = Counter()
        for (operation, _), count in seen.items():
            again[operation] += count - 1
        assert {name: count for name, count in again.items() if count > self.agreed[name]} == {}, self.told

    def end(self) -> None:
        for _ in range(3):
            self.run()
        self.check()
        ended = {job: (outcome.earlier, outcome.code) for job, outcome in outcomes(self.folder.run()).items()}
        odd = {job for job, (verdict, _) in ended.items() if verdict != "done"}
        if not self._open():
            odd = {job for job in odd if ended[job][1] not in ("in-doubt", "parent-unfinished", "output-exists")}
            assert odd == set(), (ended, self.told)

    def _products(self) -> list[Path]:
        return [path for path in self.folder.root.glob("out*/*") if path.is_file()]

    def _is_used(self) -> bool:
        return (self.folder.spool / "ledger.db").exists()

    def _has_answers(self) -> bool:
        return any((self.folder.spool / "assets").iterdir())

    def _open(self) -> list[tuple[str, str]]:
        record = status(seat(self.folder)).record
        assert isinstance(record, Status)
        return [(call.job or call.attempt, call.operation) for call in (*record.held, *record.waiting)]


EVENTS: tuple[Callable[[Walk], None], ...] = (
    *(Walk.nothing, Walk.nothing, Walk.a_signal, Walk.a_signal, Walk.a_lost_answer, Walk.a_lost_answer),
    *(Walk.a_decision, Walk.a_decision, Walk.other_names, Walk.other_names, Walk.another_order, Walk.the_spool_moved),
    *(Walk.new_times_and_inodes, Walk.receipts_deleted, Walk.a_product_deleted, Walk.folders_emptied, Walk.forced),
    *(Walk.cleaned, Walk.the_ledger_lost, Walk.a_retry),
)


def test_whatever_the_world_does_between_runs_nothing_is_paid_twice_or_lost(
    tmp_path: Path, standin: StandIn, figure: Callable[[str], None]
) -> None:
    walks, happened = amount(short=1, whole=100), Counter[str]()
    for _ in range(walks):
        seed = random.SystemRandom().randrange(1 << 32)
        walk = Walk(tmp_path / str(seed), standin, seed)
        walk.told.append(f"seed {seed}")
        for _ in range(STEPS):
            event = walk.chance.choice(EVENTS)
            walk.told.append(event.__name__)
            event(walk)
            walk.check()
            happened[event.__name__] += 1
        walk.end()
        shutil.rmtree(walk.folder.root)
    figure(f"{walks} walks of {STEPS} events between runs: 0 paid twice, 0 lost ({sum(happened.values())} events)")
