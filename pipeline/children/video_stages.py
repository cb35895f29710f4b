"""The video stages: the first picture of a video, and a video made of one or two stills.

Run in the media lane. A video that was made is read back, frame by frame, before it counts as made, and says in its
metadata that it was made from stills. The same stills and options give the same bytes.
"""

from fractions import Fraction

import av
from av.container import InputContainer, OutputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from PIL import Image

from pipeline.children import audio, files, pictures
from pipeline.children.stage import FileRef, Roots, StageResult, StageSpec, packed
from pipeline.children.stills import Film, film
from pipeline.children.video_work import MADE_FROM, PosterFacts, PosterParams, StillsFacts, StillsParams
from pipeline.core.decoding import from_json
from pipeline.core.errors import EngineError, InputError

PACKETS_TO_FIRST_FRAME = 500
LABEL = f"made from {MADE_FROM} by mediaspool"
_X264 = {"preset": "medium", "crf": "20", "threads": "1", "bf": "0"}  # frames in order: the length is then exact


def poster(spec: StageSpec, roots: Roots) -> StageResult:
    """PosterFacts of one input, and its first picture in the output."""
    params = from_json(spec.params, PosterParams)
    with files.source(spec.inputs[0], roots) as source, audio.opened(source, params.demuxer) as container:
        stream = _pictures(container)
        pictures.bound(stream.width, stream.height, 1, params.max_pixels)
        frame = _first_frame(container, stream)
        container.seek(0)
        facts = PosterFacts(
            width=frame.width,
            height=frame.height,
            seconds=_seconds(container, stream),
            has_audio=bool(container.streams.audio),
        )
    pictures.save(frame, spec.output, roots, params.target_type, spec.limits.max_output_bytes, exact=False)
    return StageResult(output=spec.output, facts=packed(facts))


def stills(spec: StageSpec, roots: Roots) -> StageResult:
    """StillsFacts of the video in the output."""
    params = from_json(spec.params, StillsParams)
    shown = [
        pictures.flattened(pictures.upright(ref, roots, media_type, params.max_pixels)).convert("RGB")
        for ref, media_type in zip(spec.inputs, params.media_types, strict=True)
    ]
    if spec.output is None:
        raise EngineError("a video needs an output")
    made = film(shown, params)
    _encode(made, spec, spec.output, roots)
    return StageResult(output=spec.output, facts=packed(_read_back(spec.output, roots, made)))


def _pictures(container: InputContainer) -> VideoStream:
    """The first moving stream; a cover picture is none."""
    cover = av.stream.Disposition.attached_pic
    for stream in container.streams.video:
        if not stream.disposition & cover:
            stream.codec_context.thread_count = 1
            return stream
    raise InputError("there are no moving pictures in it", code="input-type")


def _first_frame(container: InputContainer, stream: VideoStream) -> Image.Image:
    with audio.ffmpeg_errors():
        for number, packet in enumerate(container.demux(stream)):
            for frame in packet.decode():
                made: Image.Image = frame.to_image()  # type: ignore[no-untyped-call]  # PyAV leaves it open
                return made
            if number >= PACKETS_TO_FIRST_FRAME:
                break
    raise InputError("no picture of it can be decoded", code="input-damaged")


def _seconds(container: InputContainer, stream: VideoStream) -> float | None:
    """Where the last picture ends, after the whole file was read."""
    last = Fraction(0)
    with audio.ffmpeg_errors():
        for packet in container.demux(stream):
            if packet.pts is not None and packet.time_base is not None:
                last = max(last, (packet.pts + (packet.duration or 0)) * packet.time_base)
    return round(float(last), 3) if last else audio.declared_seconds(container)


def _encode(made: Film, spec: StageSpec, output: FileRef, roots: Roots) -> None:
    with (
        files.sink(output, roots, spec.limits.max_output_bytes) as sink,
        audio.encoder_errors(sink),
        av.open(sink, mode="w", format="mp4", options={"fflags": "+bitexact"}) as container,
    ):
        container.metadata["comment"] = LABEL
        stream = _stream(container, made)
        for number, picture in enumerate(made.pictures()):
            frame = VideoFrame.from_image(picture)  # type: ignore[no-untyped-call]  # PyAV leaves it open
            frame.pts, frame.time_base = number, Fraction(1, made.fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _stream(container: OutputContainer, made: Film) -> VideoStream:
    stream = container.add_stream("libx264", rate=made.fps, options=dict(_X264))
    assert isinstance(stream, VideoStream)  # libx264 encodes pictures
    stream.width, stream.height = made.size
    stream.pix_fmt = "yuv420p"
    stream.codec_context.flags |= av.codec.context.Flags.bitexact
    return stream


def _read_back(output: FileRef, roots: Roots, made: Film) -> StillsFacts:
    with files.source(output, roots) as source, audio.opened(source, "mov") as container:
        stream = _pictures(container)
        size = stream.width, stream.height
        with audio.ffmpeg_errors():
            frames = sum(1 for _ in container.decode(stream))
    if (frames, size) != (made.frames, made.size):
        raise EngineError(f"{frames} frames of {size} came out of {made.frames} of {made.size}")
    return StillsFacts(width=size[0], height=size[1], frames=frames, seconds=frames / made.fps)
