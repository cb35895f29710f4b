"""Cells of the failure table: one job on a route of its own, whose every request of one operation meets one fault.

A route carries its fault and its own number in its headers, so that one run can try many cells and the stand-in server
still knows whose request it was. The next run is made without the faults: what was only put off must come then.
"""

import json
import shutil
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import Struct
from trio.testing import MockClock

from tests.makers import Folder, outcomes
from tests.pages import ROOT
from tests.standin.fixture import StandIn

KEY = "sk-or-v1-standin-CaNaRy-4711"
PROMPT = "Zebra prompt canary four-seven-one-three"
DOCUMENT = "Okapi text canary four-seven-one-four"
NUMBER = "x-cell"
SPEED = 20.0
OPENROUTER = ("speak", "transcribe", "make_image", "edit_image", "complete", "make_video", "poll", "content")
OPENAI = ("speak", "transcribe", "make_image", "edit_image", "complete")
BODY_OF: Mapping[str, str] = {
    "speak": f'kind = "tts"\ntext = "{PROMPT}."\nlanguage = "en"\nformat = "wav"\n',
    "transcribe": 'kind = "transcription"\ninput = "recordings/a.wav"\nformats = ["txt"]\n',
    "make_image": f'kind = "image"\nprompt = "{PROMPT}."\n',
    "edit_image": f'kind = "image"\nprompt = "{PROMPT}."\ninput = "card.png"\n',
    "complete": f'kind = "text"\nprompt = "{PROMPT}."\ninput = "note.txt"\nmax_tokens = 100\n',
    "make_video": f'kind = "video"\nprompt = "{PROMPT}."\nseconds = 2\nresolution = "480p"\nposter = "none"\n',
}
MODELS: Mapping[str, Mapping[str, str]] = {
    "openrouter": {
        "transcribe": "openai/whisper-1",
        "make_image": "black-forest-labs/flux.2-klein-4b",
        "edit_image": "black-forest-labs/flux.2-klein-4b",
        "make_video": "x-ai/grok-imagine-video",
    },
    "openai": {"speak": "tts-1", "complete": "gpt-4.1-mini"},
}
ADDRESSES = {"make_image": "dall-e-2", "edit_image": "dall-e-2"}  # these answer with an address, not with bytes
QUICK = {"first_byte": "2s", "idle": "2s", "total": "3s"}
ENDLESS = {"connect": "1h", "first_byte": "1h", "idle": "1h", "total": "2h"}
PATIENT = {"connect": "60s", "first_byte": "60s", "idle": "60s", "total": "90s"}


class Cell(Struct, frozen=True, kw_only=True):
    """`operation` meets the fault; a poll or a download is that of a clip.

    Where `is_hanging`, the stages of a request have short deadlines; `patience` is the time of the whole call. A cell
    that `is_slowed` waits long, on a clock that runs fast.
    """

    fault: str
    dialect: str
    operation: str
    is_hanging: bool = False
    patience: str = "90s"
    is_lasting: bool = False
    is_slowed: bool = False

    @property
    def kind(self) -> str:
        return "make_video" if self.operation in ("poll", "content") else self.operation

    @property
    def title(self) -> str:
        return f"{self.fault} x {self.dialect} {self.operation}"


class Seen(Struct, frozen=True, kw_only=True):
    """What became of a cell in one run: verdict and code, and the requests and paid work of its route until then."""

    verdict: str
    code: str | None
    posts: int
    paid: int


class Field:
    """A user's folder with one job and one route a cell."""

    def __init__(self, root: Path, standin: StandIn, cells: Sequence[Cell], *, extra: str = "") -> None:
        self._extra = extra
        self.folder = Folder(root)
        self.folder.now = time.time() + 3600
        self.folder.environ["THE_KEY"] = KEY
        self.folder.record("a.wav", 2.0)
        shutil.copyfile(ROOT / "samples" / "media" / "card.png", root / "card.png")
        (root / "note.txt").write_text(f"{DOCUMENT}, and nobody came.\n")
        self._standin = standin
        self._cells = cells
        jobs = [f'[[job]]\nid = "{n}"\nroute = "r{n}"\nout = "out/{n}.{{ext}}"\n' for n in range(len(cells))]
        told = [job + BODY_OF[cell.kind] for job, cell in zip(jobs, cells, strict=True)]
        self.folder.manifest.write_text('schema = 1\nname = "cells"\n' + "".join(told))
        self.configure(with_faults=True)

    def configure(self, *, with_faults: bool) -> None:
        self.folder.configure({}, extra=f"doubt_per_call_usd = 0\nengines.media_workers = 2\n{self._extra}")
        tables = [self._table(number, cell, with_faults=with_faults) for number, cell in enumerate(self._cells)]
        self.folder.config.write_text(self.folder.config.read_text() + "".join(tables))

    def _table(self, number: int, cell: Cell, *, with_faults: bool) -> str:
        headers = {NUMBER: str(number)}
        if with_faults:
            headers["x-standin-fault"] = f"{cell.fault}@{cell.operation}"
        told = {
            "driver": cell.dialect,
            "base_url": self._standin.base_url if cell.dialect == "openrouter" else self._standin.openai_url,
            "key": "THE_KEY",
            "call_timeout": cell.patience
            if with_faults or cell.is_lasting
            else "20m",  # at the speed of a slowed one: a minute
            "headers": headers,
            "models": {**MODELS[cell.dialect], **(ADDRESSES if cell.fault.startswith("url-") else {})},
            "capabilities": {"dall-e-2": "url"} if cell.dialect == "openai" else {},
            "timeouts": QUICK if with_faults and cell.is_hanging else ENDLESS if cell.is_slowed else PATIENT,
            "limits": {"max_output_mb": 4},
        }
        return f"[routes.r{number}]\n" + "".join(f"{name} = {_toml(value)}\n" for name, value in told.items())

    def run(self) -> list[Seen]:
        """What the run made of every cell, in order."""
        if self._cells[0].is_slowed:
            self.folder.clock, self.folder.speed = MockClock(rate=SPEED), SPEED
        ended = outcomes(self.folder.run())
        posts: Counter[str] = Counter()
        paid: Counter[str] = Counter()
        for request in self._standin.requests():
            headers = request["headers"]
            assert isinstance(headers, dict)
            if request["method"] == "POST" and NUMBER in headers:
                posts[headers[NUMBER]] += 1
                paid[headers[NUMBER]] += bool(request["paid"])
        return [
            Seen(verdict=outcome.verdict, code=outcome.code, posts=posts[str(n)], paid=paid[str(n)])
            for n, outcome in ((n, ended[str(n)]) for n in range(len(self._cells)))
        ]


def _toml(value: object) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{json.dumps(name)} = {_toml(item)}" for name, item in value.items()) + " }"
    return json.dumps(value)
