"""Where the speech of one window is cut before the engine hears it: in pauses, in pieces that it can encode at once.

Pure: samples and stretches in, places out. Promises that no sample is lost or heard twice. A recording that switches
language is cut at the switch; whoever speaks one language is never cut for it.
"""

import itertools
from collections.abc import Callable, Sequence

import numpy as np
import onnxruntime
from faster_whisper.vad import VadOptions, get_speech_timestamps, get_vad_model
from msgspec import Struct

from pipeline.children.pcm import RATE, Samples
from pipeline.children.voice import Probabilities

MAX_PIECE = int(29.5 * RATE)
MIN_PIECE = 12 * RATE
HOP = RATE // 50
VOICE_FRAMES = 256
FINE = VadOptions(min_silence_duration_ms=250, speech_pad_ms=50)
TELLING = 2 * RATE  # what is shorter than two seconds is too little to tell a language by
SURE, KNOWN = 0.9, 0.6
SURE_OF_ALL = 0.96  # a piece in two languages is taken for one of them with less than this


class Guess(Struct, frozen=True, kw_only=True):
    """The language that was detected, and how likely it is."""

    language: str
    probability: float

    @property
    def is_sure(self) -> bool:
        return self.probability >= SURE

    @property
    def is_known(self) -> bool:
        """Is it any language at all? Measured in docs/judging.md."""
        return self.probability >= KNOWN


class Part(Struct, frozen=True, kw_only=True):
    """Samples `start` to `end`, in one language; None where nobody has said which. `is_known`: it surely is one."""

    start: int
    end: int
    language: str | None = None
    is_known: bool = True


class SlicedSession:
    """The engine's voice model on a few frames at a time: the same figures, without 80 MB for five minutes at once."""

    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        self._session = session

    def run(self, _: None, asked: dict[str, Probabilities]) -> tuple[Probabilities, Probabilities, Probabilities]:
        frames, h, c = asked["input"], asked["h"], asked["c"]
        found = []
        for begin in range(0, len(frames), VOICE_FRAMES):
            some, h, c = self._session.run(None, {"input": frames[begin : begin + VOICE_FRAMES], "h": h, "c": c})
            found.append(some)
        return np.concatenate(found), h, c


def stretches_of_speech(samples: Samples, options: VadOptions) -> list[dict[str, int]]:
    """Where somebody speaks: `start` and `end` of each stretch, in samples."""
    model = get_vad_model()  # one per process
    if not isinstance(model.session, SlicedSession):
        model.session = SlicedSession(model.session)
    stretches: list[dict[str, int]] = get_speech_timestamps(samples, options)
    return stretches


Detect = Callable[[Samples], Guess]


def pieces(samples: Samples) -> list[Part]:
    """Parts that the encoder takes whole, cut in the longest pause where there is one."""
    if len(samples) <= MAX_PIECE:
        return [Part(start=0, end=len(samples))]
    pauses = _pauses(samples)
    cuts = [0]
    while len(samples) - cuts[-1] > MAX_PIECE:
        left = len(samples) - cuts[-1]
        earliest = cuts[-1] + max(MIN_PIECE, min(left - MAX_PIECE, MAX_PIECE - RATE))
        cuts.append(_cut(samples, pauses, earliest, cuts[-1] + MAX_PIECE))
    ends = [*cuts[1:], len(samples)]
    return [Part(start=start, end=end) for start, end in zip(cuts, ends, strict=True)]


def by_language(samples: Samples, guess: Guess, usual: str | None, detect: Detect) -> list[Part]:
    """One part, or several where stretches of it are surely in different languages.

    `guess` is what the whole piece was taken for, `usual` the language that was spoken before it: what stays unsure is
    in that one.
    """
    language = guess.language if guess.is_sure else usual or guess.language
    whole = Part(start=0, end=len(samples), language=language, is_known=guess.is_known)
    if guess.probability >= SURE_OF_ALL:
        return [whole]
    stretches = stretches_of_speech(samples, FINE)
    told = [_told(samples[part["start"] : part["end"]], detect) for part in stretches]
    sure = {language for language in told if language is not None}
    if len(sure) == 1:
        return [Part(start=0, end=len(samples), language=sure.pop())]
    if not sure:
        return [whole]
    ends = [(part["start"], part["end"]) for part in stretches]
    return _grouped(ends, _filled(ends, told), len(samples))


def _told(stretch: Samples, detect: Detect) -> str | None:
    guess = detect(stretch) if len(stretch) >= TELLING else None
    return guess.language if guess is not None and guess.is_sure else None


def _filled(stretches: Sequence[tuple[int, int]], told: Sequence[str | None]) -> list[str]:
    """A stretch that tells nothing goes with the nearest one that does."""
    known = [number for number, language in enumerate(told) if language is not None]

    def distance(number: int, other: int) -> int:
        first, last = sorted((number, other))
        return stretches[last][0] - stretches[first][1] if first != last else 0

    nearest = [min(known, key=lambda other: distance(number, other)) for number in range(len(told))]
    return [language for number in nearest if (language := told[number]) is not None]


def _grouped(stretches: Sequence[tuple[int, int]], languages: Sequence[str], length: int) -> list[Part]:
    parts: list[Part] = []
    start = 0
    for number in range(1, len(stretches) + 1):
        is_last = number == len(stretches)
        if is_last or languages[number] != languages[number - 1]:
            end = length if is_last else (stretches[number - 1][1] + stretches[number][0]) // 2
            parts.append(Part(start=start, end=end, language=languages[number - 1]))
            start = end
    return parts


def _pauses(samples: Samples) -> list[tuple[int, int]]:
    stretches = stretches_of_speech(samples, FINE)
    return [(one["end"], other["start"]) for one, other in itertools.pairwise(stretches)]


def _cut(samples: Samples, pauses: Sequence[tuple[int, int]], earliest: int, latest: int) -> int:
    """The middle of the longest pause between the two, else the quietest moment."""
    inside = [(end - start, (start + end) // 2) for start, end in pauses if earliest <= (start + end) // 2 <= latest]
    if inside:
        return max(inside)[1]
    hops = samples[earliest : earliest + (latest - earliest) // HOP * HOP].reshape(-1, HOP)
    return earliest + int(np.square(hops).mean(axis=1).argmin()) * HOP + HOP // 2
