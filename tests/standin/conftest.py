"""Clients with the right key for each dialect of the stand-in."""

import ssl
from collections.abc import Iterator

import httpx
import pytest

from tests.standin.fixture import StandIn

NO_ROOTS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # loading the usual certificates takes longer than any test here


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
    return httpx.Client(base_url=base, headers=headers, timeout=20, trust_env=False, verify=NO_ROOTS)
