"""For all tests: where CI has provided for privileged tests, a skip of one is a failure."""

import os
from collections.abc import Generator

import pytest

pytest_plugins = ["tests.standin.fixture"]
REQUIRED = "MEDIASPOOL_REQUIRE_PRIVILEGED"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped and item.get_closest_marker("privileged") and os.environ.get(REQUIRED):
        report.outcome = "failed"
        report.longrepr = f"skipped although {REQUIRED} is set: {report.longrepr}"
    return report
