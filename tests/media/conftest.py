"""The zoo and its oddities, made once per session."""

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
def tell(figure: Callable[[str], None]) -> Callable[[str], None]:
    return figure
