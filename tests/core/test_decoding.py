"""Two threads that meet a type for the first time, together: with msgspec alone the process dies of it."""

import re
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from pipeline.core.decoding import from_json, from_plain
from tests.pages import ROOT

THREADS = """
import sys, threading
import msgspec
from {module} import {decode}

sys.setswitchinterval(1e-6)
for number in range({rounds}):
    fields = [(f"field_{{at}}", "tuple[int | None, ...]", ()) for at in range(40)]
    inner = msgspec.defstruct(f"Inner{{number}}", fields)
    outer = msgspec.defstruct(f"Outer{{number}}", [("inner", inner)])
    body, start = b'{{"inner": {{"field_39": [1, null]}}}}', threading.Barrier(4)

    def work() -> None:
        start.wait()
        assert {call}.inner.field_39 == (1, None)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
"""
OWN_WAY = re.compile(r"msgspec\.(json\.decode\(.*type=|convert\(|json\.Decoder)")


class Point(msgspec.Struct, frozen=True):
    x: int
    y: float | None = None


def tried(module: str, decode: str, call: str) -> int:
    code = THREADS.format(module=module, decode=decode, call=call, rounds=150)
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False, timeout=120).returncode


def test_threads_that_meet_a_type_for_the_first_time_together_all_decode_it() -> None:
    assert tried("pipeline.core.decoding", "from_json", "from_json(body, outer)") == 0


def test_what_is_decoded_is_what_msgspec_makes_of_it_with_its_errors() -> None:
    assert from_json(b'{"x": 1}', Point) == from_plain({"x": 1}, Point) == Point(1)
    assert from_plain({"x": "1"}, Point, strict=False) == Point(1)
    with pytest.raises(msgspec.ValidationError):
        from_plain({"x": "1"}, Point)
    with pytest.raises(msgspec.DecodeError):
        from_json(b"{", Point)


def test_nothing_is_decoded_in_another_way() -> None:
    files = [path for folder in ("pipeline", "jobs") for path in Path(ROOT, folder).rglob("*.py")]
    others = [path.name for path in files if OWN_WAY.search(path.read_text())]
    assert others == ["decoding.py"]
