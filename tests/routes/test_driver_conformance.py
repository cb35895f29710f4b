"""What `core.drivers` promises for any operation whatever, asked of every row of the route table and of the stand-in.

No engine runs here: the children are the outermost edge, and these never answer. A new driver joins by being in the
table. How drivers do with real engines is in `test_conformance`.
"""

import importlib
import math
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import cast

import msgspec
import pytest
import trio
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.children.lanes import Lane, Lanes
from pipeline.children.stage import StageResult, StageSpec
from pipeline.core.drivers import Driver, RouteConfig
from pipeline.core.errors import CODES, ConfigError, EngineError, MediaspoolError, UnsupportedOperation
from pipeline.core.limits import Line
from pipeline.core.model import Media, Refusal
from pipeline.core.operations import Operation, Speak, Transcribe, operation_name
from pipeline.routes._tools import Tools
from tests.exchanges import RecordingExchange, tools
from tests.makers import DRIVERS as STAND_IN
from tests.routes.conftest import MEDIA, recording, route

pytestmark = [pytest.mark.engines, pytest.mark.real_time]

# The drivers of sound that need no server. Those of remote routes and of pictures have their rows in test_conformance:
# what is tried here on every driver must never leave this machine.
TABLE = {name: STAND_IN[name] for name in ("whisper", "hibari", "pico", "scripted")}
OPERATIONS = {"speak", "transcribe"}
EXAMPLES = settings(max_examples=40, deadline=None)


class NoChildren(Lanes):
    """Notes when a child is asked for, and has none."""

    def __init__(self, staging: Path, exchange: RecordingExchange) -> None:
        roots = {"samples": str(MEDIA)}
        super().__init__(roots=roots, staging=str(staging), engine_workers=1, media_workers=1, memory_mb=100)
        self._exchange = exchange

    async def run(self, lane: Lane, spec: StageSpec, *, line: Line = nullcontext) -> StageResult:
        await trio.lowlevel.checkpoint()
        self._exchange.steps.append("child")
        raise EngineError("there is no child here", code="engine-crashed")


class Subject:
    """A driver with nothing behind it, and what it did."""

    def __init__(self, name: str, folder: Path) -> None:
        self.exchange = RecordingExchange()
        module, _, opener = TABLE[name].partition(":")
        open_driver = cast("Callable[[RouteConfig, Tools], Driver]", getattr(importlib.import_module(module), opener))
        self.folder = folder
        self.lanes = NoChildren(folder, self.exchange)
        written = {"calls": str(folder / "calls")} if name == "scripted" else {}
        self.driver = open_driver(route(name, **written), tools(self.lanes))

    def check(self, operation: Operation) -> list[Refusal]:
        name = operation_name(operation)
        asked = name if name in self.driver.facts.operations else min(self.driver.facts.operations)
        return self.driver.check(operation, self.driver.bind(asked, None))

    def has_done_nothing(self) -> bool:
        return self.exchange.steps == [] and list(self.folder.iterdir()) == []


@pytest.fixture(params=sorted(TABLE))
def subject(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Subject:
    return Subject(str(request.param), tmp_path_factory.mktemp("staging"))


texts = st.one_of(
    st.text(max_size=60), st.sampled_from(["Good morning.", "㎏", "Guten Tag, ½ Liter.", "Привет", "…", "a" * 3000])
)
tags = st.sampled_from(["en", "en-US", "en-GB", "de", "de-AT", "fr", "it", "es", "xx", "zh-Hant", ""])
speaks = st.builds(
    Speak,
    text=texts,
    language=tags,
    voice=st.one_of(st.none(), st.text(max_size=9), st.sampled_from(["heart", "de-DE", "nobody"])),
    speed=st.one_of(st.just(1.0), st.floats(0.01, 100)),
    format=st.sampled_from(["wav", "wav", "mp3"]),
)
medias = st.builds(
    Media,
    media_type=st.sampled_from(["audio/wav", "audio/mpeg", "video/mp4", "text/plain", "image/png"]),
    family=st.sampled_from(["audio", "video", "text", "image"]),
    extension=st.just("bin"),
    demuxer=st.sampled_from([None, "wav", "mp3"]),
)
transcribes = st.builds(
    Transcribe,
    audio=st.builds(
        lambda media, seconds: msgspec.structs.replace(recording("austen-0880.wav"), media=media, seconds=seconds),
        medias,
        st.one_of(st.none(), st.floats(0, 1e6)),
    ),
    language=st.one_of(st.none(), tags),
    words=st.booleans(),
    track=st.integers(0, 9),
)
operations = st.one_of(speaks, transcribes)


@pytest.mark.parametrize("name", sorted(TABLE))
def test_facts_agree_with_what_the_driver_does(name: str, tmp_path: Path) -> None:
    driver = Subject(name, tmp_path).driver
    facts = driver.facts
    assert facts.operations
    assert facts.operations <= OPERATIONS
    assert facts.media_out
    assert facts.models
    for operation in facts.operations:
        for model in facts.models:
            binding = driver.bind(operation, model)
            assert (binding.model, binding.paid, binding.route) == (model, facts.paid, driver.route.id)
        assert driver.bind(operation, None).model in facts.models


@EXAMPLES
@given(model=st.text(max_size=20), operation=st.text(max_size=12))
def test_bind_refuses_what_the_facts_do_not_name(model: str, operation: str) -> None:
    for name in TABLE:
        driver = Subject(name, Path("/nonexistent")).driver
        known = sorted(driver.facts.operations)[0]
        for asked, chosen in ((known, model), (operation, None)):
            if (asked in driver.facts.operations) and (chosen in (None, "", *driver.facts.models)):
                continue
            with pytest.raises((UnsupportedOperation, ConfigError)):
                driver.bind(asked, chosen)


@EXAMPLES
@given(operation=operations)
def test_check_answers_any_operation_with_reasons_that_help_and_sends_nothing(
    operation: Operation, tmp_path_factory: pytest.TempPathFactory
) -> None:
    for name in TABLE:
        subject = Subject(name, tmp_path_factory.mktemp("staging"))
        reasons = subject.check(operation)
        assert all(reason.code in CODES and reason.message for reason in reasons)
        assert reasons == subject.check(operation)
        assert reasons or operation_name(operation) in subject.driver.facts.operations
        assert subject.has_done_nothing()


@EXAMPLES
@given(operation=speaks)
def test_check_tells_all_reasons_at_once(operation: Speak, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Whatever is wrong by itself is also told when more is wrong."""
    fine = Speak(text="Good morning.", language=operation.language)
    for name in TABLE:
        subject = Subject(name, tmp_path_factory.mktemp("staging"))
        if subject.check(fine):
            continue
        one_by_one = [
            subject.check(msgspec.structs.replace(fine, voice=operation.voice)),
            subject.check(msgspec.structs.replace(fine, speed=operation.speed)),
            subject.check(msgspec.structs.replace(fine, format=operation.format)),
            subject.check(msgspec.structs.replace(fine, text=operation.text)),
        ]
        told = subject.check(operation)
        assert all(reason in told for reasons in one_by_one for reason in reasons)


@EXAMPLES
@given(operation=operations)
def test_an_estimate_is_never_negative_and_a_price_never_a_guess(
    operation: Operation, tmp_path_factory: pytest.TempPathFactory
) -> None:
    for name in TABLE:
        subject = Subject(name, tmp_path_factory.mktemp("staging"))
        binding = subject.driver.bind(sorted(subject.driver.facts.operations)[0], None)
        estimate = subject.driver.estimate(operation, binding)
        assert 0 <= estimate.audio_seconds < math.inf
        assert estimate.usd is None or (estimate.usd.is_finite() and estimate.usd >= 0)
        assert subject.driver.facts.paid or estimate.usd == 0
        assert subject.has_done_nothing()


def heard(text: str, language: str) -> Speak:
    return Speak(text=text, language=language)


@settings(max_examples=100, deadline=None)
@given(operation=st.one_of(operations, st.builds(heard, texts, st.sampled_from(["en", "de", "en-GB"]))))
@example(operation=heard("㎏", "en"))
@example(operation=heard("㎏", "de"))
def test_perform_tells_of_sending_before_any_work_and_raises_nothing_but_our_own_errors(
    operation: Operation, tmp_path_factory: pytest.TempPathFactory
) -> None:
    for name in TABLE:
        subject = Subject(name, tmp_path_factory.mktemp("staging"))
        if not subject.check(operation):
            trio.run(_perform, subject, operation)
            assert subject.exchange.steps[0] == "sending"
            assert subject.exchange.steps.count("sending") == 1
        assert {path.name for path in subject.folder.iterdir()} <= {"calls"}


async def _perform(subject: Subject, operation: Operation) -> None:
    binding = subject.driver.bind(operation_name(operation), None)
    try:
        reply = await subject.driver.perform(operation, binding, subject.exchange)
    except MediaspoolError as error:
        assert error.code in CODES  # noqa: PT017  # that nothing else comes out is the test
        return
    assert reply.media_type in subject.driver.facts.media_out
    assert reply.model == binding.model


def test_a_probe_starts_nothing(subject: Subject) -> None:
    health = subject.driver.probe()
    assert health.ok
    assert health.summary
    assert subject.has_done_nothing()
