"""Pictures through OpenRouter: made and edited by `/images`, and through a chat where the settings say so."""

import io
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from pipeline.core.errors import ContractError
from pipeline.core.model import Limits
from pipeline.media.containers import examine
from tests.routes.remote import PNG, Desk, edit, file_of, picture, png, refused

pytestmark = pytest.mark.real_time
MANY = "openai/gpt-image-1"
FLUX = "black-forest-labs/flux.2-klein-4b"


def media_types(desk: Desk) -> list[str]:
    found = [examine(io.BytesIO(body), len(body)) for body in desk.exchange.bodies]
    assert all(each.ok for each in found)
    return [each.media.media_type for each in found if each.media is not None]


async def test_k11_g10_o10_a_picture_comes_in_the_bytes_that_the_model_made(desk: Desk) -> None:
    reply = await desk.ask(desk.openrouter(), picture(aspect_ratio="16:9"))
    assert media_types(desk) == [reply.media_type]
    assert isinstance(reply.usd, Decimal)
    sent = desk.sent("make_image")
    assert sent == {"model": "google/gemini-3.1-flash-image", "prompt": "a red kite", "aspect_ratio": "16:9"}


async def test_a_picture_in_another_format_than_expected_is_called_what_it_is(desk: Desk) -> None:
    reply = await desk.ask(desk.openrouter(), picture(), FLUX)
    assert reply.media_type == "image/jpeg"
    assert media_types(desk) == ["image/jpeg"]


async def test_k12_an_edit_sends_its_pictures_as_objects_with_data_urls(desk: Desk, tmp_path: Path) -> None:
    one, two = (file_of(tmp_path, f"{name}.png", png(64 + name), PNG) for name in (1, 2))
    await desk.ask(desk.openrouter(), edit(one, two))
    references = desk.sent("edit_image" if desk.standin.count("edit_image") else "make_image")["input_references"]
    assert isinstance(references, list)
    assert [part["type"] for part in references] == ["image_url", "image_url"]


async def test_a_mask_has_no_field_there_and_that_is_told(desk: Desk, tmp_path: Path) -> None:
    image, mask = file_of(tmp_path, "a.png", png(), PNG), file_of(tmp_path, "m.png", png(alpha=0), PNG)
    reply = await desk.ask(desk.openrouter(), edit(image, mask=mask))
    assert reply.facts["mask"] == "not sent"


async def test_several_pictures_are_parts_of_one_answer_that_was_paid_once(desk: Desk) -> None:
    reply = await desk.ask(desk.openrouter(), msgspec.structs.replace(picture(), n=3), MANY)
    assert len(desk.exchange.bodies) == 3
    assert desk.exchange.steps.count("next part") == 2
    assert (reply.facts["pictures"], reply.facts["asked"]) == ("3", "3")
    assert sum(desk.standin.count(name) for name in ("make_image", "edit_image")) == 1


@pytest.mark.parametrize(("fault", "kept"), [("images-fewer", 2), ("image-last-spoilt", 2)])
async def test_fewer_whole_pictures_than_asked_are_kept_and_counted(desk: Desk, fault: str, kept: int) -> None:
    desk.standin.fault(fault)
    reply = await desk.ask(desk.openrouter(), msgspec.structs.replace(picture(), n=3), MANY)
    assert len(desk.exchange.bodies) == kept
    assert (reply.facts["pictures"], reply.facts["asked"]) == (str(kept), "3")


@pytest.mark.parametrize(
    "fault",
    [
        "images-none",
        "images-null",
        "images-of-null",
        "image-bad-base64",
        "image-null",
        "image-empty",
        "image-wrong-magic",
        "image-html",
        "image-cut",
        "image-bomb",
    ],
)
async def test_an_answer_without_a_whole_picture_is_refused_and_its_cost_is_known(desk: Desk, fault: str) -> None:
    desk.standin.fault(fault)
    with pytest.raises(ContractError) as wrong:
        await desk.ask(desk.openrouter(), picture())
    assert not wrong.value.retryable
    assert wrong.value.usd is not None


async def test_a_picture_larger_than_allowed_is_refused_by_its_size_alone(desk: Desk) -> None:
    with pytest.raises(ContractError, match="pixels"):
        await desk.ask(desk.openrouter(limits=Limits(max_pixels=1000)), picture())


@pytest.mark.parametrize("fault", ["image-no-type", "image-other-type", "image-data-prefix"])
async def test_the_type_is_told_by_the_bytes(desk: Desk, fault: str) -> None:
    desk.standin.fault(fault)
    reply = await desk.ask(desk.openrouter(), picture())
    assert media_types(desk) == [reply.media_type]


async def test_g12_g13_o13_o14_through_a_chat_with_words_and_pictures(desk: Desk) -> None:
    driver = desk.openrouter(options={"image_dialect": "chat"})
    reply = await desk.ask(driver, picture(aspect_ratio="16:9", resolution="2K"))
    assert media_types(desk) == [reply.media_type]
    seen = desk.standin.requests()[-1]
    fields = seen["fields"]
    assert isinstance(fields, dict)
    assert (seen["path"], fields["modalities"]) == ("/chat/completions", ["image", "text"])
    assert fields["image_config"] == {"aspect_ratio": "16:9", "image_size": "2K"}


async def test_a_model_that_answers_pictures_alone_is_asked_for_pictures_alone(desk: Desk) -> None:
    driver = desk.openrouter(capabilities={FLUX: "chat-images"})
    await desk.ask(driver, picture(), FLUX)
    fields = desk.standin.requests()[-1]["fields"]
    assert isinstance(fields, dict)
    assert fields["modalities"] == ["image"]


@pytest.mark.parametrize("fault", ["chat-no-images", "chat-images-null"])
async def test_words_where_a_picture_was_asked_are_a_refusal(desk: Desk, fault: str) -> None:
    desk.standin.fault(fault)
    with pytest.raises(ContractError) as wrong:
        await desk.ask(desk.openrouter(options={"image_dialect": "chat"}), picture())
    assert wrong.value.code == "rejected"


async def test_a_chat_is_not_asked_for_several_pictures_nor_for_what_it_has_no_field_for(desk: Desk) -> None:
    driver = desk.openrouter(options={"image_dialect": "chat"})
    wrong = msgspec.structs.replace(picture(background="opaque"), n=2)
    assert refused(driver, wrong) == ["operation-unsupported", "job-invalid"]


async def test_routing_of_pictures_is_sent(desk: Desk) -> None:
    driver = desk.openrouter(routing={"google/gemini-3.1-flash-image": '["google-vertex"]'})
    await desk.ask(driver, picture())
    assert desk.sent("make_image")["provider"] == {"order": ["google-vertex"], "allow_fallbacks": False}
