"""Every endpoint of both dialects in one table: method, path, the operation it counts as, and its handler."""

import re
from collections.abc import Callable

from msgspec import Struct

from tests.standin import account, chat, files, images, images_openai, listings, speech, transcription, videos
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
    _route("openrouter", "POST", "/images(/generations)?", "make_image", images.openrouter),
    _route("openrouter", "GET", "/images/models", "image-models", listings.image_models),
    _route("openrouter", "GET", f"/images/models/{_ID}/endpoints", "image-endpoints", listings.image_endpoints),
    _route("openrouter", "POST", "/videos", "make_video", videos.submit),
    _route("openrouter", "GET", "/videos/models", "video-models", listings.video_models),
    _route("openrouter", "GET", "/videos/(?P<id>[^/]+)", "poll", videos.poll),
    _route("openrouter", "GET", "/videos/(?P<id>[^/]+)/content", "content", videos.content),
    _route("openrouter", "GET", "/key", "key", account.key),
    _route("openrouter", "GET", "/credits", "credits", account.credit),
    _route("openrouter", "GET", "/generation", "generation", account.generation),
    _route("openai", "POST", "/audio/speech", "speak", speech.openai),
    _route("openai", "POST", "/audio/transcriptions", "transcribe", transcription.openai),
    _route("openai", "POST", "/images/generations", "make_image", images_openai.generations),
    _route("openai", "POST", "/images/edits", "edit_image", images_openai.edits),
    _route("openai", "POST", "/chat/completions", "complete", chat.openai),
    _route("openai", "GET", "/models", "models", listings.openai_models),
    _route("elsewhere", "GET", "/files/(?P<name>[^/]+)", "file", files.serve),
)
