"""The split stage: stretches of one audio track as files of their own, written in one pass. Runs in the media lane.

Promises the same bytes for the same recording and stretches, every sample of a stretch in its part, and no more memory
for ten hours than for ten seconds.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import OutputContainer

from pipeline.children import audio, files, pcm
from pipeline.children.pcm import RATE, Pcm
from pipeline.children.split_work import FORMS, PartFacts, PartForm, SplitFacts, SplitParams
from pipeline.children.stage import FileRef, Roots, StageResult, StageSpec, packed
from pipeline.core.decoding import from_json
from pipeline.core.errors import EngineError, InputError

BLOCK = 10 * RATE
LOOK_BACK = 30 * RATE
READ_BYTES = 1 << 16


def split(spec: StageSpec, roots: Roots) -> StageResult:
    """SplitFacts of every part, in order."""
    params = from_json(spec.params, SplitParams)
    if params.media_type not in FORMS or spec.output is None:
        raise EngineError(f"{params.media_type!r} is nothing that parts are made of")
    form, room = FORMS[params.media_type], spec.limits.max_output_bytes
    parts: list[PartFacts] = []
    with files.source(spec.inputs[0], roots) as source, audio.opened(source, params.demuxer) as container:
        stream = audio.audio_stream(container, params.track)
        decoder = audio.Decoder(container, stream, max_seconds=spec.limits.max_seconds)
        tape = Tape(pcm.blocks(pcm.samples(decoder, channel=params.channel), BLOCK))
        for number, (start, end) in enumerate(params.stretches):
            ref = FileRef(root=spec.output.root, path=f"{spec.output.path}{number:05}.{form.extension}")
            parts.append(_part(ref, roots, form, tape.between(start, end), max_bytes=room))
            room = None if room is None else room - parts[-1].size
    return StageResult(output=spec.output, facts=packed(SplitFacts(parts=tuple(parts))))


class Tape:
    """Samples that pass by once, of which the last half minute can be heard again."""

    def __init__(self, blocks: Iterator[Pcm]) -> None:
        self._blocks = blocks
        self._held = np.empty(0, np.int16)
        self._begin = 0

    def between(self, start: int, end: int) -> Iterator[Pcm]:
        """The samples from `start` to `end`, or to where the recording ends; `start` is never far back."""
        assert start >= self._begin, "stretches come in order"
        while start < end and self._reaches(start):
            piece = self._held[start - self._begin : end - self._begin]
            yield piece
            start += len(piece)

    def _reaches(self, place: int) -> bool:
        while place >= self._begin + len(self._held):
            block = next(self._blocks, None)
            if block is None:
                return False
            kept = self._held[-LOOK_BACK:]
            self._begin += len(self._held) - len(kept)
            self._held = np.concatenate([kept, block])
        return True


class _Writer:
    """One part being encoded."""

    def __init__(self, made: OutputContainer, form: PartForm) -> None:
        stream = made.add_stream(form.codec, rate=RATE, layout="mono")
        assert isinstance(stream, AudioStream)  # every form names an audio codec
        if form.bitrate is not None:
            stream.bit_rate = form.bitrate
        stream.codec_context.flags |= av.codec.context.Flags.bitexact
        stream.codec_context.open()
        context = stream.codec_context
        self._made, self._stream = made, stream
        self._resampler = AudioResampler(context.format, context.layout, RATE, context.frame_size or None)
        self._written = 0
        self.samples = 0

    def add(self, piece: Pcm) -> None:
        frame = AudioFrame.from_ndarray(piece.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate = RATE
        self.samples += len(piece)
        self._encode(self._resampler.resample(frame))

    def end(self) -> None:
        self._encode(self._resampler.resample(None))
        self._made.mux(self._stream.encode(None))

    def _encode(self, frames: list[AudioFrame]) -> None:
        for frame in frames:
            frame.pts, frame.time_base = self._written, Fraction(1, RATE)
            self._written += frame.samples
            self._made.mux(self._stream.encode(frame))


def _part(ref: FileRef, roots: Roots, form: PartForm, pieces: Iterator[Pcm], *, max_bytes: int | None) -> PartFacts:
    with _writing(ref, roots, form, max_bytes) as writer:
        for piece in pieces:
            writer.add(piece)
        writer.end()
        samples = writer.samples
    if not samples:
        raise InputError("the recording is shorter than it was", code="input-damaged")
    size, digest = 0, hashlib.sha256()
    with files.source(ref, roots) as made:
        while chunk := made.read(READ_BYTES):
            digest.update(chunk)
            size += len(chunk)
    return PartFacts(path=ref.path, size=size, samples=samples, sha256=digest.hexdigest())


@contextmanager
def _writing(ref: FileRef, roots: Roots, form: PartForm, max_bytes: int | None) -> Iterator[_Writer]:
    with (
        files.sink(ref, roots, max_bytes) as sink,
        audio.encoder_errors(sink),
        av.open(sink, mode="w", format=form.muxer, options={"fflags": "+bitexact"}) as made,
    ):
        yield _Writer(made, form)
