"""Retry is policy read from the error: only what surely was not executed, a few times, later each time.

Where a server says how long to wait, that is how long: never shorter, and where it is too long, not now at all.
"""

from pipeline.core.errors import MediaspoolError

MAX_TRIES = 4
MAX_TURNED_AWAY = 30
"""Tries of one call that a busy route turns away, while others go through."""
FIRST_DELAY_S = 1.0
MAX_DELAY_S = 60.0
MAX_TOLD_S = 120.0


def delay_s(error: MediaspoolError, *, tries: int, jitter: float) -> float | None:
    """Seconds to wait before the next try, or None when there is none. `jitter` lies in [0, 1).

    Where a whole route slows down, its gate waits where the server did not say how long.
    """
    if not error.retryable or tries >= (MAX_TURNED_AWAY if error.slows else MAX_TRIES):
        return None
    if error.retry_after_s is not None:
        return error.retry_after_s if error.retry_after_s <= MAX_TOLD_S else None
    if error.slows:
        return 0.0
    return min(FIRST_DELAY_S * 2.0 ** (tries - 1), MAX_DELAY_S) * (0.5 + jitter / 2)
