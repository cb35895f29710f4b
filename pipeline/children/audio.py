"""Audio from untrusted bytes through PyAV: opened with a forced demuxer, decoded frame by frame within bounds.

The only module that opens an input container. Promises: no other file and no network is opened whatever the bytes say
(the demuxer is forced and every further open is refused); memory does not grow with the length; seconds are counted
from samples, not believed; FFmpeg's errors leave as our own without a file name.
"""

import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import av
import av.error
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer

from pipeline.children.av_work import MAX_CHANNELS
from pipeline.children.files import Sink, Source
from pipeline.core.errors import EngineError, InputError, LimitExceeded
from pipeline.core.wav import MAX_RATE, MIN_RATE

MAX_BAD_PACKETS = 3
BAD_PACKET_SHARE = 0.02
SECONDS_SLACK = 1.0
SHARE_SLACK = 0.02
# The head of a WAV says what it is. FFmpeg looks on for AC-3 or DTS that hides in one, of which eight frames would be
# enough, and takes the samples a few thousand at a time: both together cost more than all that is done with them. What
# hides pretends to have two channels, so with one the first look is the last.
_WAV: Mapping[str, str] = {"probesize": "32768", "max_size": "16384"}
_MONO_WAV: Mapping[str, str] = {**_WAV, "max_probe_packets": "0"}
_WAV_HEAD = struct.Struct("<4s4x8s6xH")  # the number of channels, where it stands in nearly every WAV


@contextmanager
def opened(source: Source, demuxer: str) -> Iterator[InputContainer]:
    """The container, opened as `demuxer` and nothing else."""
    with ffmpeg_errors():
        container = av.open(
            source,
            mode="r",
            format=demuxer,
            options=dict(_wav_manner(source)) if demuxer == "wav" else {},
            io_open=_refuse_open,
            metadata_errors="replace",
        )
    with container:
        yield container


def _wav_manner(source: Source) -> Mapping[str, str]:
    head = source.read(_WAV_HEAD.size)
    source.seek(0)
    is_mono = len(head) == _WAV_HEAD.size and _WAV_HEAD.unpack(head) == (b"RIFF", b"WAVEfmt ", 1)
    return _MONO_WAV if is_mono else _WAV


@contextmanager
def ffmpeg_errors() -> Iterator[None]:
    try:
        yield
    except av.error.MemoryError as error:
        raise LimitExceeded("the decoder asked for more memory than allowed", code="limit-memory") from error
    except av.error.PyAVCallbackError as error:  # our own source could not be read, or another file was wanted
        raise InputError("cannot be read to its end", code="input-unreadable") from error
    except av.error.FFmpegError as error:
        raise InputError(f"cannot be decoded: {error.strerror}", code="input-damaged") from error
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", code="input-unreadable") from error


@contextmanager
def encoder_errors(sink: Sink) -> Iterator[None]:
    try:
        yield
    except av.error.FFmpegError as error:
        if sink.failure is not None:
            raise sink.failure from error
        raise EngineError(f"cannot be encoded: {error.strerror}") from error


def audio_stream(container: InputContainer, track: int) -> AudioStream:
    """The audio stream of that number, checked against what a real recording can be."""
    streams = container.streams.audio
    if not 0 <= track < len(streams):
        raise InputError(f"there is no audio track {track}; the file has {len(streams)}", code="input-type")
    stream = streams[track]
    _check_shape(stream.codec_context.sample_rate, stream.codec_context.channels)
    stream.codec_context.thread_count = 1
    return stream


class Decoder:
    """The frames of one stream and what was counted on the way. `seconds` is by samples, `first_s` by timestamp."""

    def __init__(
        self,
        container: InputContainer,
        stream: AudioStream,
        *,
        max_seconds: float | None,
    ) -> None:
        self.seconds = 0.0
        self.first_s = 0.0
        self._container = container
        self._stream = stream
        self._max_seconds = max_seconds
        self._packets = 0
        self._bad = 0
        self.rate: int = stream.codec_context.sample_rate
        self.is_mono: bool = stream.codec_context.channels == 1

    def frames(self) -> Iterator[AudioFrame]:
        """Every frame in order; InputError when too much cannot be decoded, LimitExceeded at the bound."""
        self._refuse_declared()
        with ffmpeg_errors():
            for packet in self._container.demux(self._stream):
                for frame in self._decoded(packet):
                    self._count(frame)
                    yield frame
        if self._bad > max(MAX_BAD_PACKETS, self._packets * BAD_PACKET_SHARE):
            raise InputError(f"{self._bad} of {self._packets} packets cannot be decoded", code="input-damaged")

    def _decoded(self, packet: "av.Packet[AudioStream]") -> list[AudioFrame]:
        self._packets += 1
        try:
            return self._stream.decode(packet)
        except av.error.InvalidDataError:  # a stray tag or a torn last packet; many of them are damage
            self._bad += 1
            return []

    def _count(self, frame: AudioFrame) -> None:
        _check_shape(frame.sample_rate, frame.layout.nb_channels)
        if self.seconds == 0.0:
            began = (self._container.start_time or 0) / av.time_base
            self.first_s = max(0.0, (frame.time or 0.0) - began)
        self.seconds += frame.samples / frame.sample_rate
        self._bound(self.seconds)

    def _refuse_declared(self) -> None:
        declared = declared_seconds(self._container)
        if declared is not None:
            self._bound(declared)

    def _bound(self, seconds: float) -> None:
        if self._max_seconds is not None and seconds > self._max_seconds:
            raise LimitExceeded(f"more than {self._max_seconds:g} seconds of audio", code="limit-seconds")


def declared_seconds(container: InputContainer) -> float | None:
    return None if container.duration is None else float(container.duration) / av.time_base


def refuse_short(seconds: float, expected: float | None) -> None:
    """A decoder's silence proves nothing: fewer seconds than the file declares is damage."""
    if expected is not None and seconds < expected - max(SECONDS_SLACK, expected * SHARE_SLACK):
        raise InputError(f"only {seconds:.1f} of {expected:.1f} seconds can be decoded", code="input-damaged")


def _check_shape(rate: int, channels: int) -> None:
    if not MIN_RATE <= rate <= MAX_RATE or not 1 <= channels <= MAX_CHANNELS:
        raise InputError(f"{rate} Hz and {channels} channels are no recording", code="input-damaged")


def _refuse_open(url: str, flags: int, options: dict[str, str]) -> object:
    raise InputError("the file refers to another file", code="input-type")
