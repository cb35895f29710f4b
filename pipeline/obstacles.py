"""What is in the way of products: a file that would be overwritten though nobody agreed to lose it.

Reads ledger and output folder, and decides nothing else. A file that is, byte for byte, what the job made is not in the
way, wherever it was made: somebody moved it along.
"""

import os

import msgspec

from pipeline.core.confine import display, display_path
from pipeline.core.errors import InputChanging, InputError, OutputClosed
from pipeline.core.model import Job, Product, Refusal, Sha256
from pipeline.intake import Intake
from pipeline.state.durable import NAMESAKE, deepest, is_full, may_write, namesake, no_room
from pipeline.state.ledger import Ledger
from pipeline.state.ledger_rows import JobRow, ProductRow

_REPLACE = "move it away, or run with --force to replace it"


def in_the_way(ledger: Ledger, intake: Intake, job: Job, known: JobRow | None) -> Refusal | None:
    """The first file in the way; InputError where nobody can say what is in it.

    `known` has made the very result that is wanted, here or elsewhere.
    """
    there = [product for product in job.products if os.path.lexists(product.path)]
    intended = {item.path: item.sha256 for item in ledger.intended(job.place)} if there else {}
    made = {product.name: product for product in known.products} if known is not None and there else {}
    for product in there:
        ours = ledger.product_at(product.path)
        expected = {intended.get(product.path), ours.sha256 if ours and ours.place == job.place else None} - {None}
        reason = _against(intake, product.path, expected, made.get(product.name))
        if reason is not None:
            return reason if expected else _of_another(ledger, product.path) or reason
    return None


def ensure_open(folder: str) -> None:
    """OutputClosed where a folder takes nothing: told before anything is paid for what would go there."""
    there = deepest(folder)
    if not may_write(there):
        hint = "check owner, mode and mount of this folder; the next run takes the jobs that write there"
        raise OutputClosed(f"'{display_path(there)}' may not be written to", hint=hint)
    if is_full(there):
        full = no_room(there)
        raise OutputClosed(
            full.message, code=full.code, hint=f"{full.hint}; nothing was sent for the jobs that write there"
        )


def _of_another(ledger: Ledger, path: str) -> Refusal | None:
    """That it was written for another job, where we know; perhaps under a name that its disk takes for the same."""
    ours = ledger.product_at(path)
    if ours is not None:
        return _foreign(path, _written_for(ledger, ours))
    twin = namesake(path)
    theirs = ledger.product_at(twin) if twin is not None else None
    if twin is None or theirs is None:
        return None
    refusal = _foreign(path, f"is one file with '{display_path(twin)}', which {_written_for(ledger, theirs)}")
    return msgspec.structs.replace(refusal, hint=NAMESAKE)


def _written_for(ledger: Ledger, theirs: ProductRow) -> str:
    row = ledger.job(theirs.place)
    return f"was written for the job '{display(row.job)}' of {display(row.manifest)}" if row else "is of another job"


def _against(intake: Intake, path: str, expected: set[Sha256 | None], same: Product | None) -> Refusal | None:
    """`expected` is what this job wrote there, or was about to when a run was killed; `same` the wanted result."""
    if not expected and same is None:
        return _foreign(path, "this spool does not remember writing it", f"name the --spool that made it, {_REPLACE}")
    if _content(intake, path) in expected | ({same.sha256} if same is not None else set()):
        return None
    if not expected and same is not None:
        return _foreign(path, f"is not what this job made at '{display_path(same.path)}'")
    return Refusal(
        code="product-edited",
        message=f"'{display_path(path)}' was edited by hand and the job has changed",
        hint="move your version away, or run with --force to replace it",
    )


def _content(intake: Intake, path: str) -> Sha256 | None:
    """None for what holds nothing, or is no file. InputError where it cannot be read."""
    try:
        return intake.sha256(path)
    except InputError as error:
        if isinstance(error, InputChanging) or error.code == "input-unreadable":
            raise
        return None


def _foreign(path: str, why: str, hint: str = _REPLACE) -> Refusal:
    return Refusal(code="output-exists", message=f"'{display_path(path)}' is there already, and {why}", hint=hint)
