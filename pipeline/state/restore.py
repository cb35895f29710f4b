"""A ledger made anew from the proofs that lie beside what they prove: receipts beside products, records beside assets.

Adds what is missing and changes nothing that is there, so it may be done twice, and beside a ledger that has lost only
a part. What only the ledger knew (held calls, tickets, refusals, failures) cannot come back.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from msgspec import Struct

from pipeline.core.model import CallReceipt, JobReceipt, Media, Place
from pipeline.state import statements as sql
from pipeline.state.database import Database
from pipeline.state.ledger_rows import (
    ProductRow,
    call_receipt,
    media_of,
    pack,
    product_row,
    to_blob,
    to_media,
    to_money,
)

RUN = "rebuilt"
"""Stands for the run whose rows are gone."""


class Tally(Struct):
    """What was put back; what was known already does not count."""

    calls: int = 0
    jobs: int = 0


class Restoration:
    """A ledger that is open for what it has lost. Under the lock of the spool."""

    def __init__(self, database: Database) -> None:
        self.tally = Tally()
        self._db = database

    @contextmanager
    def group(self) -> Iterator[None]:
        with self._db.write():
            yield

    def call(self, receipt: CallReceipt, media: Media, place: Place | None = None) -> None:
        """A finished call: its receipt answers again, and what it cost is in the books.

        `place` None is one that a record beside its answer tells of, as it does of paid calls alone. Of the others one
        without a price is a free one where it broke off: such a one told none once.
        """
        values = (receipt.key, receipt.asset, to_media(media), pack(receipt), receipt.finished_at)
        if not self._db.change(sql.RESTORE_RECEIPT, *values):
            return
        self.tally.calls += 1
        self._db.change_many(sql.STORE_PART, [(receipt.key, part.asset) for part in receipt.parts])
        is_priced = bool(receipt.usd) or (receipt.usd is None and "broke_off" not in receipt.facts)
        paid = place is None or is_priced
        told = (receipt.route, receipt.model, receipt.operation, int(paid), receipt.finished_at, receipt.finished_at)
        attempt = (f"{RUN}-{receipt.key[:32]}", RUN, receipt.key, place or "", *told)
        self._db.change(sql.RESTORE_ATTEMPT, *attempt, receipt.request_id, to_money(receipt.usd))

    def job(self, receipt: JobReceipt, place: Place) -> None:
        """A settled job, and that its products are ours."""
        told = (place, to_blob(receipt.job), to_blob(receipt.manifest), receipt.verdict, None, to_blob(receipt.reason))
        self.tally.jobs += self._db.change(
            sql.RESTORE_JOB, *told, receipt.key, "", pack(receipt), receipt.finished_at, RUN
        )
        self._db.change_many(
            sql.RESTORE_PRODUCT,
            [(os.fsencode(item.path), place, item.name, item.sha256, item.size) for item in receipt.products],
        )


@contextmanager
def restoring(path: str) -> Iterator[Restoration]:
    """The ledger at `path`, made if there is none. LedgerError when what is there is broken."""
    database = Database.open(path)
    try:
        yield Restoration(database)
    finally:
        database.close()


def all_products(path: str) -> list[ProductRow]:
    """Everything that the ledger remembers having written for a job, in the order of paths."""
    database = Database.view(path)
    try:
        return database.all(product_row, sql.ALL_PRODUCTS)
    finally:
        database.close()


def paid_calls(path: str) -> Iterator[tuple[CallReceipt, Media]]:
    """Every finished call that was paid for and whose answer is remembered, with what that is, a row at a time."""
    database = Database.view(path)
    try:
        yield from database.each(_paid_call, sql.PAID_RECEIPTS)
    finally:
        database.close()


def _paid_call(body: bytes, media: bytes) -> tuple[CallReceipt, Media]:
    return call_receipt(body), media_of(media)
