"""The receiving side of an attempt: one verdict on a head, however the bytes arrive."""

from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
import trio

from pipeline.core.drivers import Reply
from pipeline.core.errors import ContractError, InDoubt, ReplyTooLarge
from pipeline.core.limits import Tab
from pipeline.core.model import CallKey, Limits, Media, Place, RunId, Runner, T, Ts
from pipeline.exchange import MAX_PARTS, TEXT, Answers, Receiving
from pipeline.media.sniff import HEAD_BYTES
from pipeline.state.ledger import Ledger
from pipeline.state.ledger_rows import new_attempt_id
from pipeline.state.runner import InlineRunner
from pipeline.state.store import Store
from pipeline.trace.redact import Redactor
from tests.media.zoo import whole_files
from tests.scripted import wav

ANSWERS = frozenset({"audio/mpeg", "audio/flac", "audio/wav", "audio/ogg", "video/mp4", "image/png"})


@pytest.fixture(scope="module")
def heads() -> dict[str, bytes]:
    return {name: each.body[: 4 * HEAD_BYTES] for name, each in whole_files().items()}


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    ledger = Ledger.open(str(tmp_path / "ledger.db"), run=RunId("run"), clock=lambda: "2026-11-20T06:00:00Z")
    yield ledger
    ledger.close()


async def _verdict(ledger: Ledger, folder: Path, body: bytes, chunk: int) -> Media | str | None:
    receiving = _receiving(ledger, folder)
    with closing(receiving):
        try:
            for at in range(0, len(body), chunk):
                await receiving.write(body[at : at + chunk])
        except ContractError as error:
            return error.message
        return receiving.recognised


SECRET = "sk-or-v1-4711"


def _receiving(
    ledger: Ledger,
    folder: Path,
    *,
    answers: Answers = "media",
    max_bytes: int | None = None,
    files: Runner = InlineRunner(),  # noqa: B008  # it holds nothing
) -> Receiving:
    attempt = new_attempt_id()
    opening = partial(
        ledger.open_attempt,
        call=CallKey("c"),
        place=Place("p"),
        route="r",
        model="m",
        operation="any",
        paid=True,
        worst_usd=None,
        attempt=attempt,
    )
    runner = InlineRunner()
    return Receiving(
        attempt,
        store=Store(staging=str(folder), assets=str(folder), quarantine=str(folder)),
        ledger=ledger,
        runner=runner,
        files=files,
        reached=lambda _: None,
        redactor=Redactor([SECRET]),
        allowed=ANSWERS if answers == "media" else frozenset({"text/plain", "application/json"}),
        limits=Limits(max_output_bytes=max_bytes),
        tab=Tab(),
        may_leave=bool,
        opening=opening,
        answers=answers,
    )


def _reply(media_type: str) -> Reply:
    return Reply(media_type=media_type, model="m", usd=None)


async def _hand_over(receiving: Receiving, *bodies: bytes, declared: str = "audio/wav") -> None:
    """As a driver does: one payload after the other, then the reply."""
    for number, body in enumerate(bodies):
        if number:
            await receiving.next_part()
        await receiving.write(body)
    receiving.finish(_reply(declared))


LOOKS_LIKE = {
    "a subtitle": "1\n00:00:00,000 --> 00:00:01,000\nhello\n",
    "a web page": "<!doctype html><html><body>an essay on pages</body></html>",
    "JSON": '{"a": [1, 2]}',
    "a playlist": "#EXTM3U\nis how they begin\n",
    "words": "Zwölf Boxkämpfer.",
    "a bitmap": "P1 is the first plan of three.",
    "a picture": "GIF89a is a format for pictures.",
    "an archive": "070701 is the number to call.",
    "a drawing": "<?xml version='1.0'?>\n<svg xmlns='http://www.w3.org/2000/svg'></svg>\n",
    "a sheet": "%!PS-Adobe is how it begins.",
    "a key of a keyboard": "\beta is what became of a letter that was escaped once too seldom.",
    "a list": '["hello"] is what he said.' + " He said that it is so." * 200,
}


@pytest.mark.parametrize("name", LOOKS_LIKE)
async def test_words_of_a_model_are_a_text_whatever_they_look_like(ledger: Ledger, tmp_path: Path, name: str) -> None:
    receiving = _receiving(ledger, tmp_path, answers="text")
    await _hand_over(receiving, LOOKS_LIKE[name].encode(), declared="text/plain")
    (payload,) = receiving.whole
    assert payload.media == TEXT
    receiving.close()


@pytest.mark.parametrize(
    ("body", "declared"),
    [
        (b'{"cut": [1', "application/json"),
        (b"no JSON", "application/json"),
        (b"RIFF\0\0\0\0WAVE", "text/plain"),
        (b"", "text/plain"),
    ],
)
async def test_words_that_are_not_what_was_declared_are_refused(
    ledger: Ledger, tmp_path: Path, body: bytes, declared: str
) -> None:
    receiving = _receiving(ledger, tmp_path, answers="text")
    with closing(receiving), pytest.raises(ContractError):
        await _hand_over(receiving, body, declared=declared)
    assert receiving.whole == []


async def test_the_payloads_of_an_answer_are_counted_together(ledger: Ledger, tmp_path: Path) -> None:
    body = wav(0.05)
    receiving = _receiving(ledger, tmp_path, max_bytes=len(body) + 100)
    with closing(receiving), pytest.raises(ReplyTooLarge):
        await _hand_over(receiving, body, body)
    assert [payload.staged.size for payload in receiving.whole] == [len(body)]


async def test_an_answer_that_comes_at_once_is_written_and_examined_where_its_end_is_told(
    ledger: Ledger, tmp_path: Path
) -> None:
    trips: list[int] = []

    async def files(work: Callable[[*Ts], T], *args: *Ts) -> T:
        trips.append(1)
        return await InlineRunner()(work, *args)

    receiving = _receiving(ledger, tmp_path, files=files)
    with closing(receiving):
        await _hand_over(receiving, wav(10.0))
        assert (trips, receiving.whole[0].staged.size) == ([], len(wav(10.0)))


async def test_every_payload_is_examined_and_only_the_whole_ones_may_be_kept(ledger: Ledger, tmp_path: Path) -> None:
    receiving = _receiving(ledger, tmp_path)
    with closing(receiving), pytest.raises(ContractError, match="damaged"):
        await _hand_over(receiving, wav(0.05), wav(0.05)[:-10], wav(0.05))
    assert len(receiving.whole) == 1


async def test_an_answer_of_endless_payloads_is_cut_off(ledger: Ledger, tmp_path: Path) -> None:
    receiving = _receiving(ledger, tmp_path)
    with closing(receiving), pytest.raises(ReplyTooLarge, match="payloads"):
        await _hand_over(receiving, *[wav(0.001)] * (MAX_PARTS + 1))
    assert len(receiving.payloads) == MAX_PARTS


@pytest.mark.parametrize("words", ['{"a": [1, 2', '["' + "He said that it is so. " * 200])
async def test_json_that_a_model_did_not_end_is_a_cut_answer(ledger: Ledger, tmp_path: Path, words: str) -> None:
    receiving = _receiving(ledger, tmp_path, answers="text")
    with closing(receiving), pytest.raises(ContractError, match="cut short"):
        await _hand_over(receiving, words.encode(), declared="text/plain")


def _state(ledger: Ledger, receiving: Receiving) -> str | None:
    row = ledger.attempt(receiving.attempt)
    return row.state if row else None


async def test_an_attempt_is_written_down_before_its_connection_is_made(ledger: Ledger, tmp_path: Path) -> None:
    receiving, states = _receiving(ledger, tmp_path), []
    with closing(receiving):
        for step in (receiving.connecting, receiving.connecting, receiving.sending):
            await step()
            states.append(_state(ledger, receiving))
    assert states == ["opened", "opened", "sending"]


async def test_on_a_kept_connection_an_attempt_is_written_down_as_it_is_sent(ledger: Ledger, tmp_path: Path) -> None:
    receiving = _receiving(ledger, tmp_path)
    with closing(receiving):
        assert _state(ledger, receiving) is None
        await receiving.sending()
    assert _state(ledger, receiving) == "sending"


@pytest.mark.parametrize("ticket", ["", "x" * 5000])
async def test_a_ticket_that_cannot_be_kept_leaves_the_call_in_doubt(
    ledger: Ledger, tmp_path: Path, ticket: str
) -> None:
    receiving = _receiving(ledger, tmp_path)
    with closing(receiving):
        await receiving.sending()
        with pytest.raises(InDoubt):
            await receiving.submitted(ticket)
    assert receiving.ticket is None


async def test_a_ticket_is_kept_though_the_run_is_cut_in_that_instant(ledger: Ledger, tmp_path: Path) -> None:
    receiving = _receiving(ledger, tmp_path)
    with closing(receiving):
        await receiving.sending()
        with trio.CancelScope() as scope:
            scope.cancel()
            await receiving.submitted("ticket-1")
    (row,) = ledger.submitted_attempts()
    assert row.ticket == "ticket-1"


@pytest.mark.parametrize("chunk", [1, 7, 100, HEAD_BYTES - 1, HEAD_BYTES, 5000, 1 << 20])
async def test_a_head_is_judged_alike_in_chunks_of_any_size(
    ledger: Ledger, tmp_path: Path, heads: dict[str, bytes], chunk: int
) -> None:
    for name, body in heads.items():
        at_once = await _verdict(ledger, tmp_path, body[:HEAD_BYTES], HEAD_BYTES)
        assert await _verdict(ledger, tmp_path, body, chunk) == at_once, name


async def test_an_id_or_a_ticket_that_repeats_the_key_is_not_written_down(ledger: Ledger, tmp_path: Path) -> None:
    receiving = _receiving(ledger, tmp_path)
    await receiving.sending()
    await receiving.identified(f"gen-{SECRET}")
    await receiving.submitted(f'{{"id":"gen-vid-1","polling_url":"https://host/v/1?key={SECRET}"}}')
    (row,) = ledger.submitted_attempts()
    assert (row.request_id, receiving.request_id) == (None, None)
    assert SECRET not in f"{row.ticket} {receiving.ticket}"
    assert "gen-vid-1" in (row.ticket or "")
