# ruff: noqa: S608  # every fragment joined here is a constant of this module
"""The SQL of the ledger, one constant a verb. Values come only as parameters.

A step of an attempt says `run = ?` and the states it may start from: that is the fence, and it is here to be read.
"""

_OPEN = "('opened', 'sending', 'received')"
_UNSETTLED = "('opened', 'sending', 'submitted', 'received')"
_HELD = "state = 'in_doubt' AND resolved IS NULL"

QUICK_CHECK = "PRAGMA quick_check(1)"

BEGIN_RUN = "INSERT INTO runs (id, manifest, version, started_at) VALUES (?, ?, ?, ?)"
FINISH_RUN = "UPDATE runs SET finished_at = ?, exit_code = ? WHERE id = ?"
RUN_KNOWN = "SELECT EXISTS (SELECT 1 FROM runs WHERE id = ?)"
LAST_RUNS = "SELECT id, manifest, version, started_at, finished_at, exit_code FROM runs ORDER BY rowid DESC LIMIT ?"
SPEND = (
    "SELECT substr(a.changed_at, 1, 10), a.route, a.kind, coalesce(a.manifest, j.manifest),"
    " a.state IN ('in_doubt', 'submitted'),"
    " CASE WHEN a.state IN ('in_doubt', 'submitted') THEN a.worst_usd ELSE a.usd END, count(*)"
    " FROM attempts a LEFT JOIN jobs j ON j.place = a.place"
    " WHERE a.changed_at >= ?"
    " AND (a.state IN ('stored', 'in_doubt', 'submitted') OR a.is_billed OR a.usd IS NOT NULL)"
    " GROUP BY 1, 2, 3, 4, 5, 6"
)

OPEN_ATTEMPT = (
    "INSERT INTO attempts (id, run, call, place, route, model, operation, paid, worst_usd, kind, manifest,"
    " state, opened_at, changed_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'opened', ?, ?)"
)
_MINE = "changed_at = ? WHERE id = ? AND run = ? AND state"
MARK_SENDING = f"UPDATE attempts SET state = 'sending', {_MINE} = 'opened'"
NOTE_REQUEST_ID = f"UPDATE attempts SET request_id = ?, {_MINE} IN {_UNSETTLED}"
MARK_SUBMITTED = f"UPDATE attempts SET state = 'submitted', ticket = ?, {_MINE} IN ('sending', 'submitted', 'received')"
MARK_RECEIVED = (
    f"UPDATE attempts SET state = 'received', receipt = ?, staged = ?, media = ?, {_MINE} IN ('sending', 'submitted')"
)
MARK_STORED = (
    "UPDATE attempts SET state = 'stored', receipt = NULL, usd = ?, request_id = coalesce(request_id, ?),"
    f" {_MINE} = 'received'"
)
SETTLE_ATTEMPT = (
    f"UPDATE attempts SET state = ?, code = ?, message = ?, usd = ?, is_billed = ?, {_MINE} IN {_UNSETTLED}"
)
ADOPT_ATTEMPT = f"UPDATE attempts SET run = ? WHERE id = ? AND state IN {_UNSETTLED}"
ABANDON_TICKET = "UPDATE attempts SET state = 'in_doubt', code = 'in-doubt' WHERE id = ? AND state = 'submitted'"
RESOLVE_ATTEMPT = f"UPDATE attempts SET resolved = ? WHERE id = ? AND {_HELD}"
REPEATS = "SELECT count(*) FROM attempts WHERE call = ? AND resolved = 'allowance'"
_PRICELESS = "paid AND usd IS NULL AND request_id IS NOT NULL AND (state = 'stored' OR is_billed)"
SET_PRICE = f"UPDATE attempts SET usd = ?, price_asks = price_asks + 1 WHERE id = ? AND {_PRICELESS}"

USED = (
    "SELECT substr(changed_at, 1, 10), coalesce(usd, worst_usd), count(*) FROM attempts WHERE paid"
    " AND (state IN ('stored', 'in_doubt', 'submitted') OR is_billed OR usd IS NOT NULL) GROUP BY 1, 2"
)

_ATTEMPTS = (
    "SELECT id, run, call, place, route, model, operation, paid, worst_usd, state, opened_at, changed_at,"
    " request_id, staged, media, receipt, code, message, usd, resolved, ticket, is_billed FROM attempts WHERE "
)
ATTEMPT = f"{_ATTEMPTS} id = ?"
# A plain rowid would have the whole table read in its order, for the few that an index knows: hence the plus.
ATTEMPTS_OF_RUN = f"{_ATTEMPTS} run = ? ORDER BY rowid"
OPEN_ATTEMPTS = f"{_ATTEMPTS} state IN {_OPEN} ORDER BY rowid LIMIT ?"
SUBMITTED_ATTEMPTS = f"{_ATTEMPTS} state = 'submitted' ORDER BY +rowid LIMIT ?"
SUBMITTED_ATTEMPT_OF = f"{_ATTEMPTS} state = 'submitted' AND call = ? ORDER BY rowid LIMIT 1"
UNPRICED = f"{_ATTEMPTS} {_PRICELESS} AND route = ? AND price_asks < ? ORDER BY price_asks, rowid LIMIT ?"
HELD_ATTEMPTS = f"{_ATTEMPTS} {_HELD} ORDER BY +rowid LIMIT ?"
HELD_ATTEMPTS_OF = f"{_ATTEMPTS} {_HELD} AND call = ? ORDER BY rowid LIMIT ?"

STORE_RECEIPT = (
    "INSERT OR REPLACE INTO receipts (call, asset, media, body, finished_at)"
    " SELECT ?, ?, media, ?, ? FROM attempts WHERE id = ?"
)
RECEIPT = "SELECT body FROM receipts WHERE call = ?"
RECEIPT_MEDIA = "SELECT media FROM receipts WHERE call = ?"
PAID_RECEIPTS = (
    "SELECT body, media FROM receipts"
    " WHERE call IN (SELECT call FROM attempts WHERE paid AND state = 'stored') ORDER BY asset, call"
)
REPRICE_RECEIPT = "UPDATE receipts SET body = ? WHERE call = ?"
FORGET_CALL = "DELETE FROM receipts WHERE call = ?"
FORGET_PARTS = "DELETE FROM parts WHERE call = ?"
STORE_PART = "INSERT OR IGNORE INTO parts (call, asset) VALUES (?, ?)"
ASSETS_IN_USE = "SELECT asset FROM receipts UNION SELECT asset FROM parts"
CALL_KNOWN = (  # the conditions of the indexes, word for word
    "SELECT EXISTS (SELECT 1 FROM receipts WHERE call = ?)"
    f" OR EXISTS (SELECT 1 FROM attempts WHERE {_HELD} AND call = ?)"
    " OR EXISTS (SELECT 1 FROM attempts WHERE state = 'submitted' AND call = ?)"
)

_JOB_COLUMNS = "place, job, manifest, verdict, code, reason, key, identity, receipt, settled_at"
JOB = f"SELECT {_JOB_COLUMNS} FROM jobs WHERE place = ?"
JOB_BY_KEY = (
    f"SELECT {_JOB_COLUMNS} FROM jobs WHERE key = ? AND verdict IN ('done', 'empty', 'suspect')"
    " ORDER BY settled_at DESC LIMIT 1"
)
JOBS_WITH = f"SELECT {_JOB_COLUMNS} FROM jobs WHERE verdict = ? ORDER BY settled_at DESC, place LIMIT ?"
COUNTS = "SELECT verdict, count(*) FROM jobs GROUP BY verdict"
SETTLE_JOB = f"INSERT OR REPLACE INTO jobs ({_JOB_COLUMNS}, run) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
RECEIPT_OF = "SELECT receipt FROM jobs WHERE place = ?"
FORGET_JOB = "DELETE FROM jobs WHERE place = ?"

REMEMBER_PRODUCT = "INSERT OR REPLACE INTO products (path, place, name, sha256, size) VALUES (?, ?, ?, ?, ?)"
PRODUCT_AT = "SELECT path, place, name, sha256, size FROM products WHERE path = ?"

INTEND = "INSERT INTO intents (place, ordinal, key, name, path, part, sha256, size) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
FORGET_INTENT = "DELETE FROM intents WHERE place = ?"
_INTENDED = "SELECT place, key, name, path, part, sha256, size FROM intents"
INTENDED = f"{_INTENDED} WHERE place = ? ORDER BY ordinal"
INTENDED_ALL = f"{_INTENDED} ORDER BY place, ordinal"

KNOWN_FILE = (
    "SELECT size, sha256, media, seconds, tracks FROM files"
    " WHERE path = ? AND size = ? AND mtime_ns = ? AND ctime_ns = ? AND inode = ?"
)
INODE_OF = "SELECT inode FROM files WHERE path = ?"
REMEMBER_FILE = (
    "INSERT OR REPLACE INTO files (path, size, mtime_ns, ctime_ns, inode, sha256, media, seconds, tracks)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)

ALL_PRODUCTS = "SELECT path, place, name, sha256, size FROM products ORDER BY path"
RESTORE_RECEIPT = "INSERT OR IGNORE INTO receipts (call, asset, media, body, finished_at) VALUES (?, ?, ?, ?, ?)"
RESTORE_JOB = SETTLE_JOB.replace("OR REPLACE", "OR IGNORE")
RESTORE_PRODUCT = REMEMBER_PRODUCT.replace("OR REPLACE", "OR IGNORE")
RESTORE_ATTEMPT = (
    "INSERT OR IGNORE INTO attempts (id, run, call, place, route, model, operation, paid, opened_at, changed_at,"
    " request_id, usd, state) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'stored')"
)
