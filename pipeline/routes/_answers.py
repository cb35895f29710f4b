"""Reading an answer that is JSON or words: whole, bounded, and nothing else.

Promises an object or text, or a ContractError; never bytes that nobody decoded.
"""

from pipeline.core.errors import ContractError
from pipeline.routes._json import JsonValue, read_json
from pipeline.routes._stream import Stream

MAX_ANSWER_BYTES = 64_000_000


async def read_object(stream: Stream, *, max_bytes: int = MAX_ANSWER_BYTES) -> dict[str, JsonValue]:
    """The JSON object that the answer is."""
    return object_of(await stream.read_all(max_bytes))


async def read_object_or_words(stream: Stream, *, max_bytes: int = MAX_ANSWER_BYTES) -> dict[str, JsonValue] | str:
    """An object where it is declared or begins as one, else its words."""
    body = await stream.read_all(max_bytes)
    if stream.media_type.is_json or body.lstrip()[:1] == b"{":
        return object_of(body)
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ContractError(f"the answer is no text: byte {error.start} is not UTF-8") from error


def object_of(body: bytes) -> dict[str, JsonValue]:
    if not body.strip():
        raise ContractError("the answer is empty", code="reply-empty", hint="mediaspool retry")
    value = read_json(body)
    if not isinstance(value, dict):
        raise ContractError("the answer is JSON, but no object", code="reply-type", hint="mediaspool retry")
    return value
