"""The program with the scripted route: the same entry, another world. Started as a process of its own by the tests."""

import os
import sys
import time

from pipeline.program import main
from pipeline.runtime import World, utc_now
from tests.makers import DRIVERS

if __name__ == "__main__":
    main(
        World(
            environ=os.environ,
            log_stream=sys.stderr,
            clock=utc_now,
            now=time.time,
            reached=lambda _point: None,
            drivers=DRIVERS,
        )
    )
