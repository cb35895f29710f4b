"""The pico stage: short German, Spanish, French, Italian or British text in, 16 kHz PCM out.

Runs in a fresh child per call, because the engine hung for ever in a process that had used several voices. Its markup
(`<play file=...>`, `<speed ...>`) never reaches it: angle brackets become spaces. Volume is set below its clipping.
"""

from py_nanotts import NanoTTS

from pipeline.children import files, weights
from pipeline.children.speech_work import PICO_RATE, SAMPLE_BYTES, SpeakFacts, SpeakParams
from pipeline.children.stage import Roots, StageResult, StageSpec, packed
from pipeline.core.decoding import from_json
from pipeline.core.errors import EngineError, InputError

MAX_CHARS = 500
VOLUME = 0.5
HEARD = 0.01  # of full scale; punctuation alone gives half a second of next to nothing
_NO_MARKUP = str.maketrans("<>", "  ")


def speak(spec: StageSpec, roots: Roots) -> StageResult:
    """SpeakFacts of the PCM in the output. Text of which nothing is spoken is an InputError, never silence."""
    params = from_json(spec.params, SpeakParams)
    if spec.output is None or params.voice not in weights.PICO or len(params.text) > MAX_CHARS:
        raise EngineError(f"pico takes at most {MAX_CHARS} characters, a voice of its own and an output")
    weights.require(weights.PICO[params.voice])
    body = NanoTTS().speak(params.text.translate(_NO_MARKUP), voice=params.voice, speed=params.speed, volume=VOLUME)
    peak = _peak(body)
    if peak < HEARD:
        raise InputError("the voice finds nothing to speak in the text", code="text-unsupported")
    with files.sink(spec.output, roots, spec.limits.max_output_bytes) as sink:
        sink.write(body)
    facts = SpeakFacts(rate=PICO_RATE, samples=len(body) // SAMPLE_BYTES, peak=round(peak, 4))
    return StageResult(output=spec.output, facts=packed(facts))


def _peak(body: bytes) -> float:
    samples = memoryview(body).cast("h")
    return max(max(samples, default=0), -min(samples, default=0)) / 32768
