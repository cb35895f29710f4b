"""The join stage: takes of speech, one after the other in a WAV, edges trimmed and faded. Runs in the media lane.

The only importer of pydub, and only for samples that were decoded already: pydub opens no file and decodes nothing.
Promises: memory holds one take at a time; the header is true when the stage answers; seconds are counted in samples; a
finished file was decoded again.
"""

import warnings
import wave
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import numpy as np

from pipeline.children import files, sound_stage
from pipeline.children.av_work import EncodeFacts, EncodeParams
from pipeline.children.join_work import JoinParams
from pipeline.children.stage import FileRef, Roots, StageResult, StageSpec, packed
from pipeline.core.decoding import from_json
from pipeline.core.errors import ContractError, EngineError, InputError
from pipeline.core.sound import Joined, Piece, Sound, Splice
from pipeline.core.wav import HEADER_BYTES, SAMPLE_BYTES, info_chunk, wav_header

with warnings.catch_warnings():
    # pydub warns at import of audioop's age, of its own patterns, and of an ffmpeg that it is never asked to run.
    warnings.simplefilter("ignore")
    from pydub import AudioSegment
    from pydub.silence import detect_leading_silence

FADE_MS = 5
SILENCE_DBFS = -50.0
STEP_MS = 10  # pydub looks at so much at a time
LOOK_MS = 1000
STILL = bytes(1 << 20)


def join(spec: StageSpec, roots: Roots) -> StageResult:
    """Joined as facts. What is wrong with a take is a ContractError: it is what a provider answered."""
    params = from_json(spec.params, JoinParams)
    wish = params.join
    with files.sink(spec.output, roots, spec.limits.max_output_bytes) if spec.output else nullcontext() as sink:
        wav = Wav(sink)
        pieces = _pieces(wav, spec, roots, params)
        is_finished = wish.tags is not None and len(pieces) == len(wish.splices)
        wav.close(info_chunk(wish.tags or {}) if is_finished else b"")
    sound = read_again(spec.output, roots, wav) if spec.output and is_finished else None
    return _told(spec, Joined(pieces=pieces, seconds=wav.seconds, sound=sound))


def bind(spec: StageSpec, roots: Roots) -> StageResult:
    """EncodeFacts of WAVs of one shape, one after the other in one, which was read back."""
    if spec.output is None:
        raise EngineError("there is nothing to write to")
    with files.sink(spec.output, roots, spec.limits.max_output_bytes) as sink:
        wav = Wav(sink)
        for ref in spec.inputs:
            with sound_stage.opened(ref, roots, "wav") as found:
                wav.begin(found.rate, found.channels)
                for lump in found.lumps:
                    wav.add(lump.data.cast("B"))
        wav.close(info_chunk(from_json(spec.params, EncodeParams).tags))
    sound = read_again(spec.output, roots, wav)
    return _told(spec, EncodeFacts(seconds=sound.seconds, size=wav.size, sound=sound))


def read_again(ref: FileRef, roots: Roots, made: "Wav") -> Sound:
    """What the finished file is to another reader than its writer, from its head to its last sample."""
    try:
        with files.source(ref, roots) as source, wave.open(source, "rb") as found:  # type: ignore[call-overload]  # a file
            meter = sound_stage.SoundMeter(found.getframerate(), found.getnchannels())
            while lump := found.readframes(sound_stage.LUMP_S * made.rate):
                meter.add(np.frombuffer(lump, np.int16))
    except (wave.Error, EOFError) as error:
        raise EngineError("the file that was made cannot be read again") from error
    if not meter.frames:
        raise InputError("the recording would be without a single sample", code="input-empty")
    sound = meter.told()
    if (sound.rate, sound.channels, sound.seconds) != (made.rate, made.channels, made.seconds):
        raise EngineError("the file that was made is not what was written")
    return sound


def _told(spec: StageSpec, facts: Joined | EncodeFacts) -> StageResult:
    return StageResult(output=spec.output, facts=packed(facts))


class Wav:
    """A WAV under construction, all in the shape that it began with. Without a sink it is only counted."""

    def __init__(self, sink: files.Sink | None) -> None:
        self.rate = self.channels = self.size = 0
        self._data = 0
        self._sink = sink

    @property
    def seconds(self) -> float:
        """What is in it so far, pauses too."""
        return self._data / (self.rate * self.channels * SAMPLE_BYTES or 1)

    def begin(self, rate: int, channels: int) -> None:
        """Before anything is added."""
        if not self.rate:
            self.rate, self.channels = rate, channels
            self._write(bytes(HEADER_BYTES))
        elif (self.rate, self.channels) != (rate, channels):
            raise ContractError("the pieces of one text differ in rate or channels", code="reply-type")

    def add(self, samples: bytes | memoryview) -> None:
        self._write(samples)
        self._data += len(samples)

    def pause(self, seconds: float) -> None:
        self._be_still(round(seconds * self.rate) * self.channels * SAMPLE_BYTES)

    def pad_to(self, at_s: float) -> None:
        """Silence up to this time; nothing where that is past."""
        self._be_still(round(at_s * self.rate) * self.channels * SAMPLE_BYTES - self._data)

    def close(self, tail: bytes) -> None:
        """What belongs behind the samples, and the true header in front of them."""
        self._write(tail)
        if self._sink is not None:
            self._sink.seek(0)
            self._sink.write(wav_header(self._data, rate=self.rate, channels=self.channels, tail_bytes=len(tail)))

    def _be_still(self, count: int) -> None:
        while count > 0:
            self.add(memoryview(STILL)[:count])
            count -= len(STILL)

    def _write(self, chunk: bytes | memoryview) -> None:
        self.size += len(chunk)
        if self._sink is not None:
            self._sink.write(chunk)


def _pieces(wav: Wav, spec: StageSpec, roots: Roots, params: JoinParams) -> tuple[Piece, ...]:
    """As many takes as there is room for, and the silence behind them."""
    wish, pieces, at, seconds = params.join, list[Piece](), 0.0, 0.0
    for ref, demuxer, splice in zip(spec.inputs, params.demuxers, wish.splices, strict=True):
        at = at + (seconds + splice.pause_s) if splice.at_s is None else splice.at_s
        is_free = splice.until_s is None or splice.at_s is not None
        if is_free and wish.enough_s is not None and wav.seconds >= wish.enough_s:
            _lead(wav, splice, at)
            return tuple(pieces)
        take, sound = _decoded(ref, roots, demuxer, splice, params.max_take_bytes)
        piece = _trimmed(take, wish.edge_ms)
        seconds = piece.frame_count() / piece.frame_rate
        wav.begin(piece.frame_rate, piece.channels)
        if pieces or splice.until_s is not None:
            _lead(wav, splice, at)
        pieces.append(Piece(at_s=wav.seconds, seconds=seconds, sound=sound))
        wav.add(_faded(_cut(piece, splice, wav.seconds)))
    wav.pause(wish.end_pause_s)
    wav.pad_to(wish.end_at_s)
    return tuple(pieces)


def _lead(wav: Wav, splice: Splice, at_s: float) -> None:
    """The silence before a take."""
    if splice.until_s is None:
        wav.pause(splice.pause_s)
    else:
        wav.pad_to(at_s)


def _decoded(
    ref: FileRef, roots: Roots, demuxer: str, splice: Splice, max_bytes: int
) -> tuple[AudioSegment, Sound | None]:
    """A whole take after its change, and what it is, if that is asked."""
    body = bytearray()
    with _replies(), sound_stage.opened(ref, roots, demuxer, splice.change) as found:
        meter = sound_stage.SoundMeter(found.rate, found.channels, hears_loudness=False) if splice.is_weighed else None
        for lump in found.lumps:
            body += lump.data
            if meter is not None:
                meter.add(lump)
            if len(body) > max_bytes:
                raise InputError(f"has more than {max_bytes} bytes of samples")
        if not body:
            raise InputError("no audio can be decoded", code="input-empty")
    take = AudioSegment(data=body, sample_width=SAMPLE_BYTES, frame_rate=found.rate, channels=found.channels)
    return take, meter.told() if meter is not None else None


@contextmanager
def _replies() -> Iterator[None]:
    try:
        yield
    except InputError as error:
        code = "reply-empty" if error.code == "input-empty" else "reply-damaged"
        raise ContractError(f"the speech {error.message}", code=code) from error


def _trimmed(take: AudioSegment, edge_ms: int) -> AudioSegment:
    """At most so much silence at either end, so that the pauses between takes are ours; a silent take stays."""
    before = detect_leading_silence(take, SILENCE_DBFS)
    if before >= len(take):
        return take
    return take[max(before - edge_ms, 0) : len(take) - max(_silence_behind(take) - edge_ms, 0)]


def _silence_behind(take: AudioSegment) -> int:
    """Milliseconds, as pydub finds them in the whole take reversed; its last moments are mostly enough for that."""
    last = take.get_sample_slice(int(take.frame_count() - take.frame_count(ms=LOOK_MS)))
    found: int = detect_leading_silence(last.reverse(), SILENCE_DBFS)
    return found if found + STEP_MS < len(last) else detect_leading_silence(take.reverse(), SILENCE_DBFS)


def _cut(piece: AudioSegment, splice: Splice, at_s: float) -> AudioSegment:
    """As much of it as there is time for."""
    if splice.until_s is None:
        return piece
    room = max(round((splice.until_s - at_s) * 1000), 0)
    return piece[:room] if piece.frame_count() / piece.frame_rate * 1000 > room else piece


def _faded(piece: AudioSegment) -> memoryview:
    """Its samples, both ends eased. By hand: pydub takes longer for these few than for all the rest of a piece."""
    samples = np.frombuffer(piece.raw_data, np.int16)
    if len(piece) > 2 * FADE_MS:
        frames = int(piece.frame_count(ms=FADE_MS))
        gains = np.repeat(np.arange(frames) / frames, piece.channels)
        samples[: len(gains)] = samples[: len(gains)] * gains
        samples[-len(gains) :] = samples[-len(gains) :] * gains[::-1]
    return samples.data.cast("B")
