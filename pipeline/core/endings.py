"""The signals that ask the program to end."""

import signal

_ALWAYS = (signal.SIGTERM, signal.SIGINT)


def ending_signals() -> tuple[signal.Signals, ...]:
    """A closed terminal is one of them too, except where somebody has it ignored for us, as nohup does."""
    is_ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    return _ALWAYS if is_ignored else (*_ALWAYS, signal.SIGHUP)
