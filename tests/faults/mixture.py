"""A mixed workload on the stand-in, some of whose answers go wrong, and what must be true in the end.

Text, speech, transcription, pictures and a clip on two routes that cost money, a folder of recordings on one that does
not. Every paid request of it differs from every other, so the server's own list says whether one was paid twice.
"""

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from pipeline.overview import Status, status
from tests.cli.conftest import seat
from tests.makers import Folder
from tests.pages import ROOT
from tests.scripted import wav
from tests.standin.fixture import StandIn

PATIENCE_S = 240
UNFINISHED = (4, 143, -15)
RECORDINGS = {"one.wav": 1.0, "two.wav": 1.5}
PRODUCTS: Mapping[str, tuple[str, ...]] = {
    "word": ("word.txt",),
    "gist": ("gist.txt",),
    "said": ("said.mp3",),
    "told": ("told.wav",),
    "heard": ("heard.txt", "heard.srt"),
    "noted": ("noted.txt",),
    "kite": ("kite.*", "kite.2.*"),
    "film": ("film.mp4", "film.jpg"),
    "free": tuple(
        f"{name}.{made}" for name in RECORDINGS for made in ("text.txt", "canon.txt", "canon.provenance.json")
    ),
}
NEEDS = {"gist": "heard"}
PAID = {"complete": 2, "speak": 2, "transcribe": 2, "make_image": 1, "make_video": 1}
MANIFEST = """
schema = 1
name = "mixed"
[defaults]
route = "shop"
[[job]]
id = "word"
kind = "text"
prompt = "One word for a kite."
max_tokens = 50
out = "../../out/word.txt"
[[job]]
id = "gist"
kind = "text"
input = "@heard"
prompt = "In one sentence."
max_tokens = 50
out = "../../out/gist.txt"
[[job]]
id = "said"
kind = "tts"
text = "The kites are high."
language = "en"
out = "../../out/said.mp3"
[[job]]
id = "told"
kind = "tts"
route = "stall"
text = "The kites are low."
language = "en"
out = "../../out/told.wav"
[[job]]
id = "heard"
kind = "transcription"
input = "../../heard.wav"
formats = ["txt", "srt"]
out = "../../out/heard.{ext}"
[[job]]
id = "noted"
kind = "transcription"
route = "stall"
input = "../../noted.wav"
formats = ["txt"]
out = "../../out/noted.txt"
[[job]]
id = "kite"
kind = "image"
prompt = "A kite."
n = 2
model = "bytedance-seed/seedream-4.5"
out = "../../out/kite.{ext}"
[[job]]
id = "film"
kind = "video"
prompt = "A kite."
seconds = 2
resolution = "480p"
model = "x-ai/grok-imagine-video"
out = "../../out/film.{ext}"
[[folder]]
id = "free"
glob = "../../recordings/*"
accept = ["audio"]
settle = "0s"
out = "../../out/{name}.{step}.{ext}"
  [[folder.step]]
  id = "text"
  kind = "transcription"
  route = "scripted"
  formats = ["txt"]
  [[folder.step]]
  id = "canon"
  kind = "canonical_text"
  from = "text"
"""


class Left(Struct, frozen=True, kw_only=True):
    """What there is in the end: jobs with all their products, jobs with a held call, jobs that wait for such a one."""

    done: frozenset[str]
    held: frozenset[str]
    blocked: frozenset[str]


class Mixture:
    """A user's folder with the workload, as cron would run it: in a process of its own, from the spool."""

    def __init__(self, root: Path, standin: StandIn, *, is_troubled: bool = True) -> None:
        self.standin = standin
        standin.reset()
        self.folder = Folder(root)
        self.folder.configure({"delay_s": "0.02"}, extra='doubt_per_call_usd = 0\nmanifest_settle = "0s"\n')
        self.folder.add_route("shop", driver="openrouter", base_url=standin.base_url, key=standin.key)
        self.folder.add_route("stall", driver="openai", base_url=standin.openai_url, key=standin.key)
        for name, seconds in RECORDINGS.items():
            self.folder.record(name, seconds)
        for name, seconds in (("heard", 2.0), ("noted", 2.5)):
            (root / f"{name}.wav").write_bytes(wav(seconds))
        (self.folder.spool / "incoming").mkdir(parents=True)
        (self.folder.spool / "incoming/mixed.toml").write_text(MANIFEST)
        if is_troubled:
            self._trouble()
        standin.fault("video-at-once", path="make_video")

    def _trouble(self) -> None:
        """What a bad day brings: refusals that cost nothing, a slow answer, and one that is paid for and gets lost."""
        self.standin.fault("503-retry-after", path="complete", times=1, seconds=0)
        self.standin.fault("503-availability", path="speak", times=1, seconds=0)
        self.standin.fault("slow-chunks", path="speak", times=1)
        self.standin.fault("video-script", path="make_video", times=1, script=["!503", "completed"])
        self.standin.fault("502-html", path="transcribe", times=1, after=1)

    def start(self, kill: str = "none") -> "subprocess.Popen[str]":
        """A run in a process that kills itself where `kill` says, if it does."""
        return self._spawn(["tests.crash_child", str(self.folder.spool), str(self.folder.config), kill])

    def start_program(self, environ: Mapping[str, str]) -> "subprocess.Popen[str]":
        """The program itself, on the clock of the machine, in an environment with something more."""
        where = ["--spool", str(self.folder.spool), "--config", str(self.folder.config)]
        return self._spawn(["tests.signal_child", "-", "run", *where], environ)

    def _spawn(self, words: list[str], environ: Mapping[str, str] | None = None) -> "subprocess.Popen[str]":
        """With the start of Python behind it: what befalls it now befalls the program. Our variables stay out."""
        own = {name: value for name, value in os.environ.items() if not name.startswith("MEDIASPOOL_")}
        process = subprocess.Popen(
            [sys.executable, "-m", *words],
            env={**own, **self.folder.environ, **(environ or {})},
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    def run(self, kill: str = "none") -> int:
        return ended(self.start(kill))

    def finish(self) -> None:
        """Runs with nobody in their way, until none leaves work for another."""
        for _ in range(6):
            if self.run() not in UNFINISHED:
                return
        raise AssertionError("six runs left work")

    def left(self) -> Left:
        out = self.folder.product("")
        made = {job for job, names in PRODUCTS.items() if all(any(map(_size, out.glob(name))) for name in names)}
        listed = status(seat(self.folder)).record
        assert isinstance(listed, Status)
        held = {call.job for call in listed.held}
        blocked = {job for job, needed in NEEDS.items() if job not in made and needed in held}
        return Left(done=frozenset(made), held=frozenset(held), blocked=frozenset(blocked))

    def check(self, told: object) -> Left:
        """Nothing paid twice, nothing lost, nothing lying about. `told` says in a failure what was done to it."""
        assert not (twice := self.paid_twice()), (told, twice)
        left = self.left()
        assert left.done | left.held | left.blocked == set(PRODUCTS), (told, left)
        assert not (strays := self.strays()), (told, strays)
        paid = {operation: self.standin.paid(operation) for operation in PAID}
        assert left.held or paid == PAID, (told, paid)
        return left

    def paid_twice(self) -> list[str]:
        """Requests of which more than one was paid, and operations that were paid more often than there are jobs."""
        paid = [request for request in self.standin.requests() if request["paid"]]
        counts = Counter(
            json.dumps([seen["operation"], seen["fields"], seen["media"]], sort_keys=True) for seen in paid
        )
        return [
            *(same for same, times in counts.items() if times > 1),
            *(op for op, most in PAID.items() if sum(seen["operation"] == op for seen in paid) > most),
        ]

    def strays(self) -> list[str]:
        """Parts and staged bytes anywhere, and products that no job has."""
        files = [path for path in self.folder.root.rglob("*") if path.is_file()]
        parts = [path for path in files if path.name.endswith(".part") or {"staging", "scratch"} & set(path.parts)]
        out = self.folder.product("")
        known = {path for names in PRODUCTS.values() for name in names for path in out.glob(name)}
        known |= set(out.glob("*.receipt.json"))
        foreign = [path for path in files if path.parent == out and path not in known]
        return [str(path.relative_to(self.folder.root)) for path in (*parts, *foreign)]

    def remove(self) -> None:
        shutil.rmtree(self.folder.root)


def _size(path: Path) -> int:
    return path.stat().st_size


def ended(process: "subprocess.Popen[str]") -> int:
    """How it ended; never with a traceback."""
    try:
        _, said = process.communicate(timeout=PATIENCE_S)
    finally:
        process.kill()
    assert "Traceback" not in said, said
    return process.returncode
