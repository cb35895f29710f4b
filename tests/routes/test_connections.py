"""Clients lent out one by one: as many as are needed, the warm one first, none after they were closed."""

from contextlib import ExitStack

import trio

from pipeline.routes._connections import Clients


class Client:
    """Counts how often it was closed."""

    closed = 0

    async def aclose(self) -> None:
        self.closed += 1
        await trio.lowlevel.checkpoint()


async def test_another_client_is_made_only_when_all_are_lent() -> None:
    clients = Clients(Client)
    with ExitStack() as lent:
        taken = [lent.enter_context(clients.lend()) for _ in range(9)]
    assert len(set(taken)) == 9
    with ExitStack() as lent:
        assert {lent.enter_context(clients.lend()) for _ in range(9)} == set(taken)


async def test_the_client_that_was_given_back_last_is_lent_first() -> None:
    clients = Clients(Client)
    with clients.lend() as first, clients.lend() as second:
        pass
    with clients.lend() as client:
        assert client is first
    assert second is not first


async def test_all_are_closed_once_and_one_that_is_still_lent_does_not_come_back() -> None:
    clients = Clients(Client)
    with clients.lend() as client:
        await clients.aclose()
    assert client.closed == 1
    with clients.lend() as fresh:
        assert fresh is not client
