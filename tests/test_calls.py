"""What a call holds and gives back: descriptors of its payload, and the proof that its receipt is."""

import os
from pathlib import Path

import pytest

from tests.makers import Folder, verdicts

pytestmark = pytest.mark.real_time


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize(
    ("options", "verdict"),
    [({}, "done"), ({"garbage": "no transcript"}, "failed"), ({"fail": "Rejected"}, "failed")],
)
def test_no_descriptor_stays_open_however_a_call_ends(tmp_path: Path, options: dict[str, str], verdict: str) -> None:
    folder = Folder(tmp_path, options=options)
    for number in range(1, 6):
        folder.record(f"{number}.wav", number / 10)
    before = _descriptors()
    assert verdict in verdicts(folder.run()).values()
    assert _descriptors() <= before


@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_a_receipt_whose_answer_is_gone_or_cut_proves_nothing(tmp_path: Path, damage: str) -> None:
    folder = Folder(tmp_path)
    folder.record("a.wav")
    folder.run()
    (answer,) = folder.spool.glob("assets/*/*.json")
    answer.unlink() if damage == "gone" else os.truncate(answer, 100)
    folder.product("a.wav.text.txt").unlink()
    assert verdicts(folder.run())["notes/a.wav#text"] == "done"
    assert folder.calls() == 2
