"""The pace of one user on one machine: what routes have taken, when they rest, what days and months have used.

Shared by all runs through `pace.db`, each step in one transaction, so that two runs together pass no rate and no cap.
What a call may use is booked before it is sent. A tab remembers it until the price is known: a killed run leaves tabs,
which count as spent until the next run of that spool closes them by its ledger. Blocking: asked through one runner.
"""

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import ROUND_CEILING, Decimal

import msgspec
from msgspec import Struct

from pipeline.core.budget import Shelf, ensure_room
from pipeline.core.decoding import from_json
from pipeline.core.errors import BudgetExhausted, LimitExceeded, MediaspoolError
from pipeline.core.model import AttemptId, Caps, Estimate
from pipeline.core.rates import Rate, Slots, Unit, kept, taken, wait_s
from pipeline.core.retry import MAX_TOLD_S
from pipeline.state.pace_file import border, connect, connect_view, write
from pipeline.state.pace_time import Mark, Moment, advance, day_of

UNITS_PER_USD = 10**12
KEEP_DAYS = 400
_COLUMNS = "usd, audio_ms, images, requests"
_BOOK = (
    f"INSERT INTO used (day, {_COLUMNS}, unknown) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (day) DO UPDATE SET"  # noqa: S608  # constants
    " usd = usd + excluded.usd, audio_ms = audio_ms + excluded.audio_ms, images = images + excluded.images,"
    " requests = requests + excluded.requests, unknown = unknown + excluded.unknown"
)
_Amounts = tuple[int | None, int, int, int]


class Used(Struct, frozen=True, kw_only=True):
    """What a day and its month have used, and how many of their calls have a price that nobody knows.

    `is_known` False: it cannot be read.
    """

    day: str
    is_known: bool = True
    of_day: Estimate = Estimate()
    of_month: Estimate = Estimate()
    unknown_of_day: int = 0
    unknown_of_month: int = 0


class Order(Struct, frozen=True, kw_only=True):
    """What one attempt asks for before it is sent. `under_way` is booked by its own run and has no price yet."""

    attempt: AttemptId
    route: str
    rates: Sequence[Rate]
    load: Mapping[Unit, float]
    estimate: Estimate
    day: Caps
    month: Caps
    under_way: Estimate = Estimate()


class Pace:
    """Opened once per run, when first needed; `view` is for looking."""

    def __init__(self, connection: sqlite3.Connection, *, spool: str, look: Callable[[], Moment]) -> None:
        self._db = connection
        self._spool = os.fsencode(spool)
        self._look = look

    @classmethod
    def open(cls, path: str, *, spool: str, look: Callable[[], Moment]) -> "Pace":
        """PaceBroken where it cannot be used."""
        return cls(connect(path), spool=spool, look=look)

    @classmethod
    def view(cls, path: str, *, look: Callable[[], Moment]) -> "Pace | None":
        connection = connect_view(path)
        return None if connection is None else cls(connection, spool="", look=look)

    def close(self) -> None:
        self._db.close()

    def check(self) -> str | None:
        """What SQLite finds wrong with the file; None when nothing is."""
        with border():
            (verdict,) = self._db.execute("PRAGMA quick_check(1)").fetchone()
        return None if verdict == "ok" else str(verdict)

    def take(self, order: Order) -> float:
        """Book the attempt and say 0, or the seconds until it may be asked again, with nothing booked.

        BudgetExhausted where a cap of day or month leaves no room, Reserved where what is `under_way` may yet leave
        some, LimitExceeded where a rate never will. Reserved undoes the transaction: it may be asked often.
        """
        with self._write() as at:
            answer = self._answer(order, at)
        if isinstance(answer, MediaspoolError):  # only now: what was learned of the clock stays
            raise answer
        return answer

    def _answer(self, order: Order, at: float) -> float | MediaspoolError:
        rest_until, windows = self._route(order.route)
        wait = min(max(rest_until - at, 0.0), MAX_TOLD_S)
        try:
            for rate in order.rates:
                name = f"{rate.unit} {rate.span}"
                live = kept(rate, windows.get(name, {}), at)
                more = order.load.get(rate.unit, 0.0)
                wait = max(wait, _wait(rate, live, at, more))
                windows[name] = taken(rate, live, at, more)
            _ensure_room(order, self._used(day_of(at)))
        except (BudgetExhausted, LimitExceeded) as refusal:
            return refusal
        if wait > 0:
            return wait
        if order.rates:
            self._put_route(order.route, rest_until, windows)
        self._open_tab(order.attempt, day_of(at), order.estimate)
        return 0.0

    def ensure_room(self, order: Order) -> None:
        """What `take` raises for the caps of day and month. Books and writes nothing."""
        _ensure_room(order, self.used())

    def settle(self, attempt: AttemptId, used: Estimate) -> None:
        """What the attempt really used. While its price is unknown it counts with its worst case, and the tab stays."""
        with self._write():
            self._settle(attempt, used)

    def price(self, attempt: AttemptId, usd: Decimal) -> None:
        """A price that became known later; nothing happens where no tab waits for it."""
        with self._write():
            tab = self._tab(attempt)
            if tab is not None:
                day, amounts = tab
                self._book(day, ((_units(usd) or 0) - (amounts[0] or 0), 0, 0, 0), unknown=-(amounts[0] is None))
                self._db.execute("DELETE FROM tabs WHERE attempt = ?", (attempt,))

    def rest(self, route: str, seconds: float) -> None:
        """Nobody calls the route before that; a longer rest stays."""
        with self._write() as at:
            rest_until, windows = self._route(route)
            self._put_route(route, max(rest_until, at + min(seconds, MAX_TOLD_S)), windows)

    def rest_s(self, route: str) -> float:
        """Seconds that a route still rests, because some run was told to. Writes nothing."""
        with border():
            at = advance(self._mark(), self._look()).at
            return min(max(self._route(route)[0] - at, 0.0), MAX_TOLD_S)

    def used(self) -> Used:
        """What this day and month have used. Writes nothing."""
        with border():
            return self._used(day_of(advance(self._mark(), self._look()).at))

    def tabs(self) -> list[AttemptId]:
        """The attempts of this spool whose price is open: of a killed run, in doubt, or not told yet."""
        with border():
            rows = self._db.execute("SELECT attempt FROM tabs WHERE spool = ? LIMIT 10000", (self._spool,)).fetchall()
        return [AttemptId(attempt) for (attempt,) in rows]

    def enter(self, spent: Sequence[tuple[str, Estimate, int]]) -> bool:
        """Count in a spool that this file does not know, by day of its own ledger. False when it is known already.

        What it spent in this month counts; days to come, by a clock that was set back since, count as today. With each
        estimate comes the number of calls in it whose price nobody knows.
        """
        with self._write() as at:
            if self._db.execute("SELECT 1 FROM spools WHERE spool = ?", (self._spool,)).fetchone():
                return False
            self._db.execute("INSERT INTO spools VALUES (?)", (self._spool,))
            today = day_of(at)
            for day, estimate, unknown in spent:
                if day >= today[:8]:
                    self._book(min(day, today), _amounts(estimate), unknown=unknown)
        return True

    @contextlib.contextmanager
    def _write(self) -> Iterator[float]:
        """A transaction, and the time in it."""
        with write(self._db):
            last = self._mark()
            mark = advance(last, self._look())
            values = (mark.at, mark.steady, mark.boot)
            self._db.execute("INSERT OR REPLACE INTO clock VALUES (1, ?, ?, ?)", values)
            if last is None or day_of(last.at) != day_of(mark.at):
                self._turn(day_of(mark.at))
            yield mark.at

    def _turn(self, today: str) -> None:
        """Another day: what a clock set back has put into the future counts as today's, and very old days go."""
        ahead = self._db.execute(f"SELECT {_COLUMNS}, unknown FROM used WHERE day > ?", (today,)).fetchall()  # noqa: S608  # constants
        for *amounts, unknown in ahead:
            self._book(today, tuple(amounts), unknown=unknown)
        self._db.execute("DELETE FROM used WHERE day > ?", (today,))
        self._db.execute("UPDATE tabs SET day = ? WHERE day > ?", (today, today))
        for table in ("used", "tabs"):
            self._db.execute(f"DELETE FROM {table} WHERE day < date(?, ?)", (today, f"-{KEEP_DAYS} days"))  # noqa: S608  # constants

    def _mark(self) -> Mark | None:
        row = self._db.execute("SELECT at, steady, boot FROM clock").fetchone()
        return None if row is None else Mark(at=row[0], steady=row[1], boot=row[2])

    def _route(self, route: str) -> tuple[float, dict[str, Slots]]:
        row = self._db.execute("SELECT rest_until, windows FROM routes WHERE route = ?", (route,)).fetchone()
        return (0.0, {}) if row is None else (row[0], from_json(row[1], dict[str, Slots]))

    def _put_route(self, route: str, rest_until: float, windows: dict[str, Slots]) -> None:
        body = msgspec.json.encode(windows).decode()
        self._db.execute("INSERT OR REPLACE INTO routes VALUES (?, ?, ?)", (route, rest_until, body))

    def _used(self, today: str) -> Used:
        """Days to come count in this day and month: a clock that was set back frees nothing."""
        rows = self._db.execute(f"SELECT day, {_COLUMNS}, unknown FROM used WHERE day >= ?", (today[:8],)).fetchall()  # noqa: S608  # constants
        return Used(
            day=today,
            of_day=_sum([row[1:5] for row in rows if row[0] >= today]),
            of_month=_sum([row[1:5] for row in rows]),
            unknown_of_day=sum(row[5] for row in rows if row[0] >= today),
            unknown_of_month=sum(row[5] for row in rows),
        )

    def _open_tab(self, attempt: AttemptId, day: str, estimate: Estimate) -> None:
        amounts = _amounts(estimate)
        self._book(day, amounts, unknown=int(amounts[0] is None))
        self._db.execute("INSERT INTO tabs VALUES (?, ?, ?, ?, ?, ?, ?)", (attempt, self._spool, day, *amounts))

    def _settle(self, attempt: AttemptId, used: Estimate) -> None:
        tab = self._tab(attempt)
        if tab is None:
            return
        day, (usd, *others) = tab
        really, *now = _amounts(used)
        counted = usd if really is None else really
        more = ((counted or 0) - (usd or 0), *(after - before for after, before in zip(now, others, strict=True)))
        self._book(day, more, unknown=-1 if usd is None and really is not None else 0)
        if really is None:
            values = (*now, attempt)
            self._db.execute("UPDATE tabs SET audio_ms = ?, images = ?, requests = ? WHERE attempt = ?", values)
        else:
            self._db.execute("DELETE FROM tabs WHERE attempt = ?", (attempt,))

    def _tab(self, attempt: AttemptId) -> tuple[str, _Amounts] | None:
        row = self._db.execute(f"SELECT day, {_COLUMNS} FROM tabs WHERE attempt = ?", (attempt,)).fetchone()  # noqa: S608  # constants
        return None if row is None else (row[0], (row[1], row[2], row[3], row[4]))

    def _book(self, day: str, amounts: Sequence[int | None], *, unknown: int) -> None:
        usd, *others = amounts
        self._db.execute(_BOOK, (day, usd or 0, *others, unknown))


def _ensure_room(order: Order, used: Used) -> None:
    shelves = [
        Shelf(level="day", caps=order.day, used=used.of_day, reserved=order.under_way),
        Shelf(level="month", caps=order.month, used=used.of_month, reserved=order.under_way),
    ]
    ensure_room(shelves, order.estimate)


def _wait(rate: Rate, live: Slots, at: float, more: float) -> float:
    wait = wait_s(rate, live, at, more)
    if wait == float("inf"):
        raise LimitExceeded(
            f"the call takes {more:g} {rate.unit.replace('_', '-')}, and the route {rate.words} at most",
            code="limit-rate",
            hint="split the input, or raise the rate in the settings",
        )
    return wait


def _units(usd: Decimal | None) -> int | None:
    return None if usd is None else int((usd * UNITS_PER_USD).to_integral_value(rounding=ROUND_CEILING))


def _amounts(estimate: Estimate) -> _Amounts:
    return _units(estimate.usd), round(estimate.audio_seconds * 1000), estimate.images, estimate.requests


def _sum(rows: Sequence[Sequence[int]]) -> Estimate:
    usd, audio_ms, images, requests = (sum(row[column] for row in rows) for column in range(4))
    return Estimate(usd=Decimal(usd) / UNITS_PER_USD, audio_seconds=audio_ms / 1000, images=images, requests=requests)
