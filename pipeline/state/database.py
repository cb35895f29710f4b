"""The one open SQLite database: where it may lie, how it is opened, how a transaction runs, how its errors are named.

Promises: WAL and synchronous=FULL on every connection, asserted; every write in BEGIN IMMEDIATE; a check after an
unclean end; sqlite3's errors leave here only as StoreError (disk full) or LedgerError. Knows no table but `meta`.
"""

import contextlib
import os
import sqlite3
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar
from urllib.parse import quote

from pipeline.core.errors import LedgerError, MediaspoolError, StoreError
from pipeline.state import durable
from pipeline.state.linux import SHARED_FILE_SYSTEMS, file_system_magic
from pipeline.state.migrations import STEPS, migrate, version_of

BUSY_TIMEOUT_MS = 30_000
WAL_KEEP_BYTES = 64_000_000
SYNCHRONOUS_FULL = 2
CACHED_STATEMENTS = 256
_NO_ROOM = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE)
_HEAD = struct.Struct(">16xH10xI")  # of a database file: the size of a page, and how many there are

T = TypeVar("T")
Value = str | int | float | bytes | None

RESTORE = (
    "move ledger.db away, then put a backup in its place or type 'mediaspool rebuild': "
    "the receipts lie beside the products"
)


@contextlib.contextmanager
def border() -> Iterator[None]:
    """Every sqlite3 error becomes one of ours here, by its error code."""
    try:
        yield
    except sqlite3.Error as error:
        raise _mapped(error) from error


def _mapped(error: sqlite3.Error) -> MediaspoolError:
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    message = f"the ledger answered: {error}"
    if code in _NO_ROOM:
        return StoreError("no space left for the ledger", code="disk-full", hint="free some space and run again")
    match code & 0xFF:  # the low byte is the primary code
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM:
            return LedgerError(message, hint="check owner, mode and mount of the spool folder")
        case sqlite3.SQLITE_IOERR:
            return LedgerError(message, hint="check the disk and the system log")
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return LedgerError(message, hint=f"see whether the disk failed (dmesg): it may be whole; else {RESTORE}")
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return LedgerError(message, hint="another program keeps the ledger locked; end it and run again")
    return LedgerError(message, code="internal", hint="please report it")


def shared_disk_problem(magic: int | None) -> str | None:
    """Why a ledger must not lie on such a file system, or None."""
    name = SHARED_FILE_SYSTEMS.get(magic or 0)
    return None if name is None else f"the ledger would lie on {name}, where SQLite's log loses or refuses writes"


class Database:
    """One connection, used by one thread at a time. `one` and `all` read; `write` is a transaction."""

    def __init__(self, connection: sqlite3.Connection, *, is_view: bool) -> None:
        self.is_view = is_view
        self._connection = connection
        self._depth = 0

    @classmethod
    def open(cls, path: str) -> "Database":
        """Open for writing, made and migrated if need be. The caller holds the lock of the spool."""
        folder = os.path.dirname(path) or "."
        with border():
            _refuse_shared(folder)
            is_new = _create(path)
            _refuse_cut(path)
            connection = _connect(path)
            try:
                _prepare(connection, path)
                if is_new:
                    with durable.border(folder):
                        durable.sync_folder(folder)
            except BaseException:
                connection.close()
                raise
        database = cls(connection, is_view=False)
        database.set_clean(is_clean=False)
        return database

    @classmethod
    def view(cls, path: str) -> "Database":
        """Open for reading only, also beside a running writer. No file is made; a missing ledger reads as empty."""
        with border():
            connection = _connect_view(path) if durable.may_read(path) else _connect(":memory:")
            if version_of(connection) != len(STEPS):
                with contextlib.closing(connection):
                    connection = _migrated_copy(connection)
            connection.execute("PRAGMA query_only = ON")
        return cls(connection, is_view=True)

    def close(self) -> None:
        """An unset flag only costs a check at the next opening, so its failure is not worth an error."""
        if not self.is_view:
            with contextlib.suppress(MediaspoolError):
                self.set_clean(is_clean=True)
        self._connection.close()

    def set_clean(self, *, is_clean: bool) -> None:
        self.change("UPDATE meta SET value = ? WHERE name = 'clean'", "1" if is_clean else "0")

    @contextlib.contextmanager
    def write(self) -> Iterator[None]:
        """One transaction, joined when already inside one. Durable when the outermost block ends, else undone."""
        if self._depth:
            yield
            return
        self._say("BEGIN IMMEDIATE")
        self._depth = 1
        try:
            yield
            self._check_under_way()
            self._say("COMMIT")
        finally:
            self._depth = 0
            if self._connection.in_transaction:
                self._say("ROLLBACK")

    def _say(self, sql: str) -> None:
        try:
            self._connection.execute(sql)
        except sqlite3.Error as error:
            raise _mapped(error) from error  # not `with border()`, here and below: this is the hot path of a run

    def _check_under_way(self) -> None:
        if not self._connection.in_transaction:
            raise LedgerError("a failed write undid those beside it", hint="check the disk and run again")

    def change(self, sql: str, *values: Value) -> int:
        """Run one writing statement in a transaction; the number of rows it touched."""
        if not self._depth:
            with self.write():
                return self.change(sql, *values)
        try:
            return self._connection.execute(sql, values).rowcount
        except sqlite3.Error as error:
            raise _mapped(error) from error

    def change_many(self, sql: str, rows: Iterable[Sequence[Value]]) -> None:
        if not self._depth:
            with self.write():
                return self.change_many(sql, rows)
        try:
            self._connection.executemany(sql, rows)
        except sqlite3.Error as error:
            raise _mapped(error) from error

    def one(self, make: Callable[..., T], sql: str, *values: Value) -> T | None:
        """The first row, its columns handed to `make`; None when there is none."""
        try:
            row = self._connection.execute(sql, values).fetchone()
        except sqlite3.Error as error:
            raise _mapped(error) from error
        return None if row is None else make(*row)

    def all(self, make: Callable[..., T], sql: str, *values: Value) -> list[T]:
        try:
            rows = self._connection.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise _mapped(error) from error
        return [make(*row) for row in rows]

    def each(self, make: Callable[..., T], sql: str, *values: Value) -> Iterator[T]:
        """Like `all`, a row at a time."""
        with border(), contextlib.closing(self._connection.execute(sql, values)) as rows:
            for row in rows:
                yield make(*row)


def _connect(path: str, *, is_uri: bool = False) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path,
        isolation_level=None,
        check_same_thread=False,  # one caller at a time, but the runner's thread may change
        cached_statements=CACHED_STATEMENTS,
        uri=is_uri,
    )
    connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
    return connection


def _connect_view(path: str) -> sqlite3.Connection:
    uri = "file:" + quote(os.fsencode(os.path.abspath(path)))
    connection = _connect(f"{uri}?mode=ro", is_uri=True)
    try:
        version_of(connection)
        return connection
    except sqlite3.OperationalError as error:
        connection.close()
        if not _is_at_rest(path, error.sqlite_errorcode):
            raise
    return _connect(f"{uri}?mode=ro&immutable=1", is_uri=True)


def _is_at_rest(path: str, code: int) -> bool:
    """Nobody writes to a WAL database on a read-only mount, nor where a full disk has no room to tell whoever reads.

    It opens as immutable then. Where a run was killed, its log would be passed over: that ledger is not read.
    """
    if code in _NO_ROOM:
        return not os.path.exists(f"{path}-wal") or os.path.getsize(f"{path}-wal") == 0
    return code & 0xFF == sqlite3.SQLITE_CANTOPEN and not os.access(os.path.dirname(path), os.W_OK)


def _migrated_copy(connection: sqlite3.Connection) -> sqlite3.Connection:
    """An older ledger is read through a migrated copy in memory, so that looking never changes the file."""
    copy = _connect(":memory:")
    try:
        connection.backup(copy)
        migrate(copy, None)
    except BaseException:
        copy.close()
        raise
    return copy


def _prepare(connection: sqlite3.Connection, path: str) -> None:
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"PRAGMA journal_size_limit = {WAL_KEEP_BYTES}")
    (synchronous,) = connection.execute("PRAGMA synchronous").fetchone()
    if mode != "wal" or synchronous != SYNCHRONOUS_FULL:
        raise LedgerError(
            f"SQLite would not be durable here (journal {mode}, synchronous {synchronous})",
            hint="put the spool folder on a local disk",
        )
    if version_of(connection):
        _check_after_unclean_end(connection)
    migrate(connection, path)


def _check_after_unclean_end(connection: sqlite3.Connection) -> None:
    row = connection.execute("SELECT value FROM meta WHERE name = 'clean'").fetchone()
    if row == ("1",):
        return
    (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise LedgerError(f"the ledger is damaged: {verdict}", hint=RESTORE)


def _refuse_shared(folder: str) -> None:
    try:
        problem = shared_disk_problem(file_system_magic(folder))
    except OSError as error:
        raise LedgerError(
            f"the folder of the ledger cannot be reached: {error.strerror}", hint="check the spool folder"
        ) from error
    if problem is not None:
        raise LedgerError(problem, hint="keep the spool folder on a local disk; inputs and outputs may lie elsewhere")


def _refuse_cut(path: str) -> None:
    """Pages that are missing at the end go unnoticed until one is read. With a log beside it a file may be short."""
    with durable.border(path), open(path, "rb") as file:
        head, size = file.read(_HEAD.size), os.fstat(file.fileno()).st_size
    with contextlib.suppress(FileNotFoundError):
        if os.path.getsize(f"{path}-wal"):
            return
    if len(head) == _HEAD.size and head.startswith(b"SQLite format 3\0"):
        page_size, pages = _HEAD.unpack(head)
        if size < page_size * pages:
            raise LedgerError(f"the ledger is cut short: {size} bytes of {page_size * pages}", hint=RESTORE)


def _create(path: str) -> bool:
    """Make the file readable by its owner only; SQLite gives its log the same mode. True when it was made."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        return False
    except OSError as error:
        raise LedgerError(
            f"the ledger cannot be made: {error.strerror}", hint="check owner, mode and mount of the spool folder"
        ) from error
    return True
