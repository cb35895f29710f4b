"""The receiving side of an attempt: one verdict on a head, however the bytes arrive."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from pipeline.core.errors import ContractError
from pipeline.core.model import CallKey, Limits, Media, Place, RunId
from pipeline.exchange import Receiving
from pipeline.media.sniff import HEAD_BYTES
from pipeline.state.ledger import Ledger
from pipeline.state.runner import InlineRunner
from pipeline.state.store import Store
from tests.media.zoo import whole_files

ANSWERS = frozenset({"audio/mpeg", "audio/flac", "audio/wav", "audio/ogg", "video/mp4", "image/png"})


@pytest.fixture(scope="module")
def heads() -> dict[str, bytes]:
    return {name: each.body[: 4 * HEAD_BYTES] for name, each in whole_files().items()}


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    ledger = Ledger.open(str(tmp_path / "ledger.db"), run=RunId("run"), clock=lambda: "2026-11-20T06:00:00Z")
    yield ledger
    ledger.close()


async def _verdict(ledger: Ledger, folder: Path, body: bytes, chunk: int) -> Media | str | None:
    attempt = ledger.open_attempt(
        call=CallKey("c"), place=Place("p"), route="r", model="m", operation="speak", paid=False, worst_usd=None
    )
    store = Store(staging=str(folder), assets=str(folder), quarantine=str(folder))
    runner = InlineRunner()
    receiving = Receiving(
        attempt,
        store=store,
        ledger=ledger,
        runner=runner,
        files=runner,
        reached=lambda _: None,
        allowed=ANSWERS,
        limits=Limits(),
    )
    with closing(receiving):
        try:
            for at in range(0, len(body), chunk):
                await receiving.write(body[at : at + chunk])
        except ContractError as error:
            return error.message
        return receiving.recognised


@pytest.mark.parametrize("chunk", [1, 7, 100, HEAD_BYTES - 1, HEAD_BYTES, 5000, 1 << 20])
async def test_a_head_is_judged_alike_in_chunks_of_any_size(
    ledger: Ledger, tmp_path: Path, heads: dict[str, bytes], chunk: int
) -> None:
    for name, body in heads.items():
        at_once = await _verdict(ledger, tmp_path, body[:HEAD_BYTES], HEAD_BYTES)
        assert await _verdict(ledger, tmp_path, body, chunk) == at_once, name
