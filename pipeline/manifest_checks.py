"""What can only be told of all jobs of a manifest together: equal ids, unknown parents, circles, products in the way.

Found before any work. A pair that is wrong is wrong for both: nobody can say which of the two was meant. Lists of
100,000 jobs are checked through hashes of paths, so that memory stays bounded.
"""

import os
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from pipeline.core.confine import display
from pipeline.core.model import Job, JobId, Refusal
from pipeline.manifest_folder import Harvest, Selection, is_spool, would_take
from pipeline.state.drops import RECEIPT_SUFFIX, is_manifest_name

Reasons = dict[int, list[Refusal]]
Fields = tuple[tuple[Selection, Harvest], ...]


def check_all(jobs: Sequence[Job], bad_ids: Iterable[JobId], folders: Fields) -> Reasons:
    """Reasons by the number of the job; jobs that are not in it are sound."""
    reasons: Reasons = defaultdict(list)
    bad = frozenset(bad_ids)
    _check_ids(jobs, bad, reasons)
    _check_needs(jobs, bad, reasons)
    _check_products(jobs, reasons)
    _check_inputs(jobs, reasons)
    _check_folders(jobs, folders, reasons)
    _check_spools(jobs, reasons)
    return reasons


def in_circle(graph: Mapping[str, Sequence[str]]) -> set[str]:
    """The nodes that can reach themselves (Kosaraju, without recursion)."""
    backwards: dict[str, list[str]] = defaultdict(list)
    for node, needs in graph.items():
        for need in needs:
            backwards[need].append(node)
    order = _by_finish(graph, graph)
    seen: set[str] = set()
    circles = set()
    for node in reversed(order):
        group = _reach(node, backwards, seen)
        if len(group) > 1 or node in graph.get(node, ()):
            circles.update(group)
    return circles


def _by_finish(nodes: Iterable[str], graph: Mapping[str, Sequence[str]]) -> list[str]:
    order: list[str] = []
    seen: set[str] = set()
    for start in nodes:
        waiting = [] if start in seen else [(start, False)]
        while waiting:
            node, is_left = waiting.pop()
            if is_left:
                order.append(node)
            elif node not in seen:
                seen.add(node)
                waiting.append((node, True))
                waiting.extend((need, False) for need in graph.get(node, ()) if need not in seen)
    return order


def _reach(start: str, graph: Mapping[str, Sequence[str]], seen: set[str]) -> list[str]:
    group, waiting = [], [start]
    while waiting:
        node = waiting.pop()
        if node not in seen:
            seen.add(node)
            group.append(node)
            waiting.extend(graph.get(node, ()))
    return group


def _check_ids(jobs: Sequence[Job], bad: frozenset[JobId], reasons: Reasons) -> None:
    seen: set[JobId] = set(bad)
    double = {job.id for job in jobs if job.id in seen or seen.add(job.id)}  # type: ignore[func-returns-value]
    if double:
        for number, job in enumerate(jobs):
            if job.id in double:
                reason = _refusal(
                    "job-duplicate", f"the id '{display(job.id)}' is there twice", "give each job its own id"
                )
                reasons[number].append(reason)


def _check_needs(jobs: Sequence[Job], bad: frozenset[JobId], reasons: Reasons) -> None:
    waiting = {number: job for number, job in enumerate(jobs) if job.needs}
    if not waiting:
        return
    known = {job.id for job in jobs} | bad
    circles = in_circle({job.id: job.needs for job in waiting.values()})
    for number, job in waiting.items():
        missing = [need for need in job.needs if need not in known]
        if missing:
            message = f"it needs '{display(missing[0])}', which does not exist"
            reasons[number].append(_refusal("job-parent-unknown", message, "correct the id, or remove it"))
        if job.id in circles:
            message = "it waits for itself through " + ", ".join(display(need) for need in job.needs[:3])
            reasons[number].append(_refusal("job-cycle", message, "remove one of the needs"))


def _same(path: str) -> str:
    """Two spellings of one name are one product: some file systems and all people think so."""
    return path if path.isascii() else unicodedata.normalize("NFC", path)


def _check_products(jobs: Sequence[Job], reasons: Reasons) -> None:
    """The receipt beside the first product counts as a product."""
    owners: dict[int, int] = {}
    for number, job in enumerate(jobs):
        for product in job.products:
            path = _same(product.path)
            other = owners.setdefault(hash(path), number)
            if other != number and _has(jobs[other], path):
                _collide(jobs, number, other, path, reasons)
    for number, job in enumerate(jobs):
        for product in job.products:
            if product.path.endswith(RECEIPT_SUFFIX):
                first = _same(product.path.removesuffix(RECEIPT_SUFFIX))
                other = owners.get(hash(first), number)
                if _same(jobs[other].products[0].path) == first:
                    _collide(jobs, number, other, product.path, reasons)


def _has(job: Job, path: str) -> bool:
    return any(_same(product.path) == path for product in job.products)


def _collide(jobs: Sequence[Job], number: int, other: int, path: str, reasons: Reasons) -> None:
    for one, two in {(number, other), (other, number)}:
        message = f"'{display(path)}' would also be written by the job '{display(jobs[two].id)}'"
        hint = "use {step}, {name} or {id} in `out`"
        if _are_twins(jobs[one], jobs[two]):
            message += ", in another encoding of the same letters"
            hint = "rename one of them, or use {hash8} in `out`"
        reason = _refusal("output-collision", message, hint)
        if reason not in reasons[one]:
            reasons[one].append(reason)


def _are_twins(one: Job, two: Job) -> bool:
    """Do names of theirs look the same and differ in their bytes? `{name}` cannot tell such apart."""
    paths = {_same(product.path): product.path for product in one.products}
    return any(paths.get(_same(product.path), product.path) != product.path for product in two.products)


def _check_inputs(jobs: Sequence[Job], reasons: Reasons) -> None:
    """A product must not land on an input, except where the reader waits for the job that makes it."""
    inputs = {hash(path) for job in jobs for path in _read_by(job)}
    suspects = {
        _same(product.path): number
        for number, job in enumerate(jobs)
        for product in job.products
        if hash(_same(product.path)) in inputs
    }
    if not suspects:
        return
    for reader in jobs:
        for number in {suspects[path] for path in _read_by(reader) if path in suspects}:
            if jobs[number].id not in reader.needs:
                reasons[number].append(_onto_input(jobs[number], reader))


def _read_by(job: Job) -> list[str]:
    """The paths of all files that a job reads, as they are compared."""
    further = [item.path for item in job.further if item.path]
    return [_same(path) for path in ([job.input, *further] if job.input else further)]


def _onto_input(job: Job, reader: Job) -> Refusal:
    if reader.id == job.id:
        return _refusal("output-inside-input", "its product would replace its input", "choose another `out`")
    message = f"its product is the input of the job '{display(reader.id)}'"
    return _refusal("output-inside-input", message, f'write input = "@{display(job.id)}" there')


def _check_folders(jobs: Sequence[Job], folders: Fields, reasons: Reasons) -> None:
    for number, job in enumerate(jobs):
        for product in job.products:
            for selection, harvest in folders:
                if would_take(selection, harvest, product.path):
                    reasons[number].append(_inside(product.path, selection))


def _check_spools(jobs: Sequence[Job], reasons: Reasons) -> None:
    """What a spool holds is ours to move and to delete, and takes no product; only `incoming/` is everybody's."""
    spools: dict[str, str | None] = {}
    for number, job in enumerate(jobs):
        for product in job.products:
            spool = _spool_around(os.path.dirname(product.path), spools)
            if spool is not None and not _is_left_alone(os.path.relpath(product.path, spool)):
                message = f"'{display(product.path)}' would lie among mediaspool's own files"
                hint = 'write out = "..." with a folder outside of the spool'
                reasons[number].append(_refusal("output-inside-input", message, hint))


def _spool_around(folder: str, known: dict[str, str | None]) -> str | None:
    """The spool that a folder is or lies in; every folder of products is looked at once."""
    if folder not in known:
        known[folder] = next(filter(is_spool, _upwards(folder)), None)
    return known[folder]


def _upwards(folder: str) -> Iterator[str]:
    while folder != os.path.dirname(folder):
        yield folder
        folder = os.path.dirname(folder)


def _is_left_alone(relative: str) -> bool:
    """Below `incoming/`, unless the next run would take the name for a dropped manifest."""
    first, _, rest = relative.partition("/")
    return first == "incoming" and ("/" in rest or not is_manifest_name(rest))


def _inside(path: str, selection: Selection) -> Refusal:
    message = f"'{display(path)}' would be taken as an input of '{display(selection.prefix or '.')}' in the next run"
    name = os.path.basename(os.path.dirname(path))
    return _refusal("output-inside-input", message, f'choose another folder, or add exclude = ["{display(name)}"]')


def _refusal(code: str, message: str, hint: str) -> Refusal:
    return Refusal(code=code, message=message, hint=hint)
