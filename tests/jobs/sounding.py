"""Where a WAV sounds and where it is still, for tests of joined speech."""

import struct
import wave
from pathlib import Path

LOUD = 500


def samples(path: Path) -> tuple[int, bytes]:
    with wave.open(str(path)) as reader:
        return reader.getframerate(), reader.readframes(reader.getnframes())


def sounding(path: Path, *, gap_s: float = 0.01) -> list[tuple[float, float]]:
    """From where to where there is sound, in seconds; stillness of less than `gap_s` lies inside."""
    rate, data = samples(path)
    levels = struct.unpack(f"<{len(data) // 2}h", data)
    window = round(rate * gap_s)
    loud = [max(map(abs, levels[at : at + window])) > LOUD for at in range(0, len(levels), window)]
    edges = [at for at, (before, now) in enumerate(zip([False, *loud], [*loud, False], strict=True)) if before != now]
    return [(start * gap_s, end * gap_s) for start, end in zip(edges[::2], edges[1::2], strict=True)]
