"""The file of figures between two runs: an idle tick is a success too, and says so at the price of one small write.

Imports nothing beyond the standard library's cheapest, like everything that an idle tick needs. Never raises: a file
that cannot be written says by its age that something is wrong.
"""

import os
import re
import time

BEATS = ("mediaspool_last_run_timestamp_seconds", "mediaspool_last_success_timestamp_seconds")
MAX_BYTES = 65_536
MODE = 0o644  # it is read by the collector of the machine, which is another user
_BEAT = re.compile(rb"^((?:%s)(?:\{.*\})?) .*$" % "|".join(BEATS).encode(), re.MULTILINE)


def beat(path: str) -> None:
    """Set the times of the last run and the last success to now; everything else stays as it is."""
    try:
        with open(path, "rb") as file:
            body = file.read(MAX_BYTES)
        replace_whole(path, _BEAT.sub(rb"\1 %d" % time.time(), body))
    except OSError:
        return


def replace_whole(path: str, body: bytes) -> None:
    """The old file or the new one under this name, never a part. OSError when it cannot be written."""
    part = f"{path}.{os.getpid()}.part"
    try:
        with open(
            os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, MODE), "wb"
        ) as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        os.rename(part, path)
    except OSError:
        if os.path.lexists(part):
            os.unlink(part)
        raise
