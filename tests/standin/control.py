"""The back door for tests: faults are planted, requests counted and waited for. It needs no key and counts nothing.

POST /control/fault, /control/latency, /control/reset; GET /control/counts, /control/requests, /control/faults,
/control/wait.
"""

from collections import Counter
from decimal import Decimal

import msgspec
from msgspec import Struct

from tests.standin.faults import FAULTS
from tests.standin.nouns import Answer, Asked, json_answer, number_of, objects_of
from tests.standin.world import Planted, World


class Counts(Struct, kw_only=True):
    """Requests by operation: those that came in whole, and those of them that were paid work."""

    requests: dict[str, int]
    paid: dict[str, int]
    usd: str


async def answer(asked: Asked, world: World) -> Answer:
    if (asked.method, asked.path) == ("GET", "/wait"):
        ended = asked.query.get("ended") == "1"
        await world.until(asked.query.get("operation", "*"), int(asked.query.get("count", "1")), ended=ended)
        return json_answer({"ok": True})
    return _at_once(asked, world)


def _at_once(asked: Asked, world: World) -> Answer:
    fields = asked.fields or {}
    match (asked.method, asked.path):
        case ("POST", "/fault"):
            return _plant(asked, world)
        case ("POST", "/latency"):
            world.memory.latency_s = number_of(fields, "seconds", 0.0)
        case ("POST", "/reset"):
            world.reset()
        case ("GET", "/counts"):
            return json_answer(msgspec.to_builtins(counts(world)))
        case ("GET", "/requests"):
            return json_answer({"requests": msgspec.to_builtins(world.memory.requests)})
        case ("GET", "/faults"):
            return json_answer({"faults": {fault.name: fault.row for fault in FAULTS.values()}})
        case _:
            return json_answer({"error": f"there is no {asked.method} /control{asked.path}"}, status=404)
    return json_answer({"ok": True})


def _plant(asked: Asked, world: World) -> Answer:
    """One fault, or a list of them under `faults`, played in that order."""
    fields = asked.fields or {}
    wanted = objects_of(fields, "faults") or [dict(fields)]
    unknown = [each.get("name") for each in wanted if each.get("name") not in FAULTS]
    if unknown:
        return json_answer({"error": f"unknown faults: {unknown}", "known": sorted(FAULTS)}, status=400)
    try:
        planted = [msgspec.convert(each, Planted) for each in wanted]
    except msgspec.ValidationError as error:
        return json_answer({"error": str(error)}, status=400)
    for each in planted:
        each.operations = sorted(FAULTS[each.name].operations or ())
        world.plant(each)
    return json_answer({"ok": True})


def counts(world: World) -> Counts:
    whole = [seen for seen in world.memory.requests if seen.is_complete]
    paid = [seen for seen in whole if seen.paid]
    usd = sum((Decimal(seen.usd or "0") for seen in paid), Decimal(0))
    return Counts(
        requests=dict(Counter(seen.operation for seen in whole)),
        paid=dict(Counter(seen.operation for seen in paid)),
        usd=str(usd),
    )
