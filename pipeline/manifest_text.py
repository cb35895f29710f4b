"""From the file of a manifest to plain tables, strictly and within bounds; what the tables mean is not known here.

TOML, JSON and JSONL become one shape: a header and items. A whole that cannot be read is a ManifestError; an item or a
line that cannot be read is an Item with its problem, and the others stand. Refused are duplicate keys, NaN and
Infinity, deep nesting, dates, integers beyond 64 bits, text that is not UTF-8. A byte order mark is tolerated.
"""

import errno
import io
import json
import math
import os
import re
import stat
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from typing import Union

from msgspec import Struct

from pipeline.core.confine import display
from pipeline.core.errors import ManifestError, StoreError
from pipeline.core.model import Refusal
from pipeline.state.durable import read_at_most

Value = Union[None, bool, int, float, str, list["Value"], dict[str, "Value"]]  # noqa: UP007 - quotes need Union here
Table = dict[str, Value]

SCHEMA = 1
ITEM_TABLES = ("folder", "job")
PATH_KEYS = frozenset({"input", "audio_filepath", "out", "glob"})
"""Keys whose text may carry the surrogates of os.fsdecode, because a file may have such a name."""

_BOM = b"\xef\xbb\xbf"
_LINES_PER_JOB = 4  # blank lines are not jobs, but they are not free either
_HEADER_BYTES = 10_000
_MAX_INTEGER = 2**63
MAX_VALUES = 4_000_000  # twenty for each of the most jobs; read, they take half a gigabyte
_LONG_KEY = re.compile(rb"""(?<![\w-])(?:(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+){400}""")


class ManifestLimits(Struct, frozen=True, kw_only=True):
    """Bounds on one manifest: bytes by format, jobs (lines), nesting of values."""

    max_bytes: int = 64_000_000
    max_jsonl_bytes: int = 256_000_000
    max_jobs: int = 200_000
    max_depth: int = 32


class Item(Struct, frozen=True, kw_only=True):
    """One job or folder as written, or the reason why it cannot be read. `where` is for people: `line 12`."""

    where: str
    table: Table = {}
    problem: Refusal | None = None


class Document(Struct, frozen=True, kw_only=True):
    """A manifest as written. `jobs` of a JSONL file is read lazily and only once."""

    header: Table
    folders: Sequence[Item]
    jobs: Iterable[Item]
    is_lines: bool = False


def read_document(body: bytes, file_name: str, limits: ManifestLimits) -> Document:
    """ManifestError when the manifest as a whole cannot be read."""
    suffix = os.path.splitext(file_name)[1].lower().removeprefix(".")
    if suffix not in ("toml", "json", "jsonl", "ndjson"):
        raise ManifestError(f"'{display(file_name)}' is no manifest", hint="name it .toml, .json or .jsonl")
    is_lines = suffix in ("jsonl", "ndjson")
    allowed = limits.max_jsonl_bytes if is_lines else limits.max_bytes
    if len(body) > allowed:
        raise _too_large(f"the manifest has {len(body)} bytes, {allowed} allowed")
    body = body.removeprefix(_BOM)
    if is_lines:
        return _lines_document(body, limits)
    return _whole_document(_toml(body) if suffix == "toml" else _whole_json(body), limits)


def flaw(value: Value, max_depth: int, *, is_path: bool = False) -> str | None:
    """Why a value cannot be taken, whatever it is meant for; None when it can."""
    waiting: list[tuple[Value, int]] = [(value, 1)]
    while waiting:
        here, depth = waiting.pop()
        if depth > max_depth:
            return f"is nested deeper than {max_depth}"
        if isinstance(here, dict):
            waiting.extend((key, depth + 1) for key in here)
            waiting.extend((below, depth + 1) for below in here.values())
        elif isinstance(here, list):
            waiting.extend((below, depth + 1) for below in here)
        elif (why := _scalar_flaw(here, is_path)) is not None:
            return why
    return None


def _scalar_flaw(value: Value, is_path: bool) -> str | None:
    if isinstance(value, str):
        return (
            None if is_path or value.isascii() or _is_unicode(value) else "is text with half a character (a surrogate)"
        )
    if isinstance(value, float):
        return None if math.isfinite(value) else "is not a finite number"
    if isinstance(value, int):
        return None if abs(value) < _MAX_INTEGER else "is a number beyond 64 bits"
    return None if value is None else "is a date or time; write it as text in quotes"


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _too_large(message: str) -> ManifestError:
    return ManifestError(message, code="manifest-too-large", hint="split it into several manifests")


def _read_text(body: bytes) -> str:
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise ManifestError(
            f"the manifest is not UTF-8 at byte {error.start}", hint="save it as UTF-8; UTF-16 is not taken"
        ) from error
    if _is_too_much(text):
        raise _too_large(f"the manifest has more than {MAX_VALUES} values")
    return text


def _is_too_much(text: str) -> bool:
    """So many values that they would fill the memory; told by the signs that stand between them, before one is read."""
    return len(text) > MAX_VALUES and sum(map(text.count, ",[{=")) > MAX_VALUES


def _toml(body: bytes) -> Value:
    if _LONG_KEY.search(body):  # tomllib needs quadratic time for them
        raise _too_large("a key has more than 400 dotted parts")
    text = _read_text(body)
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise _too_large("values are nested too deeply") from error
    except ValueError as error:
        raise ManifestError(f"the manifest is not TOML: {display(str(error))}", hint="correct it there") from error


def _whole_json(body: bytes) -> Value:
    text = _read_text(body)
    try:
        return _json(text)
    except RecursionError as error:
        raise _too_large("values are nested too deeply") from error
    except ValueError as error:
        raise ManifestError(f"the manifest is not JSON: {display(str(error))}", hint="correct it there") from error


def _json(text: str) -> Value:
    value: Value = json.loads(text, object_pairs_hook=_unique)
    return value


def _unique(pairs: list[tuple[str, Value]]) -> Table:
    table = dict(pairs)
    if len(table) < len(pairs):
        seen: set[str] = set()
        double = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {double} is there twice")
    return table


def _whole_document(top: Value, limits: ManifestLimits) -> Document:
    if not isinstance(top, dict):
        raise ManifestError("the manifest is not a table", hint='begin with "schema": 1')
    header = {key: value for key, value in top.items() if key not in ITEM_TABLES}
    folders, jobs = (_items(top.get(key, []), key, limits) for key in ITEM_TABLES)
    if len(folders) + len(jobs) > limits.max_jobs:
        raise _too_large(f"the manifest has more than {limits.max_jobs} jobs")
    _check_header(header, limits)
    return Document(header=header, folders=folders, jobs=jobs)


def _items(value: Value, key: str, limits: ManifestLimits) -> list[Item]:
    if not isinstance(value, list):
        raise ManifestError(f"{key} is not a list", hint=f"write [[{key}]] in TOML, a list in JSON")
    return [_item(below, f"{key} {number}", limits) for number, below in enumerate(value, start=1)]


def _item(value: Value, where: str, limits: ManifestLimits) -> Item:
    if not isinstance(value, dict):
        return _bad(where, f"{where} is not a table of keys and values")
    for key, below in value.items():
        is_path = key in PATH_KEYS
        is_plain = not isinstance(below, dict | list)
        why = _scalar_flaw(below, is_path) if is_plain else flaw(below, limits.max_depth, is_path=is_path)
        if why is not None or _scalar_flaw(key, False) is not None:
            return _bad(where, f"{display(key)} {why or 'is no key'}")
    return Item(where=where, table=value)


def _bad(where: str, message: str) -> Item:
    return Item(where=where, problem=Refusal(code="job-invalid", message=message, hint=f"correct {where}"))


def _check_header(header: Table, limits: ManifestLimits) -> None:
    for key, value in header.items():
        why = flaw(value, limits.max_depth) or flaw(key, 1)
        if why is not None:
            raise ManifestError(f"{display(key)} {why}", hint="correct it")
    if "schema" not in header:
        raise ManifestError("the manifest does not say its schema", hint=f"begin with schema = {SCHEMA}")
    if header["schema"] is True or header["schema"] != SCHEMA:
        raise ManifestError(
            f"schema {display(str(header['schema']))} is not known", hint=f"this mediaspool reads schema = {SCHEMA}"
        )


def _lines_document(body: bytes, limits: ManifestLimits) -> Document:
    """The first line with content may be a header: it has a `schema`, and that is not the one of a job's answer."""
    first = next(_read_lines(body, limits), None)
    if first is not None and first.problem is not None and b'"schema"' in _first_line(body):
        # a header that cannot be read may have set a spending cap: nothing may run without it
        raise ManifestError(f"the header cannot be read: {first.problem.message}", hint="correct the first line")
    if first is None or "schema" not in first.table or _is_job(first.table):
        return Document(header={"schema": SCHEMA}, folders=(), jobs=_read_lines(body, limits), is_lines=True)
    _check_header(first.table, limits)
    jobs = (item for item in _read_lines(body, limits) if item.where != first.where)
    return Document(header=first.table, folders=(), jobs=jobs, is_lines=True)


def _is_job(table: Table) -> bool:
    return isinstance(table["schema"], dict) and not {"id", "custom_id"}.isdisjoint(table)


def _first_line(body: bytes) -> bytes:
    return body[:_HEADER_BYTES].lstrip().partition(b"\n")[0]


def _read_lines(body: bytes, limits: ManifestLimits) -> Iterator[Item]:
    jobs = 0
    for number, line in enumerate(io.BytesIO(body), start=1):
        if number > limits.max_jobs * _LINES_PER_JOB:
            raise _too_large(f"the manifest has more than {limits.max_jobs * _LINES_PER_JOB} lines")
        if not line.strip():
            continue
        jobs += 1
        if jobs > limits.max_jobs + 1:  # the header is a line too
            raise _too_large(f"the manifest has more than {limits.max_jobs} jobs")
        yield _line(line, f"line {number}", limits)


def _line(line: bytes, where: str, limits: ManifestLimits) -> Item:
    try:
        text = line.decode()
        return (
            _bad(where, f"has more than {MAX_VALUES} values")
            if _is_too_much(text)
            else _item(_json(text), where, limits)
        )
    except RecursionError:
        return _bad(where, "values are nested too deeply")
    except ValueError as error:  # UnicodeDecodeError as well
        return _bad(where, f"the line is not JSON: {display(str(error))}")


def read_body(path: str, max_bytes: int) -> bytes:
    """What a manifest file holds; ManifestError, or StoreError of a sick disk, where that cannot be had."""
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):  # a pipe would let the whole run wait for its writer
                raise ManifestError("the manifest is not a file", hint="name a plain file")
            body = read_at_most(file, max_bytes + 1)
    except FileNotFoundError as error:
        raise ManifestError("the manifest does not exist", code="manifest-missing", hint="check the path") from error
    except OSError as error:
        kind, advice = (StoreError, "check the disk") if error.errno == errno.EIO else (ManifestError, "check its mode")
        raise kind(f"the manifest cannot be read: {error.strerror}", hint=advice) from error
    if len(body) > max_bytes:
        raise ManifestError("the manifest is larger than any may be", code="manifest-too-large", hint="split it")
    return body
