"""The SQLite file of the pace: one per user, opened by many runs at once. Where it may lie, how a transaction runs.

WAL, synchronous=FULL, every write in BEGIN IMMEDIATE: what one run reserved, the next one sees, also after a power cut.
sqlite3's errors leave here only as PaceBroken.
"""

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from urllib.parse import quote

from pipeline.core.errors import PaceBroken
from pipeline.state.linux import SHARED_FILE_SYSTEMS, file_system_magic

BUSY_TIMEOUT_MS = 5_000
WAL_KEEP_BYTES = 4_000_000
APPLICATION_ID = 0x4D535043  # "MSPC"
VERSION = 1
MEMORY = ":memory:"

# Money in units of 1e-12 USD, audio in milliseconds: sums of whole numbers are exact.
_TABLES = (
    """CREATE TABLE clock (
        one INTEGER PRIMARY KEY CHECK (one = 1), at REAL NOT NULL, steady REAL NOT NULL, boot TEXT NOT NULL)""",
    "CREATE TABLE routes (route TEXT PRIMARY KEY, rest_until REAL NOT NULL, windows TEXT NOT NULL) WITHOUT ROWID",
    """CREATE TABLE used (
        day TEXT PRIMARY KEY, usd INTEGER NOT NULL, audio_ms INTEGER NOT NULL, images INTEGER NOT NULL,
        requests INTEGER NOT NULL, unknown INTEGER NOT NULL) WITHOUT ROWID""",
    """CREATE TABLE tabs (
        attempt TEXT PRIMARY KEY, spool BLOB NOT NULL, day TEXT NOT NULL, usd INTEGER, audio_ms INTEGER NOT NULL,
        images INTEGER NOT NULL, requests INTEGER NOT NULL) WITHOUT ROWID""",
    "CREATE INDEX tabs_spool ON tabs (spool)",
    "CREATE TABLE spools (spool BLOB PRIMARY KEY) WITHOUT ROWID",
)


@contextlib.contextmanager
def border() -> Iterator[None]:
    """The one place where sqlite3's and the system's errors about this file become ours."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            hint = "another program keeps it locked; end it and run again"
        elif code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            hint = "move pace.db away: a new one begins with what the ledger of each spool knows"
        else:
            hint = "see to the disk, and to owner and mode of the state folder"
        raise PaceBroken(f"pace.db answered: {error}", hint=hint) from error
    except OSError as error:
        hint = "see to owner and mode of the state folder"
        raise PaceBroken(f"pace.db cannot be reached: {error.strerror}", hint=hint) from error


def connect(path: str) -> sqlite3.Connection:
    """Open for writing; made if need be, for its owner only. `MEMORY` is one of this process alone."""
    with border():
        if path != MEMORY:
            _ensure_placed(path)
            _make(path)
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            _prepare(connection, is_file=path != MEMORY)
        except BaseException:
            connection.close()
            raise
    return connection


def connect_view(path: str) -> sqlite3.Connection | None:
    """Open for reading; None where there is none yet."""
    _ensure_placed(path)
    with border():
        if not os.path.exists(path):
            return None
        uri = "file:" + quote(os.fsencode(os.path.abspath(path)))
        connection = sqlite3.connect(f"{uri}?mode=ro", uri=True, isolation_level=None, check_same_thread=False)
        try:
            connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
            _check_owner(connection)
        except BaseException:
            connection.close()
            raise
    return connection


@contextlib.contextmanager
def write(connection: sqlite3.Connection) -> Iterator[None]:
    """One transaction over all runs of this user; undone if the block raises."""
    with border():
        connection.execute("BEGIN IMMEDIATE")
    try:
        with border():
            yield
            connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            with border():
                connection.execute("ROLLBACK")


def _ensure_placed(path: str) -> None:
    if not os.path.isabs(path):
        raise PaceBroken("this user has no home folder to keep pace.db in", hint="set HOME or XDG_STATE_HOME")


def _make(path: str) -> None:
    folder = os.path.dirname(path)
    os.makedirs(folder, mode=0o700, exist_ok=True)
    shared = SHARED_FILE_SYSTEMS.get(file_system_magic(folder) or 0)
    if shared is not None:
        hint = "set XDG_STATE_HOME to a folder on a local disk"
        raise PaceBroken(f"pace.db would lie on {shared}, where SQLite's log loses or refuses writes", hint=hint)
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))


def _prepare(connection: sqlite3.Connection, *, is_file: bool) -> None:
    connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"PRAGMA journal_size_limit = {WAL_KEEP_BYTES}")
    if is_file and mode != "wal":
        raise PaceBroken(f"pace.db would not be durable here (journal {mode})", hint="keep it on a local disk")
    connection.execute("BEGIN IMMEDIATE")
    try:
        if not _check_owner(connection):
            for statement in _TABLES:
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _check_owner(connection: sqlite3.Connection) -> bool:
    """Are its tables there? PaceBroken for a file that is not ours, or of a newer program."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (owner,) = connection.execute("PRAGMA application_id").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if owner != APPLICATION_ID and (owner or version or tables):
        raise PaceBroken("pace.db is the database of another program", hint="move it away")
    if version > VERSION:
        raise PaceBroken(f"pace.db has version {version}, this program knows {VERSION}", hint="upgrade mediaspool")
    return bool(version)
