"""Recovery after a run that was killed between the rename of an asset and the sync of its folder."""

import errno
import os
from pathlib import Path

import msgspec
import pytest

from pipeline.core.errors import StoreError
from pipeline.core.model import CallKey, Part, RunId, Sha256
from pipeline.recovery import recover
from pipeline.state.ledger import Ledger
from pipeline.state.spool import Spool
from pipeline.state.store import Store
from tests.state.conftest import NOW, WAV, Make, sha
from tests.tracer import Fault, Tracer

pytestmark = pytest.mark.real_time

FIRST, SECOND = b"answer", b"second picture"


def killed(spool: Spool) -> None:
    """Leave a free answer of two payloads whose assets have their names, and neither folder of theirs was synced."""
    make = Make()
    parts = (Part(asset=sha(SECOND), media=WAV, size=len(SECOND)),)
    receipt = msgspec.structs.replace(make.call_receipt(content=FIRST), parts=parts)
    ledger = opened(spool)
    attempt = make.attempt(ledger, paid=False)
    ledger.mark_sending(attempt)
    ledger.mark_received(attempt, receipt=receipt, staged="gone", media=WAV)
    ledger.close()
    for content in (FIRST, SECOND):
        folder = Path(folder_of(spool, sha(content)))
        folder.mkdir()
        (folder / f"{sha(content)}.wav").write_bytes(content)


def opened(spool: Spool) -> Ledger:
    return Ledger.open(spool.ledger_path, run=RunId("run"), clock=lambda: NOW)


def folder_of(spool: Spool, sha256: Sha256) -> str:
    return os.path.join(spool.assets, sha256[:2])


def recovered(spool: Spool) -> int:
    """The work of a traced child: 0 unless a sync failed."""
    ledger = opened(spool)
    store = Store(staging=spool.staging, assets=spool.assets, quarantine=spool.quarantine)
    try:
        recover(ledger, store, spool)
    except StoreError:
        return 1
    return 0


def is_stored(spool: Spool) -> bool:
    ledger = opened(spool)
    try:
        return ledger.call_receipt(CallKey("call")) is not None
    finally:
        ledger.close()


@pytest.mark.parametrize("content", [FIRST, SECOND])
def test_an_answer_counts_as_stored_only_once_the_folder_of_each_of_its_assets_is_synced(
    tmp_path: Path, tracer: Tracer, content: bytes
) -> None:
    spool = Spool.create(str(tmp_path / "spool"))
    killed(spool)
    below = folder_of(spool, sha(content))
    ended = tracer.run(lambda: recovered(spool), fault=Fault(call="fsync", nth=1, error=errno.EIO, below=below))
    assert ended.code == 1
    assert not is_stored(spool)
    assert recovered(spool) == 0
    assert is_stored(spool)


def test_the_names_of_new_folders_are_synced_too(tmp_path: Path, tracer: Tracer) -> None:
    spool = Spool.create(str(tmp_path / "spool"))
    killed(spool)
    fault = Fault(call="fsync", nth=3, error=errno.EIO, below=spool.assets)
    assert tracer.run(lambda: recovered(spool), fault=fault).code == 1
    assert not is_stored(spool)
