"""Clients lent out one by one: as many as are needed, the warm one first, none that is unfit or was closed."""

from collections.abc import Iterable
from contextlib import AsyncExitStack
from functools import partial

import httpcore
import pytest
import trio

from pipeline.routes._connections import Clients, Network
from pipeline.routes.http import _is_fit
from tests.routes.servers import reaching, serving, told


class Client:
    """Counts how often it was closed."""

    closed = 0
    is_fit = True

    async def aclose(self) -> None:
        self.closed += 1
        await trio.lowlevel.checkpoint()


@pytest.fixture
def clients() -> Clients[Client]:
    return Clients(Client, is_fit=lambda client: client.is_fit)


async def test_another_client_is_made_only_when_all_are_lent(clients: Clients[Client]) -> None:
    async with AsyncExitStack() as lent:
        taken = [await lent.enter_async_context(clients.lend()) for _ in range(9)]
    assert len(set(taken)) == 9
    async with AsyncExitStack() as lent:
        assert {await lent.enter_async_context(clients.lend()) for _ in range(9)} == set(taken)


async def test_the_client_that_was_given_back_last_is_lent_first(clients: Clients[Client]) -> None:
    async with clients.lend() as first, clients.lend() as second:
        pass
    async with clients.lend() as client:
        assert client is first
    assert second is not first


async def test_all_are_closed_once_and_one_that_is_still_lent_does_not_come_back(clients: Clients[Client]) -> None:
    async with clients.lend() as client:
        await clients.aclose()
    assert client.closed == 1
    async with clients.lend() as fresh:
        assert fresh is not client


async def test_a_client_that_is_unfit_is_closed_and_not_lent_again(clients: Clients[Client]) -> None:
    async with clients.lend() as client:
        client.is_fit = False
    assert client.closed == 1
    async with clients.lend() as fresh:
        assert fresh is not client


class Cutting(Network):
    """A network on which a deadline passes in the instant in which a connection is made."""

    def __init__(self) -> None:
        self.scope = trio.CancelScope()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # the signature is httpcore's
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        stream = await super().connect_tcp(host, port, timeout, local_address, socket_options)
        self.scope.cancel()
        return stream


@pytest.mark.real_time
async def test_a_connection_that_was_cut_off_as_it_was_made_hinders_no_later_call() -> None:
    async with serving(told({"data": []})) as server, reaching(server.base) as http:
        network = Cutting()
        http._open = Clients(partial(http._client, network), is_fit=_is_fit)
        with network.scope:
            await http.get("/models", max_bytes=1000)
        assert network.scope.cancelled_caught
        network.scope = trio.CancelScope()
        assert (await http.get("/models", max_bytes=1000)).json() == {"data": []}
