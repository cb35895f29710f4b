"""Completions that are whole JSON and yet no answer: cut, refused, empty, wrapped, or with an error inside."""

from collections.abc import Callable

from tests.standin.nouns import Asked

Body = dict[str, object]


def odd_completion(asked: Asked, body: Body) -> Body:
    """The completion as the fault of this request would have it."""
    for name in asked.variations:
        change = ODD_CHATS.get(name)
        if change is not None:
            return change(body)
    return body


def _choice(reason: str | None = None, **message: object) -> Callable[[Body], Body]:
    def changed(body: Body) -> Body:
        first, said = _first(body)
        wanted = {} if reason is None else {"finish_reason": reason, "native_finish_reason": reason}
        return {**body, "choices": [{**first, **wanted, "message": {**said, **message}}]}

    return changed


def _first(body: Body) -> tuple[Body, Body]:
    choices = body["choices"]
    first = choices[0] if isinstance(choices, list) else None
    assert isinstance(first, dict)
    said = first["message"]
    assert isinstance(said, dict)
    return first, said


def _fenced(body: Body) -> Body:
    _, said = _first(body)
    return _choice(content=f"```json\n{said['content']}\n```")(body)


def _without_images(body: Body) -> Body:
    first, said = _first(body)
    kept = {name: value for name, value in said.items() if name != "images"}
    return {**body, "choices": [{**first, "message": {**kept, "content": "I cannot draw that."}}]}


def _error_inside(body: Body) -> Body:
    first, _ = _first(body)
    error = {"code": 502, "message": "Provider returned error", "metadata": {"provider_name": "Stand-in"}}
    return {**body, "choices": [{**first, "finish_reason": "error", "error": error}]}


def _usage(**values: object) -> Callable[[Body], Body]:
    def changed(body: Body) -> Body:
        usage = body["usage"]
        kept = usage if isinstance(usage, dict) else {}
        return {**body, "usage": {name: value for name, value in {**kept, **values}.items() if value is not Ellipsis}}

    return changed


ODD_CHATS: dict[str, Callable[[Body], Body]] = {
    "chat-null-content": _choice(content=None),
    "chat-empty": _choice(content=""),
    "chat-length": _choice("length"),
    "chat-length-empty": _choice("length", content=""),
    "chat-refusal": _choice(refusal="I cannot help with that."),
    "chat-filtered": _choice("content_filter", content=""),
    "chat-error-inside": _error_inside,
    "chat-no-choices": lambda body: {**body, "choices": []},
    "chat-fenced": _fenced,
    "chat-broken-json": _choice(content='{"cut": '),
    "chat-no-images": _without_images,
    "chat-images-null": _choice(images=None),
    "chat-no-usage": lambda body: {name: value for name, value in body.items() if name != "usage"},
    "chat-usage-null": lambda body: {**body, "usage": None},
    "chat-no-details": _usage(prompt_tokens_details=..., completion_tokens_details=..., cost_details=...),
    "chat-cached-tokens": _usage(prompt_tokens_details={"cached_tokens": 7, "cache_write_tokens": 0}),
}
