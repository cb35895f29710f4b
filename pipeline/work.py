"""What a running job works with: its context, implemented once for every kind, and the bench that all jobs share.

A kind reaches calls, child processes and files only through `Work`, which remembers the calls that were made. It judges
nothing and catches nothing: that is the worker's.
"""

import hashlib
import os
import secrets
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from pipeline.calls import Caller
from pipeline.children.lanes import Lanes
from pipeline.children.stage import StageLimits, StageResult, StageSpec
from pipeline.core.budget import Budget
from pipeline.core.errors import InputChanging, InputError
from pipeline.core.hearing import Cut, Hearing, Survey
from pipeline.core.kinds import Answered, ClipFacts, Kind, PictureFacts, Sources
from pipeline.core.limits import Stint, Tab
from pipeline.core.model import Asset, Decision, Limits, Media, Reached, Runner, Sha256, Source
from pipeline.core.operations import MediaRef, Operation
from pipeline.core.portions import DEFAULT_PORTION, Portion
from pipeline.core.sound import Chapter, Join, Joined, Sound
from pipeline.course import CallOwner, Made
from pipeline.intake import readable
from pipeline.media import av, pictures, recordings
from pipeline.publishing import Publisher, product_path
from pipeline.state.durable import border
from pipeline.state.ledger import Ledger
from pipeline.state.linux import give_back
from pipeline.state.roots import Roots
from pipeline.trace.logs import Log

AT_HAND_BYTES = 1 << 17  # copied at once; for more the event loop is not kept
GIVEN_BACK_EVERY = 500  # jobs
MAX_PARTS_BYTES = 16_000_000_000  # of all parts of one recording


class Thrift:
    """Has memory given back as jobs end: of thousands, more and more would stay where it is."""

    def __init__(self) -> None:
        self._jobs = 0

    def ended(self) -> None:
        self._jobs += 1
        if self._jobs % GIVEN_BACK_EVERY == 0:
            give_back()


class Bench(Struct, frozen=True, kw_only=True):
    """What a worker needs, opened by the runtime; one for a whole run. `at_work` are the jobs that have not ended."""

    ledger: Ledger
    publisher: Publisher
    lanes: Lanes
    caller: Caller
    kinds: Mapping[str, Kind]
    runner: Runner
    files: Runner
    log: Log
    reached: Reached
    scratch: Path
    at_work: set[Tab] = msgspec.field(default_factory=set)
    thrift: Thrift = msgspec.field(default_factory=Thrift)


class Terms(Struct, frozen=True, kw_only=True):
    """Within what a job does its work. `is_stopping` is asked as long as it has not begun; its `tab` outlives it.

    `is_draining`: its run or its manifest ends, whatever becomes of its route.
    """

    manifest: str
    roots: Roots
    budget: Budget
    is_forced: bool
    is_stopping: Callable[[], bool]
    is_draining: Callable[[], bool]
    tab: Tab


class Work:
    """Implements `core.kinds.JobContext` for one job, and remembers the calls it made."""

    def __init__(self, bench: Bench, decision: Decision, terms: Terms) -> None:
        job = decision.job
        self.decision = decision
        self.terms = terms
        self.source: Source | None = decision.source
        self.more: Sources = decision.more
        self.limits: Limits = decision.limits
        self.portion: Portion = bench.caller.portion(decision.binding) if decision.binding else DEFAULT_PORTION
        self.hearing: Hearing | None = bench.caller.hearing(decision.binding) if decision.binding else None
        self.width = bench.caller.width(decision.binding) if decision.binding else 1
        # Never the place alone: two manifests of one name have jobs of one place, and may be at work side by side.
        self._scratch = bench.scratch / f"job-{job.place}-{secrets.token_hex(4)}"
        self.has_scratch = False
        self._calls: list[Made | None] = []
        self._bench = bench
        self._splits = 0
        self._surveys: dict[tuple[Sha256, int], Survey] = {}
        self.tab: Tab = terms.tab
        self._owner = CallOwner(
            place=job.place,
            kind=job.kind,
            manifest=terms.manifest,
            limits=decision.limits,
            budget=terms.budget,
            tab=self.tab,
            may_begin=self._may_begin,
            may_wait=self._may_wait,
            may_leave=self._may_leave,
            call_timeout_s=job.call_timeout_s,
        )

    @property
    def scratch(self) -> Path:
        """A folder for this job alone, made when it is first asked for: most jobs need none."""
        if not self.has_scratch:
            with border(str(self._scratch)):
                self._scratch.mkdir(mode=0o700)
            self.has_scratch = True
        return self._scratch

    def tidy(self) -> None:
        """What lies in the folder of this job has been published, or is of no use any more. Blocking."""
        if self.has_scratch:
            shutil.rmtree(self._scratch, ignore_errors=True)
            self.has_scratch = False

    def _may_begin(self) -> bool:
        """A job that waits for its first seat can wait for another run; one that has called goes on to its end."""
        return self.tab.has_called or not self.terms.is_stopping()

    def _may_wait(self) -> bool:
        """Whatever becomes of the route: the answer that another job waits for there is sent for already."""
        return self.tab.has_called or not self.terms.is_draining()

    def _may_leave(self) -> bool:
        """Nothing is lost where only providers are waited for; while other work goes on, they may come in time."""
        return self.terms.is_draining() and all(tab.only_waits for tab in self._bench.at_work)

    def file_name(self, draft: str) -> str:
        return os.path.basename(product_path(self.decision.job, draft))

    def is_stopping(self) -> bool:
        return self.terms.is_stopping()

    async def call(
        self, operation: Operation, *, route: str | None = None, audio_seconds: float | None = None
    ) -> Asset:
        return (await self._made(operation, route, audio_seconds)).asset

    async def ask(self, operation: Operation) -> Answered:
        made = await self._made(operation)
        return Answered(assets=made.assets, facts=made.receipt.facts, model=made.receipt.model)

    @property
    def calls(self) -> list[Made]:
        """The finished calls, in the order in which they were asked for."""
        return [made for made in self._calls if made is not None]

    async def _made(self, operation: Operation, route: str | None = None, audio_seconds: float | None = None) -> Made:
        assert self.decision.binding is not None, "a kind that calls declares its operations"
        binding = self.decision.binding if route is None else self._bench.caller.bind(route, operation)
        number = len(self._calls)
        self._calls.append(None)
        owner = msgspec.structs.replace(self._owner, audio_seconds=audio_seconds)
        self.tab.calls += 1
        try:
            with self.tab.under_way():
                made = await self._bench.caller.make_call(operation, binding, owner)
        finally:
            self.tab.calls -= 1
        self._calls[number] = made
        return made

    async def _by_a_child(self, spec: StageSpec) -> StageResult:
        stint = Stint()
        with self.tab.under_way(), self.tab.at_work(stint):
            return await self._bench.lanes.run("media", spec, line=stint.in_line)

    async def look(self, ref: MediaRef | Asset) -> PictureFacts:
        lanes = self._bench.lanes
        spec = pictures.look(lanes.ref(ref.path), ref.media, max_pixels=self.limits.max_pixels)
        found = pictures.look_facts(await self._by_a_child(spec))
        await self._ensure_unchanged(ref)
        return PictureFacts(**msgspec.structs.asdict(found))

    async def upright(self, ref: MediaRef, target: Path) -> MediaRef:
        lanes = self._bench.lanes
        there = lanes.ref(str(target))
        spec = pictures.save(lanes.ref(ref.path), ref.media, there, media_type=None, max_pixels=self.limits.max_pixels)
        await self._by_a_child(spec)
        await self._ensure_unchanged(ref)
        size, digest = await self._bench.files(_measured, str(target))
        return MediaRef(sha256=digest, path=str(target), size=size, media=ref.media)

    async def convert(self, picture: Asset, target: Path, *, media_type: str) -> None:
        lanes = self._bench.lanes
        there, limit = lanes.ref(str(target)), self.limits.max_pixels
        spec = pictures.save(lanes.ref(picture.path), picture.media, there, media_type=media_type, max_pixels=limit)
        await self._by_a_child(spec)

    async def composite(self, original: MediaRef, edited: Asset, mask: MediaRef, target: Path) -> bool:
        lanes = self._bench.lanes
        spec = pictures.composite(
            (lanes.ref(original.path), lanes.ref(edited.path), lanes.ref(mask.path)),
            (original.media, edited.media, mask.media),
            lanes.ref(str(target)),
            max_pixels=self.limits.max_pixels,
        )
        found = pictures.save_facts(await self._by_a_child(spec))
        await self._ensure_unchanged(original)
        await self._ensure_unchanged(mask)
        return found.is_scaled

    async def poster(self, clip: Asset, target: Path, *, media_type: str) -> ClipFacts:
        lanes = self._bench.lanes
        there, limit = lanes.ref(str(target)), self.limits.max_pixels
        spec = pictures.poster(lanes.ref(clip.path), clip.media, there, media_type=media_type, max_pixels=limit)
        found = pictures.poster_facts(await self._by_a_child(spec))
        return ClipFacts(**msgspec.structs.asdict(found))

    async def ensure_inputs_unchanged(self) -> None:
        """InputChanging unless the files of this job still hold the bytes that were planned."""
        for source in (self.source, *self.more.values()):
            if source is not None:
                await self._bench.caller.ensure_unchanged(source.path, source.sha256)

    async def _ensure_unchanged(self, ref: MediaRef | Asset) -> None:
        if isinstance(ref, MediaRef):
            await self._bench.caller.ensure_unchanged(ref.path, ref.sha256)

    async def survey(self, recording: Source | MediaRef, *, track: int = 0) -> Survey:
        known = (recording.sha256, track)
        if known not in self._surveys:
            lanes = self._bench.lanes
            spec = recordings.survey(
                lanes.ref(recording.path),
                recording.media,
                track=track,
                expected_seconds=recording.seconds,
                max_seconds=self.limits.max_seconds,
            )
            found = recordings.survey_facts(await self._by_a_child(spec))
            await self._bench.caller.ensure_unchanged(recording.path, recording.sha256)
            self._surveys[known] = found
        return self._surveys[known]

    async def split(self, recording: Source | MediaRef, cut: Cut) -> tuple[MediaRef, ...]:
        lanes = self._bench.lanes
        self._splits += 1
        there = lanes.ref(str(self.scratch / f"split{self._splits}-"))
        spec = recordings.split(
            lanes.ref(recording.path),
            recording.media,
            there,
            cut,
            max_seconds=self.limits.max_seconds,
            max_bytes=MAX_PARTS_BYTES,
        )
        made = await self._by_a_child(spec)
        await self._bench.caller.ensure_unchanged(recording.path, recording.sha256)
        return tuple(recordings.parts(made, cut.media_type, lanes.folder(there.root)))

    async def weigh(self, sound: Asset) -> Sound:
        lanes = self._bench.lanes
        return av.sound_facts(await self._by_a_child(av.weigh(lanes.ref(sound.path), av.demuxer_of(sound.media))))

    async def join(self, sounds: Sequence[Asset], wish: Join, target: Path | None) -> Joined:
        lanes = self._bench.lanes
        refs, demuxers = [lanes.ref(sound.path) for sound in sounds], [av.demuxer_of(sound.media) for sound in sounds]
        there = None if target is None else lanes.ref(str(target))
        room = None if wish.tags is None else self.limits.max_output_bytes
        return av.join_facts(await self._by_a_child(av.join(refs, demuxers, there, wish=wish, max_bytes=room)))

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
        lanes = self._bench.lanes
        spec = av.encode(
            [lanes.ref(str(source)) for source in sources],
            lanes.ref(str(target)),
            media_type=media_type,
            tags=tags,
            chapters=chapters,
            seconds=seconds,
            limits=StageLimits(max_output_bytes=self.limits.max_output_bytes),
        )
        return av.encode_facts(await self._by_a_child(spec)).sound

    async def refer(self, path: Path, media: Media, *, seconds: float) -> MediaRef:
        size, digest = await self._bench.files(_measured, str(path))
        return MediaRef(sha256=digest, path=str(path), size=size, media=media, seconds=seconds)

    async def pdf_text(self, source: Source) -> str:
        lanes = self._bench.lanes
        spec = av.pdf_text(lanes.ref(source.path), max_pages=self.limits.max_pages, max_chars=self.limits.max_chars)
        facts = av.pdf_facts(await self._by_a_child(spec))
        await self._bench.caller.ensure_unchanged(source.path, source.sha256)
        return facts.text

    async def read_asset(self, asset: Asset, *, max_bytes: int) -> bytes:
        found = _at_hand(asset.path, asset.size) if asset.size <= min(max_bytes, AT_HAND_BYTES) else None
        if found is not None:
            return found
        return await self._bench.files(_read_asset, asset.path, max_bytes)

    async def read_source(self, *, max_bytes: int) -> bytes:
        assert self.source is not None, "a kind that reads a source has one"
        return await self._read_input(self.source, max_bytes)

    async def read_further(self, slot: str, *, max_bytes: int) -> bytes:
        return await self._read_input(self.more[slot], max_bytes)

    async def _read_input(self, source: Source, max_bytes: int) -> bytes:
        body = await self._bench.files(_read_source, self.terms.roots, source.path, max_bytes)
        if hashlib.sha256(body).hexdigest() != source.sha256:
            raise InputChanging("the input changed while it was worked on", hint="run again when it is whole")
        return body


def _measured(path: str) -> tuple[int, Sha256]:
    with border(path), open(path, "rb") as file:
        return os.fstat(file.fileno()).st_size, Sha256(hashlib.file_digest(file, "sha256").hexdigest())


def _at_hand(path: str, size: int) -> bytes | None:
    """The whole of a small file that the kernel has in memory, as one that was just written; None for any other."""
    found = bytearray(size + 1)
    if not hasattr(os, "RWF_NOWAIT"):  # Linux has it
        return None
    try:
        with open(path, "rb", buffering=0) as file:
            count = os.preadv(file.fileno(), [found], 0, os.RWF_NOWAIT)
    except OSError:  # it would have to wait, or the file system cannot tell
        return None
    return bytes(found[:size]) if count == size else None


def _read_asset(path: str, max_bytes: int) -> bytes:
    with border(path):
        return _read(os.open(path, os.O_RDONLY), max_bytes)


def _read_source(roots: Roots, path: str, max_bytes: int) -> bytes:
    with readable():
        return _read(roots.open(path), max_bytes)


def _read(fd: int, max_bytes: int) -> bytes:
    with os.fdopen(fd, "rb") as file:
        # Not simply the bound: that many bytes would be set aside for every file, however small.
        body = file.read(min(os.fstat(file.fileno()).st_size, max_bytes) + 1)
    if len(body) > max_bytes:
        raise InputError(f"more than {max_bytes} bytes", code="limit-bytes")
    return body
