"""Makers for the drivers' tests: an exchange that records, lanes over the samples, operations."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from pipeline.children.lanes import Lanes
from pipeline.core.drivers import RouteConfig
from pipeline.core.model import Limits, Media, RouteId, Sha256
from pipeline.core.operations import MediaRef, Speak, Transcribe

MEDIA = Path(__file__).parents[2] / "samples" / "media"
WAV = Media(media_type="audio/wav", family="audio", extension="wav", demuxer="wav")
MP3 = Media(media_type="audio/mpeg", family="audio", extension="mp3", demuxer="mp3")


class RecordingExchange:
    """What a driver did, in order: `sending`, then the bytes."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self.steps: list[str] = []
        self.body = b""

    async def sending(self) -> None:
        await trio.lowlevel.checkpoint()
        self.steps.append("sending")

    async def identified(self, request_id: str) -> None:
        await trio.lowlevel.checkpoint()
        self.steps.append(f"identified {request_id}")

    async def write(self, chunk: bytes) -> None:
        await trio.lowlevel.checkpoint()
        self.steps.append(f"write {len(chunk)}")
        self.body += chunk


def route(driver: str, **options: str) -> RouteConfig:
    return RouteConfig(id=RouteId(driver), driver=driver, width=2, call_timeout_s=120.0, options=options)


def recording(name: str, media: Media = WAV, seconds: float | None = None) -> MediaRef:
    body = (MEDIA / name).read_bytes()
    digest = Sha256(hashlib.sha256(body).hexdigest())
    return MediaRef(sha256=digest, path=str(MEDIA / name), size=len(body), media=media, seconds=seconds)


def transcribe(name: str = "austen-0880.wav", *, language: str | None = None, media: Media = WAV) -> Transcribe:
    return Transcribe(audio=recording(name, media), language=language)


def say(text: str, language: str = "en", *, voice: str | None = None) -> Speak:
    return Speak(text=text, language=language, voice=voice)


@pytest.fixture(scope="session")
def lanes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lanes]:
    """One set of warm children for all drivers' tests."""
    staging = str(tmp_path_factory.mktemp("staging"))
    made = Lanes(roots={"samples": str(MEDIA)}, staging=staging, engine_workers=1, media_workers=1, memory_mb=2500)
    yield made
    made.close()
