"""A `[[folder]]`: its steps read once, then applied to each of its files.

A step that is wrong is told once, not per file, and takes with it the steps that read from it. A file that cannot be
used is told once, not per step. Ids are `folder/relative path#step`, shown harmless whatever the file is called.
"""

import os
import unicodedata
from collections import Counter
from collections.abc import Mapping

from msgspec import Struct

from pipeline.core.confine import MAX_PATH_BYTES, display
from pipeline.core.errors import InputError, MediaspoolError
from pipeline.core.model import BadJob, Family, Job, JobId
from pipeline.manifest_checks import in_circle
from pipeline.manifest_folder import Found, Harvest, Selection, select, walk
from pipeline.manifest_jobs import Reading, Recipe, Subject, Wiring, build_job, checked_id, read_recipe
from pipeline.manifest_model import (
    DEFAULT_FOLDER_SETTLE_S,
    FolderKeys,
    JobInvalid,
    convert,
    invalid,
    reasons_of,
    seconds,
)
from pipeline.manifest_paths import Template, escaped, parse_template, suggested_families
from pipeline.manifest_text import Table
from pipeline.state.roots import Roots

_DEFAULT_NAME = "{reldir}/{stem}.{step}.{ext}"
_DEFAULT_FULL_NAME = "{reldir}/{name}.{step}.{ext}"


class Folder(Struct, frozen=True, kw_only=True):
    """A folder of a manifest, understood. `full` names products by the whole name of their input."""

    id: str
    selection: Selection
    steps: tuple[Recipe, ...]
    default: Template
    full: Template


class Yield(Struct, frozen=True, kw_only=True):
    """What a folder gives in this run."""

    selection: Selection
    harvest: Harvest
    jobs: tuple[Job, ...]
    bad: tuple[BadJob, ...]
    ignored: int
    unsettled: tuple[str, ...]


class _Sorted(Struct, frozen=True, kw_only=True):
    """The files of a walk by what becomes of them. `ready` carries the index of each."""

    ready: tuple[tuple[int, Found], ...]
    problems: tuple[Found, ...]
    unsettled: tuple[Found, ...]
    ignored: int


def expand_folder(table: Table, where: str, reading: Reading, roots: Roots) -> Yield:
    """JobInvalid or InputError when the folder as a whole cannot be read; ManifestError when it has too much in it."""
    keys = convert({key: value for key, value in table.items() if key != "step"}, FolderKeys, "folder")
    checked_id(keys.id)
    steps, bad = _read_steps(table, where, keys, reading)
    accept = keys.accept or _accepted_by(steps, reading)
    selection = select(keys.glob, keys.exclude, accept, reading.places)
    prefix = escaped(selection.prefix + "/" if selection.prefix else "")
    folder = Folder(
        id=keys.id,
        selection=selection,
        steps=tuple(steps),
        default=parse_template(prefix + _DEFAULT_NAME),
        full=parse_template(prefix + _DEFAULT_FULL_NAME),
    )
    settle_s = _settle_s(keys, reading)
    harvest = walk(selection, roots, max_jobs=reading.limits.max_jobs, now=reading.now, settle_s=settle_s)
    return _apply(folder, harvest, bad, where, reading)


def _settle_s(keys: FolderKeys, reading: Reading) -> float:
    own = seconds(keys.settle)
    if own is not None:
        return own
    return DEFAULT_FOLDER_SETTLE_S if reading.header.settle_s is None else reading.header.settle_s


def _accepted_by(steps: list[Recipe], reading: Reading) -> tuple[Family, ...]:
    families = {family for step in steps if step.parent is None for family in reading.kinds[step.kind].families}
    return tuple(sorted(families))


def _read_steps(table: Table, where: str, keys: FolderKeys, reading: Reading) -> tuple[list[Recipe], list[BadJob]]:
    """The steps that stand, in the order written, and the others with their reasons."""
    written = table.get("step")
    if not isinstance(written, list) or not written:
        raise invalid("the folder has no steps", "add a [[folder.step]] with id and kind")
    template = parse_template(keys.out) if keys.out else None
    names = [_step_name(step, number) for number, step in enumerate(written, start=1)]
    read: dict[str, Recipe] = {}
    problems: dict[str, JobInvalid] = {}
    for name, step in zip(names, written, strict=True):
        try:
            read[name] = _read_step(step, names.count(name), template, reading)
        except JobInvalid as error:
            problems[name] = error
    _disconnect(read, problems)
    bad = [_bad(f"{keys.id}#{name}", f"{where}, step {name}", error) for name, error in problems.items()]
    return list(read.values()), bad


def _step_name(step: object, number: int) -> str:
    name = step.get("id") if isinstance(step, dict) else None
    return display(name) if isinstance(name, str) else str(number)


def _read_step(step: object, namesakes: int, template: Template | None, reading: Reading) -> Recipe:
    if not isinstance(step, dict):
        raise invalid("the step is not a table", "write [[folder.step]]")
    if namesakes > 1:
        raise invalid("its id is there twice", "give each step its own id", "job-duplicate")
    return read_recipe(step, reading, out=template, is_step=True)


def _disconnect(read: dict[str, Recipe], problems: dict[str, JobInvalid]) -> None:
    """Move to the problems what waits for itself, and what reads from a step that does not stand."""
    graph = {name: [need for need in (step.parent, *step.needs) if need in read] for name, step in read.items()}
    for name in in_circle(graph):
        problems[name] = invalid("it waits for itself", "remove one of the `from` or `needs`", "job-cycle")
        del read[name]
    while lost := [name for name, step in read.items() if step.parent is not None and step.parent not in read]:
        for name in lost:
            problems[name] = _lost(read.pop(name).parent, problems)


def _lost(parent: str | None, problems: Mapping[str, JobInvalid]) -> JobInvalid:
    shown = display(parent or "")
    if parent in problems:
        return invalid(f"the step '{shown}' that it reads from is wrong", "correct that step")
    return invalid(f"there is no step '{shown}' to read from", "correct `from`", "job-parent-unknown")


def _apply(folder: Folder, harvest: Harvest, bad: list[BadJob], where: str, reading: Reading) -> Yield:
    files = _sort(folder, harvest, reading)
    bad += [_bad(_file_id(folder, found), where, found.problem) for found in files.problems if found.problem]
    shared = _shared_stems(files)
    jobs: list[Job] = []
    for index, found in files.ready:
        is_shared = _stem_key(found) in shared
        for step in folder.steps:
            made = _job(folder, step, found, index, where, reading, is_shared=is_shared)
            (jobs if isinstance(made, Job) else bad).append(made)  # type: ignore[arg-type]  # each to its own list
    return Yield(
        selection=folder.selection,
        harvest=harvest,
        jobs=tuple(jobs),
        bad=tuple(bad),
        ignored=files.ignored,
        unsettled=tuple(found.path for found in files.unsettled),
    )


def _sort(folder: Folder, harvest: Harvest, reading: Reading) -> _Sorted:
    ready: list[tuple[int, Found]] = []
    problems: list[Found] = []
    unsettled: list[Found] = []
    ignored = 0
    for found in harvest.files:
        if found.path == reading.manifest or not _is_accepted(folder, found, reading):
            ignored += 1
        elif found.problem is not None:
            problems.append(found)
        elif found.is_settled:
            ready.append((len(ready) + len(unsettled) + 1, found))
        else:
            unsettled.append(found)
    return _Sorted(ready=tuple(ready), problems=tuple(problems), unsettled=tuple(unsettled), ignored=ignored)


def _is_accepted(folder: Folder, found: Found, reading: Reading) -> bool:
    """By name or else by content; a name that promises too much is kept, so that the plan can say so."""
    if found.is_folder or suggested_families(found.parts[-1]) & folder.selection.accept:
        return True
    media = None if found.problem else reading.intake.media(found.path)
    return media is not None and media.family in folder.selection.accept


def _stem_key(found: Found) -> tuple[tuple[str, ...], str]:
    return found.parts[:-1], unicodedata.normalize("NFC", _stem(found))


def _stem(found: Found) -> str:
    return os.path.splitext(found.parts[-1])[0]


def _shared_stems(files: _Sorted) -> set[tuple[tuple[str, ...], str]]:
    """Files that wait to settle count too, or a product would change its name when they have."""
    every = [found for _, found in files.ready] + list(files.unsettled)
    return {key for key, count in Counter(map(_stem_key, every)).items() if count > 1}


def _file_id(folder: Folder, found: Found) -> str:
    return f"{folder.id}/{display(found.relative, MAX_PATH_BYTES)}"


def _job(
    folder: Folder, step: Recipe, found: Found, index: int, where: str, reading: Reading, *, is_shared: bool
) -> Job | BadJob:
    file_id = _file_id(folder, found)
    siblings = {sibling.id: JobId(f"{file_id}#{sibling.id}") for sibling in folder.steps}
    wiring = Wiring(
        parent=siblings[step.parent] if step.parent else None,
        siblings=siblings,
        needs=tuple(siblings.get(need, JobId(need)) for need in step.needs),
        accept=() if step.parent else tuple(sorted(folder.selection.accept)),
    )
    subject = Subject(
        id=siblings[step.id],
        step=step.id,
        index=index,
        name=found.parts[-1],
        stem=_stem(found),
        reldir="/".join(found.parts[:-1]),
        path=found.path,
    )
    try:
        return build_job(
            step, subject, wiring, reading, step.template or (folder.full if is_shared else folder.default)
        )
    except (JobInvalid, InputError) as error:
        return _bad(subject.id, where, error)


def _bad(job_id: str, where: str, error: MediaspoolError) -> BadJob:
    return BadJob(id=JobId(job_id), where=where, reasons=reasons_of(error))
