"""Makers for kind tests: a scripted JobContext, sources, transcripts and speech. Fakes the outermost edge only."""

import hashlib
import math
import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec
import trio

from pipeline.children.lanes import stage_error
from pipeline.children.run import run_stage
from pipeline.children.stage import FileRef, StageLimits, StageResult, StageSpec
from pipeline.core.errors import InputError, LimitExceeded
from pipeline.core.hearing import Cut, Hearing, Quiet, Survey
from pipeline.core.kinds import NO_SOURCES, Answered, ClipFacts, PictureFacts, Sources
from pipeline.core.model import Asset, Family, Limits, Media, Sha256, Source
from pipeline.core.operations import (
    Complete,
    EditImage,
    MakeImage,
    MakeVideo,
    MediaRef,
    Operation,
    Retouch,
    Segment,
    Span,
    Speak,
    Transcribe,
    Transcript,
    Word,
)
from pipeline.core.portions import DEFAULT_PORTION, Portion
from pipeline.core.sound import Chapter, Join, Joined, Sound
from pipeline.core.wav import wrap_pcm
from pipeline.media import av
from pipeline.media.containers import recognise

RATE = 16_000
PICTURE = PictureFacts(width=4, height=3)
CLIP = ClipFacts(width=64, height=48, seconds=4.0)
JPEG = bytes.fromhex("ffd8ffe000104a46494600010100000100010000") + bytes(40) + b"\xff\xd9"
MP4 = bytes.fromhex("0000001c667479706d703432000000006d70343269736f6d61766331") + bytes(8)
LETTERS_PER_S = 14.0

_MEDIA: dict[str, tuple[Family, str]] = {
    "audio/wav": ("audio", "wav"),
    "video/mp4": ("video", "mp4"),
    "image/png": ("image", "png"),
    "image/jpeg": ("image", "jpg"),
    "image/gif": ("image", "gif"),
    "application/pdf": ("document", "pdf"),
    "application/zip": ("document", "zip"),
    "application/json": ("text", "json"),
    "text/plain": ("text", "txt"),
    "text/markdown": ("text", "md"),
    "text/html": ("text", "html"),
    "text/vtt": ("text", "vtt"),
    "application/x-subrip": ("text", "srt"),
    "application/vnd.apple.mpegurl": ("text", "m3u8"),
}


def source(media_type: str, body: bytes = b"RIFF", *, size: int | None = None, tracks: tuple[str, ...] = ()) -> Source:
    family, extension = _MEDIA[media_type]
    return Source(
        path=f"/data/canary-name.{extension}",
        size=len(body) if size is None else size,
        sha256=Sha256(hashlib.sha256(body).hexdigest()),
        media=Media(media_type=media_type, family=family, extension=extension),
        tracks=tracks,
    )


def transcript(
    *texts: str,
    segment_s: float = 4.0,
    pause_s: float = 0.5,
    seconds: float | None = None,
    speech_seconds: float | None = None,
    with_words: bool = True,
) -> Transcript:
    """One segment a text, one after the other, words spread evenly."""
    segments = tuple(
        spoken(text, start=number * (segment_s + pause_s), length=segment_s, with_words=with_words)
        for number, text in enumerate(texts)
    )
    return Transcript(
        schema=1,
        language="en",
        language_probability=0.98,
        seconds=len(texts) * (segment_s + pause_s) if seconds is None else seconds,
        speech_seconds=len(texts) * segment_s if speech_seconds is None else speech_seconds,
        segments=segments,
        engine="scripted 1",
        model="one",
    )


def spoken(text: str, *, start: float = 0.0, length: float = 4.0, with_words: bool = True) -> Segment:
    parts = text.split()
    step = length / max(len(parts), 1)
    words = tuple(
        Word(start=start + place * step, end=start + (place + 0.9) * step, text=f" {part}")
        for place, part in enumerate(parts)
    )
    return Segment(start=start, end=start + length, text=f" {text}", words=words if with_words else ())


def tone(seconds: float, *, rate: int = RATE, edge_s: float = 0.0, amplitude: int = 8000, channels: int = 1) -> bytes:
    """PCM of a 220 Hz tone with digital silence before and after it."""
    edge = [0] * int(edge_s * rate)
    wave = [amplitude * math.sin(place * 2 * math.pi * 220 / rate) for place in range(int(seconds * rate))]
    sound = [max(-32768, min(int(sample), 32767)) for sample in wave]
    samples = [sample for sample in [*edge, *sound, *edge] for _ in range(channels)]
    return struct.pack(f"<{len(samples)}h", *samples)


def speech(seconds: float, *, rate: int = RATE, edge_s: float = 0.3, amplitude: int = 8000) -> bytes:
    pcm = tone(seconds, rate=rate, edge_s=edge_s, amplitude=amplitude)
    return wrap_pcm(pcm, rate=rate, channels=1)


def fitting_speech(operation: Speak) -> bytes:
    """Speech of about the length that a voice would need."""
    letters = sum(char.isalnum() for char in operation.text)
    return speech(max(letters / LETTERS_PER_S, 0.2) / operation.speed)


class ScriptedContext:
    """Implements `core.kinds.JobContext`: answers are given, calls are remembered, limits are kept."""

    def __init__(
        self,
        scratch: Path,
        *,
        source: Source | None = None,
        body: bytes = b"",
        answer: Callable[[Operation], bytes] | None = None,
        pdf: str = "",
        limits: Limits | None = None,
        more: Sources = NO_SOURCES,
        picture: PictureFacts = PICTURE,
        clip: ClipFacts = CLIP,
        facts: dict[str, str] | None = None,
        parts: Callable[[Operation], list[bytes]] | None = None,
        survey: Survey | None = None,
        hearing: Hearing | None = None,
        portion: Portion = DEFAULT_PORTION,
        heard: Callable[[Operation], bytes] | None = None,
        width: int = 1,
    ) -> None:
        self.source = source
        self.more = more
        self.limits = limits or Limits()
        self.scratch = scratch
        self.portion = portion
        self.width = width
        self.stops_after: int | None = None
        self.calls: list[Operation] = []
        self.elsewhere: list[tuple[str, Operation]] = []
        self.encodings: list[tuple[str, dict[str, str]]] = []
        self.chapters: list[list[Chapter]] = []
        self.pictures: list[str] = []
        self.surveyed: list[int] = []
        self.weighed: list[str] = []
        self.joined: list[tuple[Join, str | None]] = []
        self._picture = picture
        self._clip = clip
        self._facts = facts or {}
        self._parts = parts
        self._heard = heard or answer or (lambda operation: b"")
        self._survey = survey
        self.hearing = hearing
        self.cuts: list[Cut] = []
        self.counted: list[float | None] = []
        self._body = body
        self._answer = answer
        self._pdf = pdf
        self._assets: dict[str, bytes] = {}

    def is_stopping(self) -> bool:
        return self.stops_after is not None and len(self.calls) >= self.stops_after

    def file_name(self, draft: str) -> str:
        return f"book.{draft}"

    async def call(
        self, operation: Operation, *, route: str | None = None, audio_seconds: float | None = None
    ) -> Asset:
        self.counted.append(audio_seconds)
        if route is not None:
            self.elsewhere.append((route, operation))
            return self._asset(self._heard(operation))
        return (await self.ask(operation)).assets[0]

    async def ask(self, operation: Operation) -> Answered:
        await trio.lowlevel.checkpoint()
        assert self._answer is not None or self._parts is not None, "this job was not meant to call anything"
        self.calls.append(operation)
        bodies = self._parts(operation) if self._parts else [self._answer(operation)] if self._answer else []
        return Answered(assets=tuple(map(self._asset, bodies)), facts=self._facts, model="one")

    def _asset(self, body: bytes) -> Asset:
        """As it is in the store: under its hash, of the type that its bytes are."""
        digest = Sha256(hashlib.sha256(body).hexdigest())
        self._assets[digest] = body
        nothing = Media(media_type="application/octet-stream", family="text", extension="bin")
        path = self.scratch / f"asset-{digest}"
        path.write_bytes(body)
        media = recognise(body[:2048], size=len(body)) or nothing
        return Asset(sha256=digest, path=str(path), size=len(body), media=media)

    async def look(self, ref: MediaRef | Asset) -> PictureFacts:
        """A test says what is seen; what is no picture at all is damaged for everybody."""
        await self._work("look")
        if ref.media.family != "image":
            raise InputError("the picture cannot be decoded", code="input-damaged")
        return self._picture

    async def upright(self, ref: MediaRef, target: Path) -> MediaRef:
        await self._work("upright")
        target.write_bytes(b"upright" + ref.sha256.encode())
        digest = Sha256(hashlib.sha256(target.read_bytes()).hexdigest())
        return MediaRef(sha256=digest, path=str(target), size=target.stat().st_size, media=ref.media)

    async def convert(self, picture: Asset, target: Path, *, media_type: str) -> None:
        await self._work(f"convert to {media_type}")
        target.write_bytes(media_type.encode() + self._assets[picture.sha256])

    async def composite(self, original: MediaRef, edited: Asset, mask: MediaRef, target: Path) -> bool:
        await self._work("composite")
        target.write_bytes(b"composite" + self._assets[edited.sha256])
        return False

    async def poster(self, clip: Asset, target: Path, *, media_type: str) -> ClipFacts:
        await self._work(f"poster as {media_type}")
        if clip.media.family != "video":
            raise InputError("no picture of it can be decoded", code="input-damaged")
        target.write_bytes(media_type.encode())
        return self._clip

    async def _work(self, what: str) -> None:
        await trio.lowlevel.checkpoint()
        self.pictures.append(what)

    async def survey(self, recording: Source | MediaRef, *, track: int = 0) -> Survey:
        """What a test says of the recording; it looks at nothing."""
        await trio.lowlevel.checkpoint()
        assert self._survey is not None, "this job was not meant to survey anything"
        self.surveyed.append(track)
        return self._survey

    async def split(self, recording: Source | MediaRef, cut: Cut) -> tuple[MediaRef, ...]:
        """Parts whose bytes say what they are parts of."""
        await trio.lowlevel.checkpoint()
        self.cuts.append(cut)
        media = Media(media_type=cut.media_type, family="audio", extension="part", demuxer="part")
        return tuple(
            MediaRef(
                sha256=Sha256(hashlib.sha256(repr((recording.sha256, cut, span)).encode()).hexdigest()),
                path=str(self.scratch / f"part-{span[0]}"),
                size=round(1000 * (span[1] - span[0])),
                media=media,
                seconds=span[1] - span[0],
            )
            for span in cut.stretches
        )

    async def weigh(self, sound: Asset) -> Sound:
        self.weighed.append("asset")
        ref = FileRef(root="scratch", path=Path(sound.path).name)
        return av.sound_facts(await self._child(av.weigh(ref, av.demuxer_of(sound.media))))

    async def join(self, sounds: Sequence[Asset], wish: Join, target: Path | None) -> Joined:
        self.joined.append((wish, None if target is None else target.name))
        refs = [FileRef(root="scratch", path=Path(sound.path).name) for sound in sounds]
        there = None if target is None else FileRef(root="scratch", path=target.name)
        demuxers = [av.demuxer_of(sound.media) for sound in sounds]
        room = None if wish.tags is None else self.limits.max_output_bytes
        return av.join_facts(await self._child(av.join(refs, demuxers, there, wish=wish, max_bytes=room)))

    async def _child(self, spec: StageSpec) -> StageResult:
        """As a child does it, in this process."""
        await trio.lowlevel.checkpoint()
        result = run_stage(spec, {"scratch": str(self.scratch)})
        if result.code is not None:
            raise stage_error(result.code, result.message)
        return result

    async def encode(
        self,
        sources: Sequence[Path],
        target: Path,
        *,
        media_type: str,
        tags: Mapping[str, str],
        chapters: Sequence[Chapter] = (),
        seconds: float = 0.0,
    ) -> Sound:
        assert {source.parent for source in sources} == {target.parent} == {self.scratch}
        self.encodings.append((media_type, dict(tags)))
        self.chapters.append(list(chapters))
        refs = [FileRef(root="scratch", path=source.name) for source in sources]
        if media_type == av.WAV:
            there = FileRef(root="scratch", path=target.name)
            limits = StageLimits(max_output_bytes=self.limits.max_output_bytes)
            made = await self._child(av.encode(refs, there, media_type=media_type, tags=tags, limits=limits))
            return av.encode_facts(made).sound
        target.write_bytes(media_type.encode() + b"".join(source.read_bytes() for source in sources))
        sounds = [av.sound_facts(await self._child(av.weigh(ref, "wav"))) for ref in refs]
        return msgspec.structs.replace(sounds[0], seconds=sum(sound.seconds for sound in sounds))

    async def refer(self, path: Path, media: Media, *, seconds: float) -> MediaRef:
        await trio.lowlevel.checkpoint()
        digest = Sha256(hashlib.sha256(path.read_bytes()).hexdigest())
        return MediaRef(sha256=digest, path=str(path), size=path.stat().st_size, media=media, seconds=seconds)

    async def pdf_text(self, source: Source) -> str:
        await trio.lowlevel.checkpoint()
        return self._pdf

    async def read_asset(self, asset: Asset, *, max_bytes: int) -> bytes:
        await trio.lowlevel.checkpoint()
        return _bounded(self._assets[asset.sha256], max_bytes)

    async def read_source(self, *, max_bytes: int) -> bytes:
        await trio.lowlevel.checkpoint()
        return _bounded(self._body, max_bytes)

    async def read_further(self, slot: str, *, max_bytes: int) -> bytes:
        await trio.lowlevel.checkpoint()
        return _bounded(Path(self.more[slot].path).read_bytes(), max_bytes)


def png(width: int = 4, height: int = 3, shade: int = 90) -> bytes:
    """A grey PNG."""
    rows = (b"\0" + bytes([shade]) * width) * height
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, body) for kind, body in chunks)


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def surveyed(seconds: float, *speech: tuple[float, float], level: float = 0.1, tracks: int = 1) -> Survey:
    """A recording with somebody speaking from and to those seconds, and pauses everywhere else."""
    spans = tuple(Span(start=start, end=end) for start, end in speech)
    marks = [float(at) for at in range(1, max(int(seconds), 2), 2)]
    spoken = [any(span.start <= at <= span.end for span in spans) for at in marks]
    return Survey(
        seconds=seconds,
        first_s=0.0,
        peak=level * 4,
        rms=level,
        loudest_rms=level * 2,
        channels=1,
        tracks=tracks,
        speech=spans,
        quiet=tuple(
            Quiet(at, level if is_speech else 0.0, is_speech) for at, is_speech in zip(marks, spoken, strict=True)
        ),
    )


def answering(value: Transcript) -> Callable[[Operation], bytes]:
    """Every call is answered with this transcript."""
    return lambda operation: msgspec.json.encode(value)


def speaking(operation: Operation) -> bytes:
    assert isinstance(operation, Speak)
    return fitting_speech(operation)


def answer(operation: Operation) -> bytes:
    """A plausible answer to any operation."""
    match operation:
        case Transcribe():
            return msgspec.json.encode(transcript("And so, my fellow Americans.", "Ask not."))
        case Speak():
            return speaking(operation)
        case MakeImage() | EditImage() | Retouch():
            return png()
        case MakeVideo():
            return MP4
        case Complete():
            return b'{"title": "Ask not."}' if operation.schema else b"In short: ask not."


def _bounded(body: bytes, max_bytes: int) -> bytes:
    if len(body) > max_bytes:
        raise LimitExceeded(f"more than {max_bytes} bytes", code="limit-bytes")
    return body
