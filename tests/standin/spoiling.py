"""Faults that spoil a good answer: the work was done and is paid, and the client cannot use what it gets.

Bodies are cut, wrapped, replaced or never end; types lie; connections break.
"""

import gzip
import zlib
from collections.abc import Callable

from msgspec.structs import replace

from tests.standin.nouns import JSON_TYPE, Answer, Asked, How, Options, dumped, number_of
from tests.standin.problems import html

Change = Callable[[Answer, Asked, Options], Answer]
BOMB_BYTES = 64 * 1024 * 1024
HELD_S = 1.0
SLOW_BYTE_S = 1.0
ERROR = {"code": 502, "message": "Provider returned error", "metadata": {"provider_name": "Stand-in"}}


def _delivered(how: How) -> Change:
    return lambda answer, asked, options: answer.delivered(how)


def _slow_first(answer: Answer, asked: Asked, options: Options) -> Answer:
    return answer.delivered("whole", wait_s=number_of(options, "seconds", HELD_S))


def _slow_drip(answer: Answer, asked: Asked, options: Options) -> Answer:
    return answer.delivered("dripping", pause_s=number_of(options, "seconds", SLOW_BYTE_S))


def _slow_chunks(answer: Answer, asked: Asked, options: Options) -> Answer:
    return answer.delivered("whole", pause_s=number_of(options, "seconds", 0.05))


def _cut_body(answer: Answer, asked: Asked, options: Options) -> Answer:
    """Ended as it should be, and yet half of it is missing."""
    part = number_of(options, "part", 0.5)
    return replace(answer, body=answer.body[: max(1, int(len(answer.body) * part))])


def _typed(media_type: str) -> Change:
    return lambda answer, asked, options: replace(answer, media_type=media_type)


def _json_error_as_media(answer: Answer, asked: Asked, options: Options) -> Answer:
    return replace(answer, body=dumped({"error": ERROR}))


def _page(answer: Answer, asked: Asked, options: Options) -> Answer:
    return replace(html(200, "Just a moment..."), usd=answer.usd)


def _gateway(status: int, title: str) -> Change:
    return lambda answer, asked, options: replace(html(status, title), usd=answer.usd)


def _repeating(answer: Answer, asked: Asked, options: Options) -> Answer:
    """A good answer that has the key in every place where a client might keep something."""
    key = asked.headers.get("authorization", "").partition(" ")[2]
    kept = tuple(pair for pair in answer.headers if pair[0].lower() not in ("x-generation-id", "x-request-id"))
    told = replace(answer, headers=(*kept, ("X-Generation-Id", f"gen-{key}"), ("X-Request-Id", key)))
    fields = answer.fields()
    if not fields:
        return replace(told, media_type=f"{answer.media_type}; key={key}")
    odd: dict[str, object] = {"model": key, "provider": key, "language": key, "task": key}
    if "polling_url" in fields:
        odd["polling_url"] = f"{asked.base}/videos/{fields['id']}?api_key={key}"
    elif "id" in fields:
        odd["id"] = f"gen-{key}"
    return told.saying({**fields, **odd})


def _body(body: bytes) -> Change:
    return lambda answer, asked, options: replace(answer, body=body)


def _as_json(body: object) -> Change:
    return lambda answer, asked, options: replace(answer, media_type=JSON_TYPE, body=dumped(body))


def _with_error(answer: Answer, asked: Asked, options: Options) -> Answer:
    """An error among the rest of a good answer."""
    return answer.saying({**answer.fields(), "error": ERROR})


def _before(prelude: bytes) -> Change:
    return lambda answer, asked, options: replace(answer, body=prelude + answer.body)


def _inserted(member: bytes) -> Change:
    """One more member at the end of the object."""
    return lambda answer, asked, options: replace(answer, body=answer.body.rstrip()[:-1] + b"," + member + b"}")


def _repeated(answer: Answer, asked: Asked, options: Options) -> Answer:
    """Every member of the object twice, the second time with nothing in it."""
    return replace(answer, body=answer.body.rstrip()[:-1] + b"," + b",".join(_nothing(answer)) + b"}")


def _nothing(answer: Answer) -> list[bytes]:
    return [dumped(name) + b":null" for name in answer.fields()] or [b'"x":1', b'"x":2']


def _packed(answer: Answer, asked: Asked, options: Options) -> Answer:
    return replace(answer, body=gzip.compress(answer.body)).with_header("Content-Encoding", "gzip")


def _bomb(answer: Answer, asked: Asked, options: Options) -> Answer:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    block = bytes(1024 * 1024)
    packed = b"".join(packer.compress(block) for _ in range(BOMB_BYTES // len(block))) + packer.flush()
    return replace(answer, body=packed).with_header("Content-Encoding", "gzip")


def _encoded(name: str) -> Change:
    """Said to be packed, and not."""
    return lambda answer, asked, options: answer.with_header("Content-Encoding", name)


def _pcm_rate(rate: str) -> Change:
    return lambda answer, asked, options: replace(answer, media_type=f"audio/pcm;rate={rate};channels=1")


def _redirect(status: int, where: Callable[[Asked], str]) -> Change:
    def change(answer: Answer, asked: Asked, options: Options) -> Answer:
        wanted = options.get("location")
        target = wanted if isinstance(wanted, str) else where(asked)
        return Answer(status=status, body=b"moved", headers=(("Location", target),), usd=answer.usd)

    return change


def _here(asked: Asked) -> str:
    query = "&".join(f"{name}={value}" for name, value in asked.query.items())
    return f"{asked.base}{asked.path}?{query}" if query else f"{asked.base}{asked.path}"


def _there(asked: Asked) -> str:
    return f"{asked.elsewhere}/files/redirected.mp4"


SLOW: dict[str, Change] = {"slow-first-byte": _slow_first, "slow-drip": _slow_drip, "slow-chunks": _slow_chunks}
STALLED: dict[str, Change] = {"stall": _delivered("stalled"), "no-answer": _delivered("silent")}
REPEATING: dict[str, Change] = {"echo-answer": _repeating}
CUT: dict[str, Change] = {
    "cut-in-chunk": _delivered("cut-in-chunk"),
    "cut-clean": _cut_body,
    "lying-length": _delivered("lying-length"),
}
ENDLESS: dict[str, Change] = {"endless": _delivered("endless")}
RESET: dict[str, Change] = {
    "reset-after-body": _delivered("reset"),
    "reset-midway": _delivered("reset-midway"),
    "close-after-body": _delivered("closed"),
    "not-http": _delivered("garbage"),
}
TYPES: dict[str, Change] = {
    "type-octet-stream": _typed("application/octet-stream"),
    "type-html": _typed("text/html"),
    "type-charset": lambda answer, asked, options: replace(
        answer, media_type=f"{answer.media_type.partition(';')[0]}; charset=utf-8"
    ),
    "type-missing": _typed(""),
}
MEDIA_TYPES: dict[str, Change] = {
    "json-as-media": _json_error_as_media,
    "text-as-media": _body(b"I am sorry, I cannot say that.\n"),
}
PAGES: dict[str, Change] = {"html-200": _page}
GATEWAYS: dict[str, Change] = {
    "502-html": _gateway(502, "502 Bad Gateway"),
    "503-html": _gateway(503, "503 Service Unavailable"),
    "504-html": _gateway(504, "504 Gateway Time-out"),
    "524-html": _gateway(524, "524: A timeout occurred"),
}
EMPTY: dict[str, Change] = {"empty": _body(b"")}
ERRORS_INSIDE: dict[str, Change] = {
    "error-200": _as_json({"error": ERROR}),
    "error-200-string-code": _as_json({"error": {"code": "server_error", "message": "The provider failed"}}),
    "error-200-among": _with_error,
}
PRELUDES: dict[str, Change] = {
    "sse-comments": _before(b": OPENROUTER PROCESSING\n\n: OPENROUTER PROCESSING\n\n"),
    "leading-space": _before(b"\n \r\n\t  "),
    "bom": _before(b"\xef\xbb\xbf"),
}
JSON: dict[str, Change] = {
    "invalid-utf8": _inserted(b'"odd":"\xff\xfe\xc3"'),
    "duplicate-keys": _repeated,
    "nan": _inserted(b'"odd":NaN,"more":-Infinity'),
    "deep": _inserted(b'"odd":' + b"[" * 5000 + b"]" * 5000),
    "lone-surrogate": _inserted(b'"odd":"\\ud800"'),
    "not-json": _body(b"OK, here is what you asked for:"),
    "json-list": _body(b"[]"),
    "json-null": _body(b"null"),
}
ENCODINGS: dict[str, Change] = {
    "gzip": _packed,
    "gzip-bad": _encoded("gzip"),
    "gzip-bomb": _bomb,
    "brotli": _encoded("br"),
}
DROPPED: dict[str, Change] = {"close-idle": _delivered("whole-then-closed")}
PCM: dict[str, Change] = {
    "pcm-odd": lambda answer, asked, options: replace(answer, body=answer.body[:-1]),
    "pcm-rate-absurd": _pcm_rate("999999999"),
    "pcm-rate-zero": _pcm_rate("0"),
    "pcm-rate-garbage": _pcm_rate("fast"),
}
REDIRECTS: dict[str, Change] = {
    "redirect-302": _redirect(302, _there),
    "redirect-loop": _redirect(302, _here),
    "redirect-file": _redirect(302, lambda asked: "file:///etc/passwd"),
    "redirect-http": _redirect(302, lambda asked: "http://example.com/file.mp4"),
    "redirect-metadata": _redirect(302, lambda asked: "http://169.254.169.254/latest/meta-data/"),
    "redirect-nowhere": _redirect(302, lambda asked: ""),
}
