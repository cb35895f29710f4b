"""Which route does a job, and may it go at all? Every reason against it at once, before anything is sent.

Its routes are asked one by one, in the order in which the job names them. A route answers from its driver's
declarations; nothing is sent, started or remembered. Calls that a provider works on already are neither checked nor
priced again: they are paid for, and all that is left is to fetch them.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from pipeline.core.budget import counted, together
from pipeline.core.drivers import Driver, carried_by
from pipeline.core.errors import InputChanging, MediaspoolError, OutputClosed, RouteClosed, Unreachable
from pipeline.core.hearing import Hearing
from pipeline.core.kinds import Kind, Sources, check_job, elsewhere_of
from pipeline.core.limits import Bounds, smallest
from pipeline.core.model import Binding, CallKey, Decision, Estimate, Job, Limits, Refusal, Source
from pipeline.core.operations import Operation, call_key, operation_name
from pipeline.core.portions import DEFAULT_PORTION, Portion

# An input that is still being written, a route that let nobody know what it can do, a folder that takes nothing.
_OF_NOW = frozenset(kind.default_code for kind in (InputChanging, Unreachable, RouteClosed, OutputClosed)) | {
    "disk-full"
}
Level = tuple[str, Limits]
Expand = Callable[[Sequence[str]], tuple[str, ...]]
Tickets = Mapping[CallKey, str]


class Wish(Struct, frozen=True, kw_only=True):
    """What a job wants of a route. `divided` are its operations cut to what one call of a route may carry."""

    operations: tuple[Operation, ...]
    divided: Callable[[Portion, Hearing | None], tuple[Operation, ...]]
    source: Source | None
    model: str | None
    levels: tuple[Level, ...]


class Admission(Struct, frozen=True, kw_only=True):
    """The answer of a route, or of all of them: who does it, or why none can. A route that never could says the least.

    `is_closed`: it takes nothing in this run. `selector` is the route as the job names it; `tickets` are calls that its
    provider works on already.
    """

    binding: Binding | None
    limits: Limits = Limits()
    estimate: Estimate = Estimate()
    reasons: tuple[Refusal, ...] = ()
    is_able: bool = True
    is_closed: bool = False
    selector: str = ""
    tickets: tuple[str, ...] = ()


def refusal(error: MediaspoolError) -> Refusal:
    return Refusal(code=error.code, message=error.message, hint=error.hint)


def refused(*reasons: Refusal, is_able: bool = True) -> Admission:
    return Admission(binding=None, reasons=reasons, is_able=is_able)


def choose(answers: Iterable[Admission], is_known: Callable[[Admission], bool] | None) -> Admission:
    """The first route that can; before it one that has done the job or works on it, where there is a way to know."""
    reasons: list[Refusal] = []
    unable: list[Refusal] = []
    first: Admission | None = None
    for answer in answers:
        if answer.binding is None or answer.reasons:
            (reasons if answer.is_able else unable).extend(answer.reasons)
        elif is_known is None or is_known(answer):
            return answer
        else:
            first = first or answer
    return first or refused(*(reasons or _together(unable) or [NONE_LEFT]))


def until_closed(answers: Iterable[Admission]) -> Iterator[Admission]:
    """The answers up to a route that takes nothing now: what moves on from a failure has to say so."""
    for answer in answers:
        yield answer
        if answer.is_closed:
            return


def _together(unable: Sequence[Refusal]) -> list[Refusal]:
    """Routes that never could say the same thing: it is told once, with what to do."""
    if not unable:
        return []
    others = f", nor can {len(unable) - 1} more that the job may use" if len(unable) > 1 else ""
    hint = "name a route that can; mediaspool routes shows what each one does"
    return [Refusal(code=unable[0].code, message=f"{unable[0].message}{others}", hint=unable[0].hint or hint)]


def passing(decision: Decision) -> Refusal | None:
    """What speaks only against doing it now. The next run asks again, so it is no verdict."""
    reasons = decision.reasons if decision.choice == "refused" else ()
    return next((reason for reason in reasons if reason.code in _OF_NOW), None)


NONE_LEFT = Refusal(code="unavailable", message="no other route is left", hint="name more routes, or run again later")


def ask_route(selector: str, wish: Wish, drivers: Callable[[str], Driver], tickets: Tickets) -> Admission:
    """What one route says to a wish. An error of the route is its answer."""
    route, _, model = selector.partition("/")
    try:
        driver = drivers(route)
        unable = [name for item in wish.operations if (name := operation_name(item)) not in driver.facts.operations]
        if unable:
            message = f"route {driver.route.id} cannot {unable[0]}"
            return refused(Refusal(code="operation-unsupported", message=message), is_able=False)
        return _admission(selector, wish, driver, model or None, tickets)
    except MediaspoolError as error:
        return replace(refused(refusal(error)), is_closed=error.reach == "route")


def _admission(selector: str, wish: Wish, driver: Driver, model: str | None, tickets: Tickets) -> Admission:
    binding = driver.bind(operation_name(wish.operations[0]), wish.model or model)
    portion, hearing = carried_by(driver, binding)
    is_usual = portion == DEFAULT_PORTION and hearing is None
    operations = wish.operations if is_usual else wish.divided(portion, hearing)
    waiting = _waiting(operations, binding, tickets)
    new = [item for number, item in enumerate(operations) if number not in waiting]
    bounds = smallest([*wish.levels, (f"route {driver.route.id}", driver.route.limits)])
    reasons = [reason for operation in new for reason in driver.check(operation, binding)]
    estimates = [counted(driver.estimate(item, binding), item, paid=binding.paid) for item in new]
    return Admission(
        binding=binding,
        limits=bounds.limits,
        estimate=_counted_once(together(estimates), wish.source, hearing),
        reasons=tuple(dict.fromkeys([*reasons, *over_limits(wish.source, bounds)])),  # each once, however many calls
        selector=selector,
        tickets=tuple(waiting.values()),
    )


def _counted_once(estimate: Estimate, source: Source | None, hearing: Hearing | None) -> Estimate:
    """The minutes of a recording, however its parts overlap; what it costs covers all of them."""
    if hearing is None or source is None or source.seconds is None:
        return estimate
    return replace(estimate, audio_seconds=min(estimate.audio_seconds, source.seconds))


def _waiting(operations: Sequence[Operation], binding: Binding, tickets: Tickets) -> dict[int, str]:
    """By their place, the operations that a provider works on. Keys are hashes of everything: made only if of use."""
    if not tickets:
        return {}
    keys = enumerate(call_keys(operations, binding))
    return {number: tickets[key] for number, key in keys if key in tickets}


def call_keys(operations: Iterable[Operation], binding: Binding) -> list[CallKey]:
    return [call_key(item, route=binding.route, model=binding.model, engine=binding.engine) for item in operations]


def against_elsewhere(kind: Kind, spec: Struct, drivers: Callable[[str], Driver]) -> list[Refusal]:
    """Why a route that the job needs beside its own cannot be had, such as an engine that is not installed."""
    reasons = []
    for route, operation in elsewhere_of(kind, spec):
        try:
            drivers(route).bind(operation, None)
        except MediaspoolError as error:
            reasons.append(refusal(error))
    return reasons


def against_input(job: Job, kind: Kind, source: Source | None, more: Sources, bounds: Bounds) -> list[Refusal]:
    """All that is known against the job before a route is asked. That its type does not fit is said once."""
    reasons = [*over_limits(source, bounds), *check_job(kind, job.spec, source, more)]
    is_told = any(reason.code == "input-type" for reason in reasons)
    return (
        reasons if source is None or is_told or _is_taken(job, kind, source) else [*reasons, _not_taken(kind, source)]
    )


def _is_taken(job: Job, kind: Kind, source: Source) -> bool:
    accept = () if job.parent is not None else job.accept
    return source.media.family in kind.families and (not accept or source.media.family in accept)


def _not_taken(kind: Kind, source: Source) -> Refusal:
    hint = "check what the file really is; its name does not count"
    return Refusal(code="input-type", message=f"{kind.name} does not take {source.media.media_type}", hint=hint)


def over_limits(source: Source | None, bounds: Bounds) -> list[Refusal]:
    """What the source has more of than allowed, and who allowed only so much."""
    if source is None:
        return []
    measures = (
        ("limit-bytes", "max_input_bytes", source.size, "bytes", "max_input_mb"),
        ("limit-seconds", "max_seconds", source.seconds or 0.0, "seconds", "max_audio_minutes_per_file"),
    )
    told = ((code, bounds.excess(field, found, unit), name) for code, field, found, unit, name in measures)
    return [
        Refusal(code=code, message=message, hint=f"raise {name} or split the file")
        for code, message, name in told
        if message is not None
    ]
