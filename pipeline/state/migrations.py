"""The shape of the ledger, as a list of steps that only grows.

Step n takes a database of version n to version n + 1, in one transaction, after a copy was made beside it. A database
from a newer program is refused: an older one must not guess what its rows mean.
"""

import os
import sqlite3
from collections.abc import Sequence

from pipeline.core.errors import LedgerError

APPLICATION_ID = 0x4D535031  # "MSP1"; tells our ledger from somebody else's database
Step = tuple[str, ...]

_FIRST: Step = (
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    "INSERT INTO meta VALUES ('clean', '1')",
    """CREATE TABLE runs (
        id TEXT PRIMARY KEY, manifest BLOB NOT NULL, version TEXT NOT NULL,
        started_at TEXT NOT NULL, finished_at TEXT, exit_code INTEGER)""",
    """CREATE TABLE attempts (
        id TEXT PRIMARY KEY, run TEXT NOT NULL, call TEXT NOT NULL, place TEXT NOT NULL,
        route TEXT NOT NULL, model TEXT NOT NULL, operation TEXT NOT NULL,
        paid INTEGER NOT NULL, worst_usd TEXT,
        state TEXT NOT NULL CHECK (state IN
            ('opened', 'sending', 'received', 'stored', 'failed', 'rejected', 'refused', 'in_doubt')),
        opened_at TEXT NOT NULL, changed_at TEXT NOT NULL,
        request_id TEXT, staged BLOB, media BLOB, receipt BLOB,
        code TEXT, message BLOB, usd TEXT,
        resolved TEXT CHECK (resolved IN ('pay-again', 'drop')))""",
    "CREATE INDEX attempts_open ON attempts (state) WHERE state IN ('opened', 'sending', 'received')",
    "CREATE INDEX attempts_held ON attempts (call) WHERE state = 'in_doubt' AND resolved IS NULL",
    """CREATE TABLE receipts (
        call TEXT PRIMARY KEY, asset TEXT NOT NULL, media BLOB NOT NULL, body BLOB NOT NULL,
        finished_at TEXT NOT NULL)""",
    "CREATE INDEX receipts_asset ON receipts (asset)",
    # Names, ids and reasons are BLOBs: they may carry bytes that are not UTF-8, which a TEXT column refuses.
    """CREATE TABLE jobs (
        place TEXT PRIMARY KEY, job BLOB NOT NULL, manifest BLOB NOT NULL, verdict TEXT NOT NULL,
        code TEXT, reason BLOB NOT NULL, key TEXT, identity TEXT NOT NULL, receipt BLOB,
        run TEXT NOT NULL, settled_at TEXT NOT NULL)""",
    "CREATE INDEX jobs_key ON jobs (key) WHERE key IS NOT NULL",
    "CREATE INDEX jobs_verdict ON jobs (verdict)",
    """CREATE TABLE products (
        path BLOB PRIMARY KEY, place TEXT NOT NULL, name TEXT NOT NULL, sha256 TEXT NOT NULL, size INTEGER NOT NULL)
        WITHOUT ROWID""",
    """CREATE TABLE intents (
        place TEXT NOT NULL, ordinal INTEGER NOT NULL, key TEXT NOT NULL, name BLOB NOT NULL, path BLOB NOT NULL,
        part BLOB NOT NULL, sha256 TEXT NOT NULL, size INTEGER NOT NULL, PRIMARY KEY (place, ordinal)) WITHOUT ROWID""",
    """CREATE TABLE files (
        path BLOB PRIMARY KEY, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, ctime_ns INTEGER NOT NULL,
        inode INTEGER NOT NULL, sha256 TEXT NOT NULL, media BLOB, seconds REAL, tracks TEXT NOT NULL) WITHOUT ROWID""",
)

# Work that a provider goes on with (`submitted`, found again by its ticket), answers in several parts, prices that
# became known later. SQLite cannot change a CHECK, so the table is made anew.
_SECOND: Step = (
    "ALTER TABLE attempts RENAME TO attempts_1",
    """CREATE TABLE attempts (
        id TEXT PRIMARY KEY, run TEXT NOT NULL, call TEXT NOT NULL, place TEXT NOT NULL,
        route TEXT NOT NULL, model TEXT NOT NULL, operation TEXT NOT NULL,
        paid INTEGER NOT NULL, worst_usd TEXT,
        state TEXT NOT NULL CHECK (state IN
            ('opened', 'sending', 'submitted', 'received', 'stored', 'failed', 'rejected', 'refused', 'in_doubt')),
        opened_at TEXT NOT NULL, changed_at TEXT NOT NULL,
        request_id TEXT, staged BLOB, media BLOB, receipt BLOB,
        code TEXT, message BLOB, usd TEXT,
        resolved TEXT CHECK (resolved IN ('pay-again', 'drop', 'allowance')),
        ticket TEXT CHECK (ticket IS NOT NULL OR state != 'submitted'),
        is_billed INTEGER NOT NULL DEFAULT 0, price_asks INTEGER NOT NULL DEFAULT 0)""",
    """INSERT INTO attempts
        SELECT id, run, call, place, route, model, operation, paid, worst_usd, state, opened_at, changed_at,
            request_id, staged, media, receipt, code, message, usd, resolved, NULL, 0, 0
        FROM attempts_1 ORDER BY rowid""",
    "DROP TABLE attempts_1",
    "CREATE INDEX attempts_open ON attempts (state) WHERE state IN ('opened', 'sending', 'received')",
    "CREATE INDEX attempts_submitted ON attempts (call) WHERE state = 'submitted'",
    "CREATE INDEX attempts_held ON attempts (call) WHERE state = 'in_doubt' AND resolved IS NULL",
    "CREATE INDEX attempts_repeated ON attempts (call) WHERE resolved = 'allowance'",
    """CREATE INDEX attempts_unpriced ON attempts (price_asks)
        WHERE paid AND usd IS NULL AND request_id IS NOT NULL AND (state = 'stored' OR is_billed)""",
    "CREATE TABLE parts (call TEXT NOT NULL, asset TEXT NOT NULL, PRIMARY KEY (call, asset)) WITHOUT ROWID",
)

# For whom an attempt was made, so that money can be told by kind and manifest.
_THIRD: Step = ("ALTER TABLE attempts ADD COLUMN kind TEXT", "ALTER TABLE attempts ADD COLUMN manifest BLOB")

# The page of a run asks for its attempts, among those of all runs that ever were.
_FOURTH: Step = ("CREATE INDEX attempts_run ON attempts (run)",)

STEPS: tuple[Step, ...] = (_FIRST, _SECOND, _THIRD, _FOURTH)


def version_of(connection: sqlite3.Connection) -> int:
    """The version of an open database; LedgerError when it is not a ledger at all."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (owner,) = connection.execute("PRAGMA application_id").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if owner != APPLICATION_ID and (owner or version or tables):
        raise LedgerError("the ledger file is the database of another program", hint="choose another spool folder")
    return int(version)


def migrate(connection: sqlite3.Connection, path: str | None, steps: Sequence[Step] = STEPS) -> None:
    """Bring the database to the newest version. `path` None is a database in memory, which needs no copy first."""
    version = version_of(connection)
    if version > len(steps):
        raise LedgerError(
            f"the ledger has version {version}, this program knows {len(steps)}",
            code="ledger-newer",
            hint="install the newer mediaspool again, or use another spool folder",
        )
    if version == len(steps):
        return
    if version and path is not None:
        _copy(connection, f"{path}.v{version}.bak")
    connection.execute("BEGIN IMMEDIATE")
    try:
        for step in steps[version_of(connection) :]:
            for statement in step:
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {len(steps)}")
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _copy(connection: sqlite3.Connection, path: str) -> None:
    """A whole, synced copy under its final name, or none: an earlier good copy is replaced only by another."""
    part = f"{path}.part"
    fd = os.open(part, os.O_CREAT | os.O_TRUNC | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        copy = sqlite3.connect(part)
        try:
            connection.backup(copy)
        finally:
            copy.close()
        os.fsync(fd)
    finally:
        os.close(fd)
    os.rename(part, path)
