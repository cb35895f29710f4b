"""Every endpoint of both dialects in one table: method, path, the operation it counts as, and its handler."""

import re
from collections.abc import Callable

from msgspec import Struct

from tests.standin import chat, listings, speech, transcription
from tests.standin.nouns import Answer, Asked, Dialect
from tests.standin.world import World

Handler = Callable[[Asked, World], Answer]


class Route(Struct, frozen=True, kw_only=True):
    """`pattern` matches the whole path below the base of its dialect."""

    dialect: Dialect
    method: str
    pattern: re.Pattern[str]
    operation: str
    handler: Handler


def _route(dialect: Dialect, method: str, pattern: str, operation: str, handler: Handler) -> Route:
    return Route(dialect=dialect, method=method, pattern=re.compile(pattern), operation=operation, handler=handler)


_ID = r"(?P<model>[^/]+/[^/]+)"
ROUTES: tuple[Route, ...] = (
    _route("openrouter", "POST", "/audio/speech", "speak", speech.openrouter),
    _route("openrouter", "POST", "/audio/transcriptions", "transcribe", transcription.openrouter),
    _route("openrouter", "POST", "/chat/completions", "complete", chat.complete),
    _route("openrouter", "GET", "/models", "models", listings.models),
    _route("openrouter", "GET", f"/models/{_ID}/endpoints", "endpoints", listings.endpoints),
    _route("openrouter", "GET", f"/model/{_ID}", "model", listings.model),
    _route("openrouter", "GET", "/models/count", "count", listings.count),
)
