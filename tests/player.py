"""The driver of the rig: does what the text of an operation scripts, and writes down what was sent when."""

from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from typing import Literal

import msgspec
import trio
from msgspec import Struct

from pipeline.core import errors
from pipeline.core.drivers import DriverFacts, Exchange, Health, Reply, RouteConfig
from pipeline.core.model import Binding, Estimate, Refusal
from pipeline.core.operations import Operation, Speak
from tests.scripted import wav

ANSWER = wav(0.05)
ASK_EVERY_S = 10.0


class Act(Struct, frozen=True, kw_only=True):
    """What one call does: waits, then ends as `ok`, an error class or `bug`. The first tries may be `unavailable`.

    `on` is the route to which this happens; every other one just answers. `doubtful` tries end without a verdict.
    With `is_deferred` the provider goes on alone, and answers `after_s` later whoever asks. `parts` are payloads; all
    but the last come before the end.
    """

    after_s: float = 0.0
    ends: str = "ok"
    unavailable: int = 0
    doubtful: int = 0
    on: str | None = None
    is_deferred: bool = False
    parts: int = 1


class Played(Struct, frozen=True, kw_only=True):
    """A call that was really sent: `text` is the name of its job or of what jobs share, `call` all of it."""

    route: str
    text: str
    call: str
    at: float


class Player:
    """The driver of the rig. It writes down what was sent when, and how many were on their way at once.

    `mood` is asked with the number of calls under way, and may turn one away.
    """

    def __init__(self, route: RouteConfig, *, paid: bool) -> None:
        self.route = route
        self.facts = DriverFacts(
            name="player", operations=frozenset({"speak"}), media_out=frozenset({"audio/wav"}), paid=paid
        )
        self.sent: list[Played] = []
        self.resumed: list[Played] = []
        self.usd: Decimal | None = Decimal("0.10") if paid else Decimal(0)
        self.worst_usd: Decimal | Literal["usd"] | None = "usd"
        self.now = self.most = 0
        self.turned_away: list[float] = []
        self.mood: Callable[[int], errors.MediaspoolError | None] = lambda _under_way: None
        self._ready_at: dict[str, float] = {}
        self._tries: Counter[str] = Counter()

    def bind(self, operation: str, model: str | None) -> Binding:
        return Binding(route=self.route.id, model="one", engine="player 1", paid=self.facts.paid)

    def check(self, operation: Operation, binding: Binding) -> list[Refusal]:
        return []

    def estimate(self, operation: Operation, binding: Binding) -> Estimate:
        return Estimate(usd=self.usd if self.worst_usd == "usd" else self.worst_usd, audio_seconds=60.0)

    def probe(self) -> Health:
        return Health(ok=True, summary="plays")

    async def perform(self, operation: Operation, binding: Binding, exchange: Exchange) -> Reply:
        assert isinstance(operation, Speak)
        act = msgspec.json.decode(operation.text.partition("/")[2].partition(" ")[2], type=Act)
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await self._in_the_mood(exchange)
            return await self._play(operation.text, act if act.on in (None, self.route.id) else Act(), exchange)
        finally:
            self.now -= 1

    async def _in_the_mood(self, exchange: Exchange) -> None:
        trouble = self.mood(self.now)
        if trouble is not None:
            await exchange.connecting()
            if trouble.connected:
                await exchange.sending()
            self.turned_away.append(trio.current_time())
            raise trouble

    async def _play(self, text: str, act: Act, exchange: Exchange) -> Reply:
        self._tries[text] += 1
        if exchange.ticket is None:
            await exchange.connecting()
        if self._tries[text] <= act.unavailable:
            raise errors.Unavailable("not now")
        played = Played(route=self.route.id, text=text.partition("/")[0], call=text, at=trio.current_time())
        if exchange.ticket is None:
            await exchange.sending()
            self.sent.append(played)
        else:
            self.resumed.append(played)
        if act.is_deferred and exchange.ticket is None:
            self._ready_at[text] = trio.current_time() + act.after_s
            await exchange.submitted(f"ticket of {played.text}")
        if act.is_deferred:
            while (left := self._ready_at[text] - trio.current_time()) > 0:
                await exchange.pause(min(left, ASK_EVERY_S))
        else:
            await trio.sleep(act.after_s)
        return await self._answer(text, act, exchange)

    async def _answer(self, text: str, act: Act, exchange: Exchange) -> Reply:
        if act.ends == "bug":
            raise ZeroDivisionError
        if self._tries[text] - act.unavailable <= act.doubtful:
            raise errors.InDoubt("no verdict")
        for number in range(act.parts - 1):
            await exchange.write(wav(0.05 + number / 100))
            await exchange.next_part()
        if act.ends != "ok":
            raise getattr(errors, act.ends)("as scripted")
        await exchange.write(ANSWER)
        return Reply(media_type="audio/wav", model="one", usd=self.usd)
