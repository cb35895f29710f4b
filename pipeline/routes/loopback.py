"""The loopback route: free answers made on the spot, for first tries of manifests and settings. Never a default.

Nothing of an answer is intelligent, and every one says so: speech is a tone, a transcript and a text name this route, a
picture is stripes with a comment in it. Receipts carry `made_by = loopback`. What cannot be pretended is refused.
"""

import re
import struct
import zlib
from decimal import Decimal

import msgspec

from pipeline.core.drivers import DriverFacts, Exchange, Health, Reply, RouteConfig
from pipeline.core.errors import UnsupportedOperation
from pipeline.core.model import Binding, Estimate, Refusal
from pipeline.core.operations import (
    Complete,
    MakeImage,
    Operation,
    Picture,
    Segment,
    Speak,
    Transcribe,
    Transcript,
    operation_name,
)
from pipeline.core.wav import wrap_pcm
from pipeline.routes import _options, _remote
from pipeline.routes._tools import Tools

MODEL = "loopback"
PROFILE = "l1"  # raise it when the same call would give other bytes
LABEL = "made by loopback, a route for tries"
RATE = 16_000
LETTERS_PER_S = 14
MAX_SECONDS = 600
MAX_SIDE = 2048
MAX_PICTURES = 4
FACTS = DriverFacts(
    name="loopback",
    operations=frozenset({"speak", "transcribe", "make_image", "complete"}),
    media_out=frozenset({"audio/wav", "application/json", "text/plain", "image/png"}),
    models=(MODEL,),
)
_SIZE = re.compile(r"([1-9]\d{0,3})x([1-9]\d{0,3})")
_WAVE = b"".join(struct.pack("<h", 2000 if index % 80 < 40 else -2000) for index in range(RATE // 10))


def open_driver(route: RouteConfig, tools: Tools) -> "Loopback":
    return Loopback(route)


class Loopback:
    """Implements `core.drivers.Driver`."""

    def __init__(self, route: RouteConfig) -> None:
        _options.refuse_slips(route, _options.NONE)
        self.route = route
        self.facts = msgspec.structs.replace(FACTS, operations=_remote.operations_of(route, FACTS.operations))

    def bind(self, operation: str, model: str | None) -> Binding:
        if operation not in self.facts.operations:
            raise UnsupportedOperation(f"loopback cannot {operation}", hint="name another route")
        if model not in (None, MODEL):
            hint = f"leave the model out or name {MODEL}"
            raise UnsupportedOperation(f"loopback has no model {model!r}", code="model-unknown", hint=hint)
        return Binding(route=self.route.id, model=MODEL, engine=f"loopback {PROFILE}", paid=False)

    def check(self, operation: Operation, binding: Binding) -> list[Refusal]:
        name = operation_name(operation)
        if name not in self.facts.operations:
            return [Refusal(code="operation-unsupported", message=f"loopback cannot {name}", hint="name another route")]
        match operation:
            case Speak() if operation.format != "wav":
                return [_refusal(f"loopback makes wav and no {operation.format}")]
            case Speak() if len(operation.text) > MAX_SECONDS * LETTERS_PER_S:
                return [_refusal(f"loopback speaks no longer than {MAX_SECONDS} seconds")]
            case MakeImage() if operation.n > MAX_PICTURES or _side(operation.picture) is None:
                return [
                    _refusal(f"loopback makes up to {MAX_PICTURES} PNG pictures of at most {MAX_SIDE} pixels a side")
                ]
            case Complete() if operation.schema is not None:
                return [_refusal("loopback cannot fit an answer to a schema")]
            case _:
                return []

    def estimate(self, operation: Operation, binding: Binding) -> Estimate:
        seconds = operation.audio.seconds if isinstance(operation, Transcribe) else None
        return Estimate(usd=Decimal(0), audio_seconds=seconds or 0.0)

    def probe(self) -> Health:
        return Health(ok=True, summary="answers are made on the spot and mean nothing")

    async def perform(self, operation: Operation, binding: Binding, exchange: Exchange) -> Reply:
        if self.check(operation, binding):
            raise UnsupportedOperation(f"loopback cannot do this {operation_name(operation)}")
        await exchange.sending()
        seconds, media_type = None, "image/png"
        match operation:
            case Speak():
                seconds = max(1.0, round(len(operation.text) / LETTERS_PER_S, 1))
                await exchange.write(wrap_pcm(_WAVE * int(seconds * 10), rate=RATE, channels=1))
                media_type = "audio/wav"
            case Transcribe():
                await exchange.write(_transcript(operation, binding))
                media_type = "application/json"
            case Complete():
                await exchange.write(f"This text was {LABEL}.\n".encode())
                media_type = "text/plain"
            case MakeImage():
                for number in range(operation.n):
                    if number:
                        await exchange.next_part()
                    await exchange.write(_stripes(*(_side(operation.picture) or (512, 512)), number))
        facts = {"made_by": "loopback"}
        return Reply(media_type=media_type, model=MODEL, usd=Decimal(0), seconds=seconds, facts=facts)


def _refusal(message: str) -> Refusal:
    return Refusal(code="operation-unsupported", message=message, hint="name another route")


def _side(picture: Picture) -> tuple[int, int] | None:
    """Width and height in pixels; None for a wish that cannot be had."""
    wishes = msgspec.structs.replace(picture, size=None, format=None, seed=None)
    if wishes != Picture() or picture.format not in (None, "png"):
        return None
    found = _SIZE.fullmatch(picture.size or "512x512")
    if found is None or max(int(found[1]), int(found[2])) > MAX_SIDE:
        return None
    return int(found[1]), int(found[2])


def _transcript(ask: Transcribe, binding: Binding) -> bytes:
    seconds = ask.audio.seconds or 1.0
    made = Transcript(
        schema=1,
        language=ask.language or "en",
        language_probability=1.0,
        seconds=seconds,
        speech_seconds=None,  # nobody listened
        segments=(Segment(start=0.0, end=seconds, text=f"This transcript was {LABEL}."),),
        engine=binding.engine,
        model=MODEL,
    )
    return msgspec.json.encode(made)


def _stripes(width: int, height: int, number: int) -> bytes:
    """A PNG of grey stripes, another pattern for each picture of a job."""
    step = 16 << number
    row = b"\0" + bytes(96 if x // step % 2 else 192 for x in range(width))
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)),
        (b"tEXt", b"Comment\0" + LABEL.encode()),
        (b"IDAT", zlib.compress(row * height)),
        (b"IEND", b""),
    )
    parts = (
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)
