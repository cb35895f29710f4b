"""One more thread for those who share a queue of work, as far as the system gives any."""

import threading
from collections.abc import Callable

from pipeline.core.errors import StoreError


def one_more(threads: list[threading.Thread], work: Callable[[], None], *, name: str) -> None:
    """Where the system refuses one, those that are here do all the work; without any, nobody ever would: StoreError."""
    thread = threading.Thread(target=work, name=name, daemon=True)
    try:
        thread.start()
    except RuntimeError as error:
        if not threads:
            hint = "raise `ulimit -u`, or TasksMax= of the unit"
            raise StoreError("the system gives this process no thread", hint=hint) from error
    else:
        threads.append(thread)
