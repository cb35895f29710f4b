"""For all tests: live ones run only by name; where CI provides for privileged ones, a skip is a failure."""

import os
from collections.abc import Generator

import pytest

pytest_plugins = ["tests.standin.fixture"]
REQUIRED = "MEDIASPOOL_REQUIRE_PRIVILEGED"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Live tests cost money: a key in the environment is not enough, they are asked for by name."""
    if config.option.markexpr.strip() == "live":
        return
    for item in items:
        if item.get_closest_marker("live"):
            item.add_marker(pytest.mark.skip(reason="costs money; only by: pytest -m live"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped and item.get_closest_marker("privileged") and os.environ.get(REQUIRED):
        report.outcome = "failed"
        report.longrepr = f"skipped although {REQUIRED} is set: {report.longrepr}"
    return report
