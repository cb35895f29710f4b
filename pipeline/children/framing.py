"""Framing: the messages between the pool and a child, as length-prefixed JSON on pipes.

Owns the two message structs, their bound and the form in which file names cross JSON. Promises that garbage, a frame
over the bound or a wrong struct is `BadFrame` and never anything else. Knows nothing of processes.
"""

import base64
import binascii
import os
import struct
from typing import TypeVar

import msgspec
from msgspec import Struct, structs

from pipeline.children.stage import FileRef, Roots, StageResult, StageSpec
from pipeline.core.decoding import from_json

MAX_FRAME_BYTES = 1 << 25  # the text of a long PDF; everything else is a few kilobytes
_HEADER = struct.Struct(">I")
_ODD = "\0"  # can begin no real name, so the two forms never meet
M = TypeVar("M", bound=Struct)


class BadFrame(Exception):
    """The other side wrote something that is not one of our messages."""


class Ask(Struct, frozen=True, kw_only=True):
    """One piece of work for a child. `number` comes back in the answer."""

    number: int
    spec: StageSpec
    roots: dict[str, str]


class Answer(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the child says to the ask of the same number."""

    number: int
    result: StageResult


class FrameReader:
    """Bytes in any chunking -> whole frames. Holds at most one frame beyond what was taken."""

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, chunk: bytes) -> None:
        self._held += chunk

    def take(self) -> bytes | None:
        """The next whole frame, or None until more bytes came."""
        if len(self._held) < _HEADER.size:
            return None
        (size,) = _HEADER.unpack_from(self._held)
        if size > MAX_FRAME_BYTES:
            raise BadFrame(f"a frame of {size} bytes")
        if len(self._held) < _HEADER.size + size:
            return None
        frame = bytes(self._held[_HEADER.size : _HEADER.size + size])
        del self._held[: _HEADER.size + size]
        return frame

    def is_empty(self) -> bool:
        return not self._held


def ask_frame(number: int, spec: StageSpec, roots: Roots) -> bytes:
    wired = structs.replace(spec, inputs=tuple(map(_wired, spec.inputs)), output=_wired_or_none(spec.output))
    return _frame(Ask(number=number, spec=wired, roots={name: to_wire(path) for name, path in roots.items()}))


def answer_frame(number: int, result: StageResult) -> bytes:
    return _frame(Answer(number=number, result=structs.replace(result, output=_wired_or_none(result.output))))


def read_ask(body: bytes) -> Ask:
    ask = _decoded(body, Ask)
    spec = structs.replace(ask.spec, inputs=tuple(map(_real, ask.spec.inputs)), output=_real_or_none(ask.spec.output))
    return Ask(number=ask.number, spec=spec, roots={name: from_wire(path) for name, path in ask.roots.items()})


def read_answer(body: bytes) -> Answer:
    answer = _decoded(body, Answer)
    result = structs.replace(answer.result, output=_real_or_none(answer.result.output))
    return Answer(number=answer.number, result=result)


def _frame(message: Ask | Answer) -> bytes:
    try:
        body = msgspec.json.encode(message)
    except UnicodeEncodeError as error:
        raise BadFrame("a text with half a character") from error
    if len(body) > MAX_FRAME_BYTES:
        raise BadFrame(f"a message of {len(body)} bytes")
    return _HEADER.pack(len(body)) + body


def _decoded(body: bytes, kind: type[M]) -> M:
    try:
        return from_json(body, kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadFrame(f"not an {kind.__name__.lower()}") from error


def _wired(ref: FileRef) -> FileRef:
    return structs.replace(ref, path=to_wire(ref.path))


def _wired_or_none(ref: FileRef | None) -> FileRef | None:
    return None if ref is None else _wired(ref)


def _real(ref: FileRef) -> FileRef:
    return structs.replace(ref, path=from_wire(ref.path))


def _real_or_none(ref: FileRef | None) -> FileRef | None:
    return None if ref is None else _real(ref)


def to_wire(path: str) -> str:
    """A file name that JSON can carry: itself, or its bytes in base64 where an odd byte stands in it."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return _ODD + base64.b64encode(os.fsencode(path)).decode("ascii")
    return path


def from_wire(path: str) -> str:
    if not path.startswith(_ODD):
        return path
    try:
        return os.fsdecode(base64.b64decode(path[1:], validate=True))
    except (binascii.Error, ValueError) as error:
        raise BadFrame("a file name that cannot be read") from error
