"""Before a plan: routes that manifests name are asked what their models can do and cost, where settings allow.

Only the operations and models that jobs name are asked about, and only what is missing or old. Nothing here costs
money, and a route that nobody named is never asked. A plain `plan` does not come here: it reads what runs have kept.
"""

from collections import defaultdict
from collections.abc import Iterable

from pipeline.core.drivers import Discovers
from pipeline.core.errors import MediaspoolError
from pipeline.core.model import Job
from pipeline.runtime import Runtime

Wanted = dict[str, set[tuple[str, str | None]]]


async def discover(runtime: Runtime, jobs: Iterable[Job]) -> None:
    """A route that requires its catalogue and cannot read it takes nothing in this run; all else is a warning."""
    for route, pairs in wanted(runtime, jobs).items():
        try:
            driver = runtime.drivers(route)
        except MediaspoolError:
            continue  # the plan will tell it to the jobs that name the route
        if isinstance(driver, Discovers):
            try:
                await driver.prepare(sorted(pairs, key=lambda pair: (pair[0], pair[1] or "")))
            except MediaspoolError as error:
                if error.reach != "route":
                    raise
                runtime.drivers.close(route, error)


def wanted(runtime: Runtime, jobs: Iterable[Job]) -> Wanted:
    """Per route the (operation, model) pairs that jobs may ask for; a hundred thousand equal jobs ask once."""
    asked = {(job.kind, job.routes, job.model) for job in jobs}
    pairs: Wanted = defaultdict(set)
    for kind, routes, model in asked:
        for selector in _expanded(runtime, routes):
            route, _, own = selector.partition("/")
            pairs[route] |= {(operation, model or own or None) for operation in runtime.kinds[kind].asks}
    return pairs


def _expanded(runtime: Runtime, routes: tuple[str, ...]) -> tuple[str, ...]:
    try:
        return runtime.drivers.expand(routes)
    except MediaspoolError:
        return ()  # an unknown route is the plan's to refuse
