"""Whatever a catalogue says of a model, the plan of a job gets an answer: what breaks there would end the whole run."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import get_args

import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.core.model import Media, Sha256
from pipeline.core.operations import (
    Complete,
    EditImage,
    MakeImage,
    MakeVideo,
    MediaRef,
    Operation,
    Picture,
    Speak,
    operation_name,
)
from pipeline.routes import _chat_wire, _estimates, _images_wire, _speech_wire, _video_wire
from pipeline.routes._image_models import Parameter
from pipeline.routes._openrouter_models import Shelf
from pipeline.routes.catalogue import LISTINGS, Catalogue, ImageRow, ModelRow, VideoRow
from tests.makers import FAR_FUTURE

MODEL = "acme/model-1"
PNG = Media(media_type="image/png", family="image", extension="png")
REF = MediaRef(sha256=Sha256("0" * 64), path="/nowhere", size=10, media=PNG)
ASKED: tuple[Operation, ...] = (
    MakeImage(prompt="a kite", n=2, picture=Picture(size="1024x768", quality="high", seed=3, format="png")),
    EditImage(prompt="red", images=(REF,), picture=Picture(resolution="2K", aspect_ratio="16:9", background="auto")),
    MakeVideo(prompt="it flies", seconds=3, resolution="720p", aspect_ratio="16:9", seed=1, audio=True),
    MakeVideo(first_frame=REF, size="1280x720"),
    Complete(prompt="sum it up", document="a kite", images=(REF,), effort="high", schema="{}"),
    Speak(text="A kite.", language="en"),
)
WORDS = ["2K", "16:9", "720p", "0.01", "-1", "1e400", "nan", "text", "token", "image", "output_image"]
NUMBERS = st.sampled_from([0, 1, 4, -5, 10**6, 1.5, 1e300])
PLAIN = st.one_of(st.sampled_from(WORDS), NUMBERS, st.sampled_from([True, False, None]))
INNER = st.one_of(PLAIN, st.lists(PLAIN, max_size=3), st.dictionaries(st.sampled_from(WORDS), PLAIN, max_size=2))
RULE = st.one_of(
    st.fixed_dictionaries({"min": NUMBERS, "max": NUMBERS}),
    st.fixed_dictionaries({"values": st.lists(PLAIN, max_size=3)}),
    INNER,
)
PRICE = st.fixed_dictionaries({"billable": PLAIN, "unit": PLAIN, "cost_usd": PLAIN})
UNITS = ["prompt", "completion", "request", "image", "duration_seconds", "video_tokens", "generate", "reference_images"]
PRICES = st.one_of(st.dictionaries(st.sampled_from(UNITS), PLAIN, max_size=3), st.lists(PRICE, max_size=2), INNER)
NAMES = [*_images_wire.FIELDS.values(), "n", "input_references"]
SPECIAL = {
    "supported_parameters": st.dictionaries(st.sampled_from(NAMES), RULE, max_size=4),
    "pricing": PRICES,
    "pricing_skus": PRICES,
}
KEYS = sorted({key for row in (ModelRow, ImageRow, VideoRow) for key in row.__struct_fields__} - {"id"})
ROWS = st.fixed_dictionaries({}, optional={key: SPECIAL.get(key, INNER) for key in KEYS})


def shelf_of(row: Mapping[str, object], folder: Path) -> Shelf:
    """Of a server that has this one model, and says the same of whoever offers it. What was kept is always too old."""

    async def get(path: str, _query: Mapping[str, str]) -> bytes:
        endpoints = {"data": {"endpoints": [row]}}
        return json.dumps(endpoints if path.endswith("/endpoints") else {"data": [{**row, "id": MODEL}]}).encode()

    made = Catalogue("r", str(folder), mode="best-effort", get=get, now=lambda: FAR_FUTURE, warn=lambda _text: None)
    trio.run(made.refresh, [*LISTINGS, f"endpoints:{MODEL}", f"image-endpoints:{MODEL}"])
    return Shelf(catalogue=made)


def judged(ask: Operation, shelf: Shelf) -> None:
    match ask:
        case MakeImage() | EditImage():
            _images_wire.refusals(ask, MODEL, shelf.parameters(MODEL), fields=frozenset(_images_wire.FIELDS.values()))
        case MakeVideo():
            _video_wire.refusals(ask, MODEL, shelf.video(MODEL))
        case Complete():
            _chat_wire.refusals(ask, MODEL, shelf.manner(MODEL, cache_marks=False))
        case Speak():
            _speech_wire.refusals(ask, MODEL, shelf.speech(MODEL))
    usd = _estimates.by_catalogue(ask, MODEL, shelf.catalogue, video=shelf.video(MODEL))
    assert usd is None or usd >= 0


@given(ROWS)
@settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_row_of_a_catalogue_breaks_the_plan_of_a_job(tmp_path: Path, row: Mapping[str, object]) -> None:
    shelf = shelf_of(row, tmp_path)
    for ask in ASKED:
        judged(ask, shelf)


def test_every_operation_that_a_catalogue_tells_of_is_tried() -> None:
    every = {str(each.__struct_config__.tag) for each in get_args(Operation)}
    assert every - {operation_name(ask) for ask in ASKED} == {"retouch", "transcribe"}


@pytest.mark.parametrize(("resolution", "is_taken"), [("2K", False), ("512", True), ("4096", False)])
def test_a_word_is_refused_where_a_catalogue_lists_numbers(resolution: str, *, is_taken: bool) -> None:
    ask = MakeImage(prompt="a kite", picture=Picture(resolution=resolution))
    known = {"resolution": Parameter(low=1, high=2048)}
    told = _images_wire.refusals(ask, MODEL, known, fields=frozenset(known))
    assert [reason.hint for reason in told] == ([] if is_taken else ["accepted: 1 to 2048"])
