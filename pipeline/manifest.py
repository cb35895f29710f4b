"""The bytes of a manifest become Jobs and BadJobs: the second step of the main path.

`read_manifest` reads, never runs: it looks at folders and file names, at content only where a name says nothing, and
changes nothing. One item that is wrong becomes a BadJob and harms only itself; ManifestError means that nothing of the
manifest can be trusted. The same bytes over the same folders give the same jobs in the same order.
"""

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct

from pipeline.core.confine import display
from pipeline.core.errors import InputError, ManifestError
from pipeline.core.kinds import Kind
from pipeline.core.model import BadJob, Caps, Job, JobId
from pipeline.manifest_checks import check_all
from pipeline.manifest_folder import fixed_prefix, watched_by
from pipeline.manifest_jobs import Intake, Reading, place_of, read_job
from pipeline.manifest_model import (
    MAX_ID_CHARS,
    JobInvalid,
    invalid,
    manifest_schema,
    read_header,
    reasons_of,
    spec_keys,
)
from pipeline.manifest_paths import Places
from pipeline.manifest_steps import Yield, expand_folder
from pipeline.manifest_text import Item, ManifestLimits, Table, Value, read_document
from pipeline.state.roots import Roots

TRANSCRIPTION = "transcription"


class Manifest(Struct, frozen=True, kw_only=True):
    """A manifest, read. `watched` are the folders and files whose change could change the jobs."""

    name: str
    base: str
    caps: Caps
    jobs: tuple[Job, ...]
    bad: tuple[BadJob, ...]
    ignored: int
    unsettled: tuple[str, ...]
    watched: tuple[str, ...]


class _Collected(Struct, kw_only=True):
    """Jobs while they are gathered; `wheres` runs beside `jobs`."""

    jobs: list[Job] = []
    wheres: list[str] = []
    bad: list[BadJob] = []
    yields: list[Yield] = []
    watched: list[str] = []


def read_manifest(
    body: bytes,
    *,
    file_name: str,
    base: str,
    kinds: Mapping[str, Kind],
    default_routes: tuple[str, ...],
    roots: Roots,
    intake: Intake,
    now: float,
    limits: ManifestLimits,
) -> Manifest:
    """ManifestError when nothing can be read; every smaller fault is a BadJob in the answer."""
    document = read_document(body, file_name, limits)
    reading = Reading(
        base=base,
        manifest=os.path.realpath(os.path.join(base, file_name)),
        header=read_header(document.header, file_name, kinds),
        kinds=kinds,
        default_routes=default_routes,
        places=Places(roots, base),
        intake=intake,
        now=now,
        limits=limits,
    )
    collected = _Collected()
    for item in _with_unique_ids(document.folders, collected):
        _read_folder(item, reading, roots, collected)
    for index, item in enumerate(document.jobs, start=1):
        _read_one(item, index, reading, collected, is_line=document.is_lines)
    _check_count(collected, limits)
    return _checked(collected, reading, file_name)


def _with_unique_ids(folders: Sequence[Item], collected: _Collected) -> Iterator[Item]:
    """Two folders of one id would have jobs of one id: neither is read."""
    counts = Counter(str(item.table.get("id")) for item in folders)
    for item in folders:
        name = str(item.table.get("id"))
        if counts[name] > 1 and "id" in item.table:
            problem = invalid(
                f"the folder id '{display(name)}' is there twice", "give each its own id", "job-duplicate"
            )
            _refuse(item, problem, collected)
        else:
            yield item


def _read_folder(item: Item, reading: Reading, roots: Roots, collected: _Collected) -> None:
    try:
        _refuse_unread(item)
        made = expand_folder(item.table, item.where, reading, roots)
    except (JobInvalid, InputError) as error:
        _refuse(item, error, collected)
        collected.watched += _watched_anyway(item.table.get("glob"), reading.base)
        return
    collected.jobs += made.jobs
    collected.wheres += [item.where] * len(made.jobs)
    collected.bad += made.bad
    collected.yields.append(made)
    collected.watched += watched_by(made.selection, made.harvest, reading.base)
    _check_count(collected, reading.limits)


def _watched_anyway(glob: Value, base: str) -> list[str]:
    """A folder that is missing today may be there tomorrow."""
    return [os.path.join(base, fixed_prefix(glob))] if isinstance(glob, str) else []


def _read_one(item: Item, index: int, reading: Reading, collected: _Collected, *, is_line: bool) -> None:
    try:
        _refuse_unread(item)
        table = _line_table(item.table, reading) if is_line else item.table
        job = read_job(table, index, reading)
    except (JobInvalid, InputError) as error:
        _refuse(item, error, collected)
        return
    collected.jobs.append(job)
    collected.wheres.append(item.where)
    if job.input is not None:
        asked = os.path.join(reading.base, str(table["input"]))
        collected.watched.append(job.input if asked == job.input else asked)


def _further(collected: _Collected) -> Iterator[str]:
    return (item.asked for job in collected.jobs for item in job.further if item.asked is not None)


def _refuse_unread(item: Item) -> None:
    if item.problem is not None:
        raise JobInvalid([item.problem])


def _refuse(item: Item, error: JobInvalid | InputError, collected: _Collected) -> None:
    name = item.table.get("id") or item.table.get("custom_id")
    job_id = display(name, MAX_ID_CHARS) if isinstance(name, str) else item.where
    collected.bad.append(BadJob(id=JobId(job_id), where=item.where, reasons=reasons_of(error)))


def _check_count(collected: _Collected, limits: ManifestLimits) -> None:
    if len(collected.jobs) + len(collected.bad) > limits.max_jobs:
        raise ManifestError(
            f"the manifest makes more than {limits.max_jobs} jobs",
            code="manifest-too-large",
            hint="split it into several manifests",
        )


def _line_table(table: Table, reading: Reading) -> Table:
    """A line with the words of other tools in our words: `custom_id`, and the four of speech data sets."""
    table = dict(table)
    if "custom_id" in table:
        table = _renamed(table, "custom_id", "id")
    if "audio_filepath" not in table:
        return table
    table = _renamed(table, "audio_filepath", "input")
    if reading.header.kind is None:
        table.setdefault("kind", TRANSCRIPTION)
    table.setdefault("id", display(str(table["input"]), MAX_ID_CHARS))
    _check_stretch(table.pop("duration", 0), table.pop("offset", 0))
    return _with_reference(table, reading)


def _renamed(table: Table, alias: str, name: str) -> Table:
    if name in table:
        raise invalid(f"{alias} and {name} mean the same", f"keep only {name}")
    table[name] = table.pop(alias)
    return table


def _check_stretch(duration: Value, offset: Value) -> None:
    for name, value in (("duration", duration), ("offset", offset)):
        if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
            raise invalid(f"{name} is not a number of seconds", "write it as a number, or leave it out")
    if offset != 0:
        raise invalid("offset is not 0", "cut the file first; only whole files are transcribed")


def _with_reference(table: Table, reading: Reading) -> Table:
    """`text` beside a recording is what was really said: kept for kinds that score, else of no use."""
    kind = reading.kinds.get(str(table.get("kind") or reading.header.kind))
    known = spec_keys(kind) if kind is not None else frozenset()
    if "text" in table and "text" not in known:
        text = table.pop("text")
        if "reference" in known:
            table.setdefault("reference", text)
    return table


def _checked(collected: _Collected, reading: Reading, file_name: str) -> Manifest:
    fields = tuple((made.selection, made.harvest) for made in collected.yields)
    reasons = check_all(collected.jobs, (bad.id for bad in collected.bad), fields)
    late = [
        BadJob(id=collected.jobs[number].id, where=collected.wheres[number], reasons=tuple(reasons[number]))
        for number in sorted(reasons)
    ]
    return Manifest(
        name=reading.header.name,
        base=reading.base,
        caps=reading.header.caps,
        jobs=tuple(job for number, job in enumerate(collected.jobs) if number not in reasons),
        bad=(*collected.bad, *late),
        ignored=sum(made.ignored for made in collected.yields),
        unsettled=tuple(path for made in collected.yields for path in made.unsettled),
        watched=tuple(dict.fromkeys([os.path.join(reading.base, file_name), *collected.watched, *_further(collected)])),
    )


__all__ = ["Intake", "Manifest", "ManifestLimits", "manifest_schema", "place_of", "read_manifest"]
