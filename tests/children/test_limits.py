"""What the parent reads of a child and of the machine."""

import os

import pytest

from pipeline import one_cpu
from pipeline.children import limits


def test_the_resident_bytes_of_this_process_are_plausible() -> None:
    held = limits.resident_bytes(os.getpid())
    assert held is not None
    assert 5 * limits.MEGABYTE < held < 4000 * limits.MEGABYTE


def test_a_process_that_is_gone_has_no_resident_bytes() -> None:
    assert limits.resident_bytes(2**22 + 1) is None


def test_the_machine_has_memory_and_cores() -> None:
    assert (limits.available_mb() or 0) > 0
    assert 1 <= limits.usable_cores() <= (os.cpu_count() or 1)


@pytest.mark.skipif(len(one_cpu.allowed()) < 2, reason="one CPU is all there is here")
def test_the_cores_are_counted_as_they_were_before_the_run_was_kept_on_one() -> None:
    everywhere, cores = one_cpu.allowed(), limits.usable_cores()
    os.sched_setaffinity(0, {min(everywhere)})
    try:
        assert limits.usable_cores() == cores
    finally:
        os.sched_setaffinity(0, everywhere)
