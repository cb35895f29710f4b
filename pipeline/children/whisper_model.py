"""The typed wrapper of faster-whisper: one window of samples in, segments with true times out.

Owns the engine's settings: voice activity always on (without it Whisper invents text on noise), temperature 0, beam 5,
no conditioning on previous text, one thread. Promises that no text comes out where no speech was heard, that times stay
inside the window, and that the encoder sees only as much padding as it needs and each stretch only once; where little
padding makes the engine loop, as it may on a clip that is cut inside a word, the window is heard again with all of it.
"""

import functools

import numpy as np
from ctranslate2 import StorageView
from faster_whisper import WhisperModel
from faster_whisper.transcribe import Segment as EngineSegment
from faster_whisper.transcribe import TranscriptionInfo, restore_speech_timestamps
from faster_whisper.transcribe import Word as EngineWord
from faster_whisper.vad import VadOptions, collect_chunks, get_speech_timestamps
from msgspec import Struct
from numpy.typing import NDArray

from pipeline.children import weights
from pipeline.core.errors import EngineError
from pipeline.core.operations import Segment, Span, Word

RATE = 16_000
COMPUTE_TYPE = "int8"
BEAM = 5
MIN_FRAMES, EXTRA_FRAMES = 1000, 100  # of 10 ms; less than 10 s of features cost words, see docs/decisions.md
LOADED_MODELS = 2
LOOPING_RATIO = 2.4  # text that compresses better than this repeats itself: the engine's own bound
FASTEST_CHARS_PER_S, FAST_MIN_CHARS = 35.0, 40
Samples = NDArray[np.float32]


class Heard(Struct, frozen=True, kw_only=True):
    """What one window said. Times are seconds from its start; language None when no speech was found."""

    segments: tuple[Segment, ...] = ()
    speech: tuple[Span, ...] = ()
    language: str | None = None
    language_probability: float | None = None


class ShortWhisper(WhisperModel):  # type: ignore[misc]  # the engine is untyped
    """Whisper without the 30-second toll: the encoder gets features as long as the clip and a second more.

    The engine pads every stretch with zeros to 30 s and encodes it once to detect the language and once to transcribe;
    here trailing zeros are cut and a repeated stretch is answered from the last one. Nothing else differs.
    """

    encodings = 0
    is_padding_cut = True
    _last: tuple[Samples, StorageView] | None = None

    @staticmethod
    def needed_frames(features: Samples) -> int:
        """Frames up to the last one with content, and the padding that keeps the endings; even, for the stride."""
        used = np.flatnonzero(features.any(axis=tuple(range(features.ndim - 1))))
        content = int(used[-1]) + 1 if len(used) else 0
        needed = max(MIN_FRAMES, content + EXTRA_FRAMES)
        padded: int = features.shape[-1]
        return min(padded, needed + needed % 2)

    def encode(self, features: Samples) -> StorageView:
        needed = features[..., : self.needed_frames(features)] if self.is_padding_cut else features
        if self._last is None or not np.array_equal(self._last[0], needed):
            self._last = (needed, super().encode(needed))
            self.encodings += 1
        return self._last[1]

    def detect_language(self, audio: None = None, features: Samples | None = None, **options: int | float) -> object:
        """As the engine's, on the stretch that is transcribed next: without the one frame that it leaves out there."""
        assert features is not None
        return super().detect_language(features=features[..., : max(1, features.shape[-1] - 1)], **options)


@functools.lru_cache(maxsize=LOADED_MODELS)
def loaded(model: str) -> ShortWhisper:
    """A packaged model by name, verified, or any CTranslate2 folder by absolute path. Loaded once in a process."""
    try:
        if model in weights.WHISPER:
            files = weights.load(weights.WHISPER[model])
            return ShortWhisper(model, files=files, device="cpu", compute_type=COMPUTE_TYPE, cpu_threads=1)
        return ShortWhisper(model, device="cpu", compute_type=COMPUTE_TYPE, cpu_threads=1, local_files_only=True)
    except (RuntimeError, ValueError, OSError) as error:
        raise EngineError(
            f"the model cannot be loaded: {type(error).__name__}", code="engine-broken", hint="run mediaspool doctor"
        ) from error


def listen(model: ShortWhisper, samples: Samples, *, language: str | None, words: bool, multilingual: bool) -> Heard:
    """Transcribe one window. The detected language, or the one given."""
    speech = get_speech_timestamps(samples, VadOptions())
    if not speech:
        return Heard()
    joined = np.concatenate(collect_chunks(samples, speech)[0])
    options = {"language": language, "word_timestamps": words, "multilingual": multilingual}
    segments, info = _transcribed(model, joined, options)
    if _is_looping(segments, len(joined) / RATE):
        model.is_padding_cut = False
        try:
            segments, info = _transcribed(model, joined, options)
        finally:
            model.is_padding_cut = True
    length = len(samples) / RATE
    kept = (_segment(segment, length) for segment in restore_speech_timestamps(segments, speech, RATE))
    return Heard(
        segments=tuple(segment for segment in kept if segment.text),
        speech=tuple(Span(start=round(part["start"] / RATE, 3), end=round(part["end"] / RATE, 3)) for part in speech),
        language=info.language,
        language_probability=None if language else float(info.language_probability),
    )


def _transcribed(
    model: ShortWhisper, samples: Samples, options: dict[str, str | bool | None]
) -> tuple[list[EngineSegment], TranscriptionInfo]:
    segments, info = model.transcribe(
        samples,
        beam_size=BEAM,
        temperature=0.0,
        condition_on_previous_text=False,
        vad_filter=False,  # done before, where the stretches of speech stay known
        **options,
    )
    return list(segments), info


def _is_looping(segments: list[EngineSegment], seconds: float) -> bool:
    """Does the text repeat itself, or is it more than anybody says in that time?"""
    size = sum(len(segment.text) for segment in segments)
    is_hasty = size >= FAST_MIN_CHARS and size > FASTEST_CHARS_PER_S * seconds
    return is_hasty or any(segment.compression_ratio > LOOPING_RATIO for segment in segments)


def _segment(segment: EngineSegment, length: float) -> Segment:
    start, end = _inside(segment.start, segment.end, length)
    return Segment(
        start=start,
        end=end,
        text=segment.text.strip(),
        words=tuple(_word(word, length) for word in segment.words or () if word.word.strip()),
        avg_logprob=float(segment.avg_logprob),
        no_speech_prob=float(segment.no_speech_prob),
    )


def _word(word: EngineWord, length: float) -> Word:
    start, end = _inside(float(word.start), float(word.end), length)
    return Word(start=start, end=end, text=word.word.strip(), probability=round(float(word.probability), 4))


def _inside(start: float, end: float, length: float) -> tuple[float, float]:
    """Times within the clip and never backward: Whisper stamps endings beyond it."""
    start = min(max(0.0, float(start)), length)
    return round(start, 3), round(min(max(start, float(end)), length), 3)
