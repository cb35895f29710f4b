"""A driver that hears where sound begins after silence: the engine of long recordings, faked, exact to the sample.

It decodes what it is sent and writes one word for each onset after a tenth of a second of digital silence, no word
twice. Calls are counted on disk as those of `tests.scripted`. Option `max_seconds` is its bound.
"""

from decimal import Decimal

import av
import msgspec
import numpy as np
import trio

from pipeline.core.drivers import Exchange, Reply, RouteConfig
from pipeline.core.hearing import PARTS, Hearing, sounds
from pipeline.core.model import Binding, Estimate
from pipeline.core.operations import Operation, Segment, Transcribe, Transcript, Word
from pipeline.routes._tools import Tools
from tests.recordings import RATE
from tests.scripted import ScriptedDriver

SILENCE = RATE // 10


class Listener(ScriptedDriver):
    """Implements `core.drivers.Driver` and `Hears`."""

    def hearing(self, binding: Binding) -> Hearing:
        seconds = float(self._options.get("max_seconds", "300"))
        return Hearing(takes=sounds(["flac"]), max_seconds=seconds, part=PARTS["flac"])

    def estimate(self, operation: Operation, binding: Binding) -> Estimate:
        assert isinstance(operation, Transcribe)
        return Estimate(audio_seconds=operation.audio.seconds or 0.0)

    async def perform(self, operation: Operation, binding: Binding, exchange: Exchange) -> Reply:
        assert isinstance(operation, Transcribe)
        await self._begin(operation, exchange)
        body = await trio.to_thread.run_sync(_heard, operation)
        await exchange.write(body)
        return Reply(media_type="application/json", model=binding.model, usd=Decimal(0))


def open_driver(route: RouteConfig, tools: Tools) -> Listener:
    return Listener(route)


def onsets(samples: np.ndarray[tuple[int], np.dtype[np.int16]]) -> list[float]:
    """Seconds at which sound begins after silence, or after a silent beginning."""
    loud = np.flatnonzero(samples)
    if not len(loud):
        return []
    gaps = np.diff(loud, prepend=-SILENCE - 1)
    return [float(place) / RATE for place in loud[gaps > SILENCE]]


def _heard(ask: Transcribe) -> bytes:
    with av.open(ask.audio.path, format="flac") as container:
        pieces = [frame.to_ndarray().reshape(-1).astype(np.int16) for frame in container.decode(audio=0)]
    samples = np.concatenate(pieces)
    starts = onsets(samples)
    ends = [*starts[1:], len(samples) / RATE][: len(starts)]
    words = [
        Word(start=at, end=end, text=f"at{round(at * 1000)}") for at, end in zip(starts, ends, strict=True)
    ]  # as long as their sound, so that all that is spoken has text
    segments = tuple(
        Segment(start=word.start, end=end, text=word.text, words=(word,)) for word, end in zip(words, ends, strict=True)
    )
    return msgspec.json.encode(
        Transcript(
            schema=1,
            language="en",
            language_probability=None,
            seconds=ask.audio.seconds or 0.0,
            speech_seconds=None,
            segments=segments,
            engine="listener",
            model="one",
        )
    )
