"""The kind protocol: what can be asked for. A kind turns a spec and a source into operations and products.

A kind never sees the ledger, the store or a route. It reaches a provider only through `JobContext.call`, a child
process only through the context, and the output folder only by returning drafts.
"""

from pathlib import Path
from typing import Protocol

import msgspec
from msgspec import Struct

from pipeline.core.model import Asset, Family, Limits, Refusal, Source, Verdict
from pipeline.core.operations import Operation, Transcript

MAX_TRANSCRIPT_BYTES = 256_000_000


class Draft(Struct, frozen=True, kw_only=True):
    """A product before it is published: either `content` or the scratch file `path`, and what it must be."""

    name: str
    media_type: str
    content: bytes | None = None
    path: Path | None = None


class KindResult(Struct, frozen=True, kw_only=True):
    """What a kind made. `verdict` is done, empty or suspect; `facts` go into the receipt, never any user text."""

    verdict: Verdict
    drafts: tuple[Draft, ...]
    reason: str = ""
    facts: dict[str, str] = {}
    audio_seconds: float = 0.0


class JobContext(Protocol):
    """What a running job may ask for."""

    source: Source | None
    limits: Limits
    scratch: Path

    async def call(self, operation: Operation) -> Asset:
        """The answer to one operation, from its receipt where there is one. The asset's bytes are checked."""

    async def encode(self, source: Path, target: Path, *, media_type: str, tags: dict[str, str]) -> None:
        """Encode a WAV into `target` as `media_type` in a media child; both lie in `scratch`."""

    async def pdf_text(self, source: Source) -> str:
        """The text of a PDF, extracted in a media child within the job's page and character limits."""

    async def read_asset(self, asset: Asset, *, max_bytes: int) -> bytes: ...

    async def read_source(self, *, max_bytes: int) -> bytes: ...


class Kind(Protocol):
    """One kind of job. `version` is part of every key: raise it when the same input would give another product."""

    name: str
    version: int
    spec: type[msgspec.Struct]
    families: frozenset[Family]
    limits: Limits

    def products(self, spec: msgspec.Struct) -> tuple[str, ...]:
        """The names of the products, the first being the one that later steps read. A name is the file extension."""

    def check(self, spec: msgspec.Struct, source: Source | None) -> list[Refusal]:
        """All the reasons against this spec and source that can be told without running anything."""

    def operations(self, spec: msgspec.Struct, source: Source | None) -> tuple[Operation, ...]:
        """Sample operations for admission, in full where known: what `run` is going to call."""

    async def run(self, spec: msgspec.Struct, ctx: JobContext) -> KindResult: ...


def decode_transcript(body: bytes) -> Transcript:
    """msgspec.DecodeError, or UnicodeDecodeError, when the bytes are something else than a Transcript."""
    return msgspec.json.decode(body, type=Transcript)
