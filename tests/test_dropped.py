"""Calls that a person gave up: what becomes of the jobs that waited for them, and of those that did not."""

import signal
import time
from pathlib import Path

import pytest
from trio.testing import MockClock

from pipeline.desk import resolve
from pipeline.held import HeldCall
from pipeline.overview import Status, status
from tests.cli.conftest import seat
from tests.makers import Folder, outcomes, verdicts
from tests.standin.fixture import StandIn
from tests.test_hands import meanwhile

pytestmark = pytest.mark.real_time

HEAD = 'schema = 1\nname = "dropped"\n[defaults]\nroute = ["shop"]\n'
TEXT = '[[job]]\nid = "{0}"\nkind = "text"\nprompt = "Say hello."\nout = "out/{0}.txt"\n'
CLIP = '[[job]]\nid = "film"\nkind = "video"\nprompt = "A kite."\nseconds = 2\nresolution = "480p"\n'


@pytest.fixture
def folder(tmp_path: Path, standin: StandIn) -> Folder:
    made = Folder(tmp_path)
    made.now = time.time() + 3600
    made.add_route("shop", driver="openrouter", base_url=standin.base_url, key=standin.key)
    return made


def ask(folder: Folder, *jobs: str) -> None:
    folder.manifest.write_text(HEAD + "".join(jobs))


def shown(folder: Folder) -> Status:
    record = status(seat(folder)).record
    assert isinstance(record, Status)
    return record


def lose_an_answer(folder: Folder, standin: StandIn, *jobs: str) -> None:
    ask(folder, *jobs)
    standin.fault("close-after-body", path="complete", times=1)
    assert set(verdicts(folder.run()).values()) == {"held"}
    folder.run()  # and it is held still, which is no news


def test_jobs_that_wait_for_one_answer_are_named_together_and_dropped_together(
    folder: Folder, standin: StandIn
) -> None:
    """It was sent again for the second one, though a person had only said that the first should fail."""
    lose_an_answer(folder, standin, TEXT.format("one"), TEXT.format("two"))
    (held,) = shown(folder).held
    assert {held.job, *held.also} == {"one", "two"}
    text = resolve(seat(folder), ["two"], "drop").text
    assert "one" in text
    assert "two" in text
    told = outcomes(folder.run())
    assert {(outcome.verdict, outcome.earlier) for outcome in told.values()} == {("unchanged", "failed")}
    assert standin.paid("complete") == 1


def test_a_dropped_job_that_is_changed_afterwards_runs(folder: Folder, standin: StandIn) -> None:
    lose_an_answer(folder, standin, TEXT.format("one"))
    resolve(seat(folder), ["one"], "drop")
    assert outcomes(folder.run())["one"].earlier == "failed"
    ask(folder, TEXT.format("one").replace("hello", "good night"))
    assert verdicts(folder.run()) == {"one": "done"}


def test_a_ticket_of_an_earlier_wording_is_given_up_without_harm_to_what_was_made_since(
    folder: Folder, standin: StandIn
) -> None:
    folder.config.write_text(f'drain_grace = "5s"\n{folder.config.read_text()}')
    clip = CLIP + 'model = "x-ai/grok-imagine-video"\nout = "out/{id}.{ext}"\n'
    ask(folder, clip)
    standin.fault("video-never-ends", path="make_video", times=1)
    folder.clock = MockClock(rate=20)
    meanwhile(folder, "submitted", lambda: signal.raise_signal(signal.SIGTERM))
    assert outcomes(folder.run())["film"].code == "deferred"
    assert "mediaspool run" in waiting(folder).next
    ask(folder, clip.replace("A kite.", "Two kites."))
    folder.clock = MockClock(rate=20)
    assert verdicts(folder.run()) == {"film": "done"}
    assert "mediaspool resolve" in waiting(folder).next
    resolve(seat(folder), ["film"], "drop")
    assert shown(folder).waiting == ()
    assert (shown(folder).counts, shown(folder).problems) == ({"done": 1}, ())
    folder.clock = MockClock(rate=20)
    assert outcomes(folder.run())["film"].earlier == "done"
    assert standin.paid("make_video") == 2


def waiting(folder: Folder) -> HeldCall:
    (call,) = shown(folder).waiting
    return call
