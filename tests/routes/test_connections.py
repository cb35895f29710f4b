"""Clients lent out in small groups: as many as are needed, the warm one first, none after they were closed."""

from contextlib import ExitStack

import trio

from pipeline.routes._connections import CONNECTIONS_PER_CLIENT, Clients


class Client:
    """Counts how often it was closed."""

    closed = 0

    async def aclose(self) -> None:
        self.closed += 1
        await trio.lowlevel.checkpoint()


async def test_another_client_is_made_only_when_all_are_full() -> None:
    clients = Clients(Client)
    with ExitStack() as lent:
        taken = [lent.enter_context(clients.lend()) for _ in range(2 * CONNECTIONS_PER_CLIENT + 1)]
    assert [taken.count(client) for client in dict.fromkeys(taken)] == [CONNECTIONS_PER_CLIENT] * 2 + [1]
    with clients.lend() as again:
        assert again in taken


async def test_the_client_that_had_room_last_is_lent_first() -> None:
    clients = Clients(Client)
    with ExitStack() as lent:
        full = [lent.enter_context(clients.lend()) for _ in range(CONNECTIONS_PER_CLIENT)]
        with clients.lend() as other:
            assert other not in full
    with clients.lend() as client:
        assert client is full[0]


async def test_all_are_closed_once_and_one_that_is_still_lent_does_not_come_back() -> None:
    clients = Clients(Client)
    with clients.lend() as client:
        await clients.aclose()
    assert client.closed == 1
    with clients.lend() as fresh:
        assert fresh is not client
