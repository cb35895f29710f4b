"""Which files a `[[folder]]` means: globs, names that are never taken, settling, links, and the walk itself.

The walk opens nothing but folders, is bounded, and gives the same order every time. A link is followed where it stays
inside the roots, each real folder once. What cannot be taken is told with its reason, never left out silently.
"""

import fnmatch
import os
import re
from collections.abc import Callable, Iterable, Sequence

from msgspec import Struct

from pipeline.core.confine import display, is_safe_name
from pipeline.core.errors import InputError, ManifestError
from pipeline.core.model import Family
from pipeline.manifest_model import invalid
from pipeline.manifest_paths import Places, suggested_families
from pipeline.state.drops import is_ignored, stood_still
from pipeline.state.roots import Roots

ENTRIES_PER_JOB = 10
_MAGIC = re.compile(r"[*?\[]")
_SPOOL_MARKS = ("ledger.db", "staging", "assets")

Segment = re.Pattern[str] | None
"""One part of a pattern; None is `**`, any number of folders."""


class Pattern(Struct, frozen=True, kw_only=True):
    """A glob below a folder, or (`is_name`) a pattern for the name of a file or of any folder above it."""

    segments: tuple[Segment, ...]
    is_name: bool = False


class Selection(Struct, frozen=True, kw_only=True):
    """What a folder of a manifest means. `above` leads from the base to the prefix, as written."""

    prefix: str
    real: str
    above: tuple[str, ...]
    pattern: Pattern
    excludes: tuple[Pattern, ...]
    accept: frozenset[Family]


class Found(Struct, frozen=True, kw_only=True):
    """A file that the glob matches. `parts` are below the prefix; `problem` says why it cannot be used."""

    parts: tuple[str, ...]
    path: str
    is_settled: bool = True
    problem: InputError | None = None
    is_folder: bool = False

    @property
    def relative(self) -> str:
        return "/".join(self.parts)


class Harvest(Struct, frozen=True, kw_only=True):
    """All that a walk found, in order, and each real folder with the parts that lead to it."""

    files: tuple[Found, ...]
    folders: tuple[tuple[str, tuple[str, ...]], ...]


def select(glob: str, exclude: Sequence[str], accept: Iterable[Family], places: Places) -> Selection:
    """JobInvalid for a glob that cannot work; InputError when it leaves the roots or its folder does not exist."""
    _check_glob(glob)
    prefix, rest = fixed_prefix(glob), _parts(glob)[_fixed(glob) :]
    real = places.folder(os.path.join(places.base, prefix))
    if not os.path.isdir(real):
        shown = display(prefix or ".")
        raise InputError(f"the folder '{shown}' does not exist", code="input-missing", hint="create it")
    if len(rest) == 1 and os.path.isdir(os.path.join(real, rest[0])):
        raise invalid(f"the glob '{display(glob)}' names a folder", "end it with /**/* for all files in it")
    return Selection(
        prefix=prefix,
        real=real,
        above=_beside(prefix, places.base),
        pattern=Pattern(segments=_segments(rest)),
        excludes=tuple(_exclude(pattern, places.base) for pattern in exclude),
        accept=frozenset(accept),
    )


def fixed_prefix(glob: str) -> str:
    """The folder that a glob surely begins with, as written; empty for the base."""
    return ("/" if glob.startswith("/") else "") + "/".join(_parts(glob)[: _fixed(glob)])


def watched_by(selection: Selection, harvest: Harvest, base: str) -> list[str]:
    """The folders whose trees decide what is found: the prefix as written, and what links lead to."""
    linked = [real for real, _ in harvest.folders if not f"{real}/".startswith(f"{selection.real}/")]
    return [os.path.join(base, selection.prefix) if selection.prefix else base, *linked]


def _parts(glob: str) -> list[str]:
    return [part for part in glob.split("/") if part not in ("", ".")]


def _fixed(glob: str) -> int:
    """How many leading parts have nothing to match; the last part is always matched."""
    parts = _parts(glob)
    return next((number for number, part in enumerate(parts) if _MAGIC.search(part)), max(0, len(parts) - 1))


def _check_glob(glob: str) -> None:
    if not is_safe_name(glob):
        raise invalid(f"the glob '{display(glob)}' cannot be used", "leave out control characters")
    rest = _parts(glob)[_fixed(glob) :]
    if not rest or ".." in rest:
        raise invalid(f"the glob '{display(glob)}' cannot be used", "write it like recordings/**/*, .. only in front")


def _segments(parts: Iterable[str]) -> tuple[Segment, ...]:
    return tuple(None if part == "**" else re.compile(fnmatch.translate(part)) for part in parts)


def _beside(path: str, base: str) -> tuple[str, ...]:
    relative = os.path.relpath(os.path.join(base, path), base)
    return () if relative == "." else tuple(relative.split("/"))


def _exclude(text: str, base: str) -> Pattern:
    if "/" not in text.strip("/"):
        return Pattern(segments=_segments([text.strip("/")]), is_name=True)
    return Pattern(segments=_segments(_beside(text, base)))


def _matches(pattern: Pattern, parts: Sequence[str], *, is_prefix_enough: bool = False) -> bool:
    """Linear in the path for each segment: no pattern can make this slow."""
    end = len(pattern.segments)
    states = _skip(pattern, {0})
    for part in parts:
        states = _skip(pattern, _after(pattern, states, part))
        if is_prefix_enough and end in states:
            return True
    return end in states


def _may_lead(pattern: Pattern, parts: Sequence[str]) -> bool:
    """Can anything below this folder match?"""
    states = _skip(pattern, {0})
    for part in parts:
        states = _skip(pattern, _after(pattern, states, part))
    return bool(states - {len(pattern.segments)})


def _after(pattern: Pattern, states: set[int], part: str) -> set[int]:
    reached = set()
    for state in states - {len(pattern.segments)}:
        segment = pattern.segments[state]
        if segment is None:
            reached.add(state)
        elif segment.match(part):
            reached.add(state + 1)
    return reached


def _skip(pattern: Pattern, states: set[int]) -> set[int]:
    """`**` also stands for nothing."""
    for state in sorted(states):
        while state < len(pattern.segments) and pattern.segments[state] is None:
            state += 1
            states.add(state)
    return states


def _is_excluded(selection: Selection, parts: Sequence[str]) -> bool:
    path = (*selection.above, *parts)
    for pattern in selection.excludes:
        if pattern.is_name and any(_matches(pattern, [part]) for part in parts):
            return True
        if not pattern.is_name and _matches(pattern, path, is_prefix_enough=True):
            return True
    return False


def would_take(selection: Selection, harvest: Harvest, path: str) -> bool:
    """Would a product at this real path be taken as an input of this folder in a later run?"""
    if not suggested_families(path) & selection.accept:
        return False
    return any(
        path.startswith(real + "/") and _is_wanted(selection, (*above, *path[len(real) + 1 :].split("/")))
        for real, above in harvest.folders
    )


def _is_wanted(selection: Selection, parts: Sequence[str]) -> bool:
    is_hidden = any(map(is_ignored, parts)) or _is_excluded(selection, parts)
    return not is_hidden and _matches(selection.pattern, parts)


def walk(selection: Selection, roots: Roots, *, max_jobs: int, now: float, settle_s: float) -> Harvest:
    """Every file that the glob matches, sorted by its bytes. ManifestError when there are too many to look at."""

    def is_settled(found: os.stat_result) -> bool:
        return settle_s == 0 or stood_still(found, now=now, settle_s=settle_s)

    walker = _Walker(selection, roots, max_entries=max_jobs * ENTRIES_PER_JOB, is_settled=is_settled)
    walker.waiting.append((selection.real, ()))
    while walker.waiting:
        walker.visit(*walker.waiting.pop())
        if not walker.waiting:
            walker.follow_links()
    files = sorted(walker.found, key=lambda found: os.fsencode(found.relative))
    return Harvest(files=tuple(files), folders=tuple(walker.folders))


class _Walker:
    """The state of one walk: folders still to visit, links kept until all real folders are known."""

    def __init__(
        self, selection: Selection, roots: Roots, *, max_entries: int, is_settled: Callable[[os.stat_result], bool]
    ) -> None:
        self.found: list[Found] = []
        self.folders: list[tuple[str, tuple[str, ...]]] = []
        self.waiting: list[tuple[str, tuple[str, ...]]] = []
        self._links: list[tuple[str, tuple[str, ...]]] = []
        self._visited: set[tuple[int, int]] = set()
        self._selection = selection
        self._roots = roots
        self._is_settled = is_settled
        self._left = max_entries

    def visit(self, folder: str, above: tuple[str, ...]) -> None:
        try:
            facts = os.stat(folder)
            if (facts.st_dev, facts.st_ino) in self._visited or is_spool(folder):
                return
            self._visited.add((facts.st_dev, facts.st_ino))
            self.folders.append((folder, above))
            with os.scandir(folder) as entries:
                for entry in entries:
                    self._look_at(entry, folder, (*above, entry.name))
        except FileNotFoundError:
            return  # it vanished while we walked; so did what was in it
        except OSError as error:
            self._refuse(folder, above, _unreadable(error), is_folder=True)

    def follow_links(self) -> None:
        """Links to folders come last and in order, so a real folder always keeps its own name."""
        for path, parts in sorted(self._links, reverse=True):
            try:
                self.waiting.append((self._roots.resolve_folder(path), parts))
            except InputError as error:
                self._refuse(path, parts, error, is_folder=True)
        self._links.clear()

    def _look_at(self, entry: os.DirEntry[str], folder: str, parts: tuple[str, ...]) -> None:
        self._left -= 1
        if self._left < 0:
            raise ManifestError(
                f"'{display(self._selection.prefix)}' has too many entries",
                code="manifest-too-large",
                hint="name a smaller folder in the glob",
            )
        if is_ignored(entry.name) or _is_excluded(self._selection, parts):
            return
        if _is_folder(entry):
            self._enter(entry, parts)
        elif _matches(self._selection.pattern, parts):
            self._take(folder, parts)

    def _enter(self, entry: os.DirEntry[str], parts: tuple[str, ...]) -> None:
        if not _may_lead(self._selection.pattern, parts):
            return
        (self._links if entry.is_symlink() else self.waiting).append((entry.path, parts))

    def _take(self, folder: str, parts: tuple[str, ...]) -> None:
        try:
            path = self._roots.input_in(folder, parts[-1])
            facts = os.stat(path)
        except InputError as error:
            self._refuse(os.path.join(folder, parts[-1]), parts, error)
        except FileNotFoundError:
            return
        else:
            self.found.append(Found(parts=parts, path=path, is_settled=self._is_settled(facts)))

    def _refuse(self, path: str, parts: tuple[str, ...], problem: InputError, *, is_folder: bool = False) -> None:
        if problem.code == "input-missing" and not os.path.islink(path):
            return  # it vanished while we walked
        self.found.append(Found(parts=parts, path=path, problem=problem, is_folder=is_folder))


def is_spool(folder: str) -> bool:
    """Our own working folders may lie among the inputs; what is kept there is never one."""
    return all(os.path.exists(os.path.join(folder, mark)) for mark in _SPOOL_MARKS)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link in a circle, or one through a closed folder
        return False


def _unreadable(error: OSError) -> InputError:
    return InputError(
        f"the folder cannot be read: {error.strerror}", code="input-unreadable", hint="check its owner and mode"
    )
