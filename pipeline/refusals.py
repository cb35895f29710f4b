"""Refusals as the ledger keeps them: news once, and forgotten together with what was refused.

A job that its manifest does not ask for any more, or whose dropped manifest was deleted, is nobody's problem. What was
tried and failed is kept: it may have cost something.
"""

import glob
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

import msgspec
from msgspec import Struct

from pipeline.core.confine import display_path
from pipeline.core.decoding import from_json
from pipeline.core.model import BadJob, JobId, Outcome, refusal_identity
from pipeline.manifest import Manifest, place_of
from pipeline.state.drops import REPORT_SUFFIX
from pipeline.state.durable import read_at_most
from pipeline.state.ledger import Ledger
from pipeline.state.ledger_rows import JobRow
from pipeline.state.spool import Spool

MAX_REPORT_BYTES = 256_000_000

Asked = tuple[str, Manifest]
"""A manifest that was read, and the folder that its relative paths start from."""


class _Told(Struct, frozen=True):
    job: str


class _About(Struct, frozen=True):
    """All that is wanted of a report beside a manifest."""

    manifest: str | None = None
    outcomes: tuple[_Told, ...] = ()


def refuse(ledger: Ledger, base: str, manifest: str, bad: BadJob) -> Outcome:
    """A refusal that is news once: the ledger remembers it until the manifest says something else."""
    first, message = bad.reasons[0], "; ".join(reason.message for reason in bad.reasons)
    is_old = is_known(ledger, base, manifest, bad)
    if not is_old:
        ledger.settle_job(
            place=place_of(base, manifest, bad.id),
            job=bad.id,
            manifest=manifest,
            receipt=None,
            verdict="refused",
            code=first.code,
            reason=message,
            key=None,
            identity=refusal_identity(bad.reasons),
        )
    return Outcome(
        job=bad.id,
        kind="",
        verdict="unchanged" if is_old else "refused",
        reason=f"{bad.where}: {message}",
        code=first.code,
        hint=first.hint,
        earlier="refused" if is_old else None,
    )


def is_known(ledger: Ledger, base: str, manifest: str, bad: BadJob) -> bool:
    """Was this very refusal told by an earlier run?"""
    row = ledger.job(place_of(base, manifest, bad.id))
    return row is not None and row.verdict == "refused" and row.identity == refusal_identity(bad.reasons)


def forget_bygone(ledger: Ledger, spool: Spool, asked: Sequence[Asked]) -> None:
    """Let go of the refusals that no manifest is to blame for any more."""
    rows = ledger.jobs_with(("refused",))
    by_name = _asked_by_name(asked) if rows else {}
    read = {row.place: ids for (base, name), ids in by_name.items() for row in rows if _is_of(row, base, name)}
    dropped = [row for row in rows if row.place not in read and _is_of(row, spool.incoming, row.manifest)]
    kept = _there(spool, {display_path(row.manifest) for row in dropped})
    bygone = [row for row in rows if row.place in read and row.job not in read[row.place]]
    for row in (*bygone, *(row for row in dropped if display_path(row.manifest) not in kept)):
        ledger.forget_job(row.place)


def _there(spool: Spool, wanted: set[str]) -> set[str]:
    """Those of the manifests that still lie in the spool; `done/`, which grows, is read for what lies nowhere else."""
    missing = set(wanted)
    reports = finished(spool, ("claimed", "failed", "done"))
    while missing and (found := next(reports, None)) is not None:
        missing.discard(found[1])
    return wanted - missing


def _asked_by_name(asked: Sequence[Asked]) -> Mapping[tuple[str, str], set[JobId]]:
    """Two manifests of one name and folder share their jobs. What is still being written may be any of them."""
    found: defaultdict[tuple[str, str], set[JobId]] = defaultdict(set)
    for base, manifest in asked:
        found[base, manifest.name] |= {job.id for job in manifest.jobs} | {bad.id for bad in manifest.bad}
    for base, manifest in asked:
        if manifest.unsettled:
            found.pop((base, manifest.name), None)
    return found


def finished(spool: Spool, folders: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The manifests in these folders of the spool, each with the name that the report beside it gives."""
    for folder in folders:
        for report in sorted(glob.glob(os.path.join(glob.escape(spool.root), folder, "*" + REPORT_SUFFIX))):
            path = report.removesuffix(REPORT_SUFFIX)
            if os.path.isfile(path):
                yield path, _reported(report)


def _is_of(row: JobRow, base: str, manifest: str) -> bool:
    """The place of a job proves the folder that its manifest started from."""
    return row.manifest == manifest and row.place == place_of(base, manifest, row.job)


def jobs_told(path: str) -> frozenset[str]:
    """The jobs of a finished manifest, as the report beside it shows their ids; none where that cannot be told."""
    return frozenset(outcome.job for outcome in _about(path + REPORT_SUFFIX).outcomes)


def _reported(path: str) -> str:
    """The manifest that a report is about; empty when it cannot be told."""
    return _about(path).manifest or ""


def _about(path: str) -> _About:
    try:
        with open(path, "rb") as file:
            return from_json(read_at_most(file, MAX_REPORT_BYTES), _About)
    except (OSError, msgspec.DecodeError):
        return _About()
