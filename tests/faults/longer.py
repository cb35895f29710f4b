"""A plugin of pytest for `make fuzz`: every property gets so many times the examples that its test asks for.

Hypothesis has no public way to widen a test's own settings from outside, so this reaches for its attribute; where a
release names it otherwise, each test just tries as many examples as it says.
"""

import os

import pytest
from hypothesis import HealthCheck, settings

TIMES = int(os.environ.get("MEDIASPOOL_FUZZ_TIMES", "1"))
_ATTRIBUTE = "_hypothesis_internal_use_settings"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Each test once: the cases of a parametrised one share their settings."""
    for test in {getattr(item, "obj", None) for item in items}:
        asked = getattr(test, _ATTRIBUTE, None)
        if isinstance(asked, settings):
            wider = settings(
                asked, max_examples=asked.max_examples * TIMES, deadline=None, suppress_health_check=list(HealthCheck)
            )
            setattr(test, _ATTRIBUTE, wider)
