"""The one border for what a server says of a failure: status, headers and body in, the error whose facts are true out.

Reads every shape of error body, and an error inside a 2xx. Decides by codes and fields, never by the words; the words
are kept through `safe`, short. A paid POST is only told "not executed" (Unavailable) where the contract says so in the
server's own error JSON; everything else that is no clear refusal is InDoubt. Knows no HTTP library and sends nothing.
"""

import re
from collections.abc import Callable, Mapping

from msgspec import Struct

from pipeline.core.errors import (
    ContractError,
    Forbidden,
    InDoubt,
    MediaspoolError,
    Overloaded,
    Rejected,
    RouteClosed,
    Throttled,
    Unavailable,
)
from pipeline.core.retry import MAX_TOLD_S
from pipeline.routes._json import JsonValue, as_object, as_text, read_json
from pipeline.routes._waits import wait_s

MAX_ERROR_BYTES = 64 * 1024
MAX_WORDS = 300
RESOLVE = "mediaspool status lists it; mediaspool resolve decides"

_PAGE = re.compile(rb"\s*<(!doctype|!--|html|head|body|title|h1|script|center|\?xml|error)", re.IGNORECASE)
_CLIP = re.compile(r"videos/(?!models$).+")
_IN_FLIGHT = "openrouter_in_flight_budget"
_QUOTA_GONE = frozenset({"openrouter_free_tier_daily", "insufficient_quota", "billing_hard_limit_reached"})
_ONE_MODEL_POOL = "upstream_provider_shared_pool"
_CODES_OF_WORDS = {
    "server_error": 500,
    "invalid_api_key": 401,
    "insufficient_quota": 429,
    "rate_limit_exceeded": 429,
    "model_not_found": 404,
    "invalid_request_error": 400,
    "content_policy_violation": 400,
    "moderation_blocked": 400,
}
_UNBILLED: dict[str, frozenset[int]] = {
    # what the contract says of a failed call in the API's own error JSON; nothing is said of transcription and video
    "/images": frozenset({502}),
    "/audio/speech": frozenset({502}),
    "/chat/completions": frozenset({502, 503, 529}),
}
_OVERLOAD = frozenset({503, 529})
_SLOWED: Mapping[type[MediaspoolError], type[MediaspoolError]] = {Unavailable: Throttled, InDoubt: Overloaded}
"""What is said of the whole server, not of one call. A question keeps its own patience."""
_ABOUT_ONE_CALL = frozenset({"reasons", "flagged_input", "patterns", "model_slug"})
_ABOUT_THE_KEY = frozenset(
    {"permission_denied", "permission_error", "insufficient_permissions", "authentication_error", "invalid_api_key"}
)
_ONE_CALL_CODES = frozenset(
    {
        "content_policy_violation",
        "refusal",
        "moderation_blocked",
        "model_not_found",
        "region_restricted",
        "unsupported_country_region_territory",
    }
)


class Told(Struct, frozen=True, kw_only=True):
    """What an error body says. `error` is its error object, `code` the number or word in it."""

    words: str = ""
    code: int | str | None = None
    error: dict[str, JsonValue] = {}
    is_json: bool = False

    @property
    def metadata(self) -> dict[str, JsonValue]:
        return as_object(self.error.get("metadata"))

    @property
    def availability(self) -> dict[str, JsonValue]:
        return as_object(self.error.get("availability"))

    @property
    def marks(self) -> frozenset[str]:
        """Every machine word that names the kind of failure, wherever the server put it."""
        found = (
            self.code,
            self.error.get("type"),
            self.error.get("error_type"),
            self.metadata.get("error_type"),
            self.metadata.get("limit_source"),
            self.metadata.get("reason"),
            self.availability.get("code"),
        )
        return frozenset(word for word in found if isinstance(word, str))


def error_of(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    path: str,
    model: str | None,
    sent: bool,
    is_post: bool,
    safe: Callable[[str], str],
) -> MediaspoolError:
    """The error that an answer stands for. `sent` False says that the server cannot have had the whole request."""
    told = read_error(body)
    is_inside = 200 <= status < 300
    if is_inside:
        status = _status_inside(told)
    lower = {name.lower(): value for name, value in headers.items()}
    wait = wait_s(lower, told.error)
    found = _class(status, told, path=path, may_be_done=sent and is_post, wait=wait)
    if is_inside and sent and is_post and found is Unavailable and status >= 500:
        found = InDoubt  # it had begun to answer: nobody says that what failed then was not billed
    is_long = wait is not None and wait > MAX_TOLD_S
    if found.retryable and is_long and _ONE_MODEL_POOL not in told.marks:  # a later run takes what is left
        found = RouteClosed
    if found is Forbidden and not is_post:
        found = RouteClosed  # nothing of a job is in a question: it can only be for the key
    if status in _OVERLOAD and is_post and not is_inside:
        found = _SLOWED.get(found, found)
    answered = "2xx, with an error in it," if is_inside else str(status)
    message = _message(answered, told, path=path, model=model, method="POST" if is_post else "GET", safe=safe)
    retry_after_s = wait if found.retryable or found.slows else None
    return found(message, hint=_hint(found, status, told, is_page(body)), retry_after_s=retry_after_s)


def error_inside(body: bytes) -> bool:
    """Does this JSON, which came with a 2xx, tell of a failure? False too when it is no readable JSON."""
    is_named = b"error" in body or b"\\u" in body  # a failure stands under this word, which can be written in escapes
    return is_named and read_error(body, inside_success=True).is_json


def is_page(body: bytes) -> bool:
    """Does it begin like a web page or an XML error of a storage server?"""
    return _PAGE.match(body) is not None


def read_error(body: bytes, *, inside_success: bool = False) -> Told:
    """What an error body of any known shape says; `is_json` False when it is none of them."""
    try:
        top = as_object(read_json(body))
    except ContractError:
        return Told()
    if inside_success and "id" in top and "status" in top:
        return Told()  # a job that failed tells so in its own words: the answer about it is a good one
    error = top.get("error") or _choice_error(top)
    if isinstance(error, dict):
        return _told(error)
    if isinstance(error, str):
        return Told(words=error, is_json=True)
    if inside_success:
        return Told()
    words = _detail(top.get("detail")) or as_text(top.get("message"))
    return Told(words=words, code=_code(top.get("code")), error=top, is_json=bool(top))


def _choice_error(top: Mapping[str, JsonValue]) -> JsonValue:
    choices = top.get("choices")
    return as_object(choices[0]).get("error") if isinstance(choices, list) and choices else None


def _told(error: dict[str, JsonValue]) -> Told:
    message, metadata = as_text(error.get("message")), as_object(error.get("metadata"))
    more = as_text(metadata.get("raw")) or _reasons(metadata.get("reasons"))
    words = _zod(message) if error.get("name") == "ZodError" else message
    constraint = as_text(as_object(as_object(error.get("availability")).get("constraint")).get("detail"))
    joined = " · ".join(part for part in (words, more, constraint) if part)
    return Told(words=joined, code=_code(error.get("code")), error=error, is_json=True)


def _code(value: JsonValue) -> int | str | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) == 3:
        return int(value)
    return value if isinstance(value, int | str) else None


def _reasons(value: JsonValue) -> str:
    return ", ".join(item for item in value if isinstance(item, str)) if isinstance(value, list) else ""


def _zod(message: str) -> str:
    """Validators send their findings as a JSON list inside a string."""
    try:
        found = read_json(message.encode("utf-8", "replace"))
    except ContractError:
        return message
    return _detail(found) or message


def _detail(value: JsonValue) -> str:
    """FastAPI's `detail`, which a server may fill as it likes, and Zod's list: where, and what is wrong there."""
    if isinstance(value, dict):
        told = as_object(value.get("error")) or value
        return as_text(told.get("message")) or as_text(told.get("msg")) or as_text(told.get("error"))
    if not isinstance(value, list):
        return as_text(value)
    items = [as_object(item) for item in value]
    return "; ".join(f"{_place(item)}: {as_text(item.get('message') or item.get('msg'))}" for item in items)


def _place(item: Mapping[str, JsonValue]) -> str:
    where = item.get("path") or item.get("loc")
    return ".".join(str(part) for part in where) if isinstance(where, list) else "request"


def _status_inside(told: Told) -> int:
    """The status that an error inside a 2xx stands for; without one, that of a provider that failed."""
    for value in (told.code, told.error.get("http_status"), told.error.get("status")):
        if isinstance(value, int) and 400 <= value < 600:
            return value
    return next((_CODES_OF_WORDS[word] for word in sorted(told.marks) if word in _CODES_OF_WORDS), 502)


def _class(status: int, told: Told, *, path: str, may_be_done: bool, wait: float | None) -> type[MediaspoolError]:
    found = _by_router(status, told) or _by_status(status, told, may_be_done=may_be_done)
    if found is not None:
        return found
    if may_be_done and not _is_unbilled(status, told, path=path, wait=wait):
        return InDoubt
    return Unavailable


def _by_router(status: int, told: Told) -> type[MediaspoolError] | None:
    """The router's own word: it found nobody to send this to."""
    match told.availability.get("retryable"):
        case True:
            return Throttled if status == 429 else Unavailable
        case False if status not in (401, 402, 403, 407):
            return Rejected
    return None


def _by_status(status: int, told: Told, *, may_be_done: bool) -> type[MediaspoolError] | None:
    match status:
        case 401 | 407 | 301 | 307 | 308:
            return RouteClosed
        case 302 | 303 if not may_be_done:  # to a POST it may say where the result of it lies
            return RouteClosed
        case 402:
            return Throttled if _IN_FLIGHT in told.marks else RouteClosed
        case 403:
            return _forbidden(told)
        case 429:
            return RouteClosed if told.marks & _QUOTA_GONE else Throttled
        case 425:
            return Unavailable
        case 501 if told.code == status:  # the server itself, not a gateway: it does not have what was asked for
            return Rejected
        case _ if 400 <= status < 500 and status != 408:
            return Rejected
    return None


def _forbidden(told: Told) -> type[MediaspoolError]:
    """Moderation, a guardrail, a region or one model: the next call may go through. OpenAI has no marks for it."""
    if told.marks & _ONE_CALL_CODES or _ABOUT_ONE_CALL & told.metadata.keys() or told.availability:
        return Rejected
    return RouteClosed if told.marks & _ABOUT_THE_KEY or not told.is_json else Forbidden


def _is_unbilled(status: int, told: Told, *, path: str, wait: float | None) -> bool:
    if not told.is_json:
        return False  # a gateway's page: whoever stands behind it may have done the work
    if status in _OVERLOAD and (wait is not None or "provider_overloaded" in told.marks):
        return True
    return told.code == status and status in _UNBILLED.get(path.partition("?")[0].rstrip("/"), frozenset())


def _message(
    answered: str, told: Told, *, path: str, model: str | None, method: str, safe: Callable[[str], str]
) -> str:
    asked = f"{method} {named(path)}" + (f", model {safe(model)}" if model else "")
    words = safe(told.words[: 4 * MAX_WORDS])[:MAX_WORDS] if told.words else "it gave no reason"
    return f"the route answered {answered} to {asked}: {words}"


def named(path: str) -> str:
    """A path of the API for a message. Without its slash and a clip's id: what looks private is masked there."""
    return _CLIP.sub("videos/\N{HORIZONTAL ELLIPSIS}", path.partition("?")[0].lstrip("/"))


def _hint(found: type[MediaspoolError], status: int, told: Told, page: bool) -> str:
    if found.settles == "in_doubt":
        return RESOLVE
    if found.retryable:
        again = "run again" if found is Throttled else "mediaspool retry"
        return f"nothing was executed: {again}, later"
    if status == 404 and page:
        return "a web page answered: base_url ends in the wrong path"
    if status == 404 and not told.is_json:  # who knows the API says in JSON that there is no such model
        return "the server knows no such path: base_url mostly ends in /v1; else check the name of the model"
    return _HINTS.get(status, "correct the job; the reason is the route's own")


_HINTS = {
    301: "base_url is redirected: write the new address into the settings",
    302: "base_url is redirected: write the new address into the settings",
    307: "base_url is redirected: write the new address into the settings",
    308: "base_url is redirected: write the new address into the settings",
    401: "check the secret that the route names as its key; it was not accepted",
    402: "add credits or raise the limit of the key, then run again",
    403: "the key may not do this, or the content was refused; the reason is the route's own",
    404: "check the name of the model and what it can do",
    407: "a proxy is in the way of base_url",
    413: "send less: a shorter or more compressed input",
    429: "the quota is used up or the wait is long: run again later",
    501: "the server has no such endpoint, or was started without it: see its own settings",
    503: "the route asks for a long wait: run again later",
}
