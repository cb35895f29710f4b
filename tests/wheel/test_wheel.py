"""The wheel as a stranger installs it: what is in it, and whether the main path works without this source tree.

Building takes a moment and is always tried. Installing takes a minute and is asked for by name: `make wheel-test` keeps
the wheels of the lock file in `.venv-wheel/house`, and needs no network once they are there.
"""

import os
import shutil
import subprocess
import sys
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import Struct

from pipeline import __version__
from tests.pages import ROOT
from tests.standin.fixture import StandIn

HOUSE = ROOT / ".venv-wheel/house"
INSTALL = "mediaspool[local]"


def in_tree(name: str) -> set[str]:
    return {path.relative_to(ROOT).as_posix() for path in (ROOT / name).rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (made,) = folder.iterdir()
    return made


@pytest.mark.real_time
def test_the_wheel_holds_the_two_packages_with_types_and_licence_and_nothing_else(wheel: Path) -> None:
    about = f"mediaspool-{__version__}.dist-info"
    wanted = {name for name in in_tree("pipeline") | in_tree("jobs") if "__pycache__" not in name}
    more = {f"{about}/{name}" for name in ("METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE")}
    with zipfile.ZipFile(wheel) as file:
        assert set(file.namelist()) == wanted | more
        assert file.read(f"{about}/licenses/LICENSE") == (ROOT / "LICENSE").read_bytes()
    assert {"pipeline/py.typed", "jobs/py.typed", "pipeline/pages/look.css"} <= wanted


class Place(Struct, frozen=True):
    """A fresh environment with the wheel in it, and a copy of the samples to work on, far from the source tree."""

    root: Path

    def type(self, *words: str, code: int = 0, program: str = "mediaspool", **environ: str) -> str:
        """What a command says on both streams; it must end with `code`."""
        done = subprocess.run(
            [str(self.root / "env/bin" / program), *words],
            cwd=self.root,
            env={"PATH": os.defpath, "HOME": str(self.root / "home"), "LANG": "C.UTF-8", **environ},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, f"{words} ended with {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def run(self, name: str, code: int = 0) -> str:
        """One of the sample manifests; on no terminal a run without news says nothing."""
        manifest, spool = f"samples/manifests/{name}.toml", str(self.root / "spool")
        return self.type("run", manifest, "--config", "samples/mediaspool.toml", "--spool", spool, code=code)

    def products(self, folder: str) -> set[str]:
        found = (self.root / "samples/out" / folder).iterdir()
        return {path.name for path in found if not path.name.endswith(".receipt.json") and path.stat().st_size > 0}


def fresh(root: Path, wheel: Path, extra: str) -> Place:
    venv.create(root / "env", with_pip=True)
    offline = ["--quiet", "--no-index", "--find-links", str(HOUSE)]
    place = Place(root)
    place.type("install", *offline, f"{wheel}{extra}", program="pip", PIP_CONFIG_FILE=os.devnull)
    shutil.copytree(ROOT / "samples", root / "samples", ignore=shutil.ignore_patterns("out", "demo.py"))
    return place


@pytest.fixture(scope="module")
def base(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    root = tmp_path_factory.mktemp("base")
    yield fresh(root, wheel, "")
    shutil.rmtree(root)


@pytest.fixture(scope="module")
def local(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    root = tmp_path_factory.mktemp("local")
    yield fresh(root, wheel, "[local]")
    shutil.rmtree(root)


@pytest.mark.wheel
@pytest.mark.parametrize("kind", ["base", "local"])
def test_the_installed_program_runs_from_its_own_files(kind: str, request: pytest.FixtureRequest) -> None:
    place: Place = request.getfixturevalue(kind)
    where = place.type("-c", "import jobs, pipeline; print(pipeline.__file__, jobs.__file__)", program="python")
    assert all(path.startswith(str(place.root / "env/lib")) for path in where.split())
    assert place.type("--version") == f"mediaspool {__version__}\n"
    assert "Usage: mediaspool" in place.type("--help")


@pytest.mark.wheel
def test_base_alone_says_what_is_missing_and_how_to_get_it(base: Place) -> None:
    assert INSTALL in base.type("doctor", code=78)
    assert INSTALL in base.run("recordings", code=3)
    assert INSTALL in base.run("speech", code=3)
    assert not (base.root / "samples/out/transcripts").exists()


@pytest.mark.wheel
def test_base_alone_retouches_pictures_and_makes_clips(base: Place) -> None:
    base.run("pictures")
    assert base.products("pictures") == {"card.png", "clip.mp4", "clip.jpg"}


@pytest.mark.wheel
def test_base_alone_does_every_kind_by_remote_routes(base: Place, standin: StandIn) -> None:
    config = base.root / "samples/standin.toml"
    port = standin.base_url.split(":")[2].split("/")[0]
    config.write_text(config.read_text().replace("8765", port))
    manifest, spool = "samples/manifests-remote/standin.toml", str(base.root / "spool-remote")
    base.type("run", manifest, "--config", str(config), "--spool", spool, STANDIN_KEY=standin.key)
    assert {"hello.mp3", "speech.srt", "canon.txt", "summary.txt", "film.mp4"} <= base.products("standin")


@pytest.mark.wheel
def test_with_the_extra_all_samples_are_made_once(local: Place) -> None:
    local.type("doctor")
    for name in ("recordings", "speech", "book", "pictures"):
        local.run(name)
    assert {"jfk.wav.text.txt", "jfk.wav.text.srt", "jfk.wav.canon.txt"} <= local.products("transcripts")
    assert {"hello.mp3", "harbour.m4b"} <= local.products("speech")
    heard = (local.root / "samples/out/transcripts/jfk.wav.text.txt").read_text()
    assert "ask not what your country can do for you" in heard
    assert local.run("recordings") == ""
