"""Origins as a person writes them into settings: scheme, host and port, as in "http://10.0.0.5:8000".

Checked when settings and routes are read: a slip of the hand must not show when a paid result or a notice is under way.
"""

from collections.abc import Iterable
from urllib.parse import urlsplit

from pipeline.core.confine import display
from pipeline.core.errors import ConfigError

Origin = tuple[str, str, int]


def origin_of(text: str) -> Origin | None:
    """Scheme, host and port of an address; None where it is no http or https address."""
    try:
        parts = urlsplit(text.strip())
        port = parts.port
    except ValueError:  # an odd port, or half of an IPv6 address
        return None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return None
    return parts.scheme, parts.hostname, port or (443 if parts.scheme == "https" else 80)


def check_origins(origins: Iterable[str], what: str) -> None:
    """ConfigError for the first that is none; `what` names the key of the settings."""
    for text in origins:
        if origin_of(text) is None or "@" in text:
            shown = display(text.rpartition("@")[2], 100)
            raise ConfigError(f"{what} has '{shown}', which is no origin", hint='write it like "http://10.0.0.5:8000"')
