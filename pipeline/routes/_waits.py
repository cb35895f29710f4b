"""How long a server asks to wait: every place and form in which it may say so, and what of it is believed.

Negative, endless and unreadable values are as good as silence, and the next source is asked. Dates are measured on the
server's own clock where it tells the time, so a wrong clock here changes nothing.
"""

import math
import re
import time
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime

from pipeline.routes._json import JsonValue, as_object

_NUMBER = re.compile(r"[0-9]{1,15}(\.[0-9]{1,9})?")
_EPOCH_MS = 1e11  # below it, a reset is meant in seconds: since 1970, or from now on
_EPOCH_S = 1e8


def wait_s(headers: Mapping[str, str], error: JsonValue) -> float | None:
    """Seconds that an answer asks for, or None. `headers` have lower-case names; `error` is its error object."""
    body = as_object(error)
    metadata, availability = as_object(body.get("metadata")), as_object(body.get("availability"))
    inner = {name.lower(): value for name, value in as_object(metadata.get("headers")).items()}
    now = _date(headers.get("date")) or time.time()
    asked = (
        _scaled(_number(headers.get("retry-after-ms")), 0.001),
        _retry_after(headers.get("retry-after"), now),
        _number(metadata.get("retry_after_seconds")),
        _number(body.get("retry_after_seconds")),
        _number(availability.get("retry_after")),
        _retry_after(inner.get("retry-after"), now),
        _reset(headers.get("x-ratelimit-reset"), now),
        _reset(inner.get("x-ratelimit-reset"), now),
    )
    return next((seconds for seconds in asked if seconds is not None), None)


def _number(value: JsonValue) -> float | None:
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        return float(value)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and 0 <= value < 1e15 and math.isfinite(value) else None  # type: ignore[arg-type, operator]  # is_number says so


def _retry_after(value: JsonValue, now: float) -> float | None:
    number = _number(value)
    if number is not None or not isinstance(value, str):
        return number
    date = _date(value)
    return date - now if date is not None and date >= now else None


def _reset(value: JsonValue, now: float) -> float | None:
    """A moment in milliseconds or seconds since 1970; a small number is seconds from now."""
    number = _number(value)
    if number is None or number < _EPOCH_S:
        return number
    moment = number / 1000 if number >= _EPOCH_MS else number
    return moment - now if moment >= now else None


def _date(text: str | None) -> float | None:
    if not text:
        return None
    try:
        found = parsedate_to_datetime(text)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError, IndexError, TypeError):
        return None


def _scaled(seconds: float | None, factor: float) -> float | None:
    return None if seconds is None else seconds * factor
