"""The till between two tasks: room that comes in the very moment in which somebody asks for it is not missed."""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest
import trio

from pipeline.core.budget import Budget
from pipeline.core.drivers import RouteConfig
from pipeline.core.limits import Tab
from pipeline.core.model import CallKey, Caps, Estimate, Limits, Place, RouteId, T, Ts
from pipeline.core.operations import Speak
from pipeline.course import Call, CallOwner
from pipeline.pacing import NotYet, Pacer
from pipeline.state.pace_time import Moment
from pipeline.till import Till
from tests.player import Player

DOLLAR = Caps(max_spend_usd=Decimal(1))


class HeldBack:
    """Work is done when it is asked for; its answers are told one by one, in the order that `told` says."""

    def __init__(self) -> None:
        self.untold: list[trio.Event] = []

    async def __call__(self, work: Callable[[*Ts], T], *args: *Ts) -> T:
        self.untold.append(trio.Event())
        answer: T | Exception
        try:
            answer = work(*args)
        except Exception as error:  # told like an answer
            answer = error
        await self.untold[-1].wait()
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def told(self, number: int) -> None:
        self.untold[number].set()
        await trio.testing.wait_all_tasks_blocked()


def call_of(text: str) -> Call:
    player = Player(RouteConfig(id=RouteId("r"), driver="player", width=2), paid=True)
    player.worst_usd = Decimal("0.60")
    owner = CallOwner(
        place=Place(text),
        kind="acting",
        manifest="m",
        limits=Limits(),
        budget=Budget(Caps()),
        tab=Tab(),
        may_begin=bool,
        may_wait=bool,
        may_leave=bool,
    )
    operation = Speak(text=text, language="en")
    return Call(key=CallKey(text), operation=operation, binding=player.bind("speak", None), owner=owner, driver=player)


async def test_a_price_that_comes_while_somebody_asks_for_room_is_not_missed(tmp_path: Path) -> None:
    runner, ended, seen = HeldBack(), trio.Event(), list[str]()
    pacer = Pacer(
        str(tmp_path / "pace.db"),
        spool="spool",
        look=lambda: Moment(wall=1e9, steady=1.0, boot="this"),
        runner=runner,
        day=DOLLAR,
        month=Caps(),
        patience_s=1.0,
        warn=seen.append,
    )
    till = Till(pacer)

    async def first() -> None:
        async with till.taken(call_of("first")) as bill:
            await ended.wait()
            bill.used = Estimate(usd=Decimal("0.10"))

    async def second() -> None:
        with pytest.raises(NotYet) as caught:
            async with till.taken(call_of("second")):
                pass
        seen.append(f"asked again after {caught.value.wait_s:g} s")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(first)
        await trio.testing.wait_all_tasks_blocked()
        await runner.told(0)
        nursery.start_soon(second)  # there is no room, but that is not told yet
        await trio.testing.wait_all_tasks_blocked()
        ended.set()  # there is now, and that is told first
        await trio.testing.wait_all_tasks_blocked()
        await runner.told(2)
        await runner.told(1)
    pacer.close()
    assert seen == ["asked again after 0 s"]
