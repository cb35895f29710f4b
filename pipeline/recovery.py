"""What a killed run left behind, put right before the next one starts. Runs under the lock, so no clock is asked.

`received` with its payloads -> adopted, the call counts as made; `sending` on a paid route -> in doubt, held for a
person; `sending` on a free route and `opened` -> free to try again. `submitted` is left as it is: whoever needs the
call goes on with it. Parts and staged files nobody owns are removed.
"""

import os

from pipeline.core.model import AttemptId, CallReceipt, Media, Sha256
from pipeline.exchange import payload_name
from pipeline.state.durable import border, digest_file, remove
from pipeline.state.ledger import Ledger
from pipeline.state.ledger_rows import AttemptRow, EndState
from pipeline.state.spool import Spool
from pipeline.state.store import Store


def recover(ledger: Ledger, store: Store, spool: Spool) -> None:
    """Idempotent: killed half-way, the next start finds the rest."""
    for row in ledger.open_attempts():
        ledger.adopt_attempt(row.id)
        _recover_attempt(ledger, store, spool, row)
    parts = [item.part for intent in ledger.intended_all() for item in intent.products]
    store.discard_parts(parts)
    store.sweep_staging()
    _sweep_parts(spool.debug)


def _recover_attempt(ledger: Ledger, store: Store, spool: Spool, row: AttemptRow) -> None:
    if row.state == "received" and row.receipt is not None and row.media is not None:
        _finish_adoption(ledger, store, spool, row, row.receipt, row.media)
    elif row.state == "sending" and row.paid:
        _settle(ledger, row.id, "in_doubt", "the run ended after the call was sent")
    else:
        _settle(ledger, row.id, "failed", "the run ended before the call was answered")


def _finish_adoption(
    ledger: Ledger, store: Store, spool: Spool, row: AttemptRow, receipt: CallReceipt, media: Media
) -> None:
    """Each payload was whole and synced when `received` was committed: it is staged still, or in the assets already.

    Of a name that is there nobody knows whether the killed run came to sync its folder, so all are synced here.
    """
    answers = [(receipt.asset, media, receipt.size), *((part.asset, part.media, part.size) for part in receipt.parts)]
    for number, (sha256, found, size) in enumerate(answers):
        staged = os.path.join(spool.staging, payload_name(row.id, number))
        if store.asset(sha256, found, size=size) is None and not _adopt(store, staged, sha256, found):
            _lose(ledger, row)
            return
    store.sync_assets([sha256 for sha256, _, _ in answers])
    first = store.asset(receipt.asset, media, size=receipt.size)
    if row.paid and first is not None:
        store.note_call(first, receipt)
    ledger.mark_stored(row.id, receipt)


def _adopt(store: Store, staged: str, sha256: Sha256, media: Media) -> bool:
    if not os.path.isfile(staged) or _digest(staged) != sha256:
        return False
    store.adopt(staged, sha256=sha256, media=media, is_last=False)
    return True


def _sweep_parts(folder: str) -> None:
    """Half-written files that only their writer, now dead, would have given a name."""
    with border(folder):
        for name in os.listdir(folder):
            if name.startswith(".") and name.endswith(".part"):
                remove(os.path.join(folder, name))


def _lose(ledger: Ledger, row: AttemptRow) -> None:
    """Behind a ticket the answer can be fetched once more; any other was paid for and is gone."""
    if row.ticket is not None:
        ledger.mark_submitted(row.id, row.ticket)
        return
    state: EndState = "in_doubt" if row.paid else "failed"
    _settle(ledger, row.id, state, "the answer was received, but its file is gone or spoiled")


def _digest(path: str) -> Sha256 | None:
    with border(path):
        return digest_file(path)


def _settle(ledger: Ledger, attempt: AttemptId, state: EndState, message: str) -> None:
    code = "in-doubt" if state == "in_doubt" else "unavailable"
    ledger.settle_attempt(attempt, state, code=code, message=message, usd=None)
