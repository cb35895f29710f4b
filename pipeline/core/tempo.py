"""How fast a route is used: slower as soon as it asks for that, faster again one step at a time.

A word to slow down ends the whole route's turn, not one call's: the width halves, everybody rests as long as the server
asked, and then one call goes ahead alone. Calls that began before the last such word say nothing new, neither for nor
against. Pure: every moment comes in, in seconds of one steady clock.
"""

from collections.abc import Collection

from pipeline.core.retry import FIRST_DELAY_S, MAX_TOLD_S

MAX_STRIKES = 8
MAX_REST_S = 60.0
ROUNDS_PER_SEAT = 4


class Tempo:
    """The pace of one route in one run. `strikes` are words to slow down since a call last went well.

    `turn` changes with each such word; a call remembers the turn in which it began.
    """

    def __init__(self, most: int) -> None:
        self.width = float(most)
        self.strikes = self.turn = 0
        self._most = most
        self._rest_until = float("-inf")

    @property
    def is_worn_out(self) -> bool:
        """Was it asked often enough, or does it ask for more patience than a run has?"""
        return self.strikes >= MAX_STRIKES

    def seats(self, under_way: Collection[int]) -> int:
        """Calls that may be under way, of which those are that began in these turns.

        One more than the old ones while nobody knows whether the route takes calls again.
        """
        return 1 + sum(turn != self.turn for turn in under_way) if self.strikes else int(self.width)

    def wait_s(self, now: float) -> float:
        return max(self._rest_until - now, 0.0)

    def slow_down(self, *, turn: int, now: float, hint_s: float | None, jitter: float) -> None:
        """A call of that turn was sent away. The server's hint wins; where it is wrong again, we wait longer."""
        if turn == self.turn:
            self.turn += 1
            self.strikes = self.strikes + 1 if (hint_s or 0.0) <= MAX_TOLD_S else MAX_STRIKES
            self.width = max(self.width / 2, 1.0)
            own_s = min(FIRST_DELAY_S * 2.0 ** (self.strikes - 1), MAX_REST_S) * (0.5 + jitter / 2)
            hint_s = own_s if hint_s is None else hint_s if self.strikes == 1 else max(hint_s, own_s)
        self._rest_until = max(self._rest_until, now + (hint_s or 0.0))

    def went_well(self, *, turn: int) -> None:
        """One more seat after every few rounds of calls that all went well."""
        if turn == self.turn:
            self.strikes = 0
            self.width = min(self.width + 1 / (ROUNDS_PER_SEAT * self.width), self._most)
