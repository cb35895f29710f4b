"""The nouns: frozen values that the steps of the main path hand to each other.

Nothing here opens, waits or decides. A step takes one noun and returns the next; nobody changes what another made.
Paths of files are `str` as `os.fsdecode` gives them, so an odd byte in a name survives (surrogateescape).
"""

import hashlib
from collections.abc import Callable
from decimal import Decimal
from typing import Literal, NewType, Protocol, TypeVar, TypeVarTuple

import msgspec
from msgspec import Struct

JobId = NewType("JobId", str)
RouteId = NewType("RouteId", str)
RunId = NewType("RunId", str)
AttemptId = NewType("AttemptId", str)
CallKey = NewType("CallKey", str)
JobKey = NewType("JobKey", str)
Place = NewType("Place", str)
Sha256 = NewType("Sha256", str)

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

Family = Literal["audio", "video", "image", "text", "document"]
Verdict = Literal["done", "unchanged", "empty", "suspect", "refused", "failed", "held", "blocked", "not-started"]
Choice = Literal["run", "place", "unchanged", "empty", "held", "refused", "blocked", "later"]
OnFailure = Literal["stop", "next-route"]

SETTLED: frozenset[Verdict] = frozenset({"done", "empty", "suspect", "refused", "failed"})


class Runner(Protocol):
    """Runs blocking work off the event loop; tests inject one that runs it inline under the virtual clock."""

    async def __call__(self, work: Callable[[*Ts], T], /, *args: *Ts) -> T: ...


class BlockingRunner(Protocol):
    """Runs work in the ledger for a thread that waits meanwhile: never for the event loop."""

    def __call__(self, work: Callable[[*Ts], T], *args: *Ts) -> T: ...


Clock = Callable[[], str]
"""Wall time for records only: UTC, ISO 8601, injected."""

Reached = Callable[[str], None]
"""Told the name of each point of the main path as it is passed; tests kill the process there."""


class Media(Struct, frozen=True, kw_only=True):
    """What bytes are, by their content. `demuxer` is the only FFmpeg input format that may open them."""

    media_type: str
    family: Family
    extension: str
    demuxer: str | None = None
    codec: str | None = None


class Source(Struct, frozen=True, kw_only=True):
    """An input whose content is known: where it lies, what it is, and the hash that stands for it in keys."""

    path: str
    size: int
    sha256: Sha256
    media: Media
    seconds: float | None = None
    tracks: tuple[str, ...] = ()


class Refusal(Struct, frozen=True, kw_only=True):
    """One reason why a job is not run, with the error code, what is wrong and what to do."""

    code: str
    message: str
    hint: str = ""


class Limits(Struct, frozen=True, kw_only=True):
    """Bounds on one job; `None` is no bound at this level. Bytes, seconds of media, pixels, pages, characters."""

    max_input_bytes: int | None = None
    max_output_bytes: int | None = None
    max_seconds: float | None = None
    max_pixels: int | None = None
    max_pages: int | None = None
    max_chars: int | None = None
    max_job_s: float | None = None


class Caps(Struct, frozen=True, kw_only=True):
    """Bounds on one run of one manifest, on a whole run, on a day or on a month; `None` is no bound at this level.

    Pictures and requests are those of paid routes, minutes of audio those of every route. `unknown_price_usd` is what
    a call of unknown price counts as; without it such a call is refused wherever money is bounded.
    """

    max_spend_usd: Decimal | None = None
    max_audio_minutes: float | None = None
    max_images: int | None = None
    max_requests: int | None = None
    max_runtime_s: float | None = None
    unknown_price_usd: Decimal | None = None


class ProductPath(Struct, frozen=True, kw_only=True):
    """Where one product goes. `name` is the kind's word for it (`txt`, `mp3`), `path` is absolute."""

    name: str
    path: str


class Further(Struct, frozen=True, kw_only=True):
    """A further input of a job: the slot of its spec that names it, and where it lies or which job makes it.

    `path` is the real one, `asked` what was written, which may be a link.
    """

    slot: str
    path: str | None = None
    asked: str | None = None
    parent: JobId | None = None


class Job(Struct, frozen=True, kw_only=True):
    """One item of work. `place` (base folder, manifest, job id) is stable across runs; `spec` is the kind's own.

    `on_failure`: after a route that surely did nothing, the job ends (`stop`) or goes to the next of its routes.
    `call_timeout_s` is the time of each of its calls, whatever the settings of the route say.
    """

    id: JobId
    place: Place
    kind: str
    spec: msgspec.Struct
    products: tuple[ProductPath, ...]
    routes: tuple[str, ...]
    model: str | None = None
    input: str | None = None
    parent: JobId | None = None
    further: tuple[Further, ...] = ()
    needs: tuple[JobId, ...] = ()
    accept: tuple[Family, ...] = ()
    limits: Limits = Limits()
    on_failure: OnFailure = "stop"
    call_timeout_s: float | None = None


class BadJob(Struct, frozen=True, kw_only=True):
    """An item of a manifest that cannot become a Job; it harms only itself and its children."""

    id: JobId
    where: str
    reasons: tuple[Refusal, ...]


class Binding(Struct, frozen=True, kw_only=True):
    """A route, model and engine chosen for a job; `engine` changes whenever the engine's answer could.

    `asked` is the model that was asked for where another one answers: the replacement is reported, never silent.
    """

    route: RouteId
    model: str
    engine: str
    paid: bool
    asked: str | None = None


class Estimate(Struct, frozen=True, kw_only=True):
    """What a job may use. `usd` is None when the price is unknown, never zero by guess.

    A driver tells the first two; pictures and requests of paid routes are counted by `core.budget`.
    """

    usd: Decimal | None = Decimal(0)
    audio_seconds: float = 0.0
    images: int = 0
    requests: int = 0


class Decision(Struct, frozen=True, kw_only=True):
    """What the plan says of one job before anything is sent. `products` are those that an earlier run left.

    `tickets` are its calls that a provider works on already; `tried` the routes as the job names them, up to the one
    that is to do it, the earlier ones having failed. `made` is the very result that is wanted, where all of its
    products are still there: their paths say where.
    """

    job: Job
    choice: Choice
    reasons: tuple[Refusal, ...] = ()
    key: JobKey | None = None
    source: Source | None = None
    more: dict[str, Source] = {}
    binding: Binding | None = None
    estimate: Estimate = Estimate()
    limits: Limits = Limits()
    earlier: Verdict | None = None
    products: tuple[str, ...] = ()
    tickets: tuple[str, ...] = ()
    tried: tuple[str, ...] = ()
    made: "JobReceipt | None" = None


class Asset(Struct, frozen=True, kw_only=True):
    """Bytes that were checked and kept under their hash."""

    sha256: Sha256
    path: str
    size: int
    media: Media


class Product(Struct, frozen=True, kw_only=True):
    """A file that the user finds in the output folder."""

    name: str
    path: str
    sha256: Sha256
    size: int


class Part(Struct, frozen=True, kw_only=True):
    """A further payload of one answer, such as the second picture of two."""

    asset: Sha256
    media: Media
    size: int


class CallReceipt(Struct, frozen=True, kw_only=True):
    """Proof of one finished call. `request_id` is the provider's; `usd` None means unknown."""

    key: CallKey
    route: RouteId
    model: str
    engine: str
    operation: str
    asset: Sha256
    media_type: str
    size: int
    usd: Decimal | None
    request_id: str | None
    finished_at: str
    seconds: float | None = None
    facts: dict[str, str] = {}
    parts: tuple[Part, ...] = ()


class JobReceipt(Struct, frozen=True, kw_only=True):
    """Proof of one settled job; lies beside its products and in the ledger.

    `place` and `manifest` are what a new ledger needs to know the job again.
    """

    schema: int
    job: JobId
    kind: str
    key: JobKey
    verdict: Verdict
    reason: str
    source_sha256: Sha256 | None
    source_name: str | None
    route: str | None
    model: str | None
    engine: str | None
    calls: tuple[CallReceipt, ...]
    products: tuple[Product, ...]
    usd: Decimal | None
    finished_at: str
    facts: dict[str, str] = {}
    place: Place | None = None
    manifest: str = ""


class Outcome(Struct, frozen=True, kw_only=True):
    """The verdict on one job in this run. `code` is an error code where there is one; `scores` as in its receipt.

    `usd` None is unknown: `unpriced_calls` of its calls have no known price, and the others cost `known_usd`.
    """

    job: JobId
    kind: str
    verdict: Verdict
    reason: str = ""
    code: str | None = None
    hint: str = ""
    products: tuple[str, ...] = ()
    usd: Decimal | None = Decimal(0)
    known_usd: Decimal = Decimal(0)
    unpriced_calls: int = 0
    audio_seconds: float = 0.0
    wall_s: float = 0.0
    route: str | None = None
    model: str | None = None
    scores: dict[str, str] = {}
    earlier: Verdict | None = None


def refusal_identity(reasons: tuple[Refusal, ...], limits: Limits = Limits()) -> str:  # noqa: B008  # it is frozen
    """Stands for a set of reasons, and the limits a job met, in the ledger: the same refusal is news only once."""
    return hashlib.sha256(msgspec.json.encode((reasons, limits))).hexdigest()[:32]
