"""Proofs as files: receipts beside products, and the record of each paid call beside its answer.

Finds and reads them, bounded, and knows where the record of a call lies. Nothing here decides what a proof proves.
"""

import os
from collections.abc import Iterator

from pipeline.core.errors import LedgerError
from pipeline.core.model import CallReceipt
from pipeline.state.durable import read_at_most
from pipeline.state.ledger_rows import unpack

CALL_SUFFIX = ".call"
CALL_NAME_CHARS = 12  # of the key; they only keep calls with equal answers apart
MAX_PROOF_BYTES = 16_000_000


def record_path(asset: str, receipt: CallReceipt) -> str:
    """Where the record of a paid call lies, beside the first of its answers."""
    return f"{os.path.splitext(asset)[0]}.{receipt.key[:CALL_NAME_CHARS]}{CALL_SUFFIX}"


def below(folder: str, suffix: str) -> Iterator[str]:
    """The files with that end of a name, in the order of names."""
    for place, folders, names in os.walk(folder):
        folders.sort()
        yield from (os.path.join(place, name) for name in sorted(names) if name.endswith(suffix))


def read_proof(path: str) -> bytes:
    """What cannot be read is no proof, and a pipe is not waited for."""
    try:
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
            body = read_at_most(file, MAX_PROOF_BYTES + 1) or b""
    except OSError:
        return b""
    return body if len(body) <= MAX_PROOF_BYTES else b""


def read_record(path: str) -> CallReceipt | None:
    """What the record of a call says; None where that cannot be told."""
    try:
        return unpack(read_proof(path), CallReceipt)
    except LedgerError:
        return None
