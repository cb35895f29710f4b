"""Admission: may this job go, and by which route? Every reason against it at once, before anything is sent.

Asks the kind, the limits of all levels and the routes' own declarations. Sends nothing, starts nothing, remembers
nothing.
"""

from collections.abc import Callable, Sequence

import msgspec
from msgspec import Struct

from pipeline.core.drivers import Driver
from pipeline.core.errors import ConfigError, MediaspoolError
from pipeline.core.kinds import Kind
from pipeline.core.limits import Bounds, smallest
from pipeline.core.model import Binding, Estimate, Job, Limits, Refusal, Source
from pipeline.core.operations import Operation, operation_name
from pipeline.core.pricing import total

Level = tuple[str, Limits]
Expand = Callable[[Sequence[str]], tuple[str, ...]]


class Admission(Struct, frozen=True, kw_only=True):
    """The answer of the routes: the first that can, or why none can. A route that never could says the least."""

    binding: Binding | None
    limits: Limits
    estimate: Estimate = Estimate()
    reasons: tuple[Refusal, ...] = ()
    is_able: bool = True


def refusal(error: MediaspoolError) -> Refusal:
    return Refusal(code=error.code, message=error.message, hint=error.hint)


def admit(
    job: Job,
    kind: Kind,
    source: Source | None,
    *,
    levels: Sequence[Level],
    drivers: Callable[[str], Driver],
    expand: Expand,
) -> Admission:
    """The first route of the job's list that can do every operation; else why each of them cannot."""
    operations = kind.operations(job.spec, source)
    if not operations:
        return Admission(binding=None, limits=smallest(levels).limits)
    try:
        selectors = expand(job.routes)
    except ConfigError as error:  # a route that is not there is the mistake of the job that names it, not the run's
        return Admission(binding=None, limits=Limits(), reasons=(refusal(error),))
    answers = []
    for selector in selectors:
        answers.append(_answer(job, selector, source, operations, levels=levels, drivers=drivers))
        if answers[-1].binding is not None and not answers[-1].reasons:
            return answers[-1]
    able = tuple(reason for answer in answers if answer.is_able for reason in answer.reasons)
    unable = tuple(reason for answer in answers if not answer.is_able for reason in answer.reasons)
    return Admission(binding=None, limits=Limits(), reasons=able or unable[:1])


def _answer(
    job: Job,
    selector: str,
    source: Source | None,
    operations: tuple[Operation, ...],
    *,
    levels: Sequence[Level],
    drivers: Callable[[str], Driver],
) -> Admission:
    route, _, model = selector.partition("/")
    try:
        driver = drivers(route)
        answer = _ask(driver, operations, job.model or model or None)
    except MediaspoolError as error:
        return Admission(binding=None, limits=Limits(), reasons=(refusal(error),))
    bounds = smallest([*levels, (f"route {route}", driver.route.limits)])
    over = tuple(over_limits(source, bounds))
    return msgspec.structs.replace(answer, reasons=answer.reasons + over, limits=bounds.limits)


def _ask(driver: Driver, operations: tuple[Operation, ...], model: str | None) -> Admission:
    for operation in operations:
        name = operation_name(operation)
        if name not in driver.facts.operations:
            reason = Refusal(code="operation-unsupported", message=f"route {driver.route.id} cannot {name}")
            return Admission(binding=None, limits=Limits(), reasons=(reason,), is_able=False)
    binding = driver.bind(operation_name(operations[0]), model)
    reasons = tuple(reason for operation in operations for reason in driver.check(operation, binding))
    estimates = [driver.estimate(operation, binding) for operation in operations]
    usd = total(estimate.usd for estimate in estimates)
    seconds = sum(estimate.audio_seconds for estimate in estimates)
    return Admission(
        binding=binding, limits=Limits(), estimate=Estimate(usd=usd, audio_seconds=seconds), reasons=reasons
    )


def against_source(job: Job, kind: Kind, source: Source | None, bounds: Bounds) -> list[Refusal]:
    if source is None:
        return []
    reasons = over_limits(source, bounds)
    if source.media.family not in kind.families or (
        job.accept and job.parent is None and source.media.family not in job.accept
    ):
        reasons.append(
            Refusal(
                code="input-type",
                message=f"{kind.name} does not take {source.media.media_type}",
                hint="check what the file really is; its name does not count",
            )
        )
    return reasons


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
