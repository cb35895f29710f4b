"""What the parent reads of a child and of the machine."""

import os

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
