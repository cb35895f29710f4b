"""Makers for the tests of remote drivers: routes to the stand-in, operations with pictures and clips, small files."""

import hashlib
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path

import msgspec

from pipeline.children.lanes import Lanes
from pipeline.core.drivers import Reply, RouteConfig, reasons_against
from pipeline.core.model import Media, RouteId, Sha256
from pipeline.core.operations import (
    Complete,
    EditImage,
    MakeImage,
    MakeVideo,
    MediaRef,
    Operation,
    Picture,
    Transcript,
    operation_name,
)
from pipeline.routes.openai import OpenAi
from pipeline.routes.openai import open_driver as open_openai
from pipeline.routes.openrouter import OpenRouter
from pipeline.routes.openrouter import open_driver as open_openrouter
from tests.exchanges import RecordingExchange, tools
from tests.standin.fixture import StandIn
from tests.standin.world import KEY

KEYS = {"TEST_KEY": KEY}
NOWHERE = "http://127.0.0.1:9"
PNG = Media(media_type="image/png", family="image", extension="png")
MP4 = Media(media_type="video/mp4", family="video", extension="mp4", demuxer="mov")


def at(driver: str, standin: StandIn | None, **options: str) -> RouteConfig:
    """A route to the stand-in, or to nowhere for what must not send."""
    nowhere = {"openrouter": f"{NOWHERE}/api/v1", "openai": f"{NOWHERE}/v1"}
    real = {} if standin is None else {"openrouter": standin.base_url, "openai": standin.openai_url}
    return RouteConfig(
        id=RouteId(driver),
        driver=driver,
        width=2,
        key="TEST_KEY",
        base_url={**nowhere, **real}[driver],
        call_timeout_s=120.0,
        options=options,
    )


class Desk:
    """Calls on drivers that speak to the stand-in, with whatever a test changes of their route."""

    def __init__(self, standin: StandIn, lanes: Lanes) -> None:
        self.standin = standin
        self.exchange = RecordingExchange()
        self._lanes = lanes
        self._open: list[OpenRouter | OpenAi] = []

    def openrouter(self, **changes: object) -> OpenRouter:
        config = msgspec.structs.replace(at("openrouter", self.standin), **changes)
        driver = open_openrouter(config, tools(self._lanes, keys=KEYS))
        self._open.append(driver)
        return driver

    def openai(self, **changes: object) -> OpenAi:
        config = msgspec.structs.replace(at("openai", self.standin), **changes)
        driver = open_openai(config, tools(self._lanes, keys=KEYS))
        self._open.append(driver)
        return driver

    async def ask(self, driver: OpenRouter | OpenAi, operation: Operation, model: str | None = None) -> Reply:
        """One attempt that was admitted; what the exchange saw is in `exchange`."""
        binding = driver.bind(operation_name(operation), model)
        assert driver.check(operation, binding) == []
        self.exchange = RecordingExchange()
        return await driver.perform(operation, binding, self.exchange)

    @property
    def transcript(self) -> Transcript:
        return msgspec.json.decode(self.exchange.body, type=Transcript)

    def sent(self, operation: str) -> dict[str, object]:
        """The fields of the last request of an operation."""
        fields = self.standin.requests(operation)[-1]["fields"]
        assert isinstance(fields, dict)
        return fields

    async def aclose(self) -> None:
        for driver in self._open:
            await driver.aclose()


def refused(driver: OpenRouter | OpenAi, operation: Operation, model: str | None = None) -> list[str]:
    """The codes of every reason against an operation."""
    return [reason.code for reason in reasons_against(driver, operation, driver.bind(operation_name(operation), model))]


def file_of(folder: Path, name: str, body: bytes, media: Media, *, seconds: float | None = None) -> MediaRef:
    path = folder / name
    path.write_bytes(body)
    digest = Sha256(hashlib.sha256(body).hexdigest())
    return MediaRef(sha256=digest, path=str(path), size=len(body), media=media, seconds=seconds)


def png(width: int = 64, height: int = 64, *, alpha: int | None = None) -> bytes:
    """A grey picture; with `alpha`, one of that opacity everywhere."""
    pixel = b"\x80\x80\x80" + (b"" if alpha is None else bytes([alpha]))
    rows = (b"\0" + pixel * width) * height
    head = struct.pack(">IIBBBBB", width, height, 8, 2 if alpha is None else 6, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, body) for name, body in chunks)


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def picture(**told: str | int) -> MakeImage:
    return MakeImage(prompt="a red kite", picture=Picture(**told))  # type: ignore[arg-type]  # fields of Picture itself


def edit(*images: MediaRef, mask: MediaRef | None = None, n: int = 1) -> EditImage:
    return EditImage(prompt="make it blue", images=images, mask=mask, n=n)


def clip(**told: object) -> MakeVideo:
    fields: Mapping[str, object] = {"prompt": "a kite over the sea", **told}
    return MakeVideo(**fields)  # type: ignore[arg-type]  # fields of MakeVideo itself


def ask(prompt: str = "Summarise it.", document: str | None = "It rained all day.", **told: object) -> Complete:
    return Complete(prompt=prompt, document=document, **told)  # type: ignore[arg-type]  # fields of Complete itself
