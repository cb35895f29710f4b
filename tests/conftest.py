"""For all tests: live ones run only by name, a skip of what CI provides for fails, no clock decides a property."""

import gc
import os
from collections.abc import Callable, Generator, Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.tracer import Tracer

settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

pytest_plugins = ["tests.standin.fixture", "tests.browser"]
NOBODY = 65_534
REQUIRED = {"privileged": "MEDIASPOOL_REQUIRE_PRIVILEGED", "browser": "MEDIASPOOL_REQUIRE_BROWSER"}
"""By marker: the variable that says that there is no reason to skip."""
BY_NAME = {"live": "costs money; only by: pytest -m live", "wheel": "takes minutes; only by: make wheel-test"}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Live tests cost money: a key in the environment is not enough, they are asked for by name. So are long ones."""
    for marker, reason in BY_NAME.items():
        if config.option.markexpr.strip() != marker:
            for item in items:
                if item.get_closest_marker(marker):
                    item.add_marker(pytest.mark.skip(reason=reason))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Thousands of tests stay to the end: the collector need not walk through them again and again."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    for marker, required in REQUIRED.items():
        if report.skipped and item.get_closest_marker(marker) and os.environ.get(required):
            report.outcome = "failed"
            report.longrepr = f"skipped although {required} is set: {report.longrepr}"
    return report


@pytest.fixture
def figure(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Tells a measured figure: in the junit report, in the table of `make faults`, on screen with `pytest -rP`."""

    def tell(line: str) -> None:
        record_property("figure", line)
        print(line)

    return tell


@pytest.fixture
def tracer() -> Tracer:
    return Tracer()


@pytest.fixture
def ordinary_user() -> Iterator[None]:
    """Root writes through every mode, so root becomes nobody for a while; anybody else stays who they are."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
