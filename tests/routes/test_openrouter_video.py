"""Clips through OpenRouter: submitted once, asked for with growing patience, fetched whole. The clock runs fast."""

import io
import itertools
from decimal import Decimal
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from pipeline.children.lanes import Lanes
from pipeline.core.errors import ContractError, Deferred, InDoubt, MediaspoolError, Rejected, RouteClosed, Unavailable
from pipeline.media.containers import examine
from pipeline.routes._video_wire import Progress, Ticket, read_ticket, ticket_of, watch, write_ticket
from tests.exchanges import RecordingExchange
from tests.routes.remote import PNG, Desk, clip, file_of, png

pytestmark = pytest.mark.real_time
SPEED = 40.0


@pytest.fixture
def mock_clock() -> MockClock:
    """Waits of seconds take a few hundredths, and the server's answers what they take."""
    return MockClock(rate=SPEED)


def is_whole(body: bytes) -> bool:
    found = examine(io.BytesIO(body), len(body))
    return found.ok and found.media is not None and found.media.family == "video"


async def test_v5_v6_v8_a_clip_is_submitted_once_asked_for_and_fetched(desk: Desk, mock_clock: MockClock) -> None:
    reply = await desk.ask(desk.openrouter(), clip(seconds=4))
    assert is_whole(desk.exchange.body)
    assert (reply.media_type, reply.usd) == ("video/mp4", Decimal("0.4"))
    assert desk.standin.count("make_video") == 1
    assert desk.standin.requests("make_video")[0]["path"] == "/videos"
    assert desk.sent("make_video")["model"] == "google/veo-3.1-fast"


async def test_the_ticket_is_durable_before_the_first_question(desk: Desk, mock_clock: MockClock) -> None:
    polls_at_submit = []

    class Watched(RecordingExchange):
        async def submitted(self, ticket: str) -> None:
            await super().submitted(ticket)
            polls_at_submit.append(desk.standin.count("poll"))

    driver, operation = desk.openrouter(), clip(seconds=4)
    await driver.perform(operation, driver.bind("make_video", None), Watched())
    assert polls_at_submit == [0]


async def test_a_ticket_is_gone_on_with_and_nothing_is_submitted_again(desk: Desk, mock_clock: MockClock) -> None:
    driver, operation = desk.openrouter(), clip(seconds=4)
    await desk.ask(driver, operation)
    later = RecordingExchange(ticket=desk.exchange.ticket)
    await driver.perform(operation, driver.bind("make_video", None), later)
    assert later.body == desk.exchange.body
    assert "sending" not in later.steps
    assert desk.standin.count("make_video") == 1


async def test_v7_v10_pictures_are_first_and_last_frames(desk: Desk, mock_clock: MockClock, tmp_path: Path) -> None:
    first, last = (file_of(tmp_path, f"{name}.png", png(64, 36), PNG) for name in ("a", "b"))
    await desk.ask(desk.openrouter(), clip(seconds=4, first_frame=first, last_frame=last))
    frames = desk.sent("make_video")["frame_images"]
    assert isinstance(frames, list)
    assert [frame["frame_type"] for frame in frames] == ["first_frame", "last_frame"]


async def test_v11_references_go_as_references(desk: Desk, mock_clock: MockClock, tmp_path: Path) -> None:
    await desk.ask(desk.openrouter(), clip(seconds=4, references=(file_of(tmp_path, "a.png", png(), PNG),)))
    sent = desk.sent("make_video")
    assert "frame_images" not in sent
    assert len(sent["input_references"]) == 1  # type: ignore[arg-type]  # a list of what was sent


async def test_v12_a_resolution_is_sent_in_the_providers_spelling(desk: Desk, mock_clock: MockClock) -> None:
    await desk.ask(desk.openrouter(), clip(seconds=4, resolution="1080P", audio=False))
    sent = desk.sent("make_video")
    assert (sent["resolution"], sent["duration"], sent["generate_audio"]) == ("1080p", 4, False)


async def test_sound_is_said_aloud_where_it_changes_the_price(desk: Desk, mock_clock: MockClock) -> None:
    await desk.ask(desk.openrouter(), clip(seconds=4))
    assert desk.sent("make_video")["generate_audio"] is True


@pytest.mark.parametrize("fault", ["urls-missing", "urls-null", "urls-empty"])
async def test_v9_without_an_address_the_content_endpoint_is_asked(
    desk: Desk, mock_clock: MockClock, fault: str
) -> None:
    desk.standin.fault(fault)
    await desk.ask(desk.openrouter(), clip(seconds=4))
    assert is_whole(desk.exchange.body)
    assert desk.standin.count("content") == 1


async def test_several_clips_are_parts_of_one_answer(desk: Desk, mock_clock: MockClock) -> None:
    desk.standin.fault("urls-two")
    reply = await desk.ask(desk.openrouter(), clip(seconds=4))
    assert [is_whole(body) for body in desk.exchange.bodies] == [True, True]
    assert reply.facts["clips"] == "2"


@pytest.mark.parametrize("fault", ["video-queued", "video-flaps", "video-late", "video-in-progress", "video-at-once"])
async def test_v8_unknown_states_and_failed_polls_are_no_failed_clip(
    desk: Desk, mock_clock: MockClock, fault: str
) -> None:
    desk.standin.fault(fault)
    await desk.ask(desk.openrouter(), clip(seconds=4))
    assert is_whole(desk.exchange.body)
    assert desk.standin.count("make_video") == 1


@pytest.mark.parametrize("fault", ["video-failed", "video-failed-silently", "video-cancelled", "video-expired"])
async def test_a_clip_that_ended_badly_is_the_providers_verdict(desk: Desk, mock_clock: MockClock, fault: str) -> None:
    desk.standin.fault(fault)
    with pytest.raises(Rejected) as ended:
        await desk.ask(desk.openrouter(), clip(seconds=4))
    assert fault.split("-")[1] in ended.value.message


@pytest.mark.parametrize("fault", ["video-forgotten", "video-lost"])
async def test_a_clip_that_the_provider_forgot_is_lost_and_said_so(
    desk: Desk, mock_clock: MockClock, fault: str
) -> None:
    desk.standin.fault(fault)
    with pytest.raises(ContractError) as lost:
        await desk.ask(desk.openrouter(), clip(seconds=4))
    assert not lost.value.retryable
    assert desk.standin.count("make_video") == 1


@pytest.mark.parametrize(
    "fault",
    [
        f"polling-{what}"
        for what in ["relative", "missing", "http", "file", "metadata", "loopback", "astray", "userinfo"]
    ],
)
async def test_questions_go_to_the_servers_own_address_and_nowhere_else(
    desk: Desk, mock_clock: MockClock, fault: str
) -> None:
    desk.standin.fault(fault)
    await desk.ask(desk.openrouter(), clip(seconds=4))
    assert is_whole(desk.exchange.body)


@pytest.mark.parametrize("fault", ["urls-http", "urls-file", "urls-metadata", "urls-private"])
async def test_an_address_that_is_never_fetched_is_passed_by_for_the_documented_one(
    desk: Desk, mock_clock: MockClock, fault: str
) -> None:
    desk.standin.fault(fault)
    await desk.ask(desk.openrouter(), clip(seconds=4))
    assert is_whole(desk.exchange.body)


@pytest.mark.parametrize("fault", ["cut-clean", "cut-in-chunk", "reset-midway", "503", "empty"])
async def test_a_download_that_breaks_is_made_again_alone_and_leaves_no_half(
    desk: Desk, mock_clock: MockClock, fault: str
) -> None:
    desk.standin.fault(fault, path="content", times=2)
    await desk.ask(desk.openrouter(), clip(seconds=4))
    assert is_whole(desk.exchange.body)
    assert desk.standin.count("make_video") == 1


async def test_a_clip_that_cannot_be_fetched_now_is_there_for_the_next_run(
    desk: Desk, mock_clock: MockClock, lanes: Lanes
) -> None:
    desk.standin.fault("cut-clean", path="content")
    staging = Path(lanes.path(lanes.scratch(""))).parent
    before = sorted(staging.iterdir())
    with pytest.raises(Deferred):
        await desk.ask(desk.openrouter(), clip(seconds=4))
    assert desk.exchange.body == b""
    assert sorted(staging.iterdir()) == before
    assert desk.standin.count("make_video") == 1


async def test_a_clip_that_is_refused_though_its_job_is_known_waits_for_the_next_run(
    desk: Desk, mock_clock: MockClock
) -> None:
    desk.standin.fault("404", path="content")
    with pytest.raises(Deferred):
        await desk.ask(desk.openrouter(), clip(seconds=4))


async def test_a_submission_whose_end_is_unknown_is_in_doubt_and_sent_once(desk: Desk, mock_clock: MockClock) -> None:
    desk.standin.fault("reset-after-body", path="make_video")
    with pytest.raises(InDoubt):
        await desk.ask(desk.openrouter(), clip(seconds=4))
    assert desk.standin.count("make_video") == 1


@pytest.mark.parametrize("fault", ["gzip", "empty", "json-null", "json-list", "nan", "endless", "html-200"])
async def test_an_answer_to_a_submission_that_cannot_be_read_leaves_the_clip_in_doubt(
    desk: Desk, mock_clock: MockClock, fault: str
) -> None:
    """It is being made, and will be paid for."""
    desk.standin.fault(fault, path="make_video")
    with pytest.raises(InDoubt):
        await desk.ask(desk.openrouter(), clip(seconds=4))
    assert desk.standin.paid("make_video") == 1


async def test_a_deadline_leaves_the_ticket(desk: Desk, mock_clock: MockClock) -> None:
    desk.standin.fault("video-never-ends")
    with trio.move_on_after(60) as waited:
        await desk.ask(desk.openrouter(), clip(seconds=4))
    assert waited.cancelled_caught
    assert read_ticket(desk.exchange.ticket or "").id.startswith("gen-vid-")


async def _times_of(answers: list[Progress | MediaspoolError]) -> tuple[list[float], Progress]:
    """When each question was asked, on a clock that jumps."""
    asked: list[float] = []

    async def question() -> Progress:
        await trio.lowlevel.checkpoint()
        asked.append(trio.current_time())
        answer = answers.pop(0)
        if isinstance(answer, MediaspoolError):
            raise answer
        return answer

    found = await watch(question, safe=lambda text: text, pause=trio.sleep)
    return [time - asked[0] for time in asked], found


async def test_the_questions_come_less_and_less_often_up_to_a_bound(autojump_clock: MockClock) -> None:
    pending: list[Progress | MediaspoolError] = [Progress(status="pending") for _ in range(12)]
    times, _ = await _times_of([*pending, Progress(status="completed")])
    waits = [round(later - earlier, 2) for earlier, later in itertools.pairwise(times)]
    assert waits[:4] == [2.0, 3.0, 4.5, 6.75]
    assert waits == sorted(waits)
    assert set(waits[8:]) == {30.0}


async def test_a_route_that_is_closed_ends_the_waiting_at_once(autojump_clock: MockClock) -> None:
    with pytest.raises(RouteClosed):
        await _times_of([Progress(status="pending"), RouteClosed("no credit")])


async def test_failed_questions_are_asked_again_however_many(autojump_clock: MockClock) -> None:
    failed: list[Progress | MediaspoolError] = [Unavailable("busy") for _ in range(50)]
    _, found = await _times_of([*failed, Progress(status="completed", urls=("one",))])
    assert found.urls == ("one",)


@pytest.mark.parametrize("body", [{}, {"id": ""}, {"id": 3}, {"id": "x" * 400}, {"id": "a\nb"}])
def test_an_id_that_could_not_be_asked_for_makes_no_ticket(body: dict[str, object]) -> None:
    assert ticket_of(body) is None


def test_a_ticket_survives_being_written_down() -> None:
    ticket = Ticket(id="gen-vid-1/../x", polling_url="https://example.org/v/1")
    assert read_ticket(write_ticket(ticket)) == ticket


def test_a_ticket_that_cannot_be_read_is_no_crash() -> None:
    with pytest.raises(ContractError):
        read_ticket("not a ticket")
