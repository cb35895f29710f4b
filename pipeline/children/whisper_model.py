"""The typed wrapper of faster-whisper: one window of samples in, segments with true times out.

Owns the engine's settings: voice activity always on (without it Whisper invents text on noise), temperature 0, beam 5,
no conditioning on previous text, one thread. Promises that no text comes out where no speech was heard, that times stay
inside the window, and that the encoder sees only as much padding as it needs; where little padding makes the engine
loop, as it may on a clip that is cut inside a word, the piece is heard again with all of it. What the engine makes up
of the silence behind the last word, or of sounds that it takes for no language, is left out.
"""

import functools
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np
from ctranslate2 import StorageView
from faster_whisper import WhisperModel
from faster_whisper.transcribe import Segment as EngineSegment
from faster_whisper.transcribe import TranscriptionInfo, restore_speech_timestamps
from faster_whisper.transcribe import Word as EngineWord
from faster_whisper.vad import VadOptions, collect_chunks
from msgspec import Struct

from pipeline.children import weights
from pipeline.children.pcm import RATE, Samples
from pipeline.children.whisper_pieces import Guess, Part, by_language, pieces, stretches_of_speech
from pipeline.core.errors import EngineError
from pipeline.core.operations import Segment, Span, Word

FRAMES_PER_S = 100
COMPUTE_TYPE = "int8"
BEAM = 5
MIN_FRAMES, EXTRA_FRAMES = 1000, 100  # of 10 ms; less than 10 s of features cost words, see docs/decisions.md
LOADED_MODELS = 2
MAX_TOLD_CHARS = 200  # of what the engine says
DOUBLED_WORDS = 3
LOOPING_RATIO = 2.4  # text that compresses better than this repeats itself: the engine's own bound
NO_SPEECH = 0.6
REMNANTS = ((1.0, 0.5), (2.0, 0.35))  # seconds left of a clip, and how likely words in them must be
FASTEST_CHARS_PER_S, FAST_MIN_CHARS = 35.0, 40
HOLE_S = 3.0  # speech without a word for so long is heard once more, alone
LIKELY = 0.5


class Heard(Struct, frozen=True, kw_only=True):
    """What one window said. Times are seconds from its start; language None when no speech was found.

    `languages` are seconds of speech in each language that was heard, also where another one was asked for;
    `last_language` is the one of its end, as far as that was detected.
    """

    segments: tuple[Segment, ...] = ()
    speech: tuple[Span, ...] = ()
    language: str | None = None
    language_probability: float | None = None
    languages: dict[str, float] = {}
    last_language: str | None = None


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
        if model not in weights.WHISPER:
            return _opened(model)
        if hasattr(os, "memfd_create"):  # elsewhere the engine keeps the bytes that it is handed
            with weights.folder(weights.WHISPER[model]) as folder:
                return _opened(folder)
        return _opened(model, files=weights.load(weights.WHISPER[model]))
    except OSError as error:  # of the machine, which a new installation does not mend
        why = error.strerror or type(error).__name__
        raise EngineError(
            f"the model needs room in TMPDIR and memory to be loaded, and there was none: {why}"
        ) from error
    except (RuntimeError, ValueError) as error:
        is_ours = model in weights.WHISPER  # and is whole, so it is no new installation that mends this
        code, why = "engine-failed" if is_ours else "engine-broken", str(error)[:MAX_TOLD_CHARS]
        raise EngineError(f"the model cannot be loaded: {why}", code=code, hint="run mediaspool doctor") from error


def _opened(model: str, *, files: dict[str, bytes] | None = None) -> ShortWhisper:
    return ShortWhisper(
        model, device="cpu", compute_type=COMPUTE_TYPE, cpu_threads=1, files=files, local_files_only=True
    )


def listen(
    model: ShortWhisper,
    samples: Samples,
    *,
    language: str | None,
    words: bool,
    multilingual: bool = True,
    usual: str | None = None,
) -> Heard:
    """Transcribe one window, in the language given or else in those that are detected.

    `usual` is what was spoken before it. Without `multilingual` the first language counts for the whole window.
    """
    speech = stretches_of_speech(samples, VadOptions())
    if not speech:
        return Heard()
    joined = np.concatenate(collect_chunks(samples, speech)[0])
    ear = Ear(model, language=language, words=words, multilingual=multilingual, usual=usual)
    segments = [segment for piece in pieces(joined) for segment in ear.hear(joined, piece)]
    length = len(samples) / RATE
    kept = (_segment(segment, length) for segment in restore_speech_timestamps(segments, speech, RATE))
    return Heard(
        segments=tuple(segment for segment in kept if segment.text),
        speech=tuple(Span(start=round(part["start"] / RATE, 3), end=round(part["end"] / RATE, 3)) for part in speech),
        language=language or ear.first.language,
        language_probability=None if language else ear.first.probability,
        languages=ear.languages,
        last_language=ear.usual,
    )


class Ear:
    """Hears the pieces of one window in order, and remembers in which languages somebody spoke."""

    first = Guess(language="", probability=0.0)

    def __init__(
        self, model: ShortWhisper, *, language: str | None, words: bool, multilingual: bool, usual: str | None
    ) -> None:
        self.languages: dict[str, float] = {}
        self._model = model
        self._asked = language
        self._words = words
        self._is_one = not multilingual
        self.usual = usual

    def hear(self, joined: Samples, piece: Part) -> Iterator[EngineSegment]:
        """What is said in a piece, with times in the joined speech."""
        samples = joined[piece.start : piece.end]
        begun, guess = self._detected(samples)
        self.first = self.first if self.first.language else guess
        for part in self._parts(samples, guess):
            clip = samples[part.start : part.end]
            is_begun = len(clip) == len(samples) and part.language == guess.language
            said = self._said(clip, str(part.language), begun if is_begun else None)
            if is_invented(said, part):
                continue
            self._remember(part, guess)
            for segment in self._filled(clip, said, str(part.language)):
                if is_remnant(segment, len(clip) / RATE):
                    continue
                yield _later(segment, (piece.start + part.start) / RATE)

    def _parts(self, samples: Samples, guess: Guess) -> list[Part]:
        fixed = self._asked or (self.usual if self._is_one else None)
        if fixed or self._is_one:
            language = fixed or guess.language
            return [Part(start=0, end=len(samples), language=language, is_known=guess.is_known)]
        return by_language(samples, guess, self.usual, lambda stretch: self._detected(stretch)[1])

    def _remember(self, part: Part, guess: Guess) -> None:
        """The language of what follows; and how long each was spoken, as far as that is sure."""
        if not self._asked:
            self.usual = part.language
        heard = guess.language if self._asked and guess.is_sure else part.language
        if heard is not None:
            self.languages[heard] = self.languages.get(heard, 0.0) + (part.end - part.start) / RATE

    def _detected(self, samples: Samples) -> tuple[Iterable[EngineSegment], Guess]:
        """The detected language, and the transcript in it, of which nothing is decoded before somebody reads it."""
        segments, info = self._begin(samples, None)
        return segments, Guess(language=info.language, probability=float(info.language_probability))

    def _said(self, clip: Samples, language: str, begun: Iterable[EngineSegment] | None) -> list[EngineSegment]:
        said = list(self._begin(clip, language)[0] if begun is None else begun)
        if not _is_looping(said, len(clip) / RATE):
            return said
        self._model.is_padding_cut = False
        try:
            return list(self._begin(clip, language)[0])
        finally:
            self._model.is_padding_cut = True

    def _filled(self, clip: Samples, said: list[EngineSegment], language: str) -> list[EngineSegment]:
        """With what was said where the engine has jumped over speech, as far as that is likely to be words."""
        found = []
        for start, end in holes(said, len(clip) / RATE):
            missed = clip[int(start * RATE) : int(end * RATE)]
            if self._detected(missed)[1].is_known:
                found += [_later(each, start) for each in self._said(missed, language, None) if is_likely(each)]
        return sorted([*said, *found], key=lambda segment: segment.start) if found else said

    def _begin(self, clip: Samples, language: str | None) -> tuple[Iterable[EngineSegment], TranscriptionInfo]:
        begun: tuple[Iterable[EngineSegment], TranscriptionInfo] = self._model.transcribe(
            clip,
            language=language,
            word_timestamps=self._words,
            beam_size=BEAM,
            temperature=0.0,
            condition_on_previous_text=False,
            vad_filter=False,  # done before, where the stretches of speech stay known
        )
        return begun


def is_invented(said: Sequence[EngineSegment], part: Part) -> bool:
    """Words where the engine itself hears no speech and knows no language: measured, see docs/judging.md."""
    return not part.is_known and any(segment.no_speech_prob > NO_SPEECH for segment in said)


def is_remnant(segment: EngineSegment, seconds: float) -> bool:
    """Unlikely words in what the engine had left over of a clip of so many seconds, which is mostly silence."""
    left = seconds - segment.seek / FRAMES_PER_S
    if segment.seek == 0 or left >= REMNANTS[-1][0]:
        return False
    return bool(_likelihood(segment) < next(needed for within, needed in REMNANTS if left < within))


def holes(said: Sequence[EngineSegment], seconds: float) -> list[tuple[float, float]]:
    """Stretches of HOLE_S and more without a word in a clip of so many seconds; none where nothing is said at all."""
    times = [(word.start, word.end) for segment in said for word in segment.words or ()]
    times = times or [(segment.start, segment.end) for segment in said]
    edges = [0.0, *(edge for word in sorted(times) for edge in word), seconds]
    between = zip(edges[::2], edges[1::2], strict=True)
    return [(end, start) for end, start in between if start - end >= HOLE_S] if times else []


def is_likely(segment: EngineSegment) -> bool:
    """Words that the engine itself is fairly sure of."""
    return bool(segment.no_speech_prob <= NO_SPEECH and _likelihood(segment) >= LIKELY)


def _likelihood(segment: EngineSegment) -> float:
    words = segment.words or ()
    return float(sum(word.probability for word in words) / len(words) if words else math.exp(segment.avg_logprob))


def _later(segment: EngineSegment, by_s: float) -> EngineSegment:
    words = [replace(word, start=word.start + by_s, end=word.end + by_s) for word in segment.words or ()]
    return replace(segment, start=segment.start + by_s, end=segment.end + by_s, words=words)


def _is_looping(segments: list[EngineSegment], seconds: float) -> bool:
    """Does the text repeat itself, or is it more than anybody says in that time?"""
    size = sum(len(segment.text) for segment in segments)
    is_hasty = size >= FAST_MIN_CHARS and size > FASTEST_CHARS_PER_S * seconds
    return is_hasty or any(
        segment.compression_ratio > LOOPING_RATIO or _is_doubled(segment.text) for segment in segments
    )


def _is_doubled(text: str) -> bool:
    """All of it twice, as a short rest of a clip comes out now and then."""
    words = ["".join(filter(str.isalnum, word)).casefold() for word in text.split()]
    half = len(words) // 2
    return half >= DOUBLED_WORDS and words[:half] == words[half:]


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
