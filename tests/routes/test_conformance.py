"""The suite that every driver joins: what `core.drivers` promises, asked of each of them.

A new driver adds one row to `DRIVERS`: how to open it, an operation it can do, and one that it must refuse. The drivers
of remote routes speak to the stand-in server.
"""

import os
from collections.abc import AsyncIterator, Callable

import pytest
import trio
from msgspec import Struct

from pipeline.children.lanes import Lanes
from pipeline.core.drivers import Driver, RouteConfig
from pipeline.core.errors import CODES, MediaspoolError, UnsupportedOperation
from pipeline.core.model import Refusal
from pipeline.core.operations import MakeVideo, Operation, operation_name
from pipeline.media.containers import recognise, same_type
from pipeline.routes import DRIVERS as TABLE
from pipeline.routes import hibari, loopback, openai, openrouter, pico, pillow, stills, whisper
from pipeline.routes._tools import Tools
from tests.exchanges import RecordingExchange, tools
from tests.routes.conftest import card, retouch, route, say, transcribe
from tests.routes.remote import KEYS, at, clip
from tests.standin.fixture import StandIn

pytestmark = [pytest.mark.engines, pytest.mark.real_time]


class Row(Struct, frozen=True, kw_only=True):
    """One driver under test."""

    open_driver: Callable[[RouteConfig, Tools], Driver]
    can: Operation
    cannot: Operation
    is_remote: bool = False


RETOUCH = retouch("upright")
DRIVERS = {
    "whisper": Row(open_driver=whisper.open_driver, can=transcribe(), cannot=say("Hello")),
    "hibari": Row(open_driver=hibari.open_driver, can=say("Good morning."), cannot=transcribe()),
    "pico": Row(open_driver=pico.open_driver, can=say("Guten Morgen.", "de"), cannot=transcribe()),
    "pillow": Row(open_driver=pillow.open_driver, can=retouch("fit 64x64"), cannot=say("Hello")),
    "stills": Row(
        open_driver=stills.open_driver,
        can=MakeVideo(first_frame=card(), seconds=1, size="64x64"),
        cannot=MakeVideo(prompt="A cat."),
    ),
    "loopback": Row(open_driver=loopback.open_driver, can=say("Good morning."), cannot=RETOUCH),
    "openrouter": Row(open_driver=openrouter.open_driver, can=say("Good morning."), cannot=RETOUCH, is_remote=True),
    "openai": Row(open_driver=openai.open_driver, can=say("Good morning."), cannot=clip(), is_remote=True),
}


class Subject:
    """An opened driver and its row."""

    def __init__(self, name: str, lanes: Lanes, standin: StandIn | None) -> None:
        self.row = DRIVERS[name]
        self.lanes = lanes
        self.driver = opened(name, lanes, standin)
        self.operation = operation_name(self.row.can)
        self.binding = self.driver.bind(self.operation, None)

    def staged(self) -> list[str]:
        return os.listdir(os.path.dirname(self.lanes.path(self.lanes.scratch(""))))


def opened(name: str, lanes: Lanes, standin: StandIn | None) -> Driver:
    row = DRIVERS[name]
    config = route(name) if not row.is_remote else at(name, standin, models="gpt-4o-mini-tts hexgrad/kokoro-82m")
    return row.open_driver(config, tools(lanes, keys=KEYS))


@pytest.fixture(params=sorted(DRIVERS))
def subject(request: pytest.FixtureRequest, lanes: Lanes) -> Subject:
    name = str(request.param)
    return Subject(name, lanes, request.getfixturevalue("standin") if DRIVERS[name].is_remote else None)


@pytest.fixture
async def closing(subject: Subject) -> AsyncIterator[None]:
    """For tests that make calls: connections are closed in the loop that opened them."""
    yield
    if isinstance(subject.driver, openrouter.OpenRouter | openai.OpenAi):
        await subject.driver.aclose()


def test_every_row_of_the_table_is_in_this_suite() -> None:
    assert set(TABLE) <= set(DRIVERS)


def test_facts_name_the_driver_and_what_it_can(subject: Subject) -> None:
    """T8: one protocol, kept by every driver."""
    facts = subject.driver.facts
    assert subject.operation in facts.operations
    assert facts.name == subject.driver.route.driver
    assert subject.binding.model in facts.models


def test_a_binding_is_stable_and_names_the_engine(subject: Subject) -> None:
    assert subject.driver.bind(subject.operation, subject.binding.model) == subject.binding
    assert subject.binding.route == subject.driver.route.id
    assert subject.binding.paid == subject.driver.facts.paid
    assert len(subject.binding.engine) > len(subject.binding.model)


def test_an_unknown_model_or_operation_binds_to_nothing(subject: Subject) -> None:
    with pytest.raises(UnsupportedOperation) as unknown:
        subject.driver.bind(subject.operation, "no-such-model")
    assert unknown.value.code == "model-unknown"
    with pytest.raises(UnsupportedOperation):
        subject.driver.bind("no-such-operation", None)


def test_what_it_can_is_admitted_and_what_it_cannot_is_refused_with_a_reason(subject: Subject) -> None:
    assert subject.driver.check(subject.row.can, subject.binding) == []
    reasons = subject.driver.check(subject.row.cannot, subject.binding)
    assert reasons
    assert all(isinstance(reason, Refusal) and reason.code in CODES and reason.message for reason in reasons)


def test_checking_starts_no_child(lanes: Lanes) -> None:
    cold = Lanes(roots={}, staging="/nonexistent", engine_workers=1, media_workers=1, memory_mb=100)
    for name, row in DRIVERS.items():
        driver = opened(name, cold, None)
        assert driver.check(row.can, driver.bind(operation_name(row.can), None)) == []
        assert driver.probe().ok


def test_an_estimate_is_never_unknown_for_a_free_route(subject: Subject) -> None:
    estimate = subject.driver.estimate(subject.row.can, subject.binding)
    assert (estimate.usd is None) == subject.driver.facts.paid
    assert estimate.audio_seconds >= 0


async def test_sending_is_told_once_before_any_byte_and_the_answer_is_of_the_declared_type(
    subject: Subject, closing: None
) -> None:
    exchange = RecordingExchange()
    reply = await subject.driver.perform(subject.row.can, subject.binding, exchange)
    assert exchange.steps[0] == "sending"
    assert exchange.steps.count("sending") == 1
    assert reply.media_type in subject.driver.facts.media_out
    recognised = recognise(exchange.body[:4096], size=len(exchange.body))
    assert recognised is not None
    assert same_type(reply.media_type, recognised)


async def test_nothing_is_left_in_staging(subject: Subject, closing: None) -> None:
    before = subject.staged()
    await subject.driver.perform(subject.row.can, subject.binding, RecordingExchange())
    assert subject.staged() == before


async def test_a_cancelled_call_leaves_nothing_and_the_next_one_works(subject: Subject, closing: None) -> None:
    before = subject.staged()
    with trio.move_on_after(0.01):
        await subject.driver.perform(subject.row.can, subject.binding, RecordingExchange())
    assert subject.staged() == before
    await subject.driver.perform(subject.row.can, subject.binding, RecordingExchange())


async def test_an_operation_it_cannot_do_fails_before_sending(subject: Subject, closing: None) -> None:
    exchange = RecordingExchange()
    with pytest.raises(MediaspoolError):
        await subject.driver.perform(subject.row.cannot, subject.binding, exchange)
    assert exchange.steps == []


async def test_an_error_of_the_exchange_passes_through_and_leaves_nothing(subject: Subject, closing: None) -> None:
    class Full(RecordingExchange):
        async def write(self, chunk: bytes) -> None:
            await trio.lowlevel.checkpoint()
            raise MediaspoolError("enough", code="limit-bytes")

    before = subject.staged()
    with pytest.raises(MediaspoolError) as stopped:
        await subject.driver.perform(subject.row.can, subject.binding, Full())
    assert stopped.value.code == "limit-bytes"
    assert subject.staged() == before
