"""`clean`: what in the spool may go, and on demand its going.

Only plain files of this user, under names that mediaspool gives, older than their kind is kept; never a product, an
input, a ledger, or a manifest that still needs somebody. Dry unless told: without it nothing is locked or changed.
"""

import os
import re
import stat
from collections.abc import Iterator, Sequence, Set
from contextlib import nullcontext, suppress

from msgspec import Struct

from pipeline.answer import SCHEMA, Answer, counted, joined, shown_size
from pipeline.core.confine import display, display_path
from pipeline.core.errors import ConfigError, StoreError
from pipeline.held import viewed
from pipeline.pages.index_page import write_index
from pipeline.report import command
from pipeline.seat import Seat
from pipeline.state.awaited import awaited_assets
from pipeline.state.durable import may_read
from pipeline.state.spool import Spool

DAY_S = 24 * 3600.0
KEEP_DAYS = 30.0
UNUSED_ASSET_DAYS = 7.0
MAX_SHOWN = 5
_ANY = re.compile(r"[^.].*", re.DOTALL)
_REPORT = re.compile(r"[^.].*\.report\.(json|html)", re.DOTALL)
_ARTIFACT = re.compile(r"[A-Za-z0-9_-]{1,80}\.json")
_ASSET = re.compile(r"([0-9a-f]{64})\.[a-z0-9.]{1,20}")
_ASSET_FOLDER = re.compile(r"[0-9a-f]{2}")


class Sweep(Struct, frozen=True, kw_only=True):
    """What of one folder may go, or went."""

    folder: str
    what: str
    older_than_days: float
    files: tuple[str, ...]
    bytes: int


class Cleaned(Struct, frozen=True, kw_only=True):
    """The object of `clean`. `is_deleted` False: this was only a look."""

    schema: int = SCHEMA
    spool: str
    is_deleted: bool
    sweeps: tuple[Sweep, ...]
    files: int
    bytes: int


class _Old(Struct, frozen=True, kw_only=True):
    path: str
    size: int


class _Rule(Struct, frozen=True, kw_only=True):
    folder: str
    what: str
    days: float
    pattern: re.Pattern[str]


def clean(seat: Seat, *, is_real: bool, asset_days: float | None = None) -> Answer:
    """Look, or delete. `asset_days` also lets go of answers that their jobs have used and that are older than that."""
    spool = Spool(seat.root)
    has_run = _ensure_spool(spool, seat)
    with spool.lock() if is_real and has_run else nullcontext():  # whoever only looks waits for nobody
        found = [(rule, list(_old(spool, rule, seat.world.now()))) for rule in _rules(seat)]
        found.append(_assets(seat, spool, asset_days))
        if is_real and has_run:
            for _, files in found:
                _delete(files)
            _index_anew(seat, spool, found)
    made = _cleaned(spool, found, is_deleted=is_real)
    return Answer(text=joined(_lines(made, seat, asset_days)), record=made)


def _ensure_spool(spool: Spool, seat: Seat) -> bool:
    """Folders of these names may be anybody's; and without a ledger nobody knows which answers are in use.

    False where no run was ever, and nothing lies that one could have made.
    """
    has_ledger = may_read(spool.ledger_path) and os.path.getsize(spool.ledger_path) > 0
    if not has_ledger and any(_listed(spool, folder) for folder in ("assets", *(rule.folder for rule in _rules(seat)))):
        message = f"'{display_path(spool.root)}' is no spool: there is no ledger in it"
        hint = f"name the spool with --spool DIR; if its ledger was lost: {command('rebuild', seat.typed)}"
        raise ConfigError(message, hint=hint)
    return has_ledger


def _rules(seat: Seat) -> tuple[_Rule, ...]:
    artifact_days = float(seat.settings.debug.max_age_days)
    return (
        _Rule(folder="reports", what="reports", days=KEEP_DAYS, pattern=_REPORT),
        _Rule(folder="debug", what="debug artifacts", days=artifact_days, pattern=_ARTIFACT),
        _Rule(folder="quarantine", what="quarantined payloads", days=KEEP_DAYS, pattern=_ANY),
        _Rule(folder="done", what="finished manifests", days=KEEP_DAYS, pattern=_ANY),
    )


def _assets(seat: Seat, spool: Spool, asset_days: float | None) -> tuple[_Rule, list[_Old]]:
    """Assets that no receipt names; and, only if asked for by age, those that have served: no job waits for them."""
    days = UNUSED_ASSET_DAYS if asset_days is None else asset_days
    rule = _Rule(folder="assets", what="unused assets" if asset_days is None else "assets", days=days, pattern=_ASSET)
    if asset_days is None:
        with viewed(seat) as ledger:
            used: Set[str] = ledger.assets_in_use()
    else:
        used = awaited_assets(spool.ledger_path)
    shelves = [name for name in _listed(spool, "assets") if _ASSET_FOLDER.fullmatch(name)]
    old = [
        file
        for shelf in shelves
        for file in _old(spool, rule, seat.world.now(), shelf)
        if os.path.basename(file.path).partition(".")[0] not in used
    ]
    return rule, old


def _old(spool: Spool, rule: _Rule, now: float, shelf: str = "") -> Iterator[_Old]:
    """A file's age is counted from its last change of any sort, a move among them."""
    folder = os.path.join(spool.root, rule.folder, shelf)
    for name in _listed(spool, rule.folder, shelf):
        path = os.path.join(folder, name)
        try:
            found = os.lstat(path)
        except FileNotFoundError:
            continue
        is_ours = stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid() and rule.pattern.fullmatch(name)
        if is_ours and now - max(found.st_ctime, found.st_mtime) > rule.days * DAY_S:
            yield _Old(path=path, size=found.st_size)


def _listed(spool: Spool, *names: str) -> list[str]:
    """What lies in a folder of the spool; nothing where a link has taken its place."""
    folder = os.path.join(spool.root, *names)
    if os.path.islink(folder.rstrip("/")) or not os.path.isdir(folder):
        return []
    return sorted(os.listdir(folder))


def _delete(files: list[_Old]) -> None:
    for file in files:
        try:
            os.unlink(file.path)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise StoreError(
                f"'{display(file.path)}' cannot be deleted: {error.strerror}", hint="check owner and mode"
            ) from error


def _index_anew(seat: Seat, spool: Spool, found: Sequence[tuple[_Rule, Sequence[_Old]]]) -> None:
    """The index leads to no page that is gone. On a disk that has no room for it yet the next run writes it."""
    if any(rule.folder == "reports" and files for rule, files in found):
        with suppress(StoreError), viewed(seat) as ledger:
            write_index(spool, ledger)


def _cleaned(spool: Spool, found: list[tuple[_Rule, list[_Old]]], *, is_deleted: bool) -> Cleaned:
    sweeps = tuple(
        Sweep(
            folder=rule.folder,
            what=rule.what,
            older_than_days=rule.days,
            files=tuple(display_path(os.path.relpath(file.path, spool.root)) for file in files),
            bytes=sum(file.size for file in files),
        )
        for rule, files in found
    )
    return Cleaned(
        spool=display_path(spool.root),
        is_deleted=is_deleted,
        sweeps=sweeps,
        files=sum(len(sweep.files) for sweep in sweeps),
        bytes=sum(sweep.bytes for sweep in sweeps),
    )


def _lines(made: Cleaned, seat: Seat, asset_days: float | None) -> Iterator[str]:
    if not made.files:
        yield f"nothing to clean in {made.spool}"
        return
    for sweep in made.sweeps:
        if sweep.files:
            age = f"older than {sweep.older_than_days:g} days"
            what = counted(len(sweep.files), sweep.what.removesuffix("s"))
            yield f"{what} {age}, {shown_size(sweep.bytes)}"
            yield from (f"  {name}" for name in sweep.files[:MAX_SHOWN])
        if len(sweep.files) > MAX_SHOWN:
            yield f"  and {len(sweep.files) - MAX_SHOWN} more"
    if made.is_deleted:
        yield f"deleted {counted(made.files, 'file')}, {shown_size(made.bytes)}"
    else:
        yield f"{counted(made.files, 'file')}, {shown_size(made.bytes)}; nothing was deleted"
        days = "" if asset_days is None else f" --assets-days {asset_days:g}"
        yield f"next: {command('clean --yes', seat.typed)}{days}"
