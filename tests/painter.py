"""A driver that is scripted instead of painting: real pictures of plain colour, as many and of the type it is told.

Options: `calls` (file, one line a call), `type` (png or jpeg), `made` (how many of those asked), `paid` (USD per call).
"""

import io
import os
from decimal import Decimal

from PIL import Image

from pipeline.core.drivers import DriverFacts, Exchange, Health, Reply, RouteConfig
from pipeline.core.errors import UnsupportedOperation
from pipeline.core.model import Binding, Estimate, Refusal
from pipeline.core.operations import EditImage, MakeImage, Operation
from pipeline.routes._tools import Tools

COLOURS = ("red", "lime", "blue")


class Painter:
    """Implements `core.drivers.Driver`."""

    def __init__(self, route: RouteConfig) -> None:
        self.route = route
        self._options = route.options
        self._type = self._options.get("type", "png")
        self.facts = DriverFacts(
            name="painter",
            operations=frozenset({"make_image", "edit_image"}),
            media_out=frozenset({"image/png", "image/jpeg"}),
            paid="paid" in self._options,
        )

    def bind(self, operation: str, model: str | None) -> Binding:
        return Binding(route=self.route.id, model=model or "one", engine="painter 1", paid=self.facts.paid)

    def check(self, operation: Operation, binding: Binding) -> list[Refusal]:
        return []

    def estimate(self, operation: Operation, binding: Binding) -> Estimate:
        return Estimate(usd=Decimal(self._options.get("paid", "0")))

    def probe(self) -> Health:
        return Health(ok=True, summary="paints")

    async def perform(self, operation: Operation, binding: Binding, exchange: Exchange) -> Reply:
        if not isinstance(operation, MakeImage | EditImage):
            raise UnsupportedOperation("the painter only paints")
        await exchange.connecting()
        await exchange.sending()
        with open(self._options["calls"], "ab") as calls:
            calls.write(f"{type(operation).__name__}\n".encode())
            os.fsync(calls.fileno())
        for number in range(int(self._options.get("made", str(operation.n)))):
            if number:
                await exchange.next_part()
            await exchange.write(painted(COLOURS[number], self._type))
        has_mask = isinstance(operation, EditImage) and operation.mask is not None
        facts = {"mask": "not sent"} if has_mask else {}
        usd = Decimal(self._options.get("paid", "0"))
        return Reply(media_type=f"image/{self._type}", model=binding.model, usd=usd, facts=facts)


def open_driver(route: RouteConfig, tools: Tools) -> Painter:
    return Painter(route)


def painted(colour: str, kind: str = "png", size: tuple[int, int] = (32, 24)) -> bytes:
    body = io.BytesIO()
    Image.new("RGB", size, colour).save(body, kind)
    return body.getvalue()
