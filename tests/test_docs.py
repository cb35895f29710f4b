"""The documentation tells what the code does: what a page must name is taken from the code, never from a list here.

Examples are tried too: a manifest on a page is planned by the real kinds and routes, settings are loaded.
"""

import io
import math
import re
import shlex
import shutil
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import get_args

import msgspec
import pytest
import typer
from msgspec import NODEFAULT, Struct

from jobs import KINDS, _judging
from jobs._gate import SILENT_RMS
from jobs._subtitles import MAX_COLUMNS, MAX_CUE_S, MAX_LINES
from pipeline import preview
from pipeline.children import weights
from pipeline.children.picture_work import STEP_NAMES, parse_step
from pipeline.children.video_work import CROSSFADE, MOTIONS
from pipeline.cli import commands
from pipeline.core.confine import MAX_NAME_BYTES
from pipeline.core.errors import CODES
from pipeline.core.model import Family
from pipeline.core.operations import Segment, Transcript, Word
from pipeline.manifest_folder import fixed_prefix
from pipeline.manifest_model import (
    DEFAULT_FOLDER_SETTLE_S,
    DefaultKeys,
    FolderKeys,
    HeaderKeys,
    ItemKeys,
    JobLimitKeys,
    RunLimitKeys,
)
from pipeline.manifest_paths import FIELDS
from pipeline.manifest_text import MAX_VALUES, ManifestLimits
from pipeline.report import EXIT_CODES
from pipeline.retention import KEEP_DAYS, UNUSED_ASSET_DAYS
from pipeline.routes import DRIVERS, hibari, pico
from pipeline.runtime import load_kinds
from pipeline.seat import Seat, real_world
from pipeline.state.drops import is_ignored
from pipeline.state.pace_tables import CapTable, RateTable
from pipeline.state.roots import MAX_OUTPUT_NAME_BYTES
from pipeline.state.settings import (
    GROUPS,
    DebugTable,
    EngineTable,
    LimitTable,
    LogTable,
    RouteTable,
    Settings,
    TimeoutTable,
    load_settings,
)
from tests import pages
from tests.jobs.scripted import png
from tests.makers import FAR_FUTURE
from tests.pages import ROOT
from tests.schemas import schemas
from tests.scripted import wav

MANIFEST, SETTINGS, COMMANDS, ROUTES = (f"docs/{name}.md" for name in ("manifest", "settings", "commands", "routes"))
TABLES: list[tuple[str, str, type[Struct], dict[str, str]]] = [
    (MANIFEST, "The file", HeaderKeys, {"folder": "–", "job": "–"}),
    (MANIFEST, "`[defaults]`", DefaultKeys, {}),
    (MANIFEST, "`[limits]`", RunLimitKeys, {}),
    (MANIFEST, "Folders", FolderKeys, {"step": "required"}),
    (MANIFEST, "Jobs and steps", ItemKeys, {}),
    (MANIFEST, "Limits of a job or step", JobLimitKeys, {}),
    *((MANIFEST, f"`{name}`", kind.spec, {}) for name, kind in load_kinds().items()),
    (SETTINGS, "Keys", Settings, {}),
    (SETTINGS, "`[limits]`", LimitTable, {}),
    (SETTINGS, "`[caps]`", CapTable, {}),
    (SETTINGS, "`[debug]`", DebugTable, {}),
    (SETTINGS, "`[log]`", LogTable, {}),
    (SETTINGS, "`[engines]`", EngineTable, {}),
    (SETTINGS, "`[routes.<id>]`", RouteTable, {}),
    (SETTINGS, "`[routes.<id>.timeouts]`", TimeoutTable, {}),
    (SETTINGS, "`[routes.<id>.rates]`", RateTable, {}),
]


# keys and options


def _default(field: msgspec.structs.FieldInfo) -> str:
    """A default as a table shows it: a dash for nothing, else as TOML writes it."""
    value = field.default if field.default is not NODEFAULT else field.default_factory
    if value is NODEFAULT:
        return "required"
    if value is None or isinstance(value, Struct | type):
        return "–"
    if isinstance(value, bool | str | tuple):
        return f"`{msgspec.json.encode(value).decode()}`"
    return f"`{value}`"


@pytest.mark.parametrize(("name", "heading", "keys", "more"), TABLES)
def test_a_table_lists_exactly_the_keys_with_their_defaults(
    name: str, heading: str, keys: type[Struct], more: dict[str, str]
) -> None:
    wanted = {field.encode_name: _default(field) for field in msgspec.structs.fields(keys)} | more
    assert {key: cells[2] for key, cells in pages.table(name, heading).items()} == wanted


@pytest.mark.parametrize(("name", "heading", "keys"), [row[:3] for row in TABLES if row[2] is not HeaderKeys])
def test_a_table_names_every_value_of_a_choice(name: str, heading: str, keys: type[Struct]) -> None:
    rows = pages.table(name, heading)
    _, parts = msgspec.json.schema_components([keys])
    for key, schema in parts[keys.__name__]["properties"].items():
        for choice in schema.get("enum", schema.get("items", {}).get("enum", ())):
            assert f'`"{choice}"`' in rows[key][1]


def test_every_field_of_a_template_is_explained() -> None:
    assert set(pages.table(MANIFEST, "Names of products")) == {f"{{{field}}}" for field in FIELDS}


def test_every_field_of_a_transcript_is_explained_and_shown() -> None:
    explained = set(re.findall(r"`(\w+)`", pages.section(MANIFEST, "The transcript")))
    shown = "".join(pages.blocks(MANIFEST, "json"))
    for field in (*Transcript.__struct_fields__, *Segment.__struct_fields__, *Word.__struct_fields__):
        assert field in explained
        assert f'"{field}":' in shown
    assert msgspec.json.decode(shown, type=Transcript, strict=True).segments[0].words[0].text == "And"


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_says_its_products_verdicts_and_engines(name: str) -> None:
    said = pages.section(MANIFEST, f"`{name}`")
    kind = load_kinds()[name]
    assert all(word in said for word in ("**Products.**", "**Suspect**", "**Engines.**", "Built in:"))
    assert all(f"`{product}`" in said or f'"{product}"' in said for product in kind.products(kind.spec()))


def test_every_family_of_content_may_be_accepted() -> None:
    assert all(f'`"{family}"`' in pages.table(MANIFEST, "Folders")["accept"][1] for family in get_args(Family))


def test_the_bounds_on_the_page_of_judging_are_those_in_the_code() -> None:
    said, code = " ".join(pages.page("docs/judging.md").split()), _judging
    assert f"{20 * math.log10(SILENT_RMS):.0f} dBFS" in said
    assert f"{code.UNHEARD_S:g} seconds of voice or more" in said
    assert f"longer than {code.LONGEST_HOLE_S:g} seconds" in said
    assert f"less than {code.COVERED_SHARE:.0%} of {code.COVERED_MIN_S:g} seconds".replace("%", " %") in said
    assert f"up to {code.LONGEST_LOOP_WORDS} words {code.LOOP_MIN_REPEATS} times in a row" in said
    assert f"more than {code.FASTEST_WPM:g} words a minute" in said
    assert f"more than {code.PACKED_RATIO:g} in a stretch of {code.PACKED_BYTES} bytes" in said
    assert (
        f"{code.OFF_SPEECH_WORDS} words or more, and more than {code.OFF_SPEECH_SHARE:.0%}".replace("%", " %") in said
    )
    assert f"more than {code.OTHER_SHARE:.0%} of the speech".replace("%", " %") in said


def test_the_numbers_on_the_page_of_manifests_are_those_in_the_code() -> None:
    said, bounds = " ".join(pages.page(MANIFEST).split()), ManifestLimits()
    limits = {name: kind.limits for name, kind in load_kinds().items()}
    assert f"{DEFAULT_FOLDER_SETTLE_S:g} s where neither the folder nor `[defaults]` says it" in said
    assert f"names over {MAX_NAME_BYTES} bytes ({MAX_OUTPUT_NAME_BYTES} for products" in said
    assert f"at most {MAX_LINES} lines of {MAX_COLUMNS} columns and {MAX_CUE_S:g} seconds" in said
    assert f"{(limits['transcription'].max_input_bytes or 0) // 10**6} MB and 24 hours of input" in said
    assert f"{limits['tts'].max_chars:,} characters" in said
    assert f"{bounds.max_bytes // 10**6} MB (JSONL {bounds.max_jsonl_bytes // 10**6} MB)" in said
    assert f"{bounds.max_jobs:,} jobs and values nested {bounds.max_depth} deep" in said
    assert f"{MAX_VALUES:,} values" in said


def test_what_is_never_taken_is_listed() -> None:
    said = pages.section(MANIFEST, "Folders").partition("Never taken:")[2]
    beginnings, endings = said.split(";")[:2]
    assert all(is_ignored(f"{name}x") for name in re.findall(r"`([^`]+)`", beginnings))
    assert all(is_ignored(f"x{name}") for name in re.findall(r"`([^`]+)`", endings))
    assert not is_ignored("recording.wav")


def test_what_clean_keeps_and_how_long_is_said() -> None:
    said = " ".join(pages.section(COMMANDS, "clean").split())
    assert f"finished manifests older than {KEEP_DAYS:g} days" in said
    assert f"answers that no job uses older than {UNUSED_ASSET_DAYS:g} days" in said


# commands, codes


def _options(command: typer.core.TyperCommand | typer.core.TyperGroup) -> set[str]:
    return {name for parameter in command.params for name in parameter.opts if name.startswith("-")}


def _program() -> typer.core.TyperGroup:
    program = typer.main.get_command(commands)
    assert isinstance(program, typer.core.TyperGroup)
    return program


def _known(words: Sequence[str]) -> Iterable[str]:
    """What of a typed command does not exist."""
    command = _program().commands.get(words[0])
    if command is None:
        yield words[0]
        return
    assert isinstance(command, typer.core.TyperCommand)
    real = _options(command) | {"--help", "-h"}
    yield from (word for word in words[1:] if word.startswith("-") and word.partition("=")[0] not in real)


@pytest.mark.parametrize("name", _program().commands)
def test_every_command_is_documented_with_every_option(name: str) -> None:
    command = _program().commands[name]
    assert isinstance(command, typer.core.TyperCommand)
    common, own = set(pages.table(COMMANDS, "Commands")), set(pages.table(COMMANDS, name))
    assert f"mediaspool {name}" in pages.section(COMMANDS, name)
    assert own == _options(command) - common


def test_every_option_without_a_command_is_documented() -> None:
    said = pages.section(COMMANDS, "Commands")
    assert all(f"`{option}`" in said for option in _options(_program()) | {"--help", "-h"})


@pytest.mark.parametrize("name", pages.NAMES)
def test_every_command_on_a_page_can_be_typed(name: str) -> None:
    assert {shlex.join(words): list(_known(words)) for words in pages.typed(name) if list(_known(words))} == {}


@pytest.mark.parametrize("name", pages.NAMES)
def test_every_make_target_on_a_page_exists(name: str) -> None:
    real = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert pages.targets(name) <= real


def test_the_readme_has_exactly_two_commands_to_set_up() -> None:
    assert pages.targets("README.md") == {"demo", "test"}
    assert not re.search(r"\b(pip|uv|apt|apt-get|sync)\b", "".join(pages.blocks("README.md", "")))


@pytest.mark.parametrize("code", EXIT_CODES)
def test_every_exit_code_is_explained_in_its_own_words(code: int) -> None:
    assert f"\n| {code} | {EXIT_CODES[code]} |\n" in pages.section("docs/operations.md", "Exit codes")


@pytest.mark.parametrize("code", CODES)
def test_every_error_code_is_explained_in_its_own_words_with_what_to_do(code: str) -> None:
    row = re.search(rf"^\| `{code}` \| (.*) \| (.+) \|$", pages.page("docs/errors.md"), re.MULTILINE)
    assert row is not None
    assert row[1] == CODES[code]


# routes


def test_every_route_and_group_has_its_section() -> None:
    assert all(pages.section(ROUTES, name) for name in DRIVERS)
    assert all(f"`{group}`" in pages.section(ROUTES, "Routes") for group in GROUPS)


def test_every_model_and_voice_is_listed() -> None:
    assert set(pages.table(ROUTES, "whisper")) >= set(weights.WHISPER)
    assert set(pages.table(ROUTES, "pico")) == set(pico.VOICES)
    assert all(f"`{voice}`" in pages.section(ROUTES, "hibari") for voice in hibari.VOICES)


def test_every_step_and_motion_is_listed() -> None:
    assert set(pages.table(ROUTES, "pillow")) == set(STEP_NAMES)
    assert set(pages.table(ROUTES, "stills")) == {*MOTIONS, CROSSFADE}


@pytest.mark.parametrize("cells", pages.table(ROUTES, "pillow").values(), ids=lambda cells: cells[0])
def test_every_example_of_a_step_is_one(cells: list[str]) -> None:
    examples = re.findall(r"`([^`]+)`", cells[1])
    assert examples
    assert all(parse_step(example) for example in examples)


def test_the_packages_of_the_extra_are_listed_with_their_versions() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pinned = dict(re.split("==|;", package)[:2] for package in project["optional-dependencies"]["local"])
    listed = {name: cells[1] for name, cells in pages.table(ROUTES, "What `[local]` installs").items()}
    assert listed == pinned


# links, tests named


@pytest.mark.parametrize("name", pages.NAMES)
def test_every_link_leads_somewhere(name: str) -> None:
    for link in pages.links(name):
        path, _, anchor = link.partition("#")
        target = (ROOT / name).parent / path if path else ROOT / name
        assert target.exists(), link
        assert not anchor or anchor in pages.anchors(target.resolve().relative_to(ROOT).as_posix()), link


def test_every_page_can_be_reached_from_the_readme() -> None:
    found, waiting = set(), ["README.md"]
    while waiting:
        name = waiting.pop()
        found.add(name)
        paths = ((ROOT / name).parent / link.partition("#")[0] for link in pages.links(name))
        below = {path.resolve().relative_to(ROOT).as_posix() for path in paths if path.suffix == ".md"}
        waiting += below & set(pages.NAMES) - found
    assert found == set(pages.NAMES)


@pytest.mark.parametrize("name", pages.NAMES)
def test_every_test_that_a_page_names_exists(name: str) -> None:
    real = {
        match for path in ROOT.glob("tests/**/test_*.py") for match in re.findall(r"def (test_\w+)\(", path.read_text())
    }
    assert set(re.findall(r"`(test_\w+)`", pages.page(name))) <= real


# examples


def _toml(name: str, *, is_settings: bool) -> list[str]:
    """A block is a manifest where it says a schema, and on the page of manifests."""
    found = [
        (body, name != MANIFEST and not re.search(r"^schema\b|^\[\[", body, re.MULTILINE))
        for body in pages.blocks(name, "toml")
    ]
    return [body for body, settings in found if settings == is_settings]


def _manifests() -> list[tuple[str, str]]:
    """Every manifest on a page; a part of one is made whole by what it leaves out."""
    written = [body for name in pages.NAMES for body in _toml(name, is_settings=False)]
    lines = [body for name in pages.NAMES for body in pages.blocks(name, "jsonl")]
    whole = [body if "schema = 1" in body else f"schema = 1\n{body}" for body in written]
    return [*(("toml", body) for body in whole), *(("jsonl", body) for body in lines)]


def _lay_out(folder: Path, body: str) -> None:
    """A recording for every glob, a recording or a picture for every file that an example names."""
    for path in re.findall(r'"?(?:input|audio_filepath|first_frame|last_frame|mask|overlay)"? ?[=:] "([^@"]+)"', body):
        _record(folder / path)
    for glob in re.findall(r'glob = "([^"]+)"', body):
        _record(folder / fixed_prefix(glob) / "memo.wav")


def _record(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png() if path.suffix == ".png" else wav(1.0))


def _plan(path: Path, settings: Settings) -> preview.Plan:
    """What `mediaspool plan` says of a manifest, with the real kinds and routes."""
    world = msgspec.structs.replace(real_world(), environ={}, now=lambda: FAR_FUTURE, log_stream=io.StringIO())
    seat = Seat(root=str(path.parent / "no-spool"), spool=None, config=None, settings=settings, world=world)
    answer = preview.plan(seat, [str(path)])
    assert isinstance(answer.record, preview.Plan)
    return answer.record


def _refusals(made: preview.Plan) -> list[object]:
    return [
        (job.id, job.reasons) for manifest in made.manifests for job in manifest.jobs if job.reasons or manifest.error
    ]


@pytest.mark.parametrize(("ending", "body"), _manifests())
def test_every_manifest_on_a_page_would_run(ending: str, body: str, tmp_path: Path) -> None:
    path = tmp_path / f"example.{ending}"
    path.write_text(body)
    _lay_out(tmp_path, body)
    made = _plan(path, Settings())
    assert _refusals(made) == []
    assert made.counts.keys() <= {"run", "later"}
    assert made.manifests[0].jobs


@pytest.mark.parametrize("path", sorted((ROOT / "samples" / "manifests").iterdir()), ids=lambda path: path.name)
def test_every_sample_manifest_would_run(path: Path, tmp_path: Path) -> None:
    """In a copy, where no demo has left its products."""
    shutil.copytree(ROOT / "samples", tmp_path / "samples", ignore=shutil.ignore_patterns("out"))
    settings = load_settings(str(tmp_path / "samples" / "mediaspool.toml"), {})
    made = _plan(tmp_path / "samples" / "manifests" / path.name, settings)
    assert _refusals(made) == []
    assert made.manifests[0].jobs


@pytest.mark.parametrize("body", [body for name in pages.NAMES for body in _toml(name, is_settings=True)])
def test_every_settings_example_can_be_loaded(body: str, tmp_path: Path) -> None:
    path = tmp_path / "mediaspool.toml"
    path.write_text(body)
    assert tomllib.loads(body).keys() <= set(Settings.__struct_fields__)
    load_settings(str(path), {})


@pytest.mark.parametrize("path", schemas(), ids=lambda path: path.name)
def test_the_schemas_are_fresh(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == schemas()[path], "make schemas"
