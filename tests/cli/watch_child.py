"""`keep_watch` over a run that is a stub: a real process that notes when it starts, and drains when it is told to.

Started by the tests as a process of its own: watch_child.py SPOOL LOG EVERY_S SECONDS, the last for each run.
"""

import os
import sys

import trio

from pipeline.watch import Rounds, keep_watch

RUN = """
import signal, sys, time
def drain(number, frame):
    print("drained", file=log, flush=True)
    time.sleep(0.2)  # for a second signal
    sys.exit(143)
log = open(sys.argv[1], "a")
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, drain)
print("run", file=log, flush=True)
time.sleep(float(sys.argv[2]))
"""

if __name__ == "__main__":
    spool, log, every_s, seconds = sys.argv[1:]
    rounds = Rounds(
        root=spool,
        command=(sys.executable, "-c", RUN, log, seconds),
        environ=os.environ,
        every_s=float(every_s),
        settle_s=0.0,
    )
    sys.exit(128 + trio.run(keep_watch, rounds, (os.path.join(spool, "incoming"),)))
