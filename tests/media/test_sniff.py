"""libmagic: which library is used, that its release does not matter (invariant 12), and what it is shown."""

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.media.containers import agrees, recognise
from pipeline.media.sniff import CHOICE_VARIABLE, libmagic_version, sniff
from tests.media.zoo import Specimen, cover, id3

JUDGE = """
import io, json, os, sys
from pipeline.media.containers import examine, recognise
from pipeline.media.sniff import HEAD_BYTES, libmagic_version
verdicts = {}
for name in sorted(os.listdir(sys.argv[1])):
    with open(os.path.join(sys.argv[1], name), "rb") as file:
        size = os.fstat(file.fileno()).st_size
        head = recognise(file.read(HEAD_BYTES), size=size)
        whole = examine(file, size)
    verdicts[name] = [repr(head), whole.ok, whole.code, repr(whole.media)]
print(json.dumps({"version": libmagic_version(), "pylibmagic": "pylibmagic" in sys.modules, "verdicts": verdicts}))
"""

HIDE_SYSTEM_LIBRARY = """
import ctypes, ctypes.util, os
real, found = ctypes.CDLL, []
class Loader(real):
    def __init__(self, name, *rest, **options):
        if name is not None and os.path.isabs(name):
            found.append(name)
        elif name is not None and "magic" in name and not found:
            raise OSError(f"{name}: cannot open shared object file")
        super().__init__(name, *rest, **options)
ctypes.CDLL, ctypes.util.find_library = Loader, lambda name: None
"""


def judged(folder: Path, *, choice: str = "", before: str = "") -> dict[str, object]:
    environ = os.environ | {CHOICE_VARIABLE: choice}
    run = subprocess.run(
        [sys.executable, "-c", before + JUDGE, str(folder)], env=environ, capture_output=True, check=True, timeout=120
    )
    answer: dict[str, object] = json.loads(run.stdout)
    return answer


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, whole: dict[str, Specimen], odd: dict[str, Specimen]) -> Path:
    """Every specimen, whole and cut in half, and a hundred with a few bytes changed."""
    target, noise = tmp_path_factory.mktemp("zoo"), random.Random(12)
    for each in (*whole.values(), *odd.values()):
        (target / each.name).write_bytes(each.body)
        (target / f"{each.name}-half").write_bytes(each.body[: len(each.body) // 2])
    for number in range(100):
        body = bytearray(noise.choice(sorted(whole.values(), key=lambda one: one.name)).body)
        for _ in range(4):
            body[noise.randrange(min(len(body), 400))] = noise.randrange(256)
        (target / f"changed-{number}").write_bytes(body)
    return target


def test_invariant_12_every_libmagic_leads_to_the_same_verdict(folder: Path, tell: Callable[[str], None]) -> None:
    system, bundled = judged(folder), judged(folder, choice="bundled")
    first, second = system["verdicts"], bundled["verdicts"]
    assert isinstance(first, dict)
    assert isinstance(second, dict)
    different = {name: (first[name], second[name]) for name in first if first[name] != second[name]}
    tell(
        f"invariant 12: {len(first) - len(different)}/{len(first)} files alike with libmagic "
        f"{system['version']} and {bundled['version']}"
    )
    assert different == {}
    assert str(bundled["version"]).endswith("bundled")


def test_without_a_system_library_the_bundled_one_is_found_and_pylibmagic_not_imported(tmp_path: Path) -> None:
    (tmp_path / "note").write_bytes(b"hello there\n")
    answer = judged(tmp_path, before=HIDE_SYSTEM_LIBRARY)
    assert answer["version"] == judged(tmp_path, choice="bundled")["version"]
    assert answer["pylibmagic"] is False


@pytest.mark.parametrize(
    ("name", "newer"), [("playlist", "audio/x-mpegurl"), ("apng", "image/apng"), ("json", "application/x-ndjson")]
)
def test_invariant_12_names_that_newer_releases_use_lead_to_the_same_verdict(
    whole: dict[str, Specimen], name: str, newer: str
) -> None:
    opinion = recognise(whole[name].body)
    assert opinion is not None
    assert opinion.media_type == whole[name].media_type
    assert agrees(opinion, newer)


def test_an_opinion_is_given_on_what_follows_a_tag(whole: dict[str, Specimen]) -> None:
    body = whole["flac"].body
    assert sniff(id3(cover(9000)) + body) == sniff(body) == "audio/flac"


def test_no_bytes_give_no_opinion() -> None:
    assert sniff(b"") == "application/octet-stream"


def test_the_version_says_which_library_it_is() -> None:
    number, source = libmagic_version().split()
    assert float(number) >= 5.3
    assert source in ("system", "bundled")
