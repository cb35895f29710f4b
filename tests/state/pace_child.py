"""A process that takes from a shared pace as often as it can, and says how often: real processes against one cap."""

import sys
import time
from decimal import Decimal

from pipeline.core.errors import BudgetExhausted
from pipeline.core.model import AttemptId, Caps, Estimate
from pipeline.core.rates import Rate
from pipeline.state.ledger_rows import new_attempt_id
from pipeline.state.pace import Order, Pace
from pipeline.state.pace_time import Moment, boot_id, steady_s


def order(attempt: AttemptId, *, most: int) -> Order:
    return Order(
        attempt=attempt,
        route="r",
        rates=[Rate(unit="requests", span="day", most=most)],
        load={"requests": 1},
        estimate=Estimate(usd=Decimal("0.10"), requests=1),
        day=Caps(max_spend_usd=Decimal("2.55")),
        month=Caps(),
    )


def main(path: str, spool: str, most: str) -> None:
    look = lambda: Moment(wall=time.time(), steady=steady_s(), boot=boot_id())  # noqa: E731
    pace, taken = Pace.open(path, spool=spool, look=look), 0
    try:
        for _ in range(100):
            attempt = new_attempt_id()
            if pace.take(order(attempt, most=int(most))) > 0:
                break
            taken += 1
            if taken % 2:
                pace.settle(attempt, Estimate(usd=Decimal("0.10"), requests=1))
    except BudgetExhausted:
        pass
    print(taken)


if __name__ == "__main__":
    main(*sys.argv[1:])
