"""Who may ask, and in what form: the checks that every endpoint of a dialect has in common."""

from tests.standin import problems
from tests.standin.nouns import Asked, Fields
from tests.standin.problems import refuse
from tests.standin.world import KEY_PREFIX


def need_key(asked: Asked) -> None:
    """OpenRouter wants a key; an OpenAI-compatible server on loopback minds only a wrong one."""
    scheme, _, key = asked.headers.get("authorization", "").partition(" ")
    if not scheme and asked.dialect == "openai":
        return
    if not scheme:
        raise refuse(asked, 401, problems.NO_KEY)
    if scheme.lower() != "bearer" or not key.startswith(KEY_PREFIX):
        raise refuse(asked, 401, "Incorrect API key provided." if asked.dialect == "openai" else problems.BAD_KEY)


def need_fields(asked: Asked) -> Fields:
    """The JSON object of the body; what is no JSON gets the words the real service has for it."""
    if asked.fields is None:
        raise refuse(asked, 400, "Input must have at least 1 token.")
    return asked.fields


def need_model(asked: Asked) -> str:
    model = asked.model
    if not model:
        raise refuse(asked, 400, "model: Invalid input: expected string, received undefined")
    return model
