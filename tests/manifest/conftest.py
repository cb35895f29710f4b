"""Makers for manifests: scripted kinds, an intake that knows content by its first bytes, and one reading call."""

import hashlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import pytest
from msgspec import Meta, Struct

from pipeline.core.errors import InputError
from pipeline.core.kinds import JobContext, Kind, KindResult
from pipeline.core.model import Family, Limits, Media, Refusal, Sha256, Source
from pipeline.core.operations import Operation
from pipeline.manifest import Manifest, ManifestLimits, read_manifest
from pipeline.state.roots import Roots

NOW = 4_000_000_000.0
"""A time at which every file of a test has long settled."""


class TranscriptionSpec(Struct, frozen=True, kw_only=True):
    formats: Annotated[tuple[Literal["txt", "srt", "vtt", "json", "tsv"], ...], Meta(min_length=1)] = ("txt",)
    language: str = "auto"
    words: bool = False
    reference: str | None = None


class CanonicalSpec(Struct, frozen=True, kw_only=True):
    profile: int = 1


class TtsSpec(Struct, frozen=True, kw_only=True):
    text: str | None = None
    language: str = "auto"
    voice: str | None = None
    speed: float = 1.0
    format: Literal["wav", "mp3", "opus", "flac", "m4a"] = "wav"


class ScriptedKind:
    """A kind that only says what it makes."""

    version = 1
    limits = Limits()

    def __init__(
        self, name: str, spec: type[Struct], families: set[Family], products: Callable[[Struct], tuple[str, ...]]
    ) -> None:
        self.name = name
        self.spec = spec
        self.families = frozenset(families)
        self.asks: frozenset[str] = frozenset()
        self._products = products

    def products(self, spec: msgspec.Struct) -> tuple[str, ...]:
        return self._products(spec)

    def check(self, spec: msgspec.Struct, source: Source | None) -> list[Refusal]:
        raise AssertionError("a manifest is read without asking kinds to check")

    def operations(self, spec: msgspec.Struct, source: Source | None) -> tuple[Operation, ...]:
        raise AssertionError("a manifest is read without asking kinds for operations")

    async def run(self, spec: msgspec.Struct, ctx: JobContext) -> KindResult:
        raise AssertionError("a manifest is read without running anything")


KINDS: Mapping[str, Kind] = {
    "transcription": ScriptedKind(
        "transcription",
        TranscriptionSpec,
        {"audio", "video"},
        lambda spec: spec.formats if isinstance(spec, TranscriptionSpec) else (),
    ),
    "canonical_text": ScriptedKind(
        "canonical_text", CanonicalSpec, {"audio", "video", "text", "document"}, lambda spec: ("txt", "provenance.json")
    ),
    "tts": ScriptedKind("tts", TtsSpec, {"text"}, lambda spec: (spec.format,) if isinstance(spec, TtsSpec) else ()),
}

_HEADS: tuple[tuple[bytes, Family], ...] = ((b"RIFF", "audio"), (b"MOOV", "video"), (b"TEXT", "text"))


class HeadIntake:
    """Knows content by its first four bytes and counts how often it was asked."""

    def __init__(self) -> None:
        self.looked: list[str] = []
        self.hashed: list[str] = []

    def media(self, path: str) -> Media | None:
        self.looked.append(path)
        head = _bytes_of(path)[:4]
        return next((Media(media_type=f"{f}/x", family=f, extension="x") for b, f in _HEADS if b == head), None)

    def sha256(self, path: str) -> Sha256:
        self.hashed.append(path)
        return Sha256(hashlib.sha256(_bytes_of(path)).hexdigest())


def _bytes_of(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError as error:
        raise InputError("the input does not exist", code="input-missing", hint="check the path") from error


class Desk:
    """A folder to put files in, and the reading of a manifest that lies there."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.intake = HeadIntake()
        self.roots = [str(base)]
        self.now = NOW
        self.limits = ManifestLimits()

    def file(self, name: str, head: bytes = b"RIFF") -> Path:
        path = self.base / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(head + os.fsencode(name))
        return path

    def read(self, text: str | bytes, file_name: str = "notes.toml") -> Manifest:
        return read_manifest(
            text if isinstance(text, bytes) else text.encode(),
            file_name=file_name,
            base=str(self.base),
            kinds=KINDS,
            default_routes=("local",),
            roots=Roots(self.roots),
            intake=self.intake,
            now=self.now,
            limits=self.limits,
        )

    def toml(self, text: str) -> Manifest:
        return self.read("schema = 1\n" + text)

    def lines(self, *lines: str) -> Manifest:
        return self.read("\n".join(lines), "notes.jsonl")

    def paths(self, manifest: Manifest) -> list[str]:
        """Product paths as seen from the base."""
        return [os.path.relpath(product.path, self.base) for job in manifest.jobs for product in job.products]


def codes(manifest: Manifest) -> dict[str, list[str]]:
    """Error codes of the bad jobs, by id."""
    return {bad.id: [reason.code for reason in bad.reasons] for bad in manifest.bad}


def hints(manifest: Manifest) -> str:
    return "\n".join(f"{reason.message} | {reason.hint}" for bad in manifest.bad for reason in bad.reasons)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    base = tmp_path / "desk"
    base.mkdir()
    return Desk(base)


STEP = '[[folder.step]]\nid = "text"\nkind = "transcription"\n'
CANON = '[[folder.step]]\nid = "canon"\nkind = "canonical_text"\nfrom = "text"\n'
AUDIO = 'accept = ["audio"]\n'


def folder(glob: str = "in/**/*", keys: str = AUDIO, steps: str = STEP) -> str:
    return f'[[folder]]\nid = "f"\nglob = "{glob}"\n{keys}\n{steps}'


def taken(desk: Desk, manifest: Manifest) -> list[str]:
    return [os.path.relpath(job.input, desk.base) for job in manifest.jobs if job.input]
