"""What an attempt leaves for the question "what happened to this call?": numbers, types, hashes, codes, no content.

Turns a call and how it went into a debug artifact. Reads, writes and decides nothing.
"""

from msgspec import Struct

from pipeline.core.drivers import Reply
from pipeline.core.errors import MediaspoolError
from pipeline.core.model import Binding, Place
from pipeline.core.operations import Operation, operation_name, texts_of
from pipeline.discretion import names_of, request_facts
from pipeline.exchange import Receiving
from pipeline.trace.debug import DebugArtifact, ReplyFacts


class Trial(Struct, frozen=True, kw_only=True):
    """What was tried, for whom, and for which time."""

    run: str
    place: Place
    kind: str
    operation: Operation
    binding: Binding
    number: int


def artifact(
    trial: Trial,
    exchange: Receiving,
    reply: Reply | None,
    error: MediaspoolError | None,
    *,
    verdict: str,
    millis: float,
) -> DebugArtifact:
    binding = trial.binding
    first = exchange.payloads[0].staged
    return DebugArtifact(
        run=trial.run,
        attempt=exchange.attempt,
        place=trial.place,
        kind=trial.kind,
        route=binding.route,
        model=binding.model,
        asked=binding.asked,
        engine=binding.engine,
        operation=operation_name(trial.operation),
        try_number=trial.number,
        request=request_facts(trial.operation),
        reply=ReplyFacts(
            declared=reply.media_type if reply else None,
            recognised=exchange.recognised.media_type if exchange.recognised else None,
            bytes=sum(payload.staged.size for payload in exchange.payloads),
            sha256=first.sha256,
            parts=len(exchange.payloads),
        ),
        timings_ms={"attempt": round(millis, 1)},
        usd=reply.usd if reply else error.usd if error else None,
        verdict=verdict,
        code=error.code if error else None,
        message=error.message if error else "",
    )


def private(operation: Operation) -> tuple[str, ...]:
    """What no debug artifact may show a word of, whatever an engine's message repeats."""
    return (*texts_of(operation), *names_of(operation))
