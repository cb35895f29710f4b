"""The kind protocol: what can be asked for. A kind turns a spec and a source into operations and products.

A kind never sees the ledger, the store or a route. It reaches a provider only through `JobContext.call`, a child
process only through the context, and the output folder only by returning drafts.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Protocol, cast

import msgspec
from msgspec import Struct

from pipeline.core.decoding import from_json
from pipeline.core.hearing import Cut, Hearing, Survey
from pipeline.core.model import Asset, Family, Limits, Media, Product, Refusal, Source, Verdict
from pipeline.core.operations import MediaRef, Operation, Transcript
from pipeline.core.portions import DEFAULT_PORTION, Portion
from pipeline.core.sound import Chapter, Join, Joined, Sound

Sources = Mapping[str, Source]
"""Further inputs of a job by slot: the field of its spec that names the file, with its number where that is a list."""

NO_SOURCES: Sources = MappingProxyType({})

ROUND_TRIP = "round_trip_wer"
REPORTED = ("word_error_rate", "character_error_rate", ROUND_TRIP)
"""Facts that the report tells too, where a kind gives them: how far a text is from the one it was compared with."""
GAP_FACT = "gap_seconds"
"""Fact of a result in which a part is missing: a retry asks for that part, and for nothing that is there."""
PLAYLIST = "m3u"
"""The product whose content names the other files: under other names it has to be written anew."""
MAX_TRANSCRIPT_BYTES = 256_000_000


class Draft(Struct, frozen=True, kw_only=True):
    """A product before it is published: `content`, or a file in scratch or among the assets, and what it must be.

    A name that the kind did not announce is a product beside the first one: `01.mp3` of `book.m3u` is `book.01.mp3`.
    `extension` is what the content is called where it is not what was announced: the product is then named by it.
    `made`: the file is this product of an earlier run, and was looked at then.
    """

    name: str
    media_type: str
    content: bytes | None = None
    path: Path | None = None
    extension: str | None = None
    made: Product | None = None


class KindResult(Struct, frozen=True, kw_only=True):
    """What a kind made. `verdict` is done, empty or suspect; `facts` go into the receipt, never any user text."""

    verdict: Verdict
    drafts: tuple[Draft, ...]
    reason: str = ""
    facts: dict[str, str] = {}
    audio_seconds: float = 0.0


class Answered(Struct, frozen=True, kw_only=True):
    """The whole answer of one call: every payload in order, and the short facts that the driver told."""

    assets: tuple[Asset, ...]
    facts: dict[str, str] = {}
    model: str = ""


class PictureFacts(Struct, frozen=True, kw_only=True):
    """A picture that was decoded whole. Sizes are as it is shown; `is_turned`: its pixels lie otherwise in the file."""

    width: int
    height: int
    frames: int = 1
    has_alpha: bool = False
    is_turned: bool = False


class ClipFacts(Struct, frozen=True, kw_only=True):
    """A video whose pictures were counted. `seconds` is None where the container does not tell."""

    width: int
    height: int
    seconds: float | None = None
    has_audio: bool = False


class JobContext(Protocol):
    """What a running job may ask for."""

    source: Source | None
    more: Sources
    limits: Limits
    portion: Portion
    """How much text one call of the job's route may carry."""
    width: int
    """How many calls the job's route takes at once."""
    hearing: Hearing | None
    """What one transcription call of the job's route takes; None where it takes any recording."""

    @property
    def scratch(self) -> Path:
        """A folder for files of this job alone; gone when the job has ended."""

    async def call(
        self, operation: Operation, *, route: str | None = None, audio_seconds: float | None = None
    ) -> Asset:
        """The answer to one operation, from its receipt where there is one. The asset's bytes are checked.

        `route` is another one than the job's, with its own default model. `audio_seconds` is what the call counts
        towards a cap on minutes of audio, where that is not all of its sound: what parts have in common counts once.
        """

    def file_name(self, draft: str) -> str:
        """What the product of that name is called in the output folder, unless its content asks for another ending."""

    def is_stopping(self) -> bool:
        """Does the run drain? A job of many calls begins no more of them then: the next run goes on."""

    async def ask(self, operation: Operation) -> Answered:
        """As `call`, for answers of several payloads and for what the driver told of them."""

    async def look(self, ref: MediaRef | Asset) -> PictureFacts:
        """Decode a picture whole in a media child, within the job's pixel limit."""

    async def upright(self, ref: MediaRef, target: Path) -> MediaRef:
        """A copy of a picture, in `scratch`, whose pixels lie as it is shown, under its own hash."""

    async def convert(self, picture: Asset, target: Path, *, media_type: str) -> None:
        """The same picture in another format, in `scratch`."""

    async def composite(self, original: MediaRef, edited: Asset, mask: MediaRef, target: Path) -> bool:
        """`edited` where the mask is transparent, `original` everywhere else, as PNG. Was `edited` scaled to fit?"""

    async def poster(self, clip: Asset, target: Path, *, media_type: str) -> ClipFacts:
        """The first picture of a video, in `scratch`."""

    async def survey(self, recording: Source | MediaRef, *, track: int = 0) -> Survey:
        """Decode one audio track once in a media child: its length, level, speech and pauses. Asked once a job."""

    async def split(self, recording: Source | MediaRef, cut: Cut) -> tuple[MediaRef, ...]:
        """The stretches of a recording as files in `scratch`, made in one pass of a media child: always the same bytes.

        A later `split` of the job leaves the parts of an earlier one alone.
        """

    async def weigh(self, sound: Asset) -> Sound:
        """Decode a sound in a media child: what it is."""

    async def join(self, sounds: Sequence[Asset], wish: Join, target: Path | None) -> Joined:
        """Decode sounds in a media child and join them to a WAV in `scratch`; without a target, tell their lengths.

        What is no sound is a ContractError.
        """

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
        """Make `target` of WAVs, one after the other, as `media_type` in a media child; all lie in `scratch`.

        `seconds` is how long they are. The finished file was decoded again, and is what it says.
        """

    async def refer(self, path: Path, media: Media, *, seconds: float) -> MediaRef:
        """A file in `scratch`, to be sent: under the hash of its bytes."""

    async def pdf_text(self, source: Source) -> str:
        """The text of a PDF, extracted in a media child within the job's page and character limits."""

    async def read_asset(self, asset: Asset, *, max_bytes: int) -> bytes: ...

    async def read_source(self, *, max_bytes: int) -> bytes: ...

    async def read_further(self, slot: str, *, max_bytes: int) -> bytes: ...


class Kind(Protocol):
    """One kind of job. `asks` names the operations it may call. `version` is part of every key: raise it when the same
    input would give another product."""

    name: str
    version: int
    spec: type[msgspec.Struct]
    families: frozenset[Family]
    asks: frozenset[str]
    limits: Limits

    def products(self, spec: msgspec.Struct) -> tuple[str, ...]:
        """The names of the products, the first being the one that later steps read. A name is the file extension."""

    def check(self, spec: msgspec.Struct, source: Source | None) -> list[Refusal]:
        """All the reasons against this spec and source that can be told without running anything."""

    def operations(self, spec: msgspec.Struct, source: Source | None) -> tuple[Operation, ...]:
        """Sample operations for admission, in full where known: what `run` is going to call."""

    async def run(self, spec: msgspec.Struct, ctx: JobContext) -> KindResult: ...


class ReadsMore(Kind, Protocol):
    """A kind whose spec names further files. `further` are those fields: each a path, or a list of them, or None.

    The files are confined and hashed like the input, and part of the key by content, never by name. What a kind has in
    `beside` is found by itself too, see `beside_of`.
    """

    further: tuple[str, ...]

    def check(self, spec: msgspec.Struct, source: Source | None, more: Sources = NO_SOURCES) -> list[Refusal]: ...

    def operations(
        self, spec: msgspec.Struct, source: Source | None, more: Sources = NO_SOURCES
    ) -> tuple[Operation, ...]: ...


class Divides(Kind, Protocol):
    """A kind that cuts its text, or a recording, to what one call of the chosen route may carry."""

    def divided(
        self, spec: msgspec.Struct, source: Source | None, portion: Portion, hearing: Hearing | None
    ) -> tuple[Operation, ...]:
        """As `operations`, cut to `portion`, or to `hearing` where recordings have bounds."""


class CallsElsewhere(Kind, Protocol):
    """A kind that calls other routes beside the job's own."""

    def elsewhere(self, spec: msgspec.Struct) -> tuple[tuple[str, str], ...]:
        """Each (route, operation) that `run` may call there."""


def elsewhere_of(kind: Kind, spec: msgspec.Struct) -> tuple[tuple[str, str], ...]:
    if not hasattr(kind, "elsewhere"):
        return ()
    return cast("CallsElsewhere", kind).elsewhere(spec)  # it has the method that makes it one


def further_fields(kind: Kind) -> tuple[str, ...]:
    fields: tuple[str, ...] = getattr(kind, "further", ())
    return fields


def beside_of(kind: Kind) -> Mapping[str, str]:
    """Further files that are taken where they lie beside the input: slot -> what follows its stem in their names."""
    beside: Mapping[str, str] = getattr(kind, "beside", {})
    return beside


def further_inputs(kind: Kind, spec: msgspec.Struct) -> dict[str, str]:
    """What a spec names beside the input, as written, by slot: `mask`, `images.0`, `images.1`."""
    found: dict[str, str] = {}
    for field in further_fields(kind):
        value = getattr(spec, field)
        if isinstance(value, str):
            found[field] = value
        elif value is not None:
            found |= {f"{field}.{number}": text for number, text in enumerate(value)}
    return found


def check_job(kind: Kind, spec: msgspec.Struct, source: Source | None, more: Sources) -> list[Refusal]:
    if not further_fields(kind):
        return kind.check(spec, source)
    return cast("ReadsMore", kind).check(spec, source, more)  # it has the fields that make it one


def operations_of(
    kind: Kind,
    spec: msgspec.Struct,
    source: Source | None,
    more: Sources,
    portion: Portion = DEFAULT_PORTION,
    hearing: Hearing | None = None,
) -> tuple[Operation, ...]:
    if hasattr(kind, "divided"):
        return cast("Divides", kind).divided(spec, source, portion, hearing)  # it has the method that makes it one
    if not further_fields(kind):
        return kind.operations(spec, source)
    return cast("ReadsMore", kind).operations(spec, source, more)


def decode_transcript(body: bytes) -> Transcript:
    """msgspec.DecodeError, or UnicodeDecodeError, when the bytes are something else than a Transcript."""
    return from_json(body, Transcript)
