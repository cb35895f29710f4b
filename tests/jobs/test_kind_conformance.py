"""What every kind promises. A new kind joins `CASES` with a spec and a source; nothing else is written for it here."""

import importlib
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
import trio
from msgspec import Struct

from jobs import KINDS
from pipeline.core.errors import CODES, ContractError, LimitExceeded, Unavailable
from pipeline.core.kinds import Kind, KindResult, PictureFacts, Sources, check_job, further_fields, operations_of
from pipeline.core.model import Limits, Refusal, Source
from pipeline.core.operations import Operation
from tests.jobs import scripted
from tests.jobs.scripted import ScriptedContext, source

COMMON_KEYS = {"id", "kind", "input", "out", "from", "needs", "route", "model", "optional", "limits"}
FAMILIES = {"audio", "video", "image", "text", "document"}
HEAVY = (
    "av",
    "PIL",
    "faster_whisper",
    "ctranslate2",
    "hibari",
    "py_nanotts",
    "onnxruntime",
    "numpy",
    "magic",
    "httpx",
    "sqlite3",
)
CANARY = "canary"
SPOKEN = f"This {CANARY} text is spoken in the test of every kind."


GARBAGE = (b"", b"<html>busy</html>", b"\x00" * 100, b"null", b"{}")
NO_TEXT = (b"", b" \n ", b"\x00" * 100, b"\xff\xfe\xff")


class Case(Struct, frozen=True, kw_only=True):
    """One job that every promise is tried on. `is_announced`: `operations` knows all calls beforehand.

    `more` are its further inputs by slot; `garbage` are answers that are none, whatever the operation.
    """

    kind: str
    spec: dict[str, object] = {}
    media_type: str | None = None
    body: bytes = b""
    is_announced: bool = True
    more: dict[str, str] = {}
    garbage: tuple[bytes, ...] = GARBAGE


CASES = [
    Case(kind="transcription", media_type="audio/wav"),
    Case(kind="transcription", media_type="video/mp4", spec={"formats": ["srt", "json"], "language": "de"}),
    Case(kind="canonical_text", media_type="audio/wav"),
    Case(kind="canonical_text", media_type="text/plain", body=SPOKEN.encode()),
    Case(kind="canonical_text", media_type="application/pdf"),
    Case(kind="tts", spec={"text": SPOKEN}),
    Case(kind="tts", spec={"text": SPOKEN, "format": "mp3"}),
    Case(kind="tts", media_type="text/plain", body=SPOKEN.encode(), is_announced=False),
    Case(
        kind="text",
        spec={"prompt": f"Sum up {CANARY}."},
        media_type="text/plain",
        body=SPOKEN.encode(),
        is_announced=False,
        garbage=NO_TEXT,
    ),
    Case(
        kind="text",
        spec={"prompt": CANARY, "schema": {"type": "object"}, "images": ["a.png"]},
        media_type="application/pdf",
        more={"images.0": "image/png"},
        is_announced=False,
        garbage=(*NO_TEXT, b"<html>busy</html>"),
    ),
    Case(kind="text", spec={"prompt": f"What is {CANARY}?"}, media_type="image/jpeg", garbage=NO_TEXT),
    Case(kind="image", spec={"prompt": f"A {CANARY}."}),
    Case(
        kind="image",
        spec={"prompt": f"A {CANARY}.", "images": ["a.png"], "mask": "m.png"},
        media_type="image/jpeg",
        more={"images.0": "image/png", "mask": "image/png"},
    ),
    Case(
        kind="image",
        spec={"steps": [f"text top 20 white {CANARY}", "overlay center"], "overlay": "o.png"},
        media_type="image/png",
        more={"overlay": "image/png"},
    ),
    Case(kind="video", spec={"prompt": f"A {CANARY}.", "seconds": 4}),
    Case(
        kind="video",
        spec={"last_frame": "z.png", "poster": "none"},
        media_type="image/png",
        more={"last_frame": "image/png"},
    ),
]


def load(name: str) -> Kind:
    module, _, attribute = KINDS[name].partition(":")
    kind: Kind = getattr(importlib.import_module(module), attribute)()
    return kind


def spec_of(case: Case) -> msgspec.Struct:
    return msgspec.convert(case.spec, load(case.kind).spec)


def source_of(case: Case) -> Source | None:
    return source(case.media_type, case.body) if case.media_type else None


def more_of(case: Case) -> Sources:
    return {slot: source(media_type, slot.encode()) for slot, media_type in case.more.items()}


def operations(case: Case) -> tuple[Operation, ...]:
    return operations_of(load(case.kind), spec_of(case), source_of(case), more_of(case))


def checked(case: Case) -> list[Refusal]:
    return check_job(load(case.kind), spec_of(case), source_of(case), more_of(case))


def context(
    case: Case, scratch: Path, answer: Callable[[Operation], bytes] = scripted.answer, limits: Limits | None = None
) -> ScriptedContext:
    return ScriptedContext(
        scratch,
        source=source_of(case),
        body=case.body,
        answer=answer,
        pdf=f"{CANARY} page",
        limits=limits,
        more=more_of(case),
        picture=PictureFacts(width=4, height=3, has_alpha=True),
    )


async def ran(case: Case, scratch: Path) -> tuple[KindResult, ScriptedContext]:
    ctx = context(case, scratch)
    return await load(case.kind).run(spec_of(case), ctx), ctx


def contents(result: KindResult) -> list[bytes]:
    return [
        draft.content if draft.content is not None else Path(str(draft.path)).read_bytes() for draft in result.drafts
    ]


every_kind = pytest.mark.parametrize("name", list(KINDS))
every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.kind}-{case.media_type or 'text'}")
calling_case = pytest.mark.parametrize(
    "case",
    [case for case in CASES if operations(case)],
    ids=lambda case: f"{case.kind}-{case.media_type or 'text'}",
)

reading_case = pytest.mark.parametrize("case", [case for case in CASES if case.body], ids=lambda case: case.kind)


def test_every_kind_has_a_case() -> None:
    assert {case.kind for case in CASES} == set(KINDS)


@every_kind
def test_a_kind_describes_itself(name: str) -> None:
    kind = load(name)
    assert kind.name == name
    assert kind.version >= 1
    assert kind.families
    assert kind.families <= FAMILIES


@every_kind
def test_a_kind_bounds_its_input_and_its_output(name: str) -> None:
    limits = load(name).limits
    assert limits.max_input_bytes
    assert limits.max_output_bytes


@every_kind
def test_a_spec_is_frozen_strict_and_needs_no_key(name: str) -> None:
    spec = load(name).spec
    config = spec.__struct_config__
    assert config.frozen
    assert config.forbid_unknown_fields
    assert isinstance(msgspec.convert({}, spec), spec)


@every_kind
def test_a_spec_leaves_the_common_keys_alone(name: str) -> None:
    assert not COMMON_KEYS & set(load(name).spec.__struct_fields__)


@every_kind
def test_a_kind_is_loaded_without_engines_and_without_decoders(name: str) -> None:
    module = KINDS[name].partition(":")[0]
    code = f"import {module}, sys; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


@every_kind
def test_a_job_without_anything_to_work_on_is_refused_with_what_to_do(name: str) -> None:
    kind = load(name)
    (refusal,) = kind.check(kind.spec(), None)
    assert refusal.code == "input-missing"
    assert refusal.hint


@every_kind
def test_a_source_of_another_family_is_refused(name: str) -> None:
    kind = load(name)
    odd = "application/zip" if "image" in kind.families else "image/png"
    assert "input-type" in {refusal.code for refusal in kind.check(kind.spec(), source(odd))}


@every_case
def test_a_good_job_is_not_refused(case: Case) -> None:
    assert checked(case) == []


@every_case
def test_the_fields_that_name_further_files_hold_nothing_or_paths(case: Case) -> None:
    spec = spec_of(case)
    for field in further_fields(load(case.kind)):
        value = getattr(spec, field)
        assert value is None or isinstance(value, str | tuple)


@every_case
def test_a_spec_is_exact_under_json_so_that_keys_are_stable(case: Case) -> None:
    spec = spec_of(case)
    assert msgspec.json.decode(msgspec.json.encode(spec), type=type(spec)) == spec


@every_case
def test_products_have_names_that_are_extensions(case: Case) -> None:
    names = load(case.kind).products(spec_of(case))
    assert names
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z0-9]+(\.[a-z0-9]+)*", name) for name in names)


@every_case
def test_operations_are_repeatable_and_exact_under_json(case: Case) -> None:
    announced = operations(case)
    assert announced == operations(case)
    for operation in announced:
        assert msgspec.json.decode(msgspec.json.encode(operation), type=Operation) == operation


@every_case
async def test_a_good_job_makes_exactly_the_products_it_announced(case: Case, tmp_path: Path) -> None:
    result, _ = await ran(case, tmp_path)
    assert (result.verdict, result.reason) == ("done", "")
    assert tuple(draft.name for draft in result.drafts) == load(case.kind).products(spec_of(case))


@every_case
async def test_a_draft_is_content_or_a_scratch_file_and_never_empty(case: Case, tmp_path: Path) -> None:
    result, _ = await ran(case, tmp_path)
    for draft in result.drafts:
        assert (draft.content is None) != (draft.path is None)
        assert draft.path is None or draft.path.parent == tmp_path
    assert all(contents(result))


@every_case
async def test_the_same_job_makes_the_same_bytes(case: Case, tmp_path: Path) -> None:
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir()
    (first, _), (second, _) = [await ran(case, folder) for folder in folders]
    assert contents(first) == contents(second)
    assert first.facts == second.facts


@every_case
async def test_every_call_was_announced_to_admission(case: Case, tmp_path: Path) -> None:
    _, ctx = await ran(case, tmp_path)
    announced = operations(case)
    if case.is_announced:
        assert tuple(ctx.calls) == announced
    else:
        assert {type(call) for call in ctx.calls} == {type(operation) for operation in announced}


@every_case
async def test_invariant_29_facts_and_reasons_hold_no_text_and_no_name(case: Case, tmp_path: Path) -> None:
    result, _ = await ran(case, tmp_path)
    assert CANARY not in repr((result.facts, result.reason)).lower()


@reading_case
async def test_a_text_that_grew_beyond_its_bound_is_not_read(case: Case, tmp_path: Path) -> None:
    grown = msgspec.structs.replace(case, body=b"a " * 20_000_000)
    with pytest.raises(LimitExceeded):
        await load(case.kind).run(spec_of(case), context(grown, tmp_path))


@calling_case
async def test_an_error_of_the_call_reaches_the_worker_as_it_is(case: Case, tmp_path: Path) -> None:
    error = Unavailable("try later")

    def fail(operation: Operation) -> bytes:
        raise error

    with pytest.raises(Unavailable) as caught:
        await load(case.kind).run(spec_of(case), context(case, tmp_path, fail))
    assert caught.value is error


@calling_case
async def test_an_answer_of_garbage_is_a_contract_error(case: Case, tmp_path: Path) -> None:
    for garbage in case.garbage:
        with pytest.raises(ContractError):
            await load(case.kind).run(spec_of(case), context(case, tmp_path, lambda _, body=garbage: body))  # type: ignore[misc]


@calling_case
async def test_a_cancelled_job_stops_at_once(case: Case, tmp_path: Path) -> None:
    with trio.CancelScope() as scope:
        scope.cancel()
        await load(case.kind).run(spec_of(case), context(case, tmp_path))
    assert scope.cancelled_caught


def test_every_code_that_kinds_refuse_with_is_known() -> None:
    for name in KINDS:
        module = Path(importlib.import_module(KINDS[name].partition(":")[0]).__file__ or "")
        assert set(re.findall(r'code="([a-z-]+)"', module.read_text())) <= set(CODES)
