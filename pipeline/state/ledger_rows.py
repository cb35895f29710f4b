"""The rows of the ledger as frozen values, and how odd names and structs become columns.

Paths are stored as the bytes they are. Ids and reasons may carry the same odd bytes, so they are stored as bytes too;
structs are JSON. Everything read back compares equal to what was written.
"""

import functools
import json
import os
import secrets
from decimal import Decimal
from typing import Literal, TypeVar

import msgspec
from msgspec import Struct

from pipeline.core.decoding import from_json, from_plain
from pipeline.core.errors import LedgerError
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
    RunId,
    Sha256,
    Verdict,
)

AttemptState = Literal[
    "opened", "sending", "submitted", "received", "stored", "failed", "rejected", "refused", "in_doubt"
]
EndState = Literal["failed", "rejected", "refused", "in_doubt"]
Resolution = Literal["pay-again", "drop", "allowance"]

DROPPED = "dropped"
"""The identity of a job row that a person settled by dropping its doubtful call: it stays failed until `forget_job`."""

_MAX_INODE = (1 << 63) - 1  # SQLite's integers are signed

S = TypeVar("S", bound=Struct)


class AttemptRow(Struct, frozen=True, kw_only=True):
    """One try at a call. `staged` is the name under `staging/` of a whole answer, `receipt` its proof to be.

    `ticket` finds the work again that a provider goes on with. `is_billed`: it ended badly, and cost something.
    """

    id: AttemptId
    run: RunId
    call: CallKey
    place: Place
    route: str
    model: str
    operation: str
    paid: bool
    worst_usd: Decimal | None
    state: AttemptState
    opened_at: str
    changed_at: str
    request_id: str | None
    staged: str | None
    media: Media | None
    receipt: CallReceipt | None
    code: str | None
    message: str
    usd: Decimal | None
    resolved: Resolution | None
    ticket: str | None
    is_billed: bool


GOOD: frozenset[str | None] = frozenset({"done", "suspect", "empty"})


class JobRow(Struct, frozen=True, kw_only=True):
    """How a job was settled last. `identity` tells two refusals or failures apart where there is no key.

    `earlier` is the receipt of a result that it had before it was refused, or failed.
    """

    place: Place
    job: JobId
    manifest: str
    verdict: Verdict
    code: str | None
    reason: str
    key: JobKey | None
    identity: str
    receipt: JobReceipt | None
    earlier: JobReceipt | None
    settled_at: str

    @property
    def products(self) -> tuple[Product, ...]:
        return self.receipt.products if self.receipt is not None else ()

    @property
    def is_dropped(self) -> bool:
        return self.identity == DROPPED


class ProductRow(Struct, frozen=True, kw_only=True):
    """What we last wrote at a path, and for which job."""

    path: str
    place: Place
    name: str
    sha256: Sha256
    size: int


class IntendedProduct(Struct, frozen=True, kw_only=True):
    """A file about to be published: its final path, the part beside it, and what it will hold."""

    name: str
    path: str
    part: str
    sha256: Sha256
    size: int


class Intent(Struct, frozen=True, kw_only=True):
    """All that one job was about to publish when it was last heard of."""

    place: Place
    key: JobKey
    products: tuple[IntendedProduct, ...]


class FileFacts(Struct, frozen=True, kw_only=True):
    """What is known of a file as long as its size, times and inode stand."""

    sha256: Sha256
    size: int
    media: Media | None
    seconds: float | None
    tracks: tuple[str, ...]


class RunRow(Struct, frozen=True, kw_only=True):
    """One run of the program. `finished_at` None means it is running or was killed."""

    id: RunId
    manifest: str
    version: str
    started_at: str
    finished_at: str | None
    exit_code: int | None


def new_attempt_id() -> AttemptId:
    return AttemptId(secrets.token_hex(8))


def to_blob(text: str) -> bytes:
    """Any text, also one with characters that stand for odd bytes or for nothing."""
    return text.encode("utf-8", "surrogatepass")


def from_blob(blob: bytes) -> str:
    return blob.decode("utf-8", "surrogatepass")


def pack(value: Struct) -> bytes:
    """A struct as JSON, also when a text in it has characters that stand for odd bytes, which msgspec refuses."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        return to_blob(json.dumps(msgspec.to_builtins(value), ensure_ascii=False))


def unpack(body: bytes, kind: type[S]) -> S:
    try:
        return from_json(body, kind)
    except UnicodeDecodeError:  # what `pack` made of an odd text: msgspec refuses it, the standard library does not
        return _unpack_odd(body, kind)
    except msgspec.DecodeError as error:
        raise _unreadable(kind) from error


def _unpack_odd(body: bytes, kind: type[S]) -> S:
    try:
        return from_plain(json.loads(from_blob(body)), kind)
    except (ValueError, msgspec.ValidationError) as error:
        raise _unreadable(kind) from error


def _unreadable(kind: type[Struct]) -> LedgerError:
    return LedgerError(
        f"a {kind.__name__} in the ledger cannot be read", hint="restore ledger.db from a backup, or start a new spool"
    )


def to_money(usd: Decimal | None) -> str | None:
    return None if usd is None else str(usd)


def money(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


@functools.lru_cache(maxsize=1024)  # a hundred thousand files share a handful of types
def _media(body: bytes) -> Media:
    return unpack(body, Media)


@functools.lru_cache(maxsize=1024)
def to_media(media: Media) -> bytes:
    return pack(media)


def file_identity(stat: os.stat_result) -> tuple[int, int, int, int]:
    """Size, mtime, ctime and inode: while these stand, so does what was learned of the content."""
    return stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino & _MAX_INODE


def attempt_row(
    id: AttemptId,  # noqa: A002  # the columns as the table names them
    run: RunId,
    call: CallKey,
    place: Place,
    route: str,
    model: str,
    operation: str,
    paid: int,
    worst_usd: str | None,
    state: AttemptState,
    opened_at: str,
    changed_at: str,
    request_id: str | None,
    staged: bytes | None,
    media: bytes | None,
    receipt: bytes | None,
    code: str | None,
    message: bytes | None,
    usd: str | None,
    resolved: Resolution | None,
    ticket: str | None,
    is_billed: int,
) -> AttemptRow:
    return AttemptRow(
        id=id,
        run=run,
        call=call,
        place=place,
        route=route,
        model=model,
        operation=operation,
        paid=bool(paid),
        worst_usd=money(worst_usd),
        state=state,
        opened_at=opened_at,
        changed_at=changed_at,
        request_id=request_id,
        staged=None if staged is None else os.fsdecode(staged),
        media=None if media is None else _media(media),
        receipt=None if receipt is None else unpack(receipt, CallReceipt),
        code=code,
        message="" if message is None else from_blob(message),
        usd=money(usd),
        resolved=resolved,
        ticket=ticket,
        is_billed=bool(is_billed),
    )


def job_row(
    place: Place,
    job: bytes,
    manifest: bytes,
    verdict: Verdict,
    code: str | None,
    reason: bytes,
    key: JobKey | None,
    identity: str,
    receipt: bytes | None,
    settled_at: str,
) -> JobRow:
    made = None if receipt is None else unpack(receipt, JobReceipt)
    return JobRow(
        place=place,
        job=JobId(from_blob(job)),
        manifest=from_blob(manifest),
        verdict=verdict,
        code=code,
        reason=from_blob(reason),
        key=key,
        identity=identity,
        receipt=made if verdict in GOOD else None,
        earlier=None if verdict in GOOD else made,
        settled_at=settled_at,
    )


def job_proof(receipt: bytes | None) -> bytes | None:
    """As it lies there."""
    return receipt


def product_row(path: bytes, place: Place, name: str, sha256: Sha256, size: int) -> ProductRow:
    return ProductRow(path=os.fsdecode(path), place=place, name=name, sha256=sha256, size=size)


def intended_row(
    place: Place, key: JobKey, name: bytes, path: bytes, part: bytes, sha256: Sha256, size: int
) -> tuple[Place, JobKey, IntendedProduct]:
    product = IntendedProduct(
        name=from_blob(name), path=os.fsdecode(path), part=os.fsdecode(part), sha256=sha256, size=size
    )
    return place, key, product


def intended_values(item: IntendedProduct) -> tuple[bytes, bytes, bytes, str, int]:
    return to_blob(item.name), os.fsencode(item.path), os.fsencode(item.part), item.sha256, item.size


def file_values(path: str, stat: os.stat_result, facts: FileFacts) -> tuple[bytes | int | str | float | None, ...]:
    media = None if facts.media is None else to_media(facts.media)
    return os.fsencode(path), *file_identity(stat), facts.sha256, media, facts.seconds, "\n".join(facts.tracks)


def file_facts(size: int, sha256: Sha256, media: bytes | None, seconds: float | None, tracks: str) -> FileFacts:
    return FileFacts(
        sha256=sha256,
        size=size,
        media=None if media is None else _media(media),
        seconds=seconds,
        tracks=tuple(tracks.split("\n")) if tracks else (),
    )


def run_row(
    id: RunId,  # noqa: A002  # the columns as the table names them
    manifest: bytes,
    version: str,
    started_at: str,
    finished_at: str | None,
    exit_code: int | None,
) -> RunRow:
    return RunRow(
        id=id,
        manifest=from_blob(manifest),
        version=version,
        started_at=started_at,
        finished_at=finished_at,
        exit_code=exit_code,
    )


def call_receipt(body: bytes) -> CallReceipt:
    return unpack(body, CallReceipt)


def media_of(body: bytes) -> Media:
    return unpack(body, Media)


def verdict_count(verdict: str, count: int) -> tuple[str, int]:
    return verdict, count
