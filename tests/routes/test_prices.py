"""Worst-case prices against what was really billed, and against units and names that nobody knows."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.routes._prices import (
    Clip,
    ImagePrice,
    chat_usd,
    dearest,
    image_usd,
    money,
    rates,
    speech_usd,
    transcription_usd,
    video_usd,
)


def clip(
    seconds: int, resolution: str | None = None, *, audio: bool = False, frames: int = 0, references: int = 0
) -> Clip:
    size = (640, 640) if resolution == "480p" else None
    return Clip(
        seconds=seconds, resolution=resolution, size=size, has_audio=audio, frames=frames, references=references
    )


VEO_FAST = {
    "duration_seconds_with_audio": "0.12",
    "duration_seconds_without_audio": "0.10",
    "duration_seconds_with_audio_720p": "0.10",
    "duration_seconds_without_audio_720p": "0.08",
    "duration_seconds_with_audio_4k": "0.30",
}
GROK = {
    "cents_per_video_output_second_480p": "5",
    "cents_per_video_output_second_720p": "7",
    "cents_per_image_input": "0.2",
}
WAN = {"text_to_video_duration_seconds_720p": "0.08", "image_to_video_duration_seconds_720p": "0.10"}
KLING = {"duration_seconds": "0.112", "duration_seconds_with_audio": "0.168"}
BILLED = [
    (VEO_FAST, clip(8, "1080p", audio=True), "0.96"),
    (VEO_FAST, clip(8, "1080p"), "0.80"),
    (VEO_FAST, clip(8, "720p", audio=True), "0.80"),
    (GROK, clip(1, "480p", frames=1), "0.052"),
    (GROK, clip(1, "480p", frames=2), "0.054"),
    (WAN, clip(5, "720p", references=1), "0.50"),
    (WAN, clip(5, "720p"), "0.40"),
    (KLING, clip(5, "720p", audio=True), "0.840"),
    (KLING, clip(5, "720p"), "0.560"),
    ({"generate": "0.5"}, clip(5), "0.5"),
    ({"cents_per_second_output": "28", "minimum_cents_per_generation": "56"}, clip(1), "0.56"),
    ({"duration_seconds": "0.13", "reference_images": "0.04"}, clip(5, "2K", references=2), "0.73"),
]


@pytest.mark.parametrize(("skus", "wanted", "usd"), BILLED)
def test_a_video_is_estimated_at_the_price_that_fits_it(skus: dict[str, object], wanted: Clip, usd: str) -> None:
    assert video_usd(skus, wanted) == Decimal(usd)


def test_token_priced_video_is_not_estimated_below_what_was_billed() -> None:
    estimate = video_usd({"video_tokens": "0.0000035"}, clip(4, "480p"))
    assert estimate is not None
    assert Decimal("0.1358") <= estimate < Decimal("0.15")


@pytest.mark.parametrize(
    "skus", [{}, {"price_of_magic": "1"}, {"duration_seconds": "-1"}, {"duration_seconds": "soon"}]
)
def test_a_video_price_that_nobody_knows_is_unknown_and_never_zero(skus: dict[str, object]) -> None:
    assert video_usd(skus, clip(4)) is None


def test_the_dearest_endpoint_counts_where_routing_cannot_be_pinned() -> None:
    endpoints = [rates({"prompt": "0.00000062"}), rates({"prompt": "0.000004"})]
    assert speech_usd("hexgrad/kokoro-82m", "x" * 44, endpoints) == Decimal("0.000176")


def test_speech_is_priced_by_character_byte_token_or_second_of_output_by_family() -> None:
    endpoint = [rates({"prompt": "0.000015", "completion": "0.0025"})]
    assert speech_usd("microsoft/mai-voice-2", "äö", endpoint) == Decimal("0.000030")
    assert speech_usd("fish-audio/s2.1-pro", "äö", endpoint) == Decimal("0.000060")
    assert speech_usd("bytedance-seed/seed-audio-1-0", "x" * 40, endpoint) == Decimal("0.025")
    tokens = speech_usd("google/gemini-3.8-flash-tts", "x" * 40, endpoint)
    assert tokens is not None
    assert tokens > Decimal("0.1")


def test_transcription_is_priced_by_second_or_hour_and_an_unknown_family_is_unknown() -> None:
    assert transcription_usd("openai/whisper-1", 60.0, [rates({"prompt": "0.0001"})]) == Decimal("0.0060")
    assert (
        transcription_usd("microsoft/mai-transcribe-2", 3.17, [rates({"prompt": "0.1"})]) == Decimal("0.1") * 4 / 3600
    )
    assert transcription_usd("someone/new-model", 60.0, [rates({"prompt": "0.0001"})]) is None
    assert transcription_usd("openai/whisper-1", None, [rates({"prompt": "0.0001"})]) is None


def test_a_dynamic_price_is_unknown() -> None:
    endpoints = [rates({"prompt": "-1", "completion": "-1"})]
    assert chat_usd(["hello"], max_tokens=10, media_tokens=0, endpoints=endpoints) is None


def test_a_long_request_has_the_price_that_holds_from_its_length_on() -> None:
    dearer = [{"min_prompt_tokens": 1000, "prompt": "0.000002", "completion": "0.00002"}, "odd"]
    endpoint = rates({"prompt": "0.000001", "completion": "0.00001", "overrides": dearer})
    short, long = (
        chat_usd([text], max_tokens=10, media_tokens=0, endpoints=[endpoint]) for text in ("x" * 100, "x" * 10_000)
    )
    assert short == Decimal("0.000001") * 66 + Decimal("0.0001")
    assert long == Decimal("0.000002") * 5016 + Decimal("0.0002")


def test_images_are_priced_by_image_megapixel_or_token_with_their_references() -> None:
    def usd(*rows: ImagePrice, n: int = 1, references: int = 0) -> Decimal | None:
        return image_usd(rows, n=n, references=references, megapixels=Decimal(1), tokens=50)

    flux = ImagePrice(billable="output_image", unit="megapixel", cost_usd=0.014)
    reference = ImagePrice(billable="input_reference", unit="megapixel", cost_usd=0.001)
    assert usd(flux, reference, references=1) == Decimal("0.015")
    assert usd(ImagePrice(billable="output_image", unit="image", cost_usd=0.04), n=3) == Decimal("0.12")
    assert usd(ImagePrice(billable="output_image", unit="wish", cost_usd=0.04)) is None
    assert usd(reference) is None


@given(st.lists(st.one_of(st.none(), st.decimals(0, 10, places=4)), max_size=5))
def test_the_dearest_of_amounts_is_unknown_as_soon_as_one_is(amounts: list[Decimal | None]) -> None:
    found = dearest(amounts)
    assert (found is None) == (not amounts or None in amounts)


@given(st.one_of(st.text(max_size=8), st.floats(), st.booleans(), st.none(), st.lists(st.integers(), max_size=2)))
def test_a_price_that_is_no_number_is_unknown(value: object) -> None:
    found = money(value)
    assert found is None or found.is_finite()
