"""Makers for the drivers' tests: an exchange that records, lanes over the samples, operations."""

import hashlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from pipeline.children.lanes import Lanes
from pipeline.core.drivers import RouteConfig
from pipeline.core.model import Media, RouteId, Sha256
from pipeline.core.operations import MediaRef, Retouch, Speak, Transcribe
from tests.routes.remote import Desk
from tests.standin.fixture import StandIn

MEDIA = Path(__file__).parents[2] / "samples" / "media"
WAV = Media(media_type="audio/wav", family="audio", extension="wav", demuxer="wav")
PNG = Media(media_type="image/png", family="image", extension="png")
MP3 = Media(media_type="audio/mpeg", family="audio", extension="mp3", demuxer="mp3")


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


def card() -> MediaRef:
    """The picture among the samples."""
    return recording("card.png", PNG)


def retouch(*steps: str) -> Retouch:
    return Retouch(image=card(), steps=steps)


@pytest.fixture(scope="session")
def lanes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lanes]:
    """One set of warm children for all drivers' tests."""
    staging = str(tmp_path_factory.mktemp("staging"))
    made = Lanes(roots={"samples": str(MEDIA)}, staging=staging, engine_workers=1, media_workers=1, memory_mb=2500)
    yield made
    made.close()


@pytest.fixture
async def desk(standin: StandIn, lanes: Lanes) -> AsyncIterator[Desk]:
    """Opens drivers against the stand-in and closes them in the loop that used them."""
    made = Desk(standin, lanes)
    yield made
    await made.aclose()
