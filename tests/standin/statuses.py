"""Faults that answer with an error at once: nothing was done, nothing is paid.

Bodies are those of captures where there are any. Under the OpenAI dialect the same status has OpenAI's shape.
"""

import time
from collections.abc import Callable
from email.utils import formatdate

from tests.standin.nouns import Answer, Asked, Options, json_answer, number_of
from tests.standin.problems import BAD_KEY, NO_KEY, TOO_LARGE, USER, html, problem
from tests.standin.records import plain

Instead = Callable[[Asked, Options], Answer]
FAR_RESET_MS = 1_790_467_200_000
HINT = "Wait for the daily reset (see X-RateLimit-Reset), add credits, or use a paid model."


def _says(status: int, message: str, **metadata: object) -> Instead:
    return lambda asked, options: problem(asked, status, message, **metadata)


def _page(status: int, title: str) -> Instead:
    return lambda asked, options: html(status, title)


def _body(status: int, body: object) -> Instead:
    return lambda asked, options: json_answer(body, status=status)


def _in_flight(asked: Asked, options: Options) -> Answer:
    seconds = str(int(number_of(options, "seconds", 2)))
    found = {"limit_source": "openrouter_in_flight_budget", "reason": "in_flight_budget_exhausted"}
    return problem(asked, 402, "In-flight budget exhausted.", **found).with_header("Retry-After", seconds)


def _busy(asked: Asked, **more: object) -> Answer:
    found = {
        "raw": "the model is temporarily rate-limited upstream. Please retry shortly.",
        "provider_name": "Stand-in",
        "is_byok": False,
        "provider_error_code": "rate_limit_exceeded",
        "limit_source": "upstream_provider_shared_pool",
        "remedy_hint": "Retry later.",
    }
    return problem(asked, 429, "Provider returned error", **found, **more)


def _busy_after(value: str) -> Instead:
    return lambda asked, options: _busy(asked).with_header("Retry-After", str(options.get("value", value)))


def _busy_seconds(asked: Asked, options: Options) -> Answer:
    return _busy(asked).with_header("Retry-After", str(int(number_of(options, "seconds", 1))))


def _busy_date(asked: Asked, options: Options) -> Answer:
    at = time.time() + number_of(options, "seconds", 1)
    return _busy(asked).with_header("Retry-After", formatdate(at, usegmt=True))


def _busy_body(asked: Asked, options: Options) -> Answer:
    seconds = int(number_of(options, "seconds", 1))
    return _busy(asked, retry_after_seconds=seconds, retry_after_seconds_raw=seconds)


def _busy_metadata_headers(asked: Asked, options: Options) -> Answer:
    return _busy(asked, headers={"Retry-After": str(int(number_of(options, "seconds", 1)))})


def _free_daily(asked: Asked, options: Options) -> Answer:
    reset = str(int(number_of(options, "reset_ms", FAR_RESET_MS)))
    limits = {"X-RateLimit-Limit": "50", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": reset}
    message = "Rate limit exceeded: free-models-per-day. Add 10 credits to unlock 1000 free model requests per day"
    found = {"limit_source": "openrouter_free_tier_daily", "remedy_hint": HINT, "provider_name": None}
    answer = problem(asked, 429, message, headers=limits, **found)
    for name, value in limits.items():
        answer = answer.with_header(name, value)
    return answer


def _available(status: int, code: str, *, is_retryable: bool) -> Instead:
    """The newer body that may lack a number; `retryable` is what counts."""

    def answer(asked: Asked, options: Options) -> Answer:
        found = {"code": code, "retryable": is_retryable, "requested_models": [asked.model]}
        if is_retryable:
            found["retry_after"] = number_of(options, "seconds", 1)
        return json_answer({"error": {"message": f"{asked.model}: {code}", "availability": found}}, status=status)

    return answer


def _overloaded(asked: Asked, options: Options) -> Answer:
    answer = problem(asked, 503, "Service temporarily unavailable", error_type="provider_overloaded")
    return answer.with_header("Retry-After", str(int(number_of(options, "seconds", 1))))


def _moderated(asked: Asked, options: Options) -> Answer:
    found: dict[str, object] = {"reasons": ["violence"], "provider_name": "Stand-in", "model_slug": asked.model}
    return problem(asked, 403, "Your input was flagged", **found, flagged_input=plain(asked.fields or {})[:100])


def _echo(asked: Asked, options: Options) -> Answer:
    """A careless server: the key, the headers and all that was asked, in the error's message."""
    key = asked.headers.get("authorization", "")
    sent = plain(asked.fields or {}) if asked.form is None else " ".join(part.text[:300] for part in asked.form)
    message = f"Cannot serve {asked.base}{asked.path}?api_key={key.partition(' ')[2]} with {key}: {sent}"
    found: dict[str, object] = {"raw": f"upstream said: {message}", "flagged_input": sent[:100]}
    answer = problem(asked, int(number_of(options, "status", 400)), message, **found)
    return answer.saying({**answer.fields(), "user_id": USER, "request": dict(asked.headers)})


KEYS: dict[str, Instead] = {"401-missing": _says(401, NO_KEY), "401-bad-key": _says(401, BAD_KEY)}
MONEY: dict[str, Instead] = {
    "402-credits": _says(
        402,
        "Insufficient credits. Add more using https://openrouter.ai/credits",
        limit_source="openrouter_credits",
    ),
    "402-key-limit": _says(
        402,
        "This request requires at least $1.00 in balance for image or video output",
        limit_source="openrouter_key_limit",
        remedy_hint="Raise the limit of the key.",
    ),
    "402-max-tokens": _says(
        402,
        "This request requires more credits, or fewer max_tokens. You requested up to 4096 tokens, "
        "but can only afford 128. To increase, visit https://openrouter.ai/settings/credits",
    ),
    "402-in-flight": _in_flight,
}
FORBIDDEN: dict[str, Instead] = {
    "403-moderation": _moderated,
    "403-guardrail": _says(403, "Request blocked: prompt injection", patterns=["ignore previous instructions"]),
    "403-permission": _says(403, "Only management keys can perform this operation", error_type="permission_denied"),
    "403-region": _available(403, "region_restricted", is_retryable=False),
}
MISSING: dict[str, Instead] = {
    "404": _says(404, "Not Found"),
    "404-model": _says(404, "No endpoints found for this model."),
    "404-ended": _available(404, "free_variant_ended", is_retryable=False),
    "404-html": _page(404, "404: This page could not be found."),
}
BROKEN: dict[str, Instead] = {
    "408": _says(408, "Operation timed out. Please try again later."),
    "500": _says(500, "Internal Server Error", error_type="server"),
    "500-text": _body(500, {"error": "something broke"}),
    "502": _says(502, "Provider returned error", error_type="provider_unavailable", provider_name="Stand-in"),
    "503": _says(503, "Service temporarily unavailable"),
    "503-retry-after": _overloaded,
    "503-availability": _available(503, "temporarily_unavailable", is_retryable=True),
    "504": _says(504, "Upstream timed out", error_type="timeout"),
    "524": _says(524, "Request timed out. Please try again later."),
    "529": _says(529, "Provider returned error", error_type="provider_overloaded"),
}
REFUSED: dict[str, Instead] = {
    "400": _says(400, "Invalid request parameters", error_type="invalid_request"),
    "400-message": _body(400, {"message": "bad request"}),
    "407": _page(407, "Proxy Authentication Required"),
    "412": _says(412, "Precondition failed", error_type="precondition_failed"),
    "413": _says(413, TOO_LARGE),
    "413-html": _page(413, "413 Request Entity Too Large"),
    "422": _says(422, "Invalid argument", error_type="unprocessable"),
    "422-detail": _body(422, {"detail": [{"loc": ["body", "model"], "msg": "field required", "type": "missing"}]}),
}
BUSY: dict[str, Instead] = {
    "429-retry-after": _busy_seconds,
    "429-date": _busy_date,
    "429-body": _busy_body,
    "429-metadata-headers": _busy_metadata_headers,
    "429-bare": lambda asked, options: _busy(asked),
    "429-free-daily": _free_daily,
    "429-absurd": _busy_after("86400"),
    "429-negative": _busy_after("-5"),
    "429-garbage": _busy_after("soon, perhaps"),
    "429-availability": _available(429, "capacity_exhausted", is_retryable=True),
}


def _sent_on(asked: Asked, options: Options) -> Answer:
    """By its definition nothing was done here."""
    return Answer(status=307, body=b"moved", headers=(("Location", f"{asked.elsewhere}/files/redirected.mp4"),))


MOVED: dict[str, Instead] = {"redirect-307": _sent_on}
ECHOES: dict[str, Instead] = {"echo": _echo}
