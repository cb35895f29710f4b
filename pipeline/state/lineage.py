"""Is this the ledger that the last run left here, or a copy from before it?

A copy that is put back knows nothing of what was paid for since: its jobs would be paid for again. Each run leaves its
id in a note beside the ledger, once that knows it; a note of a run that the ledger never saw tells an older copy. It is
not synced, and without it nothing is refused.
"""

import os

from pipeline.core.errors import LedgerError
from pipeline.core.model import RunId
from pipeline.state.durable import PRIVATE, border, read_at_most, remove
from pipeline.state.ledger import Ledger

_NOTE = "last-run"
MAX_NOTE_BYTES = 200


def ensure_latest(root: str, ledger: Ledger) -> None:
    """LedgerError where a run was here that the ledger does not know. A new ledger knows none, and is another story."""
    run = _noted(root)
    if run and ledger.last_runs(1) and not ledger.knows_run(run):
        raise LedgerError(
            f"the ledger is older than its spool: the run {run} was here and is not in it",
            hint="put the right one back, or let `mediaspool rebuild` add what the proofs tell of the time since",
        )


def note_run(root: str, run: RunId) -> None:
    """After the ledger knows it: the note is never ahead of the ledger."""
    path = os.path.join(root, _NOTE)
    with border(path), open(path, "w", encoding="ascii", opener=_private) as file:
        file.write(run)


def forget(root: str) -> None:
    """What the ledger lacked has been added to it."""
    with border(root):
        remove(os.path.join(root, _NOTE))


def _noted(root: str) -> RunId | None:
    try:
        with open(os.path.join(root, _NOTE), "rb") as file:
            told = (read_at_most(file, MAX_NOTE_BYTES) or b"").decode("ascii")
    except (OSError, UnicodeDecodeError):
        return None
    return RunId(told) if told.replace("-", "").isalnum() else None


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK, PRIVATE)
