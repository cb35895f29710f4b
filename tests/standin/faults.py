"""Every failure that can be asked for, by name, with the row of the contract (11.2) that it plays.

A fault strikes before the body is read (`sudden`), answers instead of the handler (`instead`: no work is done, nothing
is paid), spoils the handler's answer (`change`: the work is done and paid), or is played by the handler itself.
`operations` says what it applies to; None is everything.
"""

from collections.abc import Callable, Iterable

from msgspec import Struct

from tests.standin import images_openai, spoiling, statuses, videos
from tests.standin.nouns import Answer, Asked, How, Options, names
from tests.standin.odd_chats import ODD_CHATS
from tests.standin.odd_images import ODD_IMAGES
from tests.standin.oddities import ODD_TRANSCRIPTS

Instead = Callable[[Asked, Options], Answer]
Change = Callable[[Answer, Asked, Options], Answer]

SPEAK, HEAR = frozenset({"speak"}), frozenset({"transcribe"})
PICTURES = frozenset({"make_image", "edit_image"})
CHAT = frozenset({"complete", "make_image", "edit_image"})
SUBMIT, POLL, CONTENT = frozenset({"make_video"}), frozenset({"poll"}), frozenset({"content"})
BINARY = SPEAK | CONTENT
JSON = frozenset(names("transcribe make_image edit_image complete make_video poll models image-models video-models"))


class Fault(Struct, frozen=True, kw_only=True):
    name: str
    row: str
    operations: frozenset[str] | None = None
    instead: Instead | None = None
    change: Change | None = None
    sudden: How | None = None

    @property
    def is_paid(self) -> bool:
        """Is the work done, so that a second request would be paid twice?"""
        return self.instead is None and self.sudden is None


def _instead(row: str, table: dict[str, Instead], operations: frozenset[str] | None = None) -> Iterable[Fault]:
    return (Fault(name=name, row=row, instead=each, operations=operations) for name, each in table.items())


def _change(row: str, table: dict[str, Change], operations: frozenset[str] | None = None) -> Iterable[Fault]:
    return (Fault(name=name, row=row, change=each, operations=operations) for name, each in table.items())


def _played(row: str, names: Iterable[str], operations: frozenset[str]) -> Iterable[Fault]:
    return (Fault(name=name, row=row, operations=operations) for name in names)


_ALL: tuple[Fault, ...] = (
    *_instead("401 missing / bad key", statuses.KEYS),
    *_instead("402 credits / key limit / max_tokens / in-flight", statuses.MONEY),
    *_instead("403 moderation", statuses.FORBIDDEN),
    *_instead("404", statuses.MISSING),
    *_instead("408 / 500 / 502 / 503 / 504 / 524 / 529", statuses.BROKEN),
    *_change("408 / 500 / 502 / 503 / 504 / 524 / 529 of a gateway, the work done", spoiling.GATEWAYS),
    *_instead("413, 422 and other refusals", statuses.REFUSED),
    *_instead("429", statuses.BUSY),
    *_instead("error bodies that echo what was sent", statuses.ECHOES),
    *_change("good answers that repeat the key", spoiling.REPEATING),
    *_change("slow first byte / slow drip body", spoiling.SLOW),
    *_change("stall mid-body forever", spoiling.STALLED),
    *_change("truncated body", spoiling.CUT),
    *_change("oversize body", spoiling.ENDLESS),
    *_change("connection reset after the request body", spoiling.RESET),
    Fault(
        name="reset-before-body",
        row="connection reset before the request body",
        sudden="reset",
        instead=lambda asked, options: Answer().delivered("reset"),
    ),
    *_change("wrong content type", spoiling.TYPES),
    *_change("wrong content type of media", spoiling.MEDIA_TYPES, BINARY),
    *_change("HTML error page with 200", spoiling.PAGES),
    *_change("empty 200 body", spoiling.EMPTY),
    *_change("200 + error", spoiling.ERRORS_INSIDE),
    *_change("SSE comments / whitespace before JSON", spoiling.PRELUDES, JSON),
    *_change("invalid UTF-8, BOM, duplicated keys, NaN in JSON", spoiling.JSON, JSON),
    *_change("gzip/br response, bad gzip", spoiling.ENCODINGS),
    *_change("keep-alive dropped between requests", spoiling.DROPPED),
    *_instead("redirect to another host", statuses.MOVED),
    *_change("redirect to another host", spoiling.REDIRECTS),
    *_played("empty transcript, missing text, odd segments", ODD_TRANSCRIPTS, HEAR),
    *_played("rounding up", ("rounded-up",), HEAR),
    *_change("PCM odd byte count; rate absent/absurd", spoiling.PCM, SPEAK),
    *_played("profiles of speech", ("pcm-no-rate", "pcm-44100", "mp3-44100", "mp3-id3", "wav-placeholder"), SPEAK),
    *_played("cost late", ("generation-late",), SPEAK),
    *_played("answers that are none", ODD_CHATS, CHAT),
    *_played("bad image payload", (*ODD_IMAGES, "image-url"), PICTURES),
    *_played("addresses of results", (*images_openai.ODD_ADDRESSES, "url-same-origin", "url-expired"), PICTURES),
    *_played("the life of a video, its addresses and its results", sorted(videos.PLAYED), SUBMIT),
    *_played("what a key may", ("key-unlimited", "key-empty"), frozenset({"key"})),
    *_played("credits for management keys only", ("credits-forbidden",), frozenset({"credits"})),
    *_played("the dated name of a model", ("canonical-model",), CHAT),
)
FAULTS: dict[str, Fault] = {fault.name: fault for fault in _ALL}
assert len(FAULTS) == len(_ALL), "two faults have one name"
