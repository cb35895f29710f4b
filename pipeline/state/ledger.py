"""The ledger: durable memory of attempts, receipts, jobs, intents, file hashes and money. All SQL is here and below.

Every verb is durable when it returns, or when the `group` around it ends. A write to an attempt is fenced: it counts
only while the attempt belongs to this run and is in a state from which the step is allowed. No clock decides anything;
the lock of the spool does. Blocking: asked through the one runner, by one caller at a time.
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from decimal import Decimal
from itertools import groupby

import msgspec

from pipeline.core.errors import LedgerError
from pipeline.core.model import (
    AttemptId,
    CallKey,
    CallReceipt,
    Clock,
    JobId,
    JobKey,
    JobReceipt,
    Media,
    Place,
    RunId,
    Sha256,
    Verdict,
)
from pipeline.state import statements as sql
from pipeline.state.database import Database
from pipeline.state.dropping import drop_jobs, is_outdated, jobs_waiting
from pipeline.state.ledger_rows import (
    GOOD,
    AttemptRow,
    EndState,
    FileFacts,
    IntendedProduct,
    Intent,
    JobRow,
    ProductRow,
    Resolution,
    RunRow,
    attempt_row,
    call_receipt,
    file_facts,
    file_identity,
    file_values,
    intended_row,
    intended_values,
    job_proof,
    job_row,
    media_of,
    money,
    new_attempt_id,
    pack,
    product_row,
    run_row,
    to_blob,
    to_media,
    to_money,
    verdict_count,
)
from pipeline.state.spent import SpendRow, Spent, spend_rows, spent_row

MAX_ROWS = 10_000
MAX_PRICE_ASKS = 120  # a provider may need most of an hour, and a watch runs every half minute; later it never tells
MAX_MESSAGE_CHARS = 500
MAX_REQUEST_ID_CHARS = 200
_VIEWER = RunId("")


class Ledger:
    """Opened once per run, under the lock of the spool; `view` is for looking beside a running one."""

    def __init__(self, database: Database, *, run: RunId, clock: Clock) -> None:
        self._db = database
        self._run = run
        self._clock = clock

    @classmethod
    def open(cls, path: str, *, run: RunId, clock: Clock) -> "Ledger":
        """Made, checked and migrated if need be. LedgerError when it could not be durable or sound."""
        return cls(Database.open(path), run=run, clock=clock)

    @classmethod
    def view(cls, path: str, *, clock: Clock) -> "Ledger":
        """For `plan` and `status`: changes and remembers nothing, needs no lock. A missing ledger is empty."""
        return cls(Database.view(path), run=_VIEWER, clock=clock)

    def close(self) -> None:
        self._db.close()

    def group(self) -> AbstractContextManager[None]:
        """Many writes in one transaction: all of them are durable when the block ends, or none if it raises."""
        return self._db.write()

    def check(self) -> str | None:
        """What SQLite finds wrong with the file; None when nothing is."""
        verdict = self._db.one(str, sql.QUICK_CHECK)
        return None if verdict == "ok" else verdict

    # runs

    def begin_run(self, *, manifest: str, version: str) -> None:
        self._db.change(sql.BEGIN_RUN, self._run, to_blob(manifest), version, self._clock())

    def finish_run(self, exit_code: int) -> None:
        self._db.change(sql.FINISH_RUN, self._clock(), exit_code, self._run)

    def last_runs(self, count: int) -> list[RunRow]:
        """The newest first."""
        return self._db.all(run_row, sql.LAST_RUNS, count)

    def knows_run(self, run: RunId) -> bool:
        return bool(self._db.one(int, sql.RUN_KNOWN, run))

    def spend(self, since: str = "") -> list[SpendRow]:
        """Money by UTC day and route, oldest first. A doubtful call counts with its worst case, also once resolved.

        `since` is the first day that is wanted: all of a long history takes a second.
        """
        return spend_rows(self.spent(since))

    def used(self) -> list[tuple[str, Decimal | None, int]]:
        """What paid calls cost, else may cost at worst: day, amount of one (None where nobody knows), how many."""
        return self._db.all(lambda day, usd, count: (str(day), money(usd), int(count)), sql.USED)

    def spent(self, since: str = "") -> list[Spent]:
        """The same by day, route, kind and manifest, in no order."""
        return self._db.all(spent_row, sql.SPEND, since)

    # attempts

    def open_attempt(
        self,
        *,
        call: CallKey,
        place: Place,
        route: str,
        model: str,
        operation: str,
        paid: bool,
        worst_usd: Decimal | None,
        kind: str | None = None,
        manifest: str | None = None,
        attempt: AttemptId | None = None,
    ) -> AttemptId:
        """Written down before the wire sees anything. Free to repeat after a crash: nothing was sent in this state."""
        attempt, now = attempt or new_attempt_id(), self._clock()
        whose = (kind, None if manifest is None else to_blob(manifest))
        asked = (route, model, operation, int(paid), to_money(worst_usd))
        self._db.change(sql.OPEN_ATTEMPT, *(attempt, self._run, call, place, *asked, *whose, now, now))
        return attempt

    def mark_sending(self, attempt: AttemptId) -> None:
        """From here on a paid call may have cost something."""
        self._step(sql.MARK_SENDING, attempt)

    def note_request_id(self, attempt: AttemptId, request_id: str) -> None:
        self._step(sql.NOTE_REQUEST_ID, attempt, request_id[:MAX_REQUEST_ID_CHARS])

    def mark_submitted(self, attempt: AttemptId, ticket: str) -> None:
        """The provider goes on without us. This state outlives runs: it is left only by an answer or a verdict."""
        self._step(sql.MARK_SUBMITTED, attempt, ticket)

    def mark_received(self, attempt: AttemptId, *, receipt: CallReceipt, staged: str, media: Media) -> None:
        """The whole answer lies synced and verified in `staging/` under the name `staged`; `receipt` is its proof."""
        self._step(sql.MARK_RECEIVED, attempt, pack(receipt), os.fsencode(staged), to_media(media))

    def mark_stored(self, attempt: AttemptId, receipt: CallReceipt) -> None:
        """The bytes are an asset: attempt and receipt in one transaction. From here on the call is never made again."""
        with self._db.write():
            self._step(sql.MARK_STORED, attempt, to_money(receipt.usd), receipt.request_id)
            values = (receipt.key, receipt.asset, pack(receipt), receipt.finished_at, attempt)
            self._db.change(sql.STORE_RECEIPT, *values)
            self._db.change(sql.FORGET_PARTS, receipt.key)
            self._db.change_many(sql.STORE_PART, [(receipt.key, part.asset) for part in receipt.parts])

    def settle_attempt(
        self,
        attempt: AttemptId,
        state: EndState,
        *,
        code: str,
        message: str,
        usd: Decimal | None,
        is_billed: bool = False,
    ) -> None:
        """The verdict on an attempt that brought no asset. `is_billed`: it cost something, if only we knew what."""
        values = (state, code, to_blob(message[:MAX_MESSAGE_CHARS]), to_money(usd), int(is_billed))
        self._step(sql.SETTLE_ATTEMPT, attempt, *values)

    def adopt_attempt(self, attempt: AttemptId) -> None:
        """Make an unsettled attempt of a dead run ours. Only under the lock of the spool: it proves the run dead."""
        _fence(attempt, self._db.change(sql.ADOPT_ATTEMPT, self._run, attempt))

    def attempt(self, attempt: AttemptId) -> AttemptRow | None:
        return self._db.one(attempt_row, sql.ATTEMPT, attempt)

    def open_attempts(self) -> list[AttemptRow]:
        """Attempts of any run that only a run can be at, oldest first: at the start of one, what a crash left.

        Submitted ones are not among them: those rest with the provider.
        """
        return self._db.all(attempt_row, sql.OPEN_ATTEMPTS, MAX_ROWS)

    def attempts_of_run(self) -> Iterator[AttemptRow]:
        """What this run has opened or adopted, oldest first, one by one: there may be more than memory should hold."""
        return self._db.each(attempt_row, sql.ATTEMPTS_OF_RUN, self._run)

    def submitted_attempts(self) -> list[AttemptRow]:
        """What providers work on, oldest first."""
        return self._db.all(attempt_row, sql.SUBMITTED_ATTEMPTS, MAX_ROWS)

    def submitted_attempt(self, key: CallKey) -> AttemptRow | None:
        """The attempt to go on with: whoever needs this call adopts it and sends nothing."""
        return self._db.one(attempt_row, sql.SUBMITTED_ATTEMPT_OF, key)

    def held_attempts(self, key: CallKey | None = None) -> list[AttemptRow]:
        """Attempts that may have been paid for and that no person has decided yet."""
        if key is None:
            return self._db.all(attempt_row, sql.HELD_ATTEMPTS, MAX_ROWS)
        return self._db.all(attempt_row, sql.HELD_ATTEMPTS_OF, key, MAX_ROWS)

    def resolve_attempt(self, attempt: AttemptId, decision: Resolution) -> None:
        """The word on a held attempt: a person's, or that of the allowance that a person gave.

        `pay-again`, `allowance`: the call may be sent anew, and a new doubt is held anew. `drop`: its jobs are
        settled as failed, under the identity DROPPED, until they change or are forgotten for a retry. A person may also
        give up a ticket so.
        """
        with self._db.write():
            if decision != "allowance":
                self._db.change(sql.ABANDON_TICKET, attempt)
            if not self._db.change(sql.RESOLVE_ATTEMPT, decision, attempt):
                raise LedgerError(f"attempt {attempt} is not held", code="config-invalid", hint="mediaspool status")
            if decision == "drop":
                drop_jobs(self._db, attempt, run=self._run, now=self._clock())

    def jobs_waiting(self, place: Place) -> list[JobId]:
        """The job of this place and every other one that waits for the very same result."""
        return jobs_waiting(self._db, place)

    def is_outdated(self, attempt: AttemptId) -> bool:
        """Has the job of a call without a verdict come to a good end since, in a later run and without it?"""
        return is_outdated(self._db, attempt)

    def repeats(self, key: CallKey) -> int:
        """How often this call was already sent again on the allowance."""
        return self._db.one(int, sql.REPEATS, key) or 0

    def _step(self, statement: str, attempt: AttemptId, *values: str | bytes | int | None) -> None:
        _fence(attempt, self._db.change(statement, *values, self._clock(), attempt, self._run))

    # prices

    def unpriced(self, route: str, limit: int) -> list[AttemptRow]:
        """Paid calls whose price nobody has told yet, and that can be asked about; the least asked and oldest first."""
        return self._db.all(attempt_row, sql.UNPRICED, route, MAX_PRICE_ASKS, limit)

    def set_price(self, attempt: AttemptId, usd: Decimal | None) -> None:
        """What an unpriced attempt cost; None notes that the provider was asked in vain. The day of the call stays."""
        with self._db.write():
            changed = self._db.change(sql.SET_PRICE, to_money(usd), attempt)
            rows = self._db.all(attempt_row, sql.ATTEMPT, attempt)
            receipt = self.call_receipt(rows[0].call) if changed and rows and usd is not None else None
            if receipt is not None and receipt.usd is None and receipt.request_id == rows[0].request_id:
                priced = msgspec.structs.replace(receipt, usd=usd)
                self._db.change(sql.REPRICE_RECEIPT, pack(priced), receipt.key)

    # receipts

    def is_known(self, key: CallKey) -> bool:
        """Is there a receipt of this call, or an attempt that nobody has a verdict on? One look for the usual no."""
        return bool(self._db.one(int, sql.CALL_KNOWN, key, key, key))

    def call_receipt(self, key: CallKey) -> CallReceipt | None:
        return self._db.one(call_receipt, sql.RECEIPT, key)

    def call_media(self, key: CallKey) -> Media | None:
        """What the answer of a finished call was recognised as, in full."""
        return self._db.one(media_of, sql.RECEIPT_MEDIA, key)

    def forget_call(self, key: CallKey) -> None:
        """The call will be made again when it is next asked for. Its attempts and their cost stay on record."""
        with self._db.write():
            self._db.change(sql.FORGET_CALL, key)
            self._db.change(sql.FORGET_PARTS, key)

    def assets_in_use(self) -> set[Sha256]:
        return set(self._db.all(Sha256, sql.ASSETS_IN_USE))

    # jobs

    def job(self, place: Place) -> JobRow | None:
        return self._db.one(job_row, sql.JOB, place)

    def job_by_key(self, key: JobKey) -> JobRow | None:
        """The newest job of any place that was done (or validly empty, or suspect) under this key."""
        return self._db.one(job_row, sql.JOB_BY_KEY, key)

    def jobs_with(self, verdicts: Iterable[Verdict], *, limit: int = MAX_ROWS) -> list[JobRow]:
        """The newest first, at most `limit`."""
        rows = [row for verdict in verdicts for row in self._db.all(job_row, sql.JOBS_WITH, verdict, limit)]
        return sorted(rows, key=lambda row: row.settled_at, reverse=True)[:limit]

    def counts(self) -> Mapping[str, int]:
        """How many jobs stand at each verdict."""
        return dict(self._db.all(verdict_count, sql.COUNTS))

    def settle_job(
        self,
        *,
        place: Place,
        job: JobId,
        manifest: str,
        receipt: JobReceipt | None,
        verdict: Verdict,
        code: str | None,
        reason: str,
        key: JobKey | None,
        identity: str,
    ) -> None:
        """The verdict on a job: its row, its products and the end of its intent, in one transaction.

        What an earlier settling wrote stays known as ours, so a later result may replace it; and so does its receipt,
        where this one has none: once its input is back, or nothing is in its way, nobody need be asked again.
        """
        values = (place, to_blob(job), to_blob(manifest), verdict, code, to_blob(reason), key, identity)
        products = receipt.products if receipt is not None else ()
        with self._db.write():
            body = pack(receipt) if receipt is not None else None
            if verdict not in GOOD:
                body = self._db.one(job_proof, sql.RECEIPT_OF, place)
            self._db.change(sql.SETTLE_JOB, *values, body, self._clock(), self._run)
            self._db.change_many(
                sql.REMEMBER_PRODUCT,
                [(os.fsencode(item.path), place, item.name, item.sha256, item.size) for item in products],
            )
            self._db.change(sql.FORGET_INTENT, place)

    def forget_job(self, place: Place) -> None:
        """The job runs again when it is next planned. Its products stay known as ours; its receipts stay too."""
        self._db.change(sql.FORGET_JOB, place)

    def product_at(self, path: str) -> ProductRow | None:
        return self._db.one(product_row, sql.PRODUCT_AT, os.fsencode(path))

    def intend_publish(self, place: Place, key: JobKey, products: Sequence[IntendedProduct]) -> None:
        """Written before the first part: after a crash these names and hashes are known to be ours."""
        rows = [(place, ordinal, key, *intended_values(item)) for ordinal, item in enumerate(products)]
        with self._db.write():
            self._db.change(sql.FORGET_INTENT, place)
            self._db.change_many(sql.INTEND, rows)

    def intended(self, place: Place) -> tuple[IntendedProduct, ...]:
        rows = self._db.all(intended_row, sql.INTENDED, place)
        return tuple(product for _, _, product in rows)

    def intended_all(self) -> tuple[Intent, ...]:
        """What was being published when earlier runs ended; empty after a clean one."""
        rows = self._db.all(intended_row, sql.INTENDED_ALL)
        return tuple(
            Intent(place=place, key=key, products=tuple(product for _, _, product in items))
            for (place, key), items in groupby(rows, key=lambda row: row[:2])
        )

    # files

    def known_file(self, path: str, stat: os.stat_result) -> FileFacts | None:
        """What was learned of the file, if its size, mtime, ctime and inode are still what they were then."""
        return self._db.one(file_facts, sql.KNOWN_FILE, os.fsencode(path), *file_identity(stat))

    def inode_of(self, path: str) -> int | None:
        """What the file of that name had when it was looked at last."""
        return self._db.one(int, sql.INODE_OF, os.fsencode(path))

    def remember_file(self, path: str, stat: os.stat_result, facts: FileFacts) -> None:
        """`stat` is of the descriptor that was read. Facts of another size are of other bytes, and are not kept.

        A view remembers nothing.
        """
        if not self._db.is_view and stat.st_size == facts.size:
            self._db.change(sql.REMEMBER_FILE, *file_values(path, stat, facts))


def _fence(attempt: AttemptId, changed: int) -> None:
    if changed != 1:
        raise LedgerError(
            f"attempt {attempt} belongs to another run or is past this step", code="internal", hint="please report it"
        )
