"""What OpenAI-compatible servers of the field answer, each in its own way: what is of use is used, what is not is told.

LocalAI, vLLM, llama.cpp, speaches, Kokoro-FastAPI, LM Studio, Ollama and their like, as one answer each over loopback.
"""

import base64

import msgspec
import pytest

from pipeline.core.errors import ContractError, InDoubt, MediaspoolError, Rejected
from pipeline.core.operations import AudioFormat, Operation, Speak
from pipeline.routes._speech_wire import MEDIA_TYPES
from pipeline.routes._transcript_forms import Asked, from_json
from tests.routes.remote import Desk, ask, picture, png
from tests.routes.servers import answer, serving, told
from tests.standin.sound import beeps, encoded, wav

PNG = png(40, 40)
BASE64 = base64.b64encode(PNG).decode()
SPEAK = Speak(text="Hello there.", voice="nova", language="en", format="wav")
ASKED = Asked(seconds=11.0, language=None, engine="openai w1 whisper", model="whisper")
SAID = "And so my fellow Americans ask not what your country can do for you"


def row(start: float, end: float, text: str) -> dict[str, object]:
    return {"id": 0, "start": start, "end": end, "text": text}


async def refusal(desk: Desk, said: bytes, operation: Operation) -> MediaspoolError:
    """What one answer stands for; it was asked for once."""
    async with serving(said) as server:
        with pytest.raises(MediaspoolError) as wrong:
            await desk.ask(desk.openai(base_url=server.base, key=None), operation)
        assert server.posts() == 1
    return wrong.value


@pytest.mark.parametrize(
    "written",
    [
        {"b64_json": base64.encodebytes(PNG).decode()},
        {"b64_json": base64.encodebytes(PNG).decode().replace("\n", "\r\n")},
        {"b64_json": base64.urlsafe_b64encode(PNG).decode()},
        {"b64_json": BASE64.rstrip("=")},
        {"b64_json": f"data:image/png;base64,{BASE64}"},
        {"b64_json": "", "url": f"data:image/png;base64,{BASE64}"},
        {"b64_json": BASE64, "url": ""},
    ],
    ids=["in lines", "in lines of mail", "for addresses", "unpadded", "as a data url", "beside it", "without address"],
)
async def test_a_picture_is_taken_however_its_bytes_are_written(desk: Desk, written: dict[str, str]) -> None:
    async with serving(told({"data": [written]})) as server:
        await desk.ask(desk.openai(base_url=server.base, key=None), picture())
    assert desk.exchange.bodies == [PNG]


@pytest.mark.parametrize("unit", [1.0, 1e3, 1e9])
def test_times_in_milliseconds_or_nanoseconds_are_told_by_the_length_of_the_recording(unit: float) -> None:
    rows = [row(0, 5 * unit, SAID[:30]), row(5 * unit, 11 * unit, SAID[30:])]
    heard = from_json({"text": SAID, "segments": rows}, ASKED)
    assert [(piece.start, piece.end) for piece in heard.transcript.segments] == [(0.0, 5.0), (5.0, 11.0)]
    assert heard.mended == 0


def test_one_time_that_is_far_off_changes_no_other() -> None:
    rows = [row(0, 5, SAID[:20]), row(5, 9, SAID[20:40]), row(9, 3000, SAID[40:])]
    heard = from_json({"text": SAID, "segments": rows}, ASKED)
    assert [piece.end for piece in heard.transcript.segments] == [5.0, 9.0, 11.0]
    assert heard.mended == 1


def test_words_that_stand_in_no_piece_are_not_lost() -> None:
    heard = from_json({"text": SAID, "segments": [row(0, 5, "And so my fellow")]}, ASKED)
    assert ([piece.text for piece in heard.transcript.segments], heard.mended) == ([SAID], 1)


@pytest.mark.parametrize("finish", ["stop", "STOP", "eos", "eos_token", "end_turn", "stop_sequence"])
async def test_a_text_may_end_in_the_words_of_any_server(desk: Desk, finish: str) -> None:
    said = {"choices": [{"finish_reason": finish, "message": {"content": "It rained."}}]}
    async with serving(told(said)) as server:
        await desk.ask(desk.openai(base_url=server.base, key=None), ask())
    assert desk.exchange.body == b"It rained."


@pytest.mark.parametrize("finish", [None, "abort", 7])
async def test_a_text_of_which_nobody_says_that_it_is_whole_is_refused_with_what_was_said(
    desk: Desk, finish: object
) -> None:
    said = told({"choices": [{"finish_reason": finish, "message": {"content": "It"}}]})
    wrong = await refusal(desk, said, ask())
    assert isinstance(wrong, ContractError)
    assert wrong.message.endswith(f"its finish_reason is {finish or 'none'}")


@pytest.mark.parametrize(
    "body",
    [
        {"detail": {"error": "validation_error", "message": "Voice not found", "type": "invalid_request_error"}},
        {"detail": {"error": {"message": "Voice not found"}}},
        {"detail": {"error": "Voice not found"}},
        {"detail": {"msg": "Voice not found"}},
        {"detail": "Voice not found"},
    ],
)
async def test_the_reason_is_found_wherever_a_server_puts_its_detail(desk: Desk, body: object) -> None:
    wrong = await refusal(desk, told(body, status=400), SPEAK)
    assert isinstance(wrong, Rejected)
    assert wrong.message.endswith(": Voice not found")


async def test_json_in_place_of_sound_is_told_with_what_it_says(desk: Desk) -> None:
    wrong = await refusal(desk, told({"detail": "Voice not found"}), SPEAK)
    assert (type(wrong), wrong.message) == (ContractError, "the answer is JSON, not audio/wav: Voice not found")


async def test_an_error_in_a_good_answer_is_not_called_a_status_that_never_came(desk: Desk) -> None:
    wrong = await refusal(desk, told({"error": "model not loaded"}), SPEAK)
    assert isinstance(wrong, InDoubt)
    assert wrong.message.startswith("the route answered 2xx, with an error in it, to POST audio/speech")


async def test_the_type_that_an_answer_says_it_has_is_told_as_it_stands(desk: Desk) -> None:
    wrong = await refusal(desk, answer(b"data: {}\n\n", kind="text/event-stream"), ask())
    assert wrong.message == "the answer is declared as text/event-stream, not application/json"


@pytest.mark.parametrize("wanted", ["wav", "mp3", "opus", "flac"])
@pytest.mark.parametrize("made", ["wav", "mp3", "opus", "flac"])
async def test_sound_of_another_format_than_was_asked_for_is_taken_under_its_true_name(
    desk: Desk, wanted: AudioFormat, made: str
) -> None:
    sound = wav(beeps(1.0, 24_000), 24_000) if made == "wav" else encoded(made, 1.0)
    async with serving(answer(sound, kind="application/octet-stream")) as server:
        driver = desk.openai(base_url=server.base, key=None, capabilities={"*": wanted})
        reply = await desk.ask(driver, msgspec.structs.replace(SPEAK, format=wanted))
    assert (reply.media_type, len(desk.exchange.body)) == (MEDIA_TYPES[made], len(sound))


@pytest.mark.parametrize(("body", "kind"), [(b'{"error":{"code":501,"message":"no sound"}}', Rejected), (b"", InDoubt)])
async def test_what_a_server_says_it_does_not_have_was_not_made(
    desk: Desk, body: bytes, kind: type[MediaspoolError]
) -> None:
    wrong = await refusal(desk, answer(body, status=501, kind="application/json"), SPEAK)
    assert type(wrong) is kind


@pytest.mark.parametrize("body", [b"404 page not found", b""])
async def test_a_path_that_a_server_does_not_know_is_told_apart_from_a_model_that_it_does_not_know(
    desk: Desk, body: bytes
) -> None:
    wrong = await refusal(desk, answer(body, status=404, kind="text/plain"), SPEAK)
    assert "ends in /v1" in wrong.hint
    wrong = await refusal(desk, told({"error": "model not found, try pulling it first"}, status=404), SPEAK)
    assert wrong.hint == "check the name of the model and what it can do"
