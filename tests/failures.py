"""What must become of a call that meets a fault of the stand-in: the last column of the wire contract's table 11.2.

Written down by hand, row by row, from the contract and the error rules of the architecture, whose word is the last one
for a paid POST; never from what the program does.
"""

from collections.abc import Iterator

import msgspec
from msgspec import Struct

from tests.cells import OPENAI, OPENROUTER, Cell
from tests.standin.faults import FAULTS, Fault
from tests.standin.nouns import names


class End(Struct, frozen=True, kw_only=True):
    """How a cell ends: verdicts and codes that will do, and how many requests of a POST there were at most."""

    verdicts: tuple[str, ...]
    codes: tuple[str | None, ...] = (None,)
    posts: int = 1


DONE = End(verdicts=("done",))
CLOSED = End(verdicts=("not-started",), codes=("route-closed",))
REJECTED = End(verdicts=("failed",), codes=("rejected",))
BUSY = End(verdicts=("failed",), codes=("unavailable",), posts=4)
THROTTLED = End(verdicts=("not-started",), codes=("rate-limited",), posts=8)
DOUBT = End(verdicts=("held",), codes=("in-doubt",))
USELESS = End(verdicts=("failed",), codes=("reply-damaged", "reply-empty", "reply-type", "rejected", "address-refused"))
TOO_MUCH = End(verdicts=("failed",), codes=("reply-too-large",))
DEFERRED = End(verdicts=("not-started",), codes=("deferred",))
LOST = End(verdicts=("failed",), codes=("reply-damaged", "reply-empty"))
EMPTY = End(verdicts=("empty",))
SUSPECT = End(verdicts=("suspect",))
UNSURE = End(verdicts=("held", "failed"), codes=("in-doubt", "unavailable"), posts=4)

_ROWS: tuple[tuple[End, str], ...] = (
    (CLOSED, "401-missing 401-bad-key 402-credits 402-key-limit 402-max-tokens 403-permission 407 429-free-daily"),
    (CLOSED, "redirect-307"),
    (REJECTED, "400 400-message 403-moderation 403-guardrail 403-region 404 404-model 404-ended 404-html 412 413"),
    (REJECTED, "413-html 422 422-detail echo video-failed video-failed-silently video-cancelled video-expired"),
    (THROTTLED, "402-in-flight 429-retry-after 429-date 429-body 429-metadata-headers 429-bare 429-negative"),
    (THROTTLED, "429-garbage 429-availability 429-absurd"),
    (THROTTLED, "503-retry-after 503-availability 529"),
    (DOUBT, "408 500 500-text 502 503 504 524 502-html 503-html 504-html 524-html html-200 error-200 error-200-among"),
    (DOUBT, "error-200-string-code chat-error-inside json-as-media slow-drip stall no-answer cut-in-chunk"),
    (DOUBT, "lying-length reset-after-body reset-midway close-after-body not-http redirect-302 redirect-loop"),
    (DOUBT, "redirect-file redirect-http redirect-metadata redirect-nowhere"),
    (UNSURE, "reset-before-body"),  # a short body is gone to the last byte before the reset arrives, a long one is not
    (USELESS, "empty gzip gzip-bad gzip-bomb brotli text-as-media type-html invalid-utf8 duplicate-keys nan deep"),
    (USELESS, "not-json json-list json-null cut-clean pcm-odd pcm-rate-absurd pcm-rate-zero pcm-rate-garbage"),
    (USELESS, "transcript-missing transcript-null transcript-number transcript-list segments-nan chat-null-content"),
    (USELESS, "chat-empty chat-length chat-length-empty chat-refusal chat-filtered chat-no-choices chat-broken-json"),
    (USELESS, "images-none images-null images-of-null image-bad-base64 image-null image-empty"),
    (USELESS, "image-wrong-magic image-html image-cut image-bomb image-last-spoilt image-url url-metadata url-file"),
    (USELESS, "url-http url-private url-expired"),
    (TOO_MUCH, "endless"),
    (EMPTY, "transcript-empty"),
    (SUSPECT, "video-short"),
    (DEFERRED, "video-never-ends video-forgotten"),  # that it is lost is said after two minutes
    (LOST, "video-lost"),
    (DONE, "echo-answer"),
    (DONE, "slow-first-byte slow-chunks close-idle type-octet-stream type-charset type-missing sse-comments bom"),
    (DONE, "leading-space lone-surrogate segments-unsorted segments-overlap segments-backward segments-negative"),
    (DONE, "segments-beyond segments-null words-null words-of-null no-language no-usage usage-null duration-string"),
    (DONE, "rounded-up pcm-no-rate pcm-44100 mp3-44100 mp3-id3 wav-placeholder generation-late chat-fenced"),
    (DONE, "chat-no-usage chat-usage-null chat-no-details chat-cached-tokens canonical-model images-fewer"),
    (DONE, "image-no-type image-data-prefix image-other-type image-no-usage url-same-origin video-at-once"),
    (DONE, "video-in-progress video-queued video-flaps video-late video-usage-null video-script polling-relative"),
    (
        DONE,
        "polling-missing polling-elsewhere polling-http polling-file polling-metadata polling-private polling-loopback",
    ),
    (DONE, "polling-astray polling-userinfo urls-missing urls-null urls-empty urls-two urls-elsewhere urls-expired"),
    (DONE, "urls-http urls-file urls-metadata urls-private"),
)
ENDS = {name: end for end, text in _ROWS for name in names(text)}
PICTURES = ("make_image", "edit_image")
HANGING = frozenset(names("slow-drip stall no-answer"))
NOT_THE_CALL = frozenset(names("chat-no-images chat-images-null key-unlimited key-empty credits-forbidden"))
"""Of a dialect or an endpoint that no job takes here; the first two have their test beside the images by chat."""
_REDIRECTS = frozenset(name for name in FAULTS if name.startswith("redirect-"))
# OpenAI's dialect has no word for these: neither whose limit it was, nor that nothing was billed.
_OPENAI = {
    **dict.fromkeys(names("402-in-flight 429-absurd"), CLOSED),
    "403-permission": REJECTED,
    "429-free-daily": THROTTLED,
    "529": DOUBT,
}
_UNBILLED = {"502": (*PICTURES, "speak", "complete"), "503": ("complete",)}
SPOKEN_PCM = frozenset(names("pcm-rate-absurd pcm-rate-zero pcm-rate-garbage"))


def expected(cell: Cell) -> End:
    match cell.operation:
        case "poll" | "content":
            return _while_waiting(cell)
        case "make_video":
            return _submitted(cell)
        case _:
            return _called(cell)


def _called(cell: Cell) -> End:
    fault, operation = cell.fault, cell.operation
    if cell.dialect == "openai" and fault in _OPENAI:
        return _OPENAI[fault]
    if cell.dialect == "openrouter" and operation in _UNBILLED.get(fault, ()):
        return THROTTLED if fault == "503" else BUSY  # the contract says of these that they are not billed
    if fault == "type-html" and operation != "speak":
        return DONE  # JSON, whatever it is called
    if fault == "cut-clean" and (cell.dialect, operation) == ("openrouter", "speak"):
        return DONE  # samples without a header have no end that could be missing
    if fault in SPOKEN_PCM and cell.dialect == "openai":
        return DONE  # there a WAV is asked for, and a WAV comes
    if fault == "error-200-among" and operation in PICTURES and cell.dialect == "openai":
        return DONE  # no error is as long as this answer, and its picture is whole
    return ENDS[fault]


def _submitted(cell: Cell) -> End:
    """An answer to a submission that is of no use is one all the same: the clip is being made."""
    if cell.fault in ("type-html", "error-200-among"):
        return DONE  # it has an id and a state
    end = ENDS[cell.fault]
    return DOUBT if end in (USELESS, TOO_MUCH) else end


def _while_waiting(cell: Cell) -> End:
    """Only a closed route ends a wait; all else leaves it to the next run, or does no harm."""
    end = ENDS[cell.fault]
    if cell.operation == "poll" and (cell.fault in _REDIRECTS or cell.fault == "407"):
        return CLOSED
    if end is CLOSED and cell.fault not in _REDIRECTS:
        return CLOSED
    if cell.operation == "poll" and cell.fault in ("type-html", "error-200-among"):
        return DONE
    return DONE if end is DONE else DEFERRED


def cells() -> Iterator[tuple[Fault, Cell]]:
    """Every fault at every endpoint that it applies to."""
    for fault in FAULTS.values():
        if fault.name in NOT_THE_CALL:
            continue
        for dialect, operations in (("openrouter", OPENROUTER), ("openai", OPENAI)):
            for operation in operations:
                if _applies(fault, dialect, operation):
                    yield fault, _cell(fault, dialect, operation)


def _applies(fault: Fault, dialect: str, operation: str) -> bool:
    if fault.name.startswith("chat-") or fault.name == "canonical-model":
        return operation == "complete"
    if fault.name.startswith("url-") and dialect != "openai":
        return False
    wanted = "make_image" if operation == "edit_image" else operation
    return fault.operations is None or bool({operation, wanted} & fault.operations)


def _cell(fault: Fault, dialect: str, operation: str) -> Cell:
    cell = Cell(fault=fault.name, dialect=dialect, operation=operation, is_hanging=fault.name in HANGING)
    if expected(cell) is THROTTLED:
        return msgspec.structs.replace(cell, patience="2h", is_slowed=True)
    if expected(cell) is not DEFERRED:
        return cell
    return msgspec.structs.replace(cell, patience="20s", is_lasting=ENDS[fault.name] is DEFERRED)
