"""What of a request is kept for tests: its fields with long texts shortened, and the hash of every medium in it.

Never keeps a key, nor the bytes of a medium.
"""

import base64
import binascii
import hashlib
import json
from collections.abc import Iterator

from msgspec.structs import replace

from tests.standin.nouns import Asked, Fields, dumped
from tests.standin.world import Seen

LONG = 2000
DATA = "data:"
_DEFAULTS = {
    "speak": ("hexgrad/kokoro-82m", "tts-1"),
    "transcribe": ("openai/whisper-1", "whisper-1"),
    "make_image": ("black-forest-labs/flux.2-klein-4b", "gpt-image-1"),
    "edit_image": ("black-forest-labs/flux.2-klein-4b", "gpt-image-1"),
    "make_video": ("x-ai/grok-imagine-video", ""),
    "complete": ("openai/gpt-5.4-mini", "gpt-4.1-mini"),
}


def default_model(operation: str, dialect: str) -> str:
    """The model meant by `fault/<name>` alone."""
    return _DEFAULTS.get(operation, ("", ""))[dialect == "openai"]


def with_model(asked: Asked, model: str) -> Asked:
    """The same request for another model."""
    if asked.form is not None:
        form = tuple(replace(part, body=model.encode()) if part.name == "model" else part for part in asked.form)
        return replace(asked, form=form)
    fields = {**(asked.fields or {}), "model": model}
    return replace(asked, fields=fields, body=dumped(fields))


def fill(seen: Seen, asked: Asked) -> None:
    """Write down what came in."""
    seen.body_bytes = len(asked.body)
    seen.model = asked.model
    if asked.form is not None:
        seen.fields = {part.name: _shown(part.text) for part in asked.form if part.file_name is None}
        seen.media = [
            {"name": part.name, "file_name": part.file_name, "type": part.content_type, **_facts(part.body)}
            for part in asked.form
            if part.file_name is not None
        ]
        seen.fields |= _repeated(asked)
    elif asked.fields is not None:
        seen.media = list(_media(asked.fields, ""))
        seen.fields = {name: _shown(value) for name, value in asked.fields.items()}
    seen.operation = _operation(seen, asked)


def _operation(seen: Seen, asked: Asked) -> str:
    """One path makes and changes pictures, another answers in words or in pictures."""
    fields = asked.fields or {}
    if seen.operation == "make_image" and fields.get("input_references"):
        return "edit_image"
    modalities = fields.get("modalities")
    if seen.operation == "complete" and isinstance(modalities, list) and "image" in modalities:
        return "edit_image" if seen.media else "make_image"
    return seen.operation


def _repeated(asked: Asked) -> dict[str, object]:
    """Parts that come more than once, such as `timestamp_granularities[]`."""
    names = [part.name for part in asked.form or () if part.file_name is None]
    return {
        name: [part.text for part in asked.form or () if part.name == name]
        for name in set(names)
        if names.count(name) > 1 or name.endswith("[]")
    }


def _facts(body: bytes) -> dict[str, object]:
    return {"bytes": len(body), "sha256": hashlib.sha256(body).hexdigest()}


def _shown(value: object) -> object:
    """A value as it is kept: no text longer than a page."""
    match value:
        case str() if len(value) > LONG:
            return f"{len(value)} characters, sha256 {hashlib.sha256(value.encode('utf-8', 'replace')).hexdigest()}"
        case dict():
            return {str(name): _shown(item) for name, item in value.items()}
        case list():
            return [_shown(item) for item in value]
        case float() if value != value or value in (float("inf"), float("-inf")):
            return str(value)
        case _:
            return value


def _media(value: object, name: str) -> Iterator[dict[str, object]]:
    """Every data URL and every `data` member, decoded and hashed."""
    match value:
        case dict():
            for key, item in value.items():
                yield from _media(item, str(key))
        case list():
            for item in value:
                yield from _media(item, name)
        case str() if value.startswith(DATA) or name == "data":
            head, _, encoded = value.partition(",") if value.startswith(DATA) else ("", "", value)
            yield {"name": name, "type": head.removeprefix(DATA).partition(";")[0] or None, **_decoded(encoded)}
        case _:
            return


def _decoded(encoded: str) -> dict[str, object]:
    try:
        return _facts(base64.b64decode(encoded, validate=True))
    except (binascii.Error, ValueError):
        return {"bytes": None, "sha256": None}


def plain(fields: Fields) -> str:
    """For error bodies that say what was asked, as careless servers do."""
    return json.dumps(fields, ensure_ascii=False)[:LONG]
