"""Clients with the right key for each dialect of the stand-in."""

from collections.abc import Iterator

import httpx
import pytest

from tests.standin.fixture import StandIn


@pytest.fixture
def client(standin: StandIn) -> Iterator[httpx.Client]:
    with _client(standin, standin.base_url) as opened:
        yield opened


@pytest.fixture
def openai(standin: StandIn) -> Iterator[httpx.Client]:
    with _client(standin, standin.openai_url) as opened:
        yield opened


def _client(standin: StandIn, base: str) -> httpx.Client:
    headers = {"Authorization": f"Bearer {standin.key}"}
    return httpx.Client(base_url=base, headers=headers, timeout=20, trust_env=False)
