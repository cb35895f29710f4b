"""The errors of the real services, word for word where a capture gave the words.

Owns the shapes: OpenRouter's with a numeric code, its Zod one, OpenAI's with a string code. Raises nothing itself; a
handler raises `Refused` with what is made here.
"""

from tests.standin.nouns import Answer, Asked, Refused, json_answer

NO_KEY = "No cookie auth credentials found"
BAD_KEY = "User not found."
TOO_LARGE = (
    "Multipart body exceeds the 25 MB upload limit. Send larger files as base64 JSON via input_audio."  # word for word
)
USER = "user_standin0000000000000000"
_OPENAI_TYPES = {401: "invalid_request_error", 404: "invalid_request_error", 429: "rate_limit_error"}
_OPENAI_CODES = {401: "invalid_api_key", 404: "model_not_found", 429: "rate_limit_exceeded"}
_WITH_USER = frozenset({"/chat/completions", "/audio/transcriptions"})


def problem(asked: Asked, status: int, message: str, **metadata: object) -> Answer:
    """An error in the shape of the dialect; `metadata` is OpenRouter's alone."""
    if asked.dialect == "openai":
        return openai_problem(status, message)
    error: dict[str, object] = {"message": message, "code": status}
    if metadata:
        error["metadata"] = metadata
    body: dict[str, object] = {"error": error}
    if status in (400, 429) and asked.path in _WITH_USER:
        body["user_id"] = USER
    return json_answer(body, status=status)


def openai_problem(status: int, message: str, *, param: str | None = None, code: str | None = None) -> Answer:
    kind = _OPENAI_TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
    error = {"message": message, "type": kind, "param": param, "code": code or _OPENAI_CODES.get(status)}
    return json_answer({"error": error}, status=status)


def zod(field: str, expected: str = "string", message: str = "") -> Answer:
    """The schema check that runs before anything else; its message is JSON inside a string."""
    said = message or f"Invalid input: expected {expected}, received undefined"
    inner = (
        f'[\n  {{\n    "expected": "{expected}",\n    "code": "invalid_type",\n    "path": [\n      "{field}"\n    ],'
        f'\n    "message": "{said}"\n  }}\n]'
    )
    return json_answer({"success": False, "error": {"name": "ZodError", "message": inner}}, status=400)


def refuse(asked: Asked, status: int, message: str, **metadata: object) -> Refused:
    return Refused(problem(asked, status, message, **metadata))


def no_such_model(asked: Asked, model: str) -> Refused:
    if asked.dialect == "openai":
        return Refused(openai_problem(404, f"The model '{model}' does not exist", param="model"))
    return refuse(asked, 400, f"Model {model} does not exist")


def retired(asked: Asked, model: str) -> Refused:
    return refuse(asked, 404, f"No endpoints found for {model}.", failed_routing_step="Initial Endpoints")


def html(status: int, title: str) -> Answer:
    """A page of a gateway or of the website, where JSON was meant."""
    page = f"<!DOCTYPE html>\n<html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>\n"
    return Answer(status=status, media_type="text/html; charset=utf-8", body=page.encode())
