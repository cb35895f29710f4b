"""Makers for pages: runs that never were, with as many jobs as wanted and as hostile as text can be."""

import io
import os
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

from PIL import Image

from pipeline.core.model import (
    CallKey,
    CallReceipt,
    JobId,
    JobKey,
    JobReceipt,
    Media,
    Outcome,
    Product,
    RouteId,
    Sha256,
    Verdict,
)
from pipeline.pages.cards import Card, Cue, Exhibit, Try
from pipeline.pages.markup import file_address, picture
from pipeline.pages.thumbnails import Thumbnail
from pipeline.report import RunReport, Typed, make_report, next_command

STARTED, FINISHED = "2026-11-20T06:00:00+00:00", "2026-11-20T06:00:42.500+00:00"
WAV = Media(media_type="audio/wav", family="audio", extension="wav")
PNG = Media(media_type="image/png", family="image", extension="png")
MP4 = Media(media_type="video/mp4", family="video", extension="mp4")
BAD: tuple[Verdict, ...] = ("held", "failed", "suspect", "refused", "blocked")


def outcome(number: int, verdict: Verdict = "done", **facts: object) -> Outcome:
    told = {
        "job": JobId(f"notes/{number:04}.wav#text"),
        "kind": "transcription",
        "route": "whisper",
        "model": "base",
        "audio_seconds": 61.5,
        "wall_s": 2.25,
        "usd": Decimal("0.0125"),
    }
    return Outcome(**{**told, **facts}, verdict=verdict)  # type: ignore[arg-type]  # fields by name


def receipt(of: Outcome, **facts: str) -> JobReceipt:
    call = CallReceipt(
        key=CallKey("k" * 64),
        route=RouteId("whisper"),
        model="base",
        engine="whisper 1",
        operation="transcribe",
        asset=Sha256("a" * 64),
        media_type="application/json",
        size=4321,
        usd=of.usd,
        request_id="req-1",
        finished_at=FINISHED,
        seconds=61.5,
        facts={"form": "verbose_json"},
    )
    return JobReceipt(
        schema=1,
        job=of.job,
        kind=of.kind,
        key=JobKey("j" * 64),
        verdict=of.verdict,
        reason=of.reason,
        source_sha256=None,
        source_name=None,
        route="whisper",
        model="base",
        engine="whisper 1",
        calls=(call,),
        products=(Product(name="txt", path="/x", sha256=Sha256("b" * 64), size=1),),
        usd=of.usd,
        finished_at=FINISHED,
        facts={"seconds": "61.50", "words": "120", "word_error_rate": "0.0312", **facts},
    )


def exhibit(path: Path | str, folder: Path | str, media: Media | None = WAV, *, role: str = "input") -> Exhibit:
    name = os.fspath(path)
    return Exhibit(role=role, path=name, address=file_address(name, os.fspath(folder)), media=media, size=99)  # type: ignore[arg-type]


def card(of: Outcome, *, exhibits: Sequence[Exhibit] = (), cues: Sequence[Cue] = (), text: str = "") -> Card:
    """A card with all that a job can have."""
    tried = Try(
        operation="transcribe",
        route="whisper",
        state="stored",
        code=None,
        seconds=2.0,
        artifact=file_address("/d/a", "/r"),
    )
    return Card(
        outcome=of,
        next=next_command(of, typed=Typed("/srv/spool")),
        exhibits=tuple(exhibits),
        cues=tuple(cues),
        text=text,
        receipt=receipt(of) if of.verdict in ("done", "suspect") else None,
        tries=(tried,),
    )


def report(outcomes: Sequence[Outcome], manifest: str = "notes", warnings: Sequence[str] = ()) -> RunReport:
    return make_report(
        run="20261120T060000-abc123",
        manifest=manifest,
        started_at=STARTED,
        finished_at=FINISHED,
        outcomes=outcomes,
        warnings=warnings,
    )


def thumbnail() -> Thumbnail:
    """As heavy as that of a photograph."""
    made = io.BytesIO()
    Image.effect_noise((320, 240), 8).convert("RGB").save(made, "WEBP", quality=75)
    return Thumbnail(address=picture("image/webp", made.getvalue()), width=640, height=480)
