"""The transcription stage: a recording in, a Transcript as JSON out.

Decodes as a stream and transcribes window by window, so memory does not grow with the length. Windows are cut where it
is quietest and their times are offset by samples, so nothing drifts. The language of one window is the usual one
of the next.
"""

from collections import Counter
from collections.abc import Iterator

import msgspec
import numpy as np
from msgspec import Struct, structs

from pipeline.children import audio, files, pcm, whisper_model
from pipeline.children.pcm import RATE, Pcm, Samples
from pipeline.children.stage import Roots, StageResult, StageSpec, packed
from pipeline.children.whisper_model import Heard
from pipeline.children.whisper_work import WhisperFacts, WhisperParams
from pipeline.core.decoding import from_json
from pipeline.core.errors import EngineError, InputError
from pipeline.core.operations import Segment, Span, Transcript, Word

MIN_WINDOW_S, MAX_WINDOW_S = 240, 300
HOP = RATE // 10
QUIET_HOPS = 5  # half a second, the shortest pause worth a cut


class Window(Struct, frozen=True, kw_only=True):
    """A stretch of samples and how many samples lie before it."""

    before: int
    samples: Samples


def transcribe(spec: StageSpec, roots: Roots) -> StageResult:
    """Write the Transcript to the output; WhisperFacts as facts."""
    params = from_json(spec.params, WhisperParams)
    if spec.output is None:
        raise EngineError("a transcript needs an output")
    with files.source(spec.inputs[0], roots) as source, audio.opened(source, params.demuxer) as container:
        stream = audio.audio_stream(container, params.track)
        decoder = audio.Decoder(container, stream, max_seconds=spec.limits.max_seconds)
        heard, offsets = _listen(decoder, params)
        if not heard:
            raise InputError("no audio can be decoded", code="input-empty")
        audio.refuse_short(decoder.seconds, params.expected_seconds)
    transcript = _joined(heard, offsets, decoder, params)
    body = msgspec.json.encode(transcript)
    with files.sink(spec.output, roots, spec.limits.max_output_bytes) as sink:
        sink.write(body)
    facts = WhisperFacts(
        seconds=transcript.seconds,
        speech_seconds=transcript.speech_seconds or 0.0,
        segments=len(transcript.segments),
        windows=len(heard),
        language=transcript.language,
        size=len(body),
    )
    return StageResult(output=spec.output, facts=packed(facts))


def windows(chunks: Iterator[Pcm]) -> Iterator[Window]:
    """Samples in any chunking -> windows of at most MAX_WINDOW_S and a chunk, cut in the quietest half second."""
    held: list[Pcm] = []
    size = before = 0
    for chunk in chunks:
        held.append(chunk)
        size += len(chunk)
        while size >= MAX_WINDOW_S * RATE:
            whole = np.concatenate(held)
            cut = quietest(whole)
            yield Window(before=before, samples=pcm.floats(whole[:cut]))
            held, size, before = [whole[cut:]], size - cut, before + cut
    if size:
        yield Window(before=before, samples=pcm.floats(np.concatenate(held)))


def quietest(samples: Pcm) -> int:
    """The middle of the quietest half second between the shortest and the longest window."""
    begin, end = MIN_WINDOW_S * RATE, MAX_WINDOW_S * RATE
    hops = pcm.floats(samples[begin:end]).reshape(-1, HOP)
    energy = np.square(hops).mean(axis=1)
    quiet = np.convolve(energy, np.ones(QUIET_HOPS), mode="valid")
    return begin + int(quiet.argmin()) * HOP + QUIET_HOPS * HOP // 2


def _listen(decoder: audio.Decoder, params: WhisperParams) -> tuple[list[Heard], list[int]]:
    model = whisper_model.loaded(params.model)
    heard: list[Heard] = []
    offsets: list[int] = []
    usual: str | None = None
    for window in windows(pcm.samples(decoder)):
        said = whisper_model.listen(
            model,
            window.samples,
            language=params.language,
            words=params.words,
            multilingual=params.multilingual,
            usual=usual,
        )
        heard.append(said)
        offsets.append(window.before)
        usual = said.last_language or usual
    return heard, offsets


def _joined(heard: list[Heard], offsets: list[int], decoder: audio.Decoder, params: WhisperParams) -> Transcript:
    """One transcript of all windows. Times count from where the container's clock starts."""
    starts = [decoder.first_s + before / RATE for before in offsets]
    speech = [
        Span(start=round(span.start + start, 3), end=round(span.end + start, 3))
        for said, start in zip(heard, starts, strict=True)
        for span in said.speech
    ]
    languages = Counter[str]()
    for said in heard:
        languages.update(said.languages)
    spoken = _main(heard, languages)
    return Transcript(
        schema=1,
        language=spoken.language,
        language_probability=spoken.language_probability,
        seconds=round(decoder.first_s + decoder.seconds, 3),
        speech_seconds=round(sum(span.end - span.start for span in speech), 3),
        speech=tuple(speech),
        languages={language: round(seconds, 3) for language, seconds in languages.most_common()},
        segments=tuple(
            _moved(segment, start) for said, start in zip(heard, starts, strict=True) for segment in said.segments
        ),
        engine=params.engine,
        model=params.name,
    )


def _main(heard: list[Heard], languages: Counter[str]) -> Heard:
    """The first window of those in the language that was spoken longest."""
    spoken = [said for said in heard if said.language is not None]
    return max(spoken, key=lambda said: languages[str(said.language)], default=Heard())


def _moved(segment: Segment, by_s: float) -> Segment:
    return structs.replace(
        segment,
        start=round(segment.start + by_s, 3),
        end=round(segment.end + by_s, 3),
        words=tuple(_moved_word(word, by_s) for word in segment.words),
    )


def _moved_word(word: Word, by_s: float) -> Word:
    return structs.replace(word, start=round(word.start + by_s, 3), end=round(word.end + by_s, 3))
