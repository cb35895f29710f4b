"""`verify`: is everything that was promised still there, byte for byte?

Looking changes nothing. `--repair` takes a damaged answer out of the way and puts back what an intact copy among the
products still holds; records and receipts it writes anew from the ledger. A product itself is never touched: whether it
was damaged or edited only its owner knows.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from typing import Literal

import msgspec
from msgspec import Struct

from pipeline.answer import SCHEMA, Answer, counted, joined
from pipeline.core.confine import display, display_path
from pipeline.core.errors import ConfigError, LedgerError, MediaspoolError
from pipeline.core.model import Asset, CallReceipt, JobReceipt, Sha256
from pipeline.held import viewed
from pipeline.publishing import receipt_publication
from pipeline.report import command
from pipeline.seat import Seat
from pipeline.state.drops import RECEIPT_SUFFIX
from pipeline.state.durable import border, digest_file, make_folders, may_read, read_chunks, write_file
from pipeline.state.ledger import Ledger
from pipeline.state.ledger_rows import JobRow, ProductRow, unpack
from pipeline.state.proofs import CALL_SUFFIX, below, read_proof, read_record, record_path
from pipeline.state.restore import all_products, paid_calls
from pipeline.state.spool import Spool
from pipeline.state.store import Store

What = Literal["answer", "record", "product", "receipt"]
State = Literal["damaged", "missing", "differs", "repaired", "set aside"]
MAX_SHOWN = 10
BROKEN, DIFFERENT = 74, 3
PRIVATE = 0o600
_Call = tuple[Asset, CallReceipt]
_ASSET = re.compile(r"([0-9a-f]{64})\.[a-z0-9]{1,12}")


class Finding(Struct, frozen=True, kw_only=True):
    """One file that is not what it should be.

    An `answer`, the `record` of a paid call beside it, a `product`, or the `receipt` of a job beside its first product.
    """

    what: What
    path: str
    state: State


class Verified(Struct, frozen=True, kw_only=True):
    """The object of `verify`. `ledger` is what SQLite finds wrong with it."""

    schema: int = SCHEMA
    spool: str
    ledger: str | None
    answers: int
    records: int
    products: int
    receipts: int
    findings: tuple[Finding, ...]
    exit_code: int


def verify(seat: Seat, *, is_repairing: bool) -> Answer:
    """Read every answer and product once. 0: all as it was; 3: something is not; 74: the ledger is broken."""
    spool = Spool(seat.root)
    if not may_read(spool.ledger_path) and not os.path.isdir(spool.root):
        raise ConfigError(f"there is no spool at '{display_path(spool.root)}' yet", hint="name it with --spool DIR")
    with spool.lock() if is_repairing else nullcontext():  # looking works beside a run, and may not know its newest
        broken = _ledger_problem(seat)
        rows = [] if broken else list(_promised(seat, all_products(spool.ledger_path)))
        assets = list(_assets(spool))
        damaged = [(path, sha256) for path, sha256 in assets if _state(path, sha256) in ("damaged", "differs")]
        products = {row: state for row in rows if (state := _state(row.path, row.sha256)) is not None}
        told = [_answer(spool, path, sha256, rows, is_repairing=is_repairing) for path, sha256 in damaged]
        records = _Records(spool, is_known=not broken)
        told += records.findings(spool, is_repairing=is_repairing)
        told += [_of_product(row, state) for row, state in products.items()]
        there = [row for row in rows if products.get(row) != "missing"]
        receipts = 0
        for path, known in () if broken else _proofs(seat, there):
            receipts += 1
            if (state := _proof_state(path, known)) is not None:
                told.append(_receipt(spool, path, known, state, is_repairing=is_repairing))
    findings = tuple(told)
    code = BROKEN if broken else DIFFERENT if any(item.state != "repaired" for item in findings) else 0
    made = Verified(
        spool=display_path(spool.root),
        ledger=broken,
        answers=len(assets),
        records=records.count,
        products=len(rows),
        receipts=receipts,
        findings=findings,
        exit_code=code,
    )
    return Answer(text=joined(_lines(made, seat)), record=made, exit_code=code)


def _ledger_problem(seat: Seat) -> str | None:
    try:
        with viewed(seat) as ledger:
            found = ledger.check()
    except MediaspoolError as error:
        return display(error.message)
    return None if found is None else display(found)


def _assets(spool: Spool) -> Iterator[tuple[str, Sha256]]:
    """Every answer with the hash that its name promises, in the order of names."""
    for folder, folders, names in os.walk(spool.assets):
        folders.sort()
        for name in sorted(names):
            match = _ASSET.fullmatch(name)
            if match is not None:
                yield os.path.join(folder, name), Sha256(match.group(1))


def _promised(seat: Seat, rows: Sequence[ProductRow]) -> Iterator[ProductRow]:
    """Without what lay in an earlier place: the result that its job has now lies elsewhere."""
    with viewed(seat) as ledger:
        for row in rows:
            job = ledger.job(row.place)
            receipt = job.receipt if job is not None else None
            is_there = receipt is None or any(product.path == row.path for product in receipt.products)
            if is_there and not (job is not None and _has_moved_on(ledger, row, job)):
                yield row


def _has_moved_on(ledger: Ledger, row: ProductRow, job: JobRow) -> bool:
    """Another job has the same result since: the same one elsewhere, its folder being gone, or by this very file."""
    newest = ledger.job_by_key(job.key) if job.key is not None else None
    if newest is None or newest.place == job.place or os.path.lexists(row.path):
        return False
    is_same = (newest.job, newest.manifest) == (job.job, job.manifest)
    return (is_same and not os.path.isdir(os.path.dirname(row.path))) or _is_renamed(ledger, row, newest)


def _is_renamed(ledger: Ledger, row: ProductRow, newest: JobRow) -> bool:
    """Is a product of the newest job the file that had this name, renamed along with its recording?"""
    number = ledger.inode_of(row.path)
    return number is not None and any(
        ledger.inode_of(product.path) == number for product in newest.products if product.sha256 == row.sha256
    )


def _state(path: str, sha256: Sha256) -> State | None:
    """None where the file is what it was; what the disk does not give is damaged."""
    try:
        found = digest_file(path)
    except (FileNotFoundError, NotADirectoryError):
        return "missing"
    except OSError:
        return "damaged"
    return None if found == sha256 else "differs"


def _proofs(seat: Seat, rows: Sequence[ProductRow]) -> Iterator[tuple[str, JobReceipt]]:
    """The receipt beside the first product of each job, one at a time: all of them may be more than memory holds.

    `rows` are of products that are there: where one is not, nobody misses its receipt.
    """
    with viewed(seat) as ledger:
        for row in rows:
            job = ledger.job(row.place)
            if job is not None and job.receipt is not None and job.receipt.products[0].path == row.path:
                yield row.path + RECEIPT_SUFFIX, job.receipt


def _proof_state(path: str, known: JobReceipt) -> State | None:
    """None where the file says what the ledger says; it differs where it is a whole receipt, as of an earlier run."""
    try:
        return None if unpack(read_proof(path), JobReceipt) == known else "differs"
    except LedgerError:
        return "damaged" if os.path.lexists(path) else "missing"


def _receipt(spool: Spool, path: str, known: JobReceipt, state: State, *, is_repairing: bool) -> Finding:
    if is_repairing:
        store = Store(staging=spool.staging, assets=spool.assets, quarantine=spool.quarantine)
        store.publish([receipt_publication(path, known, store.part_of(path, known.place or ""))])
        state = "repaired"
    return Finding(what="receipt", path=display_path(path), state=state)


def _of_product(row: ProductRow, state: State) -> Finding:
    return Finding(what="product", path=display_path(row.path), state=state)


def _answer(spool: Spool, path: str, sha256: Sha256, rows: Sequence[ProductRow], *, is_repairing: bool) -> Finding:
    state: State = "damaged"
    if is_repairing:
        _set_aside(spool, path)
        state = "repaired" if _put_back(path, sha256, rows) else "set aside"
    return Finding(what="answer", path=display_path(os.path.relpath(path, spool.root)), state=state)


class _Records:
    """The records of paid calls: how many there are or should be, and the bad ones with what they should say.

    None where the ledger does not know.
    """

    def __init__(self, spool: Spool, *, is_known: bool) -> None:
        self._store = Store(staging=spool.staging, assets=spool.assets, quarantine=spool.quarantine)
        known: set[str] = set()
        bad: dict[str, _Call | None] = {}
        for receipt, media in paid_calls(spool.ledger_path) if is_known else ():
            asset = self._store.asset(receipt.asset, media, size=receipt.size)
            if asset is not None:
                path = record_path(asset.path, receipt)
                known.add(path)
                bad |= {} if _says(path, receipt) else {path: (asset, receipt)}
        others = [path for path in below(spool.assets, CALL_SUFFIX) if path not in known]
        self.count = len(known) + len(others)
        self._bad = {**bad, **{path: None for path in others if read_record(path) is None}}

    def findings(self, spool: Spool, *, is_repairing: bool) -> list[Finding]:
        return [self._finding(spool, path, is_repairing=is_repairing) for path in sorted(self._bad)]

    def _finding(self, spool: Spool, path: str, *, is_repairing: bool) -> Finding:
        call = self._bad[path]
        state: State = "damaged" if os.path.lexists(path) else "missing"
        if is_repairing and call is not None:
            self._store.note_call(*call)
            state = "repaired"
        elif is_repairing:
            _set_aside(spool, path)
            state = "set aside"
        return Finding(what="record", path=display_path(os.path.relpath(path, spool.root)), state=state)


def _says(path: str, receipt: CallReceipt) -> bool:
    """Does the record say this of the call? The price may have been told after it was written."""
    found = read_record(path)
    return found is not None and msgspec.structs.replace(found, usd=receipt.usd) == receipt


def _set_aside(spool: Spool, path: str) -> None:
    """Into quarantine, so that nobody takes it for the answer again and nothing is lost."""
    with border(path):
        make_folders(spool.quarantine)
        os.rename(path, os.path.join(spool.quarantine, f"damaged-{os.path.basename(path)}"))


def _put_back(path: str, sha256: Sha256, rows: Sequence[ProductRow]) -> bool:
    """From a product that holds the very bytes: pictures, clips and recordings are published as they came."""
    for row in rows:
        if row.sha256 == sha256 and _state(row.path, sha256) is None:
            part = f"{path}.part"
            with border(path):
                write_file(part, read_chunks(row.path), sha256=sha256, mode=PRIVATE)
                os.rename(part, path)
            return True
    return False


def _lines(made: Verified, seat: Seat) -> Iterator[str]:
    read = (counted(made.answers, "answer"), counted(made.records, "record"), counted(made.products, "product"))
    yield f"read {', '.join(read)} and {counted(made.receipts, 'receipt')} of {made.spool}"
    if made.ledger is not None:
        yield f"the ledger is broken: {made.ledger}"
        yield f"next: move ledger.db away with its -wal and -shm, then {command('rebuild', seat.typed)}"
    for item in made.findings[:MAX_SHOWN]:
        yield f"  {item.state:9} {item.what} {item.path}"
    if len(made.findings) > MAX_SHOWN:
        yield f"  and {len(made.findings) - MAX_SHOWN} more: {command('verify --json', seat.typed)}"
    yield from (_ADVICE[found].format(**_commands(seat)) for found in _kinds(made.findings))
    if not made.findings and made.ledger is None:
        yield "everything is as it was made"


def _kinds(findings: Sequence[Finding]) -> list[tuple[What, State]]:
    return sorted({(item.what, item.state) for item in findings} & _ADVICE.keys())


def _commands(seat: Seat) -> Mapping[str, str]:
    return {verb: command(verb, seat.typed) for verb in ("run", "verify")}


_ADVICE: Mapping[tuple[What, State], str] = {
    ("answer", "damaged"): "damaged answers: {verify} --repair puts back what a product holds and sets the rest aside",
    ("answer", "set aside"): "answers set aside are in quarantine/; a job that needs one makes its call again",
    ("record", "damaged"): "damaged records of paid calls: {verify} --repair writes them anew from the ledger",
    ("record", "missing"): "missing records of paid calls: {verify} --repair writes them anew from the ledger",
    ("receipt", "damaged"): "damaged receipts: {verify} --repair writes them anew from the ledger",
    ("receipt", "missing"): "missing receipts: {verify} --repair writes them anew from the ledger",
    ("receipt", "differs"): "receipts that differ are of an earlier run, or edited: {verify} --repair writes them anew",
    ("record", "set aside"): "records set aside are in quarantine/; the ledger knows nothing of their calls",
    (
        "product",
        "missing",
    ): "missing products: {run} puts back those that a manifest asks for there, from the kept answers",
    ("product", "differs"): "products that differ were edited or damaged; run with --force to replace them",
    ("product", "damaged"): "products that cannot be read: check the disk and the system log",
}
