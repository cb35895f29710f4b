"""What a key may ask about itself, and what a finished call cost: known only some time after the call."""

from tests.standin.gate import need_key
from tests.standin.nouns import Answer, Asked, json_answer
from tests.standin.problems import refuse
from tests.standin.world import World

CREDITS = 100.0
LIMIT = 50.0


def key(asked: Asked, world: World) -> Answer:
    need_key(asked)
    spent = _spent(world)
    is_unlimited = asked.plays("key-unlimited")
    left = 0.0 if asked.plays("key-empty") else LIMIT - spent
    body = {
        "label": "sk-or-v1-sta...000",
        "limit": None if is_unlimited else LIMIT,
        "limit_remaining": None if is_unlimited else left,
        "limit_reset": None,
        "usage": spent,
        "usage_daily": spent,
        "usage_weekly": spent,
        "usage_monthly": spent,
        "byok_usage": 0,
        "include_byok_in_limit": False,
        "is_free_tier": False,
        "is_management_key": False,
        "is_provisioning_key": False,
        "expires_at": None,
        "free_model_daily_requests": {"limit": 1000, "used": 0, "remaining": 1000},
        "rate_limit": {"requests": -1, "interval": "10s", "note": "This field is deprecated."},
    }
    return json_answer({"data": body}, Cache_Control="private, no-store")


def credit(asked: Asked, world: World) -> Answer:
    need_key(asked)
    if asked.plays("credits-forbidden"):
        raise refuse(asked, 403, "Only management keys can perform this operation")
    return json_answer({"data": {"total_credits": CREDITS, "total_usage": _spent(world)}})


def generation(asked: Asked, world: World) -> Answer:
    """Not found for the first few times, as the real one is for some minutes."""
    need_key(asked)
    number = asked.query.get("id", "")
    found = world.memory.generations.get(number)
    if found is None or found.hidden > 0:
        if found is not None:
            found.hidden -= 1
        raise refuse(asked, 404, f"Generation {number} not found")
    body = {
        "id": found.id,
        "api_type": found.api_type,
        "model": found.model,
        "provider_name": "Stand-in",
        "total_cost": float(found.usd),
        "usage": float(found.usd),
        "latency": 300,
        "generation_time": 200,
        "finish_reason": None,
        "streamed": False,
        "cancelled": False,
        "is_byok": False,
        "upstream_id": None,
        "data_region": "global",
        "provider_responses": [{"provider_name": "Stand-in", "status": 200, "latency": 300}],
        **found.extra,
    }
    return json_answer({"data": body})


def _spent(world: World) -> float:
    return sum(float(seen.usd or 0) for seen in world.memory.requests if seen.paid)
