"""Each row of the wire contract's 11.1 by the real drivers: what a server checks and refuses, and what it must do.

Local checks would refuse most of this before it is sent; here they are passed by, as when a table of ours is out of
date. The words of the server reach the person, nothing is paid, and nothing is asked twice.
"""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from msgspec import Struct

from pipeline.core.errors import MediaspoolError, Rejected, RouteClosed
from pipeline.core.operations import Operation, Speak, Transcribe, operation_name
from tests.exchanges import RecordingExchange
from tests.routes.conftest import recording, say
from tests.routes.remote import PNG, Desk, ask, clip, edit, file_of, picture, png

pytestmark = pytest.mark.real_time
FLUX, SEED, GEMINI_PICTURES = (
    "black-forest-labs/flux.2-klein-4b",
    "bytedance-seed/seedream-4.5",
    "google/gemini-3.1-flash-image",
)


class Row(Struct, frozen=True, kw_only=True):
    """An operation that the server refuses, the model it is asked of, and words of the refusal."""

    operation: Callable[[Path], Operation]
    model: str
    words: str
    dialect: str = "openrouter"
    kind: type[MediaspoolError] = Rejected
    changes: dict[str, object] = {}


def of(operation: Operation) -> Callable[[Path], Operation]:
    return lambda _: operation


def heard(**told: object) -> Operation:
    return msgspec.structs.replace(Transcribe(audio=recording("austen-0880.wav", seconds=2.99)), **told)


def small(folder: Path) -> Operation:
    return edit(file_of(folder, "a.png", png(1, 1), PNG))


def masked(folder: Path) -> Operation:
    image, mask = file_of(folder, "a.png", png(), PNG), file_of(folder, "m.png", png(32, 32, alpha=0), PNG)
    return edit(image, mask=mask)


def many(folder: Path) -> Operation:
    return edit(*(file_of(folder, f"{name}.png", png(), PNG) for name in range(17)))


KOKORO, VEO, MISTRAL = "hexgrad/kokoro-82m", "google/veo-3.1-fast", "mistralai/voxtral-mini-tts-2603"
ROWS: dict[str, Row] = {
    "speech: blank input, by the schema": Row(operation=of(say(" ")), model=KOKORO, words="input"),
    "speech: a voice is required": Row(
        operation=of(Speak(text="Hi.", language="xx", format="mp3")),
        model=MISTRAL,
        words="An explicit voice is required",
    ),
    "speech: a voice that is none": Row(operation=of(say("Hi.", voice="nobody")), model=KOKORO, words="nobody"),
    "speech: a model that is none": Row(operation=of(say("Hi.")), model="acme/tts-1", words="acme/tts-1"),
    "speech: too long": Row(operation=of(say("x" * 16_000)), model=KOKORO, words="too long"),
    "speech: OpenAI's bound": Row(operation=of(say("x" * 5000)), model="tts-1", words="4096", dialect="openai"),
    "transcription: a model that is none": Row(operation=of(heard()), model="acme/whisper-9", words="acme/whisper-9"),
    "pictures: a ratio that the model lacks": Row(
        operation=of(picture(aspect_ratio="17:9")), model=GEMINI_PICTURES, words="aspect_ratio"
    ),
    "pictures: too many at once": Row(operation=of(msgspec.structs.replace(picture(), n=5)), model=FLUX, words='n "5"'),
    "pictures: a size beside a ratio": Row(
        operation=of(picture(size="1024x1024", aspect_ratio="16:9")), model=SEED, words="size"
    ),
    "pictures: a reference of one pixel": Row(operation=small, model=FLUX, words="too small"),
    "pictures: too many references": Row(operation=many, model=SEED, words="input_references"),
    "pictures by chat: no such outputs": Row(
        operation=of(picture()),
        model="openai/gpt-5.4-mini",
        words="requested output modalities",
        changes={"options": {"image_dialect": "chat"}},
    ),
    "clips: a duration that the model lacks": Row(
        operation=of(clip(seconds=5)), model=VEO, words="Supported durations: 4, 6, 8"
    ),
    "clips: a resolution that the model lacks": Row(
        operation=of(clip(seconds=4, resolution="480p")), model=VEO, words="Supported resolutions"
    ),
    "clips: a model that is none": Row(operation=of(clip(seconds=4)), model="acme/film-1", words="acme/film-1"),
    "chat: a model that is none": Row(operation=of(ask()), model="acme/writer-1", words="acme/writer-1"),
    "masks: another size": Row(operation=masked, model="gpt-image-1", words="mask", dialect="openai"),
    "no key": Row(
        operation=of(say("Hi.", voice="af_alloy")),
        model=KOKORO,
        words="No cookie auth credentials found",
        kind=RouteClosed,
        changes={"key": None},
    ),
}


@pytest.mark.parametrize("name", ROWS)
async def test_what_a_server_refuses_is_told_in_its_words_asked_once_and_unpaid(
    desk: Desk, tmp_path: Path, name: str
) -> None:
    """T25, T28, T31."""
    row = ROWS[name]
    driver = getattr(desk, row.dialect)(**row.changes)
    operation = row.operation(tmp_path)
    binding = msgspec.structs.replace(driver.bind(operation_name(operation), None), model=row.model)
    with pytest.raises(row.kind) as refused:
        await driver.perform(operation, binding, RecordingExchange())
    assert row.words in refused.value.message, refused.value.message
    posts = [seen for seen in desk.standin.requests() if seen["method"] == "POST"]
    assert [(seen["paid"], seen["status"]) for seen in posts] == [(False, posts[0]["status"])]


def test_the_rows_are_counted() -> None:
    print(f"refusals of 11.1: {len(ROWS)}/{len(ROWS)} told in the server's words, 0 paid")


async def test_the_cost_of_speech_is_told_late_and_at_the_price_of_whoever_answered(desk: Desk) -> None:
    driver = desk.openrouter()
    reply = await desk.ask(driver, Speak(text="x" * 44, language="en", voice="af_alloy"))
    assert reply.usd is None
    assert reply.request_id is not None
    tried = [await driver.price_of(reply.request_id) for _ in range(6)]
    assert tried[0] is None
    assert tried[-1] == Decimal("0.000176")
