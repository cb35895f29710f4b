"""A driver that is scripted instead of running an engine: the outermost edge, faked. It counts its calls on disk.

Every call appends one line to the file named by the route option `calls` at the instant its first byte would leave, so
that a test can count what a killed process had really sent. The answers are real bytes: a WAV or a transcript.
"""

import builtins
import functools
import os
import struct
import wave
from decimal import Decimal
from pathlib import Path

import msgspec
import trio

from pipeline.core import errors
from pipeline.core.drivers import DriverFacts, Exchange, Health, Reply, RouteConfig
from pipeline.core.model import Binding, Estimate, Refusal
from pipeline.core.operations import Operation, Segment, Speak, Transcribe, Transcript, Word
from pipeline.routes._tools import Tools

RATE = 16_000
VOICE = Path(__file__).parents[1] / "samples/media/jfk.wav"
SILENT_BYTES = RATE * 2 * 3 // 10  # nobody speaks in the first three tenths of it


class ScriptedDriver:
    """Options: `calls` (file), `paid` (USD a call), `fail` (class:code), what that `says` and its `hint`, `garbage`.

    `delay_s`: of an answer. `text`: what is heard. `asked`: the model that was asked for instead. `deferred`: the work
    goes on behind a ticket, and only its beginning is a call. `parts`: payloads of an answer. `late_usd`: the price is
    told by `price_of` only, `unknown` for as long as it says so; asks are counted beside calls.
    """

    def __init__(self, route: RouteConfig) -> None:
        self.route = route
        self._options = route.options
        self.facts = DriverFacts(
            name="scripted",
            operations=frozenset({"speak", "transcribe"}),
            media_out=frozenset({"audio/wav", "application/json"}),
            models=("one",),
            paid="paid" in self._options,
        )

    def bind(self, operation: str, model: str | None) -> Binding:
        if operation not in self.facts.operations:
            raise errors.UnsupportedOperation(f"scripted cannot {operation}")
        if model not in (None, "one"):
            raise errors.UnsupportedOperation(f"scripted has no model {model!r}", code="model-unknown", hint="take one")
        asked = self._options.get("asked")
        return Binding(route=self.route.id, model="one", engine="scripted 1", paid=self.facts.paid, asked=asked)

    def check(self, operation: Operation, binding: Binding) -> list[Refusal]:
        if isinstance(operation, Speak) and operation.voice == "nobody":
            return [Refusal(code="voice-unknown", message="no voice 'nobody'", hint="choose another")]
        return []

    def estimate(self, operation: Operation, binding: Binding) -> Estimate:
        paid = self._options.get("paid", "0")
        return Estimate(usd=None if paid == "unknown" else Decimal(paid), audio_seconds=1.0)

    def probe(self) -> Health:
        return Health(ok=True, summary="scripted")

    async def perform(self, operation: Operation, binding: Binding, exchange: Exchange) -> Reply:
        if self._options.get("fail") == "before":
            raise errors.Unavailable("not reachable")
        if exchange.ticket is None:
            await self._begin(operation, exchange)
        await trio.sleep(float(self._options.get("delay_s", "0")))
        if "fail" in self._options:
            name, says = self._options["fail"], self._options.get("says", "scripted failure")
            name, _, code = name.partition(":")
            kind = getattr(errors, name, None)
            if kind is None:
                raise getattr(builtins, name)(says)
            raise kind(says, code=code or None, hint=self._options.get("hint", ""))
        body, media_type = self._answer(operation)
        for number in range(int(self._options.get("parts", "1")) - 1):
            await exchange.write(body if media_type == "application/json" else wav(0.5 + number))
            await exchange.next_part()
        for start in range(0, len(body), 1000):
            await exchange.write(body[start : start + 1000])
        usd = None if "late_usd" in self._options else Decimal(self._options.get("paid", "0"))
        return Reply(media_type=media_type, model=binding.model, usd=usd)

    async def price_of(self, request_id: str) -> Decimal | None:
        await trio.lowlevel.checkpoint()
        self._note(f"{self._options['calls']}.prices", request_id)
        told = self._options["late_usd"]
        if told == "fails":
            raise errors.Unavailable("not reachable")
        return None if told == "unknown" else Decimal(told)

    async def _begin(self, operation: Operation, exchange: Exchange) -> None:
        await exchange.connecting()
        await exchange.sending()
        self._note(self._options["calls"], type(operation).__name__)
        if "late_usd" in self._options:
            await exchange.identified(f"gen-{type(operation).__name__}")
        if "deferred" in self._options:
            await exchange.submitted(f"ticket-{type(operation).__name__}")

    def _note(self, path: str, word: str) -> None:
        line = f"{word}\n".encode()
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(handle, line)
        finally:
            os.close(handle)

    def _answer(self, operation: Operation) -> tuple[bytes, str]:
        garbage = self._options.get("garbage")
        match operation:
            case Speak():
                return (garbage.encode() if garbage else wav(1.0)), "audio/wav"
            case Transcribe():
                text = self._options.get("text", "one two three")
                return (garbage.encode() if garbage else transcript(text)), "application/json"
            case _:
                raise errors.UnsupportedOperation("not scripted")


def open_driver(route: RouteConfig, tools: Tools) -> ScriptedDriver:
    return ScriptedDriver(route)


@functools.cache
def _voice() -> bytes:
    with wave.open(str(VOICE)) as recording:
        assert (recording.getframerate(), recording.getnchannels(), recording.getsampwidth()) == (RATE, 1, 2)
        samples: bytes = recording.readframes(recording.getnframes())
    return samples[SILENT_BYTES:]


def wav(seconds: float) -> bytes:
    """Somebody speaks, in mono of 16 bits at 16 kHz: no paid route is asked to hear anything else."""
    size = int(RATE * seconds) * 2
    body = (_voice() * (size // len(_voice()) + 1))[:size]
    head = struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        b"RIFF",
        36 + len(body),
        b"WAVE",
        b"fmt ",
        16,
        1,
        1,
        RATE,
        RATE * 2,
        2,
        16,
        b"data",
        len(body),
    )
    return head + body


def transcript(text: str) -> bytes:
    words = text.split()
    spoken = tuple(Word(start=float(i) / 2, end=float(i) / 2 + 0.4, text=word) for i, word in enumerate(words))
    segments = (Segment(start=0.0, end=len(words) / 2, text=text, words=spoken),) if words else ()
    return msgspec.json.encode(
        Transcript(
            schema=1,
            language="en",
            language_probability=1.0,
            seconds=max(1.0, len(words) / 2),
            speech_seconds=len(words) / 2,
            segments=segments,
            engine="scripted 1",
            model="one",
        )
    )
