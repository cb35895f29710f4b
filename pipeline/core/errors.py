"""Errors carry policy: every expected failure is a MediaspoolError whose class facts decide what happens next.

Code reads the facts (`retryable`, `billed`, `reach`, `settles`, `outcome`), never class names or message text. Every
error has a kebab-case `code` listed in `CODES`, a message (what, with which value) and a hint (what to do next).

    MediaspoolError
    ├─ ConfigError, ManifestError, InputError     a person must change something
    │                             └─ InputChanging the file is still being written: the next run takes it
    ├─ LimitExceeded, UnsupportedOperation        our own bound on one call
    ├─ ReplyTooLarge                              our own bound on an answer, which was made and paid for
    ├─ BudgetExhausted, RunBusy, Stopped          our own bound on the run
    │  ├─ CapReached                              a bound over all manifests: this route only
    │  └─ CapTooSmall                             a bound below what one call may take: that job only
    ├─ Unavailable                                surely not executed: may be tried again
    │  ├─ Throttled                               and everybody on the route slows down
    │  └─ Unreachable                             no connection was made, to nobody's harm: everybody waits too
    ├─ RouteBusy                                  turned away or not reached too often: nothing more on this route
    ├─ Rejected                                   theirs: this job only
    │  └─ Forbidden                               or the key, which nobody says: where all end so, the route
    ├─ RouteClosed                                theirs: nothing more on this route
    ├─ ContractError                              a reply that is not what was asked
    ├─ InDoubt                                    sent, no verdict: perhaps paid
    │  └─ Overloaded                              and everybody on the route slows down
    ├─ Deferred                                   sent, and they work on it: the next run goes on
    ├─ EngineError                                a local child failed; free, so surely repeatable later
    ├─ PaceBroken                                 caps cannot be asked: nothing that they count is sent
    ├─ OutputClosed                               their folder takes no products: nothing is done for those jobs
    └─ StoreError, LedgerError                    the machine: the run drains
"""

from decimal import Decimal
from typing import ClassVar, Literal

Billed = Literal["no", "maybe", "yes"]
Reach = Literal["call", "route", "manifest", "run"]
Settles = Literal["failed", "rejected", "refused", "in_doubt", "submitted"]
Ends = Literal["refused", "failed", "held", "not-started"]

CODES: dict[str, str] = {
    # what a person wrote
    "config-invalid": "the settings file or an option is wrong",
    "route-unknown": "a route id that no settings table and no built-in route has",
    "extra-missing": "the job needs an optional part of mediaspool that is not installed",
    "engine-broken": "an embedded engine is installed but its weights or library failed their check",
    "manifest-missing": "the manifest file does not exist",
    "manifest-invalid": "the manifest as a whole cannot be read",
    "manifest-too-large": "the manifest has more bytes, jobs or nesting than allowed",
    "job-invalid": "one job or line of a manifest is wrong",
    "job-duplicate": "two jobs have the same id",
    "job-cycle": "jobs wait for each other in a circle",
    "parent-unfinished": "a job waits for one that has no result",
    "job-parent-unknown": "a job names a parent that does not exist",
    "output-collision": "two products would have the same path",
    "output-inside-input": "a product would land among the inputs and be taken as one",
    "output-exists": "a file that mediaspool did not write is in the way",
    "product-edited": "a product was edited by hand and the new result would overwrite it",
    "path-outside-roots": "a path leaves the folders that the settings allow",
    "path-unsafe": "a file name or a file type that is never read or written",
    # inputs
    "input-missing": "the input does not exist",
    "input-unreadable": "the input cannot be read",
    "input-changing": "the input is still being written",
    "input-type": "the content of the input is not something this kind takes",
    "input-damaged": "the input is cut short or its header lies",
    "input-empty": "the input has no content",
    "language-unsupported": "no engine of the route has this language",
    "voice-unknown": "the route has no such voice",
    "model-unknown": "the route has no such model",
    "text-unsupported": "the text has nothing that the engine can speak",
    "operation-unsupported": "no route in the list can do this",
    # bounds
    "limit-bytes": "more bytes than allowed",
    "limit-seconds": "more seconds of media than allowed",
    "limit-pixels": "more pixels than allowed",
    "limit-pages": "more pages than allowed",
    "limit-chars": "more characters than allowed",
    "limit-time": "the deadline of the job or call passed",
    "limit-rate": "the call takes more than its route may take in a whole minute, hour or day",
    "limit-memory": "an engine child needed more memory than allowed",
    "price-unknown": "the price of the call is unknown, and money is capped",
    "budget-spend": "a cap on spending is reached",
    "budget-audio": "a cap on minutes of audio is reached",
    "budget-images": "a cap on pictures of paid routes is reached",
    "budget-requests": "a cap on requests to paid routes is reached",
    "budget-runtime": "the time limit of the run is reached",
    "stopped": "the run was told to stop before the job had begun",
    # the way out
    "unavailable": "the route did not take the call; nothing was executed",
    "unreachable": "no connection to the host of the route could be made; nothing was sent",
    "rate-limited": "the route takes no more calls for now, or its rate leaves no room",
    "rejected": "the route refused this call",
    "route-closed": "the route takes nothing more in this run",
    "reply-type": "the reply is not of the type that was asked for",
    "reply-empty": "the reply has no content",
    "reply-too-large": "the reply is larger than the limits allow; it was made and is paid for",
    "reply-damaged": "the reply is cut short, too short for what was asked, or cannot be read",
    "address-refused": "the reply leads to an address that is never fetched",
    "in-doubt": "the call was sent and no verdict came back; it may have been paid for",
    "deferred": "the provider still works on a call that was sent; the next run goes on with it",
    "engine-crashed": "an engine child ended before it answered",
    "engine-failed": "an engine child answered with an error",
    # the machine
    "busy": "another run holds the lock of this spool",
    "disk-full": "no space left where it is needed",
    "output-unwritable": "the output folder cannot be written",
    "answer-damaged": "an answer that was kept is no longer the bytes that came",
    "io-error": "the operating system reported an input/output error",
    "ledger-broken": "the ledger cannot be opened or fails its check",
    "pace-broken": "what days and months have used cannot be read or written",
    "ledger-newer": "the ledger was written by a newer mediaspool",
    "spool-not-yours": "the spool belongs to another user",
    "internal": "a bug in mediaspool",
}

PASSING: frozenset[str | None] = frozenset(
    {
        *("input-missing", "input-unreadable", "output-exists", "product-edited", "path-outside-roots", "path-unsafe"),
        *("price-unknown", "limit-rate", "answer-damaged"),
    }
)
"""Why a job could not be done when it ran, where the reason is not in its key: tomorrow it may be gone."""


class MediaspoolError(Exception):
    """Base of every expected failure. `code` is a key of CODES; `hint` says what a person can do.

    `settles` is the state of an attempt that ends with it, `outcome` the verdict on its job.
    `slows` asks the whole route to slow down; `doubts_key` where it may lie with the key of the route; `connected` is
    False where its host was never reached. `usd` is what the call cost although it ended so, where the sender says it;
    None is unknown.
    """

    retryable: ClassVar[bool] = False
    billed: ClassVar[Billed] = "no"
    reach: ClassVar[Reach] = "call"
    settles: ClassVar[Settles] = "failed"
    outcome: ClassVar[Ends] = "failed"
    slows: ClassVar[bool] = False
    doubts_key: ClassVar[bool] = False
    connected: ClassVar[bool] = True
    default_code: ClassVar[str] = "internal"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        hint: str = "",
        retry_after_s: float | None = None,
        usd: Decimal | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        if self.code not in CODES:
            raise KeyError(f"error code {self.code!r} is not in CODES")
        self.hint = hint
        self.retry_after_s = retry_after_s
        self.usd = usd


class ConfigError(MediaspoolError):
    settles: ClassVar[Settles] = "refused"
    outcome: ClassVar[Ends] = "refused"
    reach: ClassVar[Reach] = "run"
    default_code = "config-invalid"


class ManifestError(MediaspoolError):
    settles: ClassVar[Settles] = "refused"
    outcome: ClassVar[Ends] = "refused"
    default_code = "manifest-invalid"


class InputError(MediaspoolError):
    settles: ClassVar[Settles] = "refused"
    outcome: ClassVar[Ends] = "refused"
    default_code = "input-type"


class InputChanging(InputError):
    """The bytes are not those that were hashed. An answer to them was paid for and is of no use."""

    settles: ClassVar[Settles] = "rejected"
    outcome: ClassVar[Ends] = "not-started"
    billed: ClassVar[Billed] = "yes"
    default_code = "input-changing"


class LimitExceeded(MediaspoolError):
    settles: ClassVar[Settles] = "refused"
    outcome: ClassVar[Ends] = "refused"
    default_code = "limit-bytes"


class ReplyTooLarge(MediaspoolError):
    """Ours to refuse, but they have made it: with a higher limit it is there for a ticket, and else paid once more."""

    settles: ClassVar[Settles] = "refused"
    billed: ClassVar[Billed] = "yes"
    default_code = "reply-too-large"


class UnsupportedOperation(MediaspoolError):
    settles: ClassVar[Settles] = "refused"
    outcome: ClassVar[Ends] = "refused"
    default_code = "operation-unsupported"


class BudgetExhausted(MediaspoolError):
    settles: ClassVar[Settles] = "refused"
    outcome: ClassVar[Ends] = "not-started"
    reach: ClassVar[Reach] = "manifest"
    default_code = "budget-spend"


class CapReached(BudgetExhausted):
    """A cap over all manifests: the route takes nothing more in this run, others that cost nothing go on."""

    reach: ClassVar[Reach] = "route"


class CapTooSmall(BudgetExhausted):
    """One call may take more than a whole cap: no other run makes room for it, and it is in nobody's way."""

    reach: ClassVar[Reach] = "call"


class Stopped(MediaspoolError):
    """The run drains, or there was no room in time: nothing was sent, or the next run goes on with what is left."""

    outcome: ClassVar[Ends] = "not-started"
    default_code = "stopped"


class RunBusy(MediaspoolError):
    outcome: ClassVar[Ends] = "not-started"
    reach: ClassVar[Reach] = "run"
    default_code = "busy"


class Unavailable(MediaspoolError):
    retryable: ClassVar[bool] = True
    default_code = "unavailable"


class Throttled(Unavailable):
    """Too many at once or too fast: everybody on the route slows down. What is left of it is for the next run."""

    slows: ClassVar[bool] = True
    outcome: ClassVar[Ends] = "not-started"
    default_code = "rate-limited"


class Unreachable(Unavailable):
    """No connection was made, so nothing was sent. It lies with no call: all of the route wait, the rest is left."""

    slows: ClassVar[bool] = True
    connected: ClassVar[bool] = False
    outcome: ClassVar[Ends] = "not-started"
    default_code = "unreachable"


class RouteBusy(MediaspoolError):
    """The route goes on turning calls away, cannot be reached, or its rate leaves no room: nothing more in this run."""

    outcome: ClassVar[Ends] = "not-started"
    reach: ClassVar[Reach] = "route"
    default_code = "rate-limited"


class Rejected(MediaspoolError):
    settles: ClassVar[Settles] = "rejected"
    default_code = "rejected"


class Forbidden(Rejected):
    """Refused, and nobody says whether for what was asked or for the key that asked."""

    doubts_key: ClassVar[bool] = True


class RouteClosed(MediaspoolError):
    settles: ClassVar[Settles] = "rejected"
    outcome: ClassVar[Ends] = "not-started"
    reach: ClassVar[Reach] = "route"
    default_code = "route-closed"


class ContractError(MediaspoolError):
    settles: ClassVar[Settles] = "rejected"
    billed: ClassVar[Billed] = "yes"
    default_code = "reply-damaged"


class InDoubt(MediaspoolError):
    settles: ClassVar[Settles] = "in_doubt"
    outcome: ClassVar[Ends] = "held"
    billed: ClassVar[Billed] = "maybe"
    default_code = "in-doubt"


class Overloaded(InDoubt):
    """The server has too much to do, and did not say that it left this call alone: it is spared the next ones."""

    slows: ClassVar[bool] = True


class Deferred(MediaspoolError):
    settles: ClassVar[Settles] = "submitted"
    outcome: ClassVar[Ends] = "not-started"
    billed: ClassVar[Billed] = "maybe"
    default_code = "deferred"


class EngineError(MediaspoolError):
    default_code = "engine-failed"


class OutputClosed(MediaspoolError):
    """The folder of a product, or its disk, takes nothing: nothing is sent for it. Jobs that write elsewhere go on."""

    outcome: ClassVar[Ends] = "not-started"
    default_code = "output-unwritable"


class StoreError(MediaspoolError):
    outcome: ClassVar[Ends] = "not-started"
    reach: ClassVar[Reach] = "run"
    default_code = "io-error"


class LedgerError(MediaspoolError):
    outcome: ClassVar[Ends] = "not-started"
    reach: ClassVar[Reach] = "run"
    default_code = "ledger-broken"


class PaceBroken(MediaspoolError):
    """The pace that all runs share cannot be asked. Nothing that a cap of day or month counts is sent without it."""

    outcome: ClassVar[Ends] = "not-started"
    reach: ClassVar[Reach] = "route"
    default_code = "pace-broken"
