"""Makers for the tests of what survives a crash."""

import hashlib
import os
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from pipeline.core.model import (
    AttemptId,
    CallKey,
    CallReceipt,
    JobId,
    JobKey,
    JobReceipt,
    Media,
    Place,
    Product,
    RouteId,
    RunId,
    Sha256,
)
from pipeline.state.ledger import Ledger
from pipeline.state.store import Store

WAV = Media(media_type="audio/wav", family="audio", extension="wav", demuxer="wav")
NOW = "2026-11-20T06:00:00+00:00"


def clock() -> str:
    return NOW


def sha(content: bytes) -> Sha256:
    return Sha256(hashlib.sha256(content).hexdigest())


class Make:
    """Small makers; every field a test does not care about has a value."""

    wav = WAV
    now = NOW
    sha = staticmethod(sha)

    def ledger(self, folder: Path, run: str = "run-1") -> Ledger:
        return Ledger.open(str(folder / "ledger.db"), run=RunId(run), clock=clock)

    def view(self, folder: Path) -> Ledger:
        return Ledger.view(str(folder / "ledger.db"), clock=clock)

    def store(self, folder: Path, *, steady: Callable[[], float] = time.monotonic) -> Store:
        staging, assets, quarantine = (str(folder / name) for name in ("staging", "assets", "quarantine"))
        for path in (staging, assets, quarantine):
            os.makedirs(path, exist_ok=True)
        return Store(staging=staging, assets=assets, quarantine=quarantine, steady=steady)

    def attempt(self, ledger: Ledger, key: str = "call", place: str = "place", *, paid: bool = True) -> AttemptId:
        return ledger.open_attempt(
            call=CallKey(key),
            place=Place(place),
            route="r",
            model="m",
            operation="speak",
            paid=paid,
            worst_usd=Decimal("0.05") if paid else Decimal(0),
        )

    def call_receipt(self, key: str = "call", usd: str | None = "0.01", content: bytes = b"answer") -> CallReceipt:
        return CallReceipt(
            key=CallKey(key),
            route=RouteId("r"),
            model="m",
            engine="e",
            operation="speak",
            asset=sha(content),
            media_type="audio/wav",
            size=len(content),
            usd=None if usd is None else Decimal(usd),
            request_id="id-1",
            finished_at=NOW,
        )

    def stored(
        self, ledger: Ledger, key: str = "call", usd: str | None = "0.01", *, request_id: str = "id-1"
    ) -> AttemptId:
        attempt = self.attempt(ledger, key)
        receipt = msgspec.structs.replace(self.call_receipt(key, usd), request_id=request_id)
        ledger.mark_sending(attempt)
        ledger.mark_received(attempt, receipt=receipt, staged=f"{attempt}.payload", media=WAV)
        ledger.mark_stored(attempt, receipt)
        return attempt

    def doubtful(self, ledger: Ledger, key: str = "call", place: str = "place") -> AttemptId:
        attempt = self.attempt(ledger, key, place)
        ledger.mark_sending(attempt)
        ledger.settle_attempt(attempt, "in_doubt", code="in-doubt", message="no verdict", usd=None)
        return attempt

    def job_receipt(self, *paths: str, job: str = "j", key: str = "key") -> JobReceipt:
        products = tuple(Product(name="txt", path=path, sha256=sha(os.fsencode(path)), size=7) for path in paths)
        return JobReceipt(
            schema=1,
            job=JobId(job),
            kind="tts",
            key=JobKey(key),
            verdict="done",
            reason="",
            source_sha256=None,
            source_name=None,
            route="r",
            model="m",
            engine="e",
            calls=(self.call_receipt(),),
            products=products,
            usd=Decimal("0.01"),
            finished_at=NOW,
        )

    def settle(self, ledger: Ledger, place: str, receipt: JobReceipt | None, verdict: str = "done") -> None:
        ledger.settle_job(
            place=Place(place),
            job=receipt.job if receipt else JobId("j"),
            manifest="m.toml",
            receipt=receipt,
            verdict=verdict,  # type: ignore[arg-type]  # tests name verdicts as text
            code=None,
            reason="",
            key=receipt.key if receipt else None,
            identity="",
        )


@pytest.fixture
def make() -> Make:
    return Make()


@pytest.fixture
def ledger(tmp_path: Path, make: Make) -> Iterator[Ledger]:
    opened = make.ledger(tmp_path)
    yield opened
    opened.close()
