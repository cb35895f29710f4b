"""Small pictures for pages, made by media children from the pictures of a run.

Promises: bounded in number, bytes and time; nothing is asked of a child when there is no picture, when the run is to
end, or when the time is over. A picture without a thumbnail is shown as a link, so none of this is ever an error.
"""

from collections.abc import Callable, Iterable, Mapping

import trio
from msgspec import Struct

from pipeline.children.lanes import Lanes
from pipeline.core.errors import MediaspoolError
from pipeline.media import pictures
from pipeline.pages.cards import Card, Exhibit
from pipeline.pages.markup import Address, picture

SIDE_PIXELS = 320
MAX_BYTES = 16_000
MAX_THUMBNAILS = 240
MAX_SECONDS = 10.0
WIDTH = 2


class Thumbnail(Struct, frozen=True, kw_only=True):
    """`width` and `height` are those of the whole picture."""

    address: Address
    width: int
    height: int


class Thumbnails:
    """Makes those of one page after the other; number and time are bounded over all pages of a run."""

    def __init__(self, lanes: Lanes, is_stopping: Callable[[], bool]) -> None:
        self._lanes = lanes
        self._is_stopping = is_stopping
        self._left = MAX_THUMBNAILS
        self._left_s = MAX_SECONDS

    async def of(self, cards: Iterable[Card]) -> Mapping[str, Thumbnail]:
        """By path, the first cards first. Cancels what is not ready in time."""
        wanted = {item.path: item for card in cards for item in card.exhibits if _is_picture(item)}
        rest = list(wanted.values())[: self._left]
        rest.reverse()
        self._left -= len(rest)
        made: dict[str, Thumbnail] = {}

        async def work() -> None:
            while rest and not self._is_stopping():
                item = rest.pop()
                found = await _thumbnail(item, self._lanes)
                if found is not None:
                    made[item.path] = found

        began = trio.current_time()
        with trio.move_on_after(self._left_s):
            async with trio.open_nursery() as nursery:
                for _ in range(min(WIDTH, len(rest))):
                    nursery.start_soon(work)
        self._left_s = max(0.0, self._left_s - (trio.current_time() - began))
        return made


def _is_picture(item: Exhibit) -> bool:
    return item.family == "image" and item.address is not None


async def _thumbnail(item: Exhibit, lanes: Lanes) -> Thumbnail | None:
    assert item.media is not None
    try:
        spec = pictures.thumbnail(lanes.ref(item.path), item.media, side=SIDE_PIXELS, max_bytes=MAX_BYTES)
        facts = pictures.thumbnail_facts(await lanes.run("media", spec))
    except MediaspoolError:
        return None
    return Thumbnail(address=picture("image/webp", facts.webp), width=facts.width, height=facts.height)
