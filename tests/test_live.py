"""The real host, tried for two cents at most: `pytest -m live` with OPENROUTER_API_KEY, and never otherwise.

The same jobs run against the stand-in in every test run, so that a live run tells of the host and not of the test.
"""

import os
import re
import shutil
import subprocess
import sys
import time
from decimal import Decimal
from pathlib import Path

import pytest

from tests.makers import Folder, outcomes
from tests.pages import ROOT
from tests.standin.fixture import StandIn

pytestmark = pytest.mark.real_time
KEY = "OPENROUTER_API_KEY"
REAL = "https://openrouter.ai/api/v1"
CAP_USD = "0.01"
HEAD = f'schema = 1\nname = "live"\n[limits]\nmax_spend_usd = {CAP_USD}\n[defaults]\nroute = ["host"]\n'
SPEECH = HEAD + '[[job]]\nid = "one"\nkind = "tts"\ntext = "Good morning."\nvoice = "af_alloy"\nout = "out/one.mp3"\n'
HEARING = HEAD + (
    '[[job]]\nid = "one"\nkind = "transcription"\nmodel = "openai/whisper-1"\ninput = "recordings/a.wav"\n'
    'out = "out/one.txt"\n'
)
live = pytest.mark.skipif(not os.environ.get(KEY), reason=f"{KEY} is not set: the real host was not tried")


def tried(tmp_path: Path, text: str, base_url: str, key: str) -> Path:
    """Run one job under the cap; its product."""
    folder = Folder(tmp_path, manifest=text)
    folder.now = time.time() + 3600
    folder.add_route("host", driver="openrouter", base_url=base_url, key=key, discovery="required")
    shutil.copyfile(ROOT / "samples" / "media" / "austen-0880.wav", tmp_path / "recordings" / "a.wav")
    outcome = outcomes(folder.run())["one"]
    assert outcome.verdict == "done", outcome
    assert outcome.usd is None or outcome.usd <= Decimal(CAP_USD)
    (made,) = [path for path in (tmp_path / "out").iterdir() if path.suffix in (".mp3", ".txt")]
    return made


@pytest.mark.live
@live
def test_the_real_host_speaks(tmp_path: Path) -> None:
    assert tried(tmp_path, SPEECH, REAL, os.environ[KEY]).stat().st_size > 1000


@pytest.mark.live
@live
def test_the_real_host_hears(tmp_path: Path) -> None:
    assert len(tried(tmp_path, HEARING, REAL, os.environ[KEY]).read_text().split()) > 3


@pytest.mark.parametrize("text", [SPEECH, HEARING])
def test_what_the_live_tests_do_works_on_the_stand_in(tmp_path: Path, text: str, standin: StandIn) -> None:
    assert tried(tmp_path, text, standin.base_url, standin.key).stat().st_size > 0


@pytest.mark.parametrize(
    ("words", "key", "reason"),
    [(("-m", "live"), "", f"{KEY} is not set"), ((), "sk-or-v1-never-used", "only by: pytest -m live")],
)
def test_t30_live_tests_are_asked_for_by_name_and_need_a_key(words: tuple[str, ...], key: str, reason: str) -> None:
    """Without either they are skipped, and say so."""
    command = [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", "tests/test_live.py", *words]
    picked = [*command, "-k", "real_host"]
    environ = {**os.environ, KEY: key}
    done = subprocess.run(picked, cwd=ROOT, env=environ, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0, done.stdout
    assert re.search(r"\b2 skipped", done.stdout)
    assert reason in done.stdout
