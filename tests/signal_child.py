"""The program with the scripted route, which sends signals to itself when the main path passes chosen points.

`python -m tests.signal_child TERM:opened,TERM:sending run --spool ...`; each signal is sent once. `-` sends none.
"""

import os
import signal
import sys
import threading
import time

from pipeline.program import main
from pipeline.runtime import World, utc_now
from tests.makers import DRIVERS

APART_S = 0.05  # of two that are pending at once, the main thread would take the lower number first


class Sender:
    """Told of each point, by any thread; a point may stand for several signals, sent in order."""

    def __init__(self, orders: str) -> None:
        pairs = [order.partition(":") for order in orders.split(",") if ":" in order]
        self._turn = threading.Lock()
        self._left = [(getattr(signal, f"SIG{name}"), point) for name, _, point in pairs]

    def __call__(self, point: str) -> None:
        with self._turn:
            for order in [order for order in self._left if order[1] == point]:
                self._left.remove(order)
                os.kill(os.getpid(), order[0])
                time.sleep(APART_S)


if __name__ == "__main__":
    sender = Sender(sys.argv.pop(1))
    os.write(1, b"ready\n")  # Python itself has started; what a signal does from now on is the program's own
    main(
        World(environ=os.environ, log_stream=sys.stderr, clock=utc_now, now=time.time, reached=sender, drivers=DRIVERS)
    )
