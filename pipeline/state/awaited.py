# ruff: noqa: S608  # every fragment joined here is a constant of this module
"""Answers that work still waits for: kept for a job that has not ended well since they came.

A view of the ledger, for those who let go of the answers of finished jobs. Whatever a job that is done names in its
receipt has served, also under another place; the rest has been paid for and made nothing yet.
"""

from contextlib import closing

from pipeline.core.model import JobReceipt, Sha256
from pipeline.state.database import Database
from pipeline.state.ledger_rows import unpack

_AWAITED = (
    "SELECT r.call, r.asset FROM receipts r JOIN attempts a ON a.call = r.call AND a.state = 'stored'"
    " LEFT JOIN jobs j ON j.place = a.place"
    " WHERE j.place IS NULL OR j.verdict NOT IN ('done', 'suspect', 'empty') OR a.changed_at > j.settled_at"
)
_ASSETS = f"WITH awaited AS ({_AWAITED}) SELECT asset FROM awaited UNION"
AWAITED_ASSETS = f"{_ASSETS} SELECT p.asset FROM parts p JOIN awaited USING (call)"
RECEIPTS = "SELECT receipt FROM jobs WHERE receipt IS NOT NULL AND verdict IN ('done', 'empty', 'suspect')"


def awaited_assets(path: str) -> set[Sha256]:
    """Of the ledger at `path`; none where there is no ledger."""
    with closing(Database.view(path)) as database:
        awaited = set(database.all(Sha256, AWAITED_ASSETS))
        for receipt in database.each(_receipt, RECEIPTS):
            awaited.difference_update(call.asset for call in receipt.calls)
            awaited.difference_update(part.asset for call in receipt.calls for part in call.parts)
    return awaited


def _receipt(body: bytes) -> JobReceipt:
    return unpack(body, JobReceipt)
