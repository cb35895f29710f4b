"""`rebuild`: a lost ledger from the proofs that lie beside what they prove, without a call and without a cent.

Receipts beside products say which jobs are settled, records beside answers which paid calls are finished. What fits its
bytes comes back; the rest is told. Held calls, tickets and refusals were known to the ledger alone and are lost.
"""

import os
from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct

from pipeline.answer import SCHEMA, Answer, counted, joined
from pipeline.core.confine import display_path
from pipeline.core.errors import InputError, LedgerError
from pipeline.core.model import CallReceipt, JobReceipt, Media, Place, Sha256
from pipeline.media.containers import examine, same_type
from pipeline.report import command
from pipeline.seat import Seat
from pipeline.state.drops import RECEIPT_SUFFIX
from pipeline.state.durable import digest_file
from pipeline.state.ledger_rows import unpack
from pipeline.state.lineage import forget
from pipeline.state.proofs import CALL_SUFFIX, below, read_proof
from pipeline.state.restore import Restoration, restoring
from pipeline.state.spool import Spool

GROUP = 500
TEXT_TYPES = ("text/", "application/json")


class Rebuilt(Struct, frozen=True, kw_only=True):
    """The object of `rebuild`: what came back, and how many proofs could not be read or tell too little.

    `was_there`: there was a ledger, so what no proof tells is in it still, but for what it may have lost.
    """

    schema: int = SCHEMA
    spool: str
    was_there: bool
    folders: tuple[str, ...]
    jobs: int
    calls: int
    unusable: int


def rebuild(seat: Seat, folders: Sequence[str]) -> Answer:
    """Add to the ledger what the proofs below `folders` and in the spool say. May be done again; pays nothing."""
    spool = Spool.create(seat.root)
    where = tuple(os.path.realpath(folder) for folder in folders or _usual(seat, spool))
    missing = next((folder for folder in where if not os.path.isdir(folder)), None)
    if missing is not None:
        message = f"'{display_path(missing)}' is not a folder"
        raise InputError(message, code="input-missing", hint="name the folders that your products lie in")
    with spool.lock():
        was_there = os.path.exists(spool.ledger_path)
        with restoring(spool.ledger_path) as restoration:
            unusable = sum(_in_groups(restoration, _proofs(spool, where), spool))
            tally = restoration.tally
        forget(spool.root)
    made = Rebuilt(
        spool=display_path(spool.root),
        was_there=was_there,
        folders=tuple(map(display_path, where)),
        jobs=tally.jobs,
        calls=tally.calls,
        unusable=unusable,
    )
    return Answer(text=joined(_lines(made, seat)), record=made)


def _usual(seat: Seat, spool: Spool) -> tuple[str, ...]:
    """Where products may lie: the roots of the settings, else the folder that the spool lies in."""
    return seat.settings.roots or (os.path.dirname(spool.root),)


def _proofs(spool: Spool, folders: Iterable[str]) -> Iterator[str]:
    """Records of calls first, then receipts of jobs: a job's calls have their price from there."""
    yield from below(spool.assets, CALL_SUFFIX)
    for folder in folders:
        yield from below(folder, RECEIPT_SUFFIX)


def _in_groups(restoration: Restoration, paths: Iterator[str], spool: Spool) -> Iterator[int]:
    """One transaction for many: one by one, each would wait for the disk."""
    is_over = False
    while not is_over:
        with restoration.group():
            for _ in range(GROUP):
                path = next(paths, None)
                is_over = path is None
                if path is None:
                    break
                yield 0 if _restore(restoration, path, spool) else 1


def _restore(restoration: Restoration, path: str, spool: Spool) -> bool:
    body = read_proof(path)
    try:
        if path.endswith(CALL_SUFFIX):
            return _restore_call(restoration, unpack(body, CallReceipt), spool, None)
        receipt = unpack(body, JobReceipt)
    except LedgerError:
        return False
    if receipt.place is None:
        return False
    for call in receipt.calls:
        _restore_call(restoration, call, spool, receipt.place)
    restoration.job(receipt, receipt.place)
    return True


def _restore_call(restoration: Restoration, receipt: CallReceipt, spool: Spool, place: Place | None) -> bool:
    """Only where every answer is there, whole: a receipt without its bytes would answer nothing."""
    media = _asset_media(spool, receipt.asset, receipt.media_type)
    rest = [_asset_media(spool, part.asset, part.media.media_type) for part in receipt.parts]
    if media is None or None in rest:
        return False
    restoration.call(receipt, media, place)
    return True


def _asset_media(spool: Spool, sha256: Sha256, media_type: str) -> Media | None:
    """What the answer of that hash is; None where it is gone or no longer what its name says."""
    folder = os.path.join(spool.assets, sha256[:2])
    names = os.listdir(folder) if os.path.isdir(folder) else []
    name = next((name for name in names if name.startswith(sha256) and not name.endswith(CALL_SUFFIX)), None)
    if name is None or digest_file(os.path.join(folder, name)) != sha256:
        return None
    with open(os.path.join(folder, name), "rb") as file:
        found = examine(file, os.fstat(file.fileno()).st_size)
    if found.ok and found.media is not None and same_type(media_type, found.media):
        return found.media
    return (
        Media(media_type=media_type, family="text", extension=name.partition(".")[2]) if _is_text(media_type) else None
    )


def _is_text(media_type: str) -> bool:
    return media_type.startswith(TEXT_TYPES)


def _lines(made: Rebuilt, seat: Seat) -> Iterator[str]:
    yield f"put back {counted(made.jobs, 'job')} and {counted(made.calls, 'call')} into the ledger of {made.spool}"
    if made.unusable:
        yield f"{counted(made.unusable, 'proof')} could not be used: damaged, too old, or without its answer"
    if made.was_there and not (made.jobs or made.calls):
        yield "nothing was lost that a proof could tell of; held calls and tickets are what they were"
    else:
        lost = "held calls, tickets and failures of the lost ledger are not known any more"
        yield f"{lost}: look at your provider's own list"
    yield f"next: {command('plan', seat.typed)}"
