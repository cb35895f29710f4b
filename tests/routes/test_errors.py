"""The border of errors: what each answer of a provider means for a paid POST and for a GET, and how long to wait."""

import json
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
from pipeline.core.retry import MAX_TOLD_S, delay_s
from pipeline.routes._errors import error_inside, error_of, read_error
from pipeline.routes._json import MAX_DEPTH, read_json
from pipeline.routes._waits import wait_s
from pipeline.trace.redact import Redactor

PAGE = b"<!DOCTYPE html><html><title>524: A timeout occurred</title>"


def err(code: object = None, message: str = "no", **more: object) -> bytes:
    return json.dumps({"error": {"code": code, "message": message, **more}, "user_id": "user_1"}).encode()


def meta(code: int, **metadata: object) -> bytes:
    return err(code, metadata=metadata)


def available(code: str, *, retryable: bool) -> bytes:
    return json.dumps({"error": {"message": "no", "availability": {"code": code, "retryable": retryable}}}).encode()


def error(
    status: int,
    body: bytes = b"",
    *,
    path: str = "/audio/speech",
    is_post: bool = True,
    sent: bool = True,
    headers: Mapping[str, str] = {},
) -> MediaspoolError:
    return error_of(
        status, headers, body, path=path, model="vendor/one", sent=sent, is_post=is_post, safe=lambda text: text[:300]
    )


IN_FLIGHT = meta(402, limit_source="openrouter_in_flight_budget", reason="in_flight_budget_exhausted")
DAILY = meta(
    429,
    limit_source="openrouter_free_tier_daily",
    headers={"X-RateLimit-Reset": str(int(time.time() * 1000) + 9_000_000)},
)
ZOD = json.dumps(
    {"success": False, "error": {"name": "ZodError", "message": '[{"path":["input"],"message":"expected string"}]'}}
).encode()
S, T, P, C, V = "/audio/speech", "/audio/transcriptions", "/images", "/chat/completions", "/videos"

# what, status, body, path, headers -> class for a paid POST, class for a GET
TABLE: tuple[tuple[str, int, bytes, str, dict[str, str], type[MediaspoolError], type[MediaspoolError]], ...] = (
    ("no key", 401, err(401, "No cookie auth credentials found"), S, {}, RouteClosed, RouteClosed),
    ("credits", 402, meta(402, limit_source="openrouter_credits"), S, {}, RouteClosed, RouteClosed),
    ("key limit", 402, meta(402, limit_source="openrouter_key_limit"), C, {}, RouteClosed, RouteClosed),
    ("in flight", 402, IN_FLIGHT, S, {"Retry-After": "2"}, Throttled, Throttled),
    ("moderation", 403, meta(403, reasons=["violence"], flagged_input="x"), P, {}, Rejected, Rejected),
    ("guardrail", 403, meta(403, patterns=["email"]), C, {}, Rejected, Rejected),
    ("region", 403, available("region_restricted", retryable=False), C, {}, Rejected, Rejected),
    ("permission", 403, meta(403, error_type="permission_denied"), S, {}, RouteClosed, RouteClosed),
    ("flagged, in words alone", 403, err(message="Your input was flagged"), P, {}, Forbidden, RouteClosed),
    ("key, in a type", 403, err(type="permission_error"), P, {}, RouteClosed, RouteClosed),
    ("wall", 403, PAGE, S, {}, RouteClosed, RouteClosed),
    ("no endpoint", 404, available("no_endpoints", retryable=False), C, {}, Rejected, Rejected),
    ("wrong path", 404, PAGE, S, {}, Rejected, Rejected),
    ("bad request", 400, err(400), S, {}, Rejected, Rejected),
    ("validator", 400, ZOD, S, {}, Rejected, Rejected),
    ("too large", 413, err(413), T, {}, Rejected, Rejected),
    ("invalid", 422, err(422, "Invalid argument"), S, {}, Rejected, Rejected),
    ("fastapi", 422, b'{"detail":[{"loc":["body","n"],"msg":"too many"}]}', S, {}, Rejected, Rejected),
    ("slow down", 429, err(429), S, {}, Throttled, Throttled),
    ("slow down, HTML", 429, PAGE, S, {"Retry-After": "1"}, Throttled, Throttled),
    ("daily", 429, DAILY, C, {}, RouteClosed, RouteClosed),
    ("quota", 429, err("insufficient_quota", type="insufficient_quota"), S, {}, RouteClosed, RouteClosed),
    ("a day", 429, err(429), S, {"Retry-After": "86400"}, RouteClosed, RouteClosed),
    ("full", 503, available("temporarily_unavailable", retryable=True), V, {}, Throttled, Unavailable),
    ("full, and for good", 503, available("model_unavailable_upstream", retryable=False), C, {}, Rejected, Rejected),
    ("busy, and for good", 429, available("of_tomorrow", retryable=False), S, {}, Rejected, Rejected),
    ("full, with hint", 503, err(503), V, {"Retry-After": "3"}, Throttled, Unavailable),
    ("overloaded", 529, meta(529, error_type="provider_overloaded"), T, {}, Throttled, Unavailable),
    ("503 alone", 503, err(503), V, {}, Overloaded, Unavailable),
    ("503 of chat", 503, err(503), C, {}, Throttled, Unavailable),
    ("503 of a gateway", 503, PAGE, S, {"Retry-After": "3"}, Overloaded, Unavailable),
    ("timeout", 408, err(408), S, {}, InDoubt, Unavailable),
    ("500", 500, err(500), C, {}, InDoubt, Unavailable),
    ("502 of speech", 502, err(502), S, {}, Unavailable, Unavailable),
    ("502 of images", 502, err(502), P, {}, Unavailable, Unavailable),
    ("502 of chat", 502, err(502), C, {}, Unavailable, Unavailable),
    ("502 of transcription", 502, err(502), T, {}, InDoubt, Unavailable),
    ("502 of video", 502, err(502), V, {}, InDoubt, Unavailable),
    ("502 of another server", 502, err("server_error"), P, {}, InDoubt, Unavailable),
    ("502 of a gateway", 502, PAGE, P, {}, InDoubt, Unavailable),
    ("504", 504, err(504), P, {}, InDoubt, Unavailable),
    ("524", 524, PAGE, S, {}, InDoubt, Unavailable),
    ("524 in JSON", 524, err(524), S, {}, InDoubt, Unavailable),
    ("529 alone", 529, err(529), S, {}, Overloaded, Unavailable),
    ("empty 500", 500, b"", S, {}, InDoubt, Unavailable),
    ("moved", 308, b"", S, {"Location": "/x"}, RouteClosed, RouteClosed),
    ("see there", 302, b"", S, {"Location": "/x"}, InDoubt, RouteClosed),
    ("see other", 303, b"", S, {"Location": "/x"}, InDoubt, RouteClosed),
    ("200, 429 inside", 200, err(429), S, {}, Throttled, Throttled),
    ("200, 401 inside", 200, err(401), S, {}, RouteClosed, RouteClosed),
    ("200, 402 inside", 200, err(402), P, {}, RouteClosed, RouteClosed),
    ("200, word inside", 200, err("server_error"), C, {}, InDoubt, Unavailable),
    ("200, 502 inside", 200, err(502), P, {}, InDoubt, Unavailable),
    ("200, in a choice", 200, b'{"choices":[{"error":{"code":400,"message":"x"}}]}', C, {}, Rejected, Rejected),
    ("200, 503 inside", 200, err(503), C, {}, InDoubt, Unavailable),
    ("200, nothing known", 200, b'{"error":"it broke"}', S, {}, InDoubt, Unavailable),
)


@pytest.mark.parametrize("row", TABLE, ids=lambda row: str(row[0]))
def test_invariant_24_every_answer_has_its_class_for_a_post_and_for_a_get(
    row: tuple[str, int, bytes, str, dict[str, str], type[MediaspoolError], type[MediaspoolError]],
) -> None:
    """T24, T25, T26, T27."""
    _, status, body, path, headers, post, get = row
    assert type(error(status, body, path=path, headers=headers)) is post
    assert type(error(status, body, path=path, is_post=False, headers=headers)) is get
    assert type(error(status, body, path=path, sent=False, headers=headers)).settles != "in_doubt"


def test_invariant_24_the_table_is_whole() -> None:
    right = sum(
        type(error(status, body, path=path, headers=headers)) is post
        and type(error(status, body, path=path, is_post=False, headers=headers)) is get
        for _, status, body, path, headers, post, get in TABLE
    )
    assert right == len(TABLE)
    assert {401, 402, 403, 404, 408, 413, 422, 429, 500, 502, 503, 504, 524, 529} <= {row[1] for row in TABLE}
    print(f"invariant 24: rows classified: {right}/{len(TABLE)}, for a POST and for a GET")


@pytest.mark.parametrize("body", [b"", PAGE, b'{"error":{}}', b"nonsense"])
def test_a_paid_call_is_told_not_executed_only_where_the_status_alone_says_so(body: bytes) -> None:
    found = {status: type(error(status, body)) for status in range(100, 600)}
    refused = {301, 307, 308, *range(400, 500)} - {408}
    assert {status for status, kind in found.items() if issubclass(kind, Unavailable)} == {425, 429}
    assert {status for status, kind in found.items() if issubclass(kind, InDoubt)} == set(found) - refused


def test_the_words_of_the_provider_are_kept_with_path_and_model() -> None:
    """T25."""
    found = error(404, err(404, "Model vendor/one does not exist"), path="/audio/speech?x=1")
    assert str(found) == (
        "the route answered 404 to POST audio/speech, model vendor/one: Model vendor/one does not exist"
    )
    assert "account" not in str(error(400, err(400)))
    assert "user_1" not in str(error(400, err(400)))


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (ZOD, "input: expected string"),
        (b'{"detail":[{"loc":["body","n"],"msg":"too many"}]}', "body.n: too many"),
        (b'{"detail":"Not Found"}', "Not Found"),
        (b'{"message":"plain"}', "plain"),
        (b'{"error":"text"}', "text"),
        (meta(429, raw="the pool is busy"), "no · the pool is busy"),
        (meta(403, reasons=["violence", "gore"]), "no · violence, gore"),
        (b'{"error":{"message":"m","type":"t","param":null,"code":null}}', "m"),
        (b": OPENROUTER PROCESSING\n\n" + err(400, "late"), "late"),
        (b"\xef\xbb\xbf" + err(400, "marked"), "marked"),
        (PAGE, ""),
        (b"", ""),
        (b"[1]", ""),
    ],
)
def test_the_words_are_found_in_every_shape(body: bytes, words: str) -> None:
    """T28."""
    assert read_error(body).words == words


def test_what_may_not_be_shown_goes_through_safe_and_is_short() -> None:
    found = error_of(
        400,
        {},
        err(400, "key sk-or-v1-secret " + "x" * 10_000),
        path="/x",
        model="m",
        sent=True,
        is_post=True,
        safe=lambda text: text.replace("sk-or-v1-secret", "[redacted]"),
    )
    assert "sk-or" not in str(found)
    assert len(str(found)) < 500


def test_a_flagged_input_is_never_repeated() -> None:
    assert "my private words" not in str(error(403, meta(403, reasons=["a"], flagged_input="my private words")))


NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def clock(moment: datetime = NOON) -> str:
    return format_datetime(moment, usegmt=True)


@pytest.mark.parametrize(
    ("headers", "body", "wait"),
    [
        ({"Retry-After": "1"}, {}, 1),
        ({"Retry-After": "1.5"}, {}, 1.5),
        ({"retry-after-ms": "1500", "Retry-After": "9"}, {}, 1.5),
        ({"Retry-After": clock(NOON + timedelta(seconds=30))}, {}, 30),
        ({"Retry-After": "garbage"}, {"metadata": {"retry_after_seconds": 7}}, 7),
        ({"Retry-After": "-5"}, {"availability": {"retry_after": 8}}, 8),
        ({}, {"metadata": {"headers": {"Retry-After": "4"}}}, 4),
        ({}, {"metadata": {"headers": {"X-RateLimit-Reset": str(int(NOON.timestamp() + 50) * 1000)}}}, 50),
        ({"X-RateLimit-Reset": str(int(NOON.timestamp() + 50))}, {}, 50),
        ({"X-RateLimit-Reset": "12"}, {}, 12),
    ],
)
def test_a_wait_is_found_wherever_it_stands(headers: dict[str, str], body: dict[str, object], wait: float) -> None:
    """T26. On the clock of the server, where it tells the time."""
    lower = {name.lower(): value for name, value in {"Date": clock(), **headers}.items()}
    assert wait_s(lower, read_json(json.dumps(body).encode())) == wait


def test_without_the_clock_of_the_server_ours_will_do() -> None:
    found = wait_s({"retry-after": clock(datetime.now(UTC) + timedelta(seconds=60))}, None)
    assert found is not None
    assert 50 < found <= 60


@pytest.mark.parametrize(
    "value", ["-1", "", "NaN", "inf", "1e9", "soon", "0x10", "Wed, 21 Oct 2015 07:28:00 GMT", "9" * 400, "١٢"]
)
def test_a_wait_that_is_none_is_not_believed(value: str) -> None:
    assert wait_s({"retry-after": value}, None) is None
    assert wait_s({}, {"metadata": {"retry_after_seconds": value}}) is None


def test_a_wait_is_capped_and_a_longer_one_leaves_the_rest_to_a_later_run() -> None:
    assert error(429, err(429), headers={"Retry-After": "119"}).retry_after_s == 119
    assert error(429, err(429)).retry_after_s is None
    assert isinstance(error(429, err(429), headers={"Retry-After": str(int(MAX_TOLD_S) + 1)}), RouteClosed)
    pool = meta(429, limit_source="upstream_provider_shared_pool", retry_after_seconds=9999)
    busy = error(429, pool)  # one model's provider is busy: the others are not
    assert isinstance(busy, Unavailable)
    assert delay_s(busy, tries=1, jitter=0.0) is None


def test_a_call_in_doubt_takes_along_how_long_the_whole_route_shall_rest() -> None:
    assert error(503, PAGE, headers={"Retry-After": "40"}).retry_after_s == 40
    assert error(504, PAGE, headers={"Retry-After": "40"}).retry_after_s is None


def test_nobody_asks_again_before_the_time_that_was_told() -> None:
    for told in (0, 1, 61, 119):
        busy = error(429, err(429), headers={"Retry-After": str(told)})
        assert delay_s(busy, tries=1, jitter=0.0) == told


_WORDS = "error code message metadata availability retryable retry_after headers choices detail path raw reasons"
KEYS = _WORDS.split()
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None)
@given(status=st.integers(0, 999), value=JSON, headers=st.dictionaries(st.text(max_size=12), st.text(max_size=12)))
def test_no_answer_whatever_breaks_the_border(status: int, value: object, headers: dict[str, str]) -> None:
    body = json.dumps(value).encode()
    found = error_of(
        status, headers, body, path="/x", model=None, sent=True, is_post=True, safe=lambda text: text[:300]
    )
    assert 0 <= (delay_s(found, tries=1, jitter=0.0) or 0) <= MAX_TOLD_S
    error_inside(body)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_bytes_that_are_no_json_are_a_contract_error_and_nothing_else(body: bytes) -> None:
    with suppress(ContractError):
        read_json(body)


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":1,"a":2}',
        b'{"a":NaN}',
        b"[Infinity]",
        b"[1e999]",
        b'{"a":"\xff"}',
        b"9" * 5000,
        b"[" * 100_000,
        b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1),
        b"{} {}",
        b"",
        b": only a comment",
    ],
)
def test_json_that_two_readers_could_read_apart_is_refused(body: bytes) -> None:
    with pytest.raises(ContractError):
        read_json(body)


def test_what_no_text_can_be_kept_with_costs_no_answer() -> None:
    """A NUL, and half of a character outside of the first plane, as of a smiley that was cut in two."""
    body = rb'{"a":["one\u0000 two \ud83d", "\ud83d\ude00 \\ud83d"], "b": 1}'
    assert read_json(body) == {"a": ["one two \ufffd", "\U0001f600 \\ud83d"], "b": 1}


def test_json_as_deep_as_allowed_is_read() -> None:
    assert read_json(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)


def test_a_failed_video_job_is_an_answer_and_no_failure() -> None:
    assert not error_inside(b'{"id":"gen-vid-1","status":"failed","error":"Content policy violation"}')
    assert error_inside(b'{"error":"Content policy violation"}')
    assert not error_inside(b'{"text":"","error":null}')


@pytest.mark.parametrize("behind", ["", "/content?index=0"])
def test_what_a_person_reads_of_a_clip_that_was_not_found_is_not_masked_for_its_long_id(behind: str) -> None:
    clip = "gen-vid-1795922980-BXyYqhSkuztnVdDoZpef"
    told = error(404, err(404, f"Job {clip} not found"), path=f"/videos/{clip}{behind}", is_post=False).message
    assert Redactor().text(told) == (
        f"the route answered 404 to GET videos/\N{HORIZONTAL ELLIPSIS}, model vendor/one: Job {clip} not found"
    )
