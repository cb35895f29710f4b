"""The survey stage: one audio track decoded once, and what is known of it afterwards. Runs in the media lane.

Levels, where somebody speaks, and the quietest point of every two seconds, as a stream: ten hours need the memory of
ten seconds, apart from the answer itself.
"""

from collections.abc import Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from pipeline.children import audio, files, pcm
from pipeline.children.pcm import RATE, Samples
from pipeline.children.stage import Roots, StageResult, StageSpec, packed
from pipeline.children.survey_work import SurveyParams
from pipeline.core.decoding import from_json
from pipeline.core.errors import InputError
from pipeline.core.hearing import Quiet, Survey
from pipeline.core.operations import Span

FRAME = 512
BLOCK_FRAMES = 64
HALF_SECOND = 16  # frames, the shortest pause that is worth a cut
SPEECH, NO_SPEECH = 0.5, 0.35
PAUSE_FRAMES = round(2.0 * RATE / FRAME)  # a shorter one lies inside of the speech
AROUND_S = 0.4
Values = NDArray[np.float32]


class Judge(Protocol):
    """Voice activity, or nothing of the kind."""

    def judge(self, samples: Samples) -> Values: ...


def survey(spec: StageSpec, roots: Roots) -> StageResult:
    """A Survey as facts."""
    params = from_json(spec.params, SurveyParams)
    with files.source(spec.inputs[0], roots) as source, audio.opened(source, params.demuxer) as container:
        stream = audio.audio_stream(container, params.track)
        decoder = audio.Decoder(container, stream, max_seconds=spec.limits.max_seconds)
        found = Findings(_voice())
        for block in pcm.blocks(pcm.samples(decoder), BLOCK_FRAMES * FRAME):
            found.add(pcm.floats(block))
        if not found.samples:
            raise InputError("no audio can be decoded", code="input-empty")
        audio.refuse_short(decoder.seconds, params.expected_seconds)
        facts = found.told(
            first_s=decoder.first_s, channels=stream.codec_context.channels, tracks=len(container.streams.audio)
        )
    return StageResult(facts=packed(facts))


class Findings:
    """What the blocks so far have told. Every block but the last has BLOCK_FRAMES frames."""

    def __init__(self, voice: Judge | None) -> None:
        self.samples = 0
        self._voice = voice
        self._energy = 0.0
        self._peak = 0.0
        self._loudest = 0.0
        self._quiet: list[Quiet] = []
        self._speech = Speech()

    def add(self, block: Samples) -> None:
        energy = np.square(pcm.framed(block, FRAME)).mean(axis=1)
        judged = None if self._voice is None else self._voice.judge(block)
        if judged is not None:
            self._speech.add(judged)
        self._note_levels(block, energy, judged)
        self.samples += len(block)

    def _note_levels(self, block: Samples, energy: Values, judged: Values | None) -> None:
        self._energy += float(energy.sum(dtype=np.float64)) * FRAME
        self._peak = max(self._peak, float(block.max()), -float(block.min()))
        around = min(HALF_SECOND, len(energy))
        level = np.convolve(energy, np.full(around, 1 / around, np.float32), mode="valid")
        self._loudest = max(self._loudest, float(level.max()))
        spoken = None if judged is None else _any_of(judged >= NO_SPEECH, around)
        at = int(np.argmin(level if spoken is None else level + spoken * 2.0))  # no level is above 1
        middle = min(at * FRAME + around * FRAME // 2, len(block) - 1) + self.samples
        is_speech = None if spoken is None else bool(spoken[at])
        self._quiet.append(Quiet(_seconds(middle), round(float(level[at]) ** 0.5, 6), is_speech))

    def told(self, *, first_s: float, channels: int, tracks: int) -> Survey:
        return Survey(
            seconds=self.samples / RATE,
            first_s=round(first_s, 3),
            peak=round(self._peak, 6),
            rms=round((self._energy / self.samples) ** 0.5, 6),
            loudest_rms=round(self._loudest**0.5, 6),
            channels=channels,
            tracks=tracks,
            speech=None if self._voice is None else tuple(self._speech.spans(self.samples / RATE)),
            quiet=tuple(self._quiet),
        )


class Speech:
    """Frames in order -> where somebody speaks, as Whisper's own filter sees it: short pauses inside, some time around.

    A frame between the two bounds is what the one before it was.
    """

    def __init__(self) -> None:
        self._frames = 0
        self._found: list[tuple[int, int]] = []

    def add(self, judged: Values) -> None:
        for number in np.flatnonzero(judged >= NO_SPEECH):
            self._take(self._frames + int(number), is_sure=bool(judged[number] >= SPEECH))
        self._frames += len(judged)

    def _take(self, frame: int, *, is_sure: bool) -> None:
        gap = frame - self._found[-1][1] if self._found else PAUSE_FRAMES
        if gap == 0 or (is_sure and gap < PAUSE_FRAMES):
            self._found[-1] = (self._found[-1][0], frame + 1)
        elif is_sure:
            self._found.append((frame, frame + 1))

    def spans(self, seconds: float) -> Iterator[Span]:
        """Each with time around it: the pauses are longer than that, so they never meet."""
        for start, end in self._found:
            yield Span(
                start=round(max(start * FRAME / RATE - AROUND_S, 0.0), 3),
                end=round(min(end * FRAME / RATE + AROUND_S, seconds), 3),
            )


def _any_of(judged: NDArray[np.bool_], around: int) -> NDArray[np.bool_]:
    """Is any of the frames of each half second speech?"""
    return np.convolve(judged, np.ones(around, np.int64), mode="valid") > 0


def _seconds(samples: int) -> float:
    """To the millisecond, which is a whole number of samples."""
    return round(samples / RATE, 3)


def _voice() -> Judge | None:
    """None where the engines' extra is not installed: then only the level tells."""
    try:
        from pipeline.children.voice import open_voice  # its absence is no error here
    except ImportError:
        return None
    return open_voice()
