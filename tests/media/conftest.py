"""The zoo and its oddities, made once per session, and the one way to say a figure aloud."""

from collections.abc import Callable

import pytest

from tests.media.oddities import odd_files
from tests.media.zoo import Specimen, whole_files


@pytest.fixture(scope="session")
def whole() -> dict[str, Specimen]:
    return whole_files()


@pytest.fixture(scope="session")
def odd(whole: dict[str, Specimen]) -> dict[str, Specimen]:
    return odd_files(whole)


@pytest.fixture
def tell(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Print past pytest's capture: figures of the invariants are meant to be read."""

    def say(line: str) -> None:
        with capsys.disabled():
            print(f"\n    {line}")

    return say
