"""The two embedded routes for pictures: what they make is exact, labelled, and what they cannot they do not guess."""

import io
from decimal import Decimal

import msgspec
import pytest
from PIL import Image

from pipeline.children.lanes import Lanes
from pipeline.core.operations import MakeVideo, MediaRef, Operation, Retouch, operation_name
from pipeline.media.containers import examine
from pipeline.routes import pillow, stills
from tests.exchanges import RecordingExchange, tools
from tests.routes.conftest import WAV, card, recording, retouch, route

pytestmark = pytest.mark.real_time


def refused(driver: pillow.Pillow | stills.Stills, operation: Operation) -> list[str]:
    binding = driver.bind(next(iter(driver.facts.operations)), None)
    reasons = driver.check(operation, binding)
    assert all(reason.hint for reason in reasons)
    return [reason.code for reason in reasons]


def film(**options: object) -> MakeVideo:
    return msgspec.structs.replace(MakeVideo(first_frame=card()), **options)


def odd() -> MediaRef:
    return recording("austen-0880.wav", WAV)


@pytest.fixture
def cold() -> Lanes:
    """Lanes that could start nothing."""
    return Lanes(roots={}, staging="/nonexistent", engine_workers=1, media_workers=1, memory_mb=100)


# pillow

ALL_WRONG = Retouch(image=card(), overlay=odd(), steps=("nonsense",), format="gif")


@pytest.mark.parametrize(
    ("operation", "codes"),
    [
        (retouch("resize 10x10", "text top 20 white Hello"), []),
        (retouch("make the sky blue"), ["job-invalid"]),
        (retouch(), ["job-invalid"]),
        (Retouch(image=odd(), steps=("flip",)), ["input-type"]),
        (ALL_WRONG, ["input-type", "operation-unsupported", "job-invalid"]),
    ],
)
def test_steps_are_admitted_or_refused_with_every_reason(cold: Lanes, operation: Retouch, codes: list[str]) -> None:
    assert refused(pillow.open_driver(route("pillow"), tools(cold)), operation) == codes


async def test_the_same_steps_give_the_same_bytes_and_tell_what_was_made(lanes: Lanes) -> None:
    driver = pillow.open_driver(route("pillow"), tools(lanes))
    ask = Retouch(image=card(), steps=("fit 96x96", "grayscale"), format="jpg")
    bodies = []
    for _ in range(2):
        exchange = RecordingExchange()
        reply = await driver.perform(ask, driver.bind("retouch", None), exchange)
        bodies.append(exchange.body)
    assert bodies[0] == bodies[1]
    assert (reply.media_type, reply.facts) == ("image/jpeg", {"steps": "2", "size": "96x54"})
    with Image.open(io.BytesIO(bodies[0])) as made:
        assert (made.size, made.format) == ((96, 54), "JPEG")


def test_the_engine_s_name_changes_with_pillow(cold: Lanes) -> None:
    binding = pillow.open_driver(route("pillow"), tools(cold)).bind("retouch", None)
    assert binding.engine.startswith("pillow 13.")
    assert not binding.paid


# stills


@pytest.mark.parametrize(
    ("operation", "codes"),
    [
        (film(), []),
        (film(prompt="pan left", seconds=3, resolution="480p", aspect_ratio="9:16", audio=False), []),
        (film(last_frame=card()), []),
        (film(prompt="crossfade", last_frame=card()), []),
        (film(prompt="a cat walks in"), ["operation-unsupported"]),
        (film(prompt="zoom in", last_frame=card()), ["operation-unsupported"]),
        (film(prompt="crossfade"), ["operation-unsupported"]),
        (MakeVideo(prompt="zoom in"), ["operation-unsupported"]),
        (film(first_frame=odd()), ["input-type"]),
        (film(size="641x480"), ["operation-unsupported"]),
        (film(size="640x480", resolution="480p"), ["operation-unsupported"]),
        (film(resolution="4K", aspect_ratio="2:1"), ["operation-unsupported"] * 2),
        (film(seconds=500, references=(card(),), audio=True, seed=1), ["operation-unsupported"] * 4),
    ],
)
def test_wishes_are_admitted_or_refused_with_every_reason(cold: Lanes, operation: MakeVideo, codes: list[str]) -> None:
    assert refused(stills.open_driver(route("stills"), tools(cold)), operation) == codes


def test_a_refusal_tells_the_motions_and_no_word_of_the_prompt(cold: Lanes) -> None:
    driver = stills.open_driver(route("stills"), tools(cold))
    (reason,) = driver.check(film(prompt="a canary sings"), driver.bind("make_video", None))
    assert "zoom in" in reason.hint
    assert "canary" not in f"{reason.message} {reason.hint}"


async def test_a_clip_says_that_it_was_made_from_stills(lanes: Lanes) -> None:
    driver = stills.open_driver(route("stills"), tools(lanes))
    exchange = RecordingExchange()
    ask = film(last_frame=card(), seconds=2, size="96x64")
    assert operation_name(ask) in driver.facts.operations
    reply = await driver.perform(ask, driver.bind("make_video", None), exchange)
    assert reply.facts == {"made_from": "stills", "motion": "crossfade", "size": "96x64", "frames": "50"}
    assert (reply.seconds, reply.usd) == (2.0, Decimal(0))
    verdict = examine(io.BytesIO(exchange.body), len(exchange.body))
    assert (verdict.ok, verdict.seconds) == (True, 2.0)
    assert b"made from stills" in exchange.body
