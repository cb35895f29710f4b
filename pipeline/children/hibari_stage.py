"""The hibari stage: English text in, 24 kHz PCM out.

One gain for every text, because the voice is even (measured loudness within 1.3 dB over ten sentences, peaks within
4.3): scaling each piece to the same peak would make a joined text go up and down. Lowered only where a peak would clip.
The seed is fixed, so the same text gives the same bytes.
"""

import functools

import numpy as np
from hibari import Hibari

from pipeline.children import files, weights
from pipeline.children.speech_work import HIBARI_RATE, SpeakFacts, SpeakParams
from pipeline.children.stage import Roots, StageResult, StageSpec, packed
from pipeline.core.decoding import from_json
from pipeline.core.errors import EngineError, InputError

GAIN = 2.0
MAX_PEAK = 0.95
SEED = 0


def speak(spec: StageSpec, roots: Roots) -> StageResult:
    """SpeakFacts of the PCM in the output. Text of which nothing is spoken is an InputError, never silence."""
    params = from_json(spec.params, SpeakParams)
    if spec.output is None:
        raise EngineError("speech needs an output")
    samples = _voice(params.voice)(params.text, speed=params.speed, seed=SEED)
    peak = float(np.abs(samples).max(initial=0.0))
    if peak == 0.0:
        raise InputError("the voice finds nothing to speak in the text", code="text-unsupported")
    gain = min(GAIN, MAX_PEAK / peak)
    with files.sink(spec.output, roots, spec.limits.max_output_bytes) as sink:
        sink.write(np.rint(samples * (gain * 32767)).astype("<i2").tobytes())
    facts = SpeakFacts(rate=HIBARI_RATE, samples=len(samples), peak=round(peak * gain, 4))
    return StageResult(output=spec.output, facts=packed(facts))


@functools.lru_cache(maxsize=1)
def _voice(name: str) -> Hibari:
    """Verified and loaded once in a process. Any other voice would be downloaded, so there is none."""
    if name != weights.HIBARI.name:
        raise EngineError(f"hibari has no packaged voice {name!r}", code="voice-unknown")
    weights.require(weights.HIBARI)
    return Hibari(voice=name, threads=1)
