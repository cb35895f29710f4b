"""The catalogue on disk: fetched once, kept with its age, tolerant of nasty rows, honest about what failed."""

import json
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.errors import RouteBusy, RouteClosed, Unavailable
from pipeline.routes.catalogue import FRESH_S, Catalogue, Mode

SPEECH = {
    "data": [
        {"id": "hexgrad/kokoro-82m", "supported_voices": ["af_alloy"], "pricing": {"prompt": "0.00000062", "x": None}},
        {
            "id": "fish-audio/s2.1-pro",
            "supported_voices": [],
            "context_length": 0,
            "pricing": {"prompt": "-1"},
            "new": {},
        },
        {"id": None},
        7,
    ],
    "links": {"next": None},
}
VIDEO = {
    "data": [{"id": "google/veo-3.1-fast", "supported_durations": [4, 6, 8], "supported_sizes": None, "seed": True}]
}
ENDPOINTS = {"data": {"endpoints": [{"pricing": {"prompt": "0.00000062"}}, {"pricing": {"prompt": "0.000004"}}, 3]}}
IMAGE_ENDPOINTS = {"endpoints": [{"pricing": [{"billable": "output_image", "unit": "image", "cost_usd": 0.04}]}]}


class Server:
    """Answers by path; an exception instead of a body is raised."""

    def __init__(self, answers: Mapping[str, object]) -> None:
        self.answers = answers
        self.asked: list[str] = []

    async def get(self, path: str, query: Mapping[str, str]) -> bytes:
        self.asked.append(path)
        answer = self.answers[path]
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, bytes) else json.dumps(answer).encode()


class Desk:
    def __init__(self, folder: Path, answers: Mapping[str, object], *, mode: Mode = "best-effort") -> None:
        self.server = Server(answers)
        self.time = 0.0
        self.warnings: list[str] = []
        self._folder, self._mode = folder, mode

    def open(self) -> Catalogue:
        return Catalogue(
            "r", str(self._folder), mode=self._mode, get=self.server.get, now=self.now, warn=self.warnings.append
        )

    def now(self) -> float:
        newest = max((path.stat().st_mtime for path in self._folder.glob("*.json")), default=0.0)
        return newest + self.time


async def test_a_listing_is_fetched_once_and_read_by_the_next_run_from_disk(tmp_path: Path) -> None:
    desk = Desk(tmp_path, {"/models": SPEECH})
    await desk.open().refresh(["speech"])
    again = desk.open()
    await again.refresh(["speech"])
    assert desk.server.asked == ["/models"]
    row = again.model("hexgrad/kokoro-82m")
    assert row is not None
    assert row.supported_voices == ("af_alloy",)


async def test_an_old_listing_is_fetched_again_and_serves_while_the_server_is_down(tmp_path: Path) -> None:
    desk = Desk(tmp_path, {"/models": SPEECH})
    await desk.open().refresh(["speech"])
    desk.time = FRESH_S + 1
    desk.server.answers = {"/models": Unavailable("no connection")}
    old = desk.open()
    await old.refresh(["speech"])
    assert old.model("hexgrad/kokoro-82m") is not None
    assert desk.warnings == ["route r: the listing speech could not be fetched (no connection)"]


async def test_a_nasty_row_is_left_out_and_counted_and_the_others_are_read(tmp_path: Path) -> None:
    catalogue = Desk(tmp_path, {"/models": SPEECH}).open()
    await catalogue.refresh(["speech"])
    assert set(catalogue.rows("speech") or {}) == {"hexgrad/kokoro-82m", "fish-audio/s2.1-pro"}
    assert catalogue.unreadable == 2


async def test_everybody_who_may_answer_has_a_price_and_a_dynamic_one_is_none(tmp_path: Path) -> None:
    catalogue = Desk(tmp_path, {"/models": SPEECH, "/models/hexgrad/kokoro-82m/endpoints": ENDPOINTS}).open()
    await catalogue.refresh(["speech", "endpoints:hexgrad/kokoro-82m"])
    prices = [endpoint.get("prompt") for endpoint in catalogue.endpoints("hexgrad/kokoro-82m")]
    assert prices == [Decimal("0.00000062"), Decimal("0.000004")]
    assert catalogue.endpoints("fish-audio/s2.1-pro")[0].get("prompt") is None


async def test_image_prices_are_read_from_their_own_page(tmp_path: Path) -> None:
    catalogue = Desk(tmp_path, {"/images/models/a/b/endpoints": IMAGE_ENDPOINTS}).open()
    await catalogue.refresh(["image-endpoints:a/b"])
    assert [price.cost_usd for price in catalogue.image_prices("a/b")] == [0.04]


async def test_a_list_that_is_null_is_not_offered(tmp_path: Path) -> None:
    catalogue = Desk(tmp_path, {"/videos/models": VIDEO}).open()
    await catalogue.refresh(["video-models"])
    row = catalogue.video("google/veo-3.1-fast")
    assert row is not None
    assert (row.supported_durations, row.supported_sizes) == ((4, 6, 8), None)


@pytest.mark.parametrize("answer", [Unavailable("down"), b"<html>", {"data": []}, {"data": [7]}, b""])
async def test_k18_required_discovery_stops_the_route_when_nothing_usable_came(tmp_path: Path, answer: object) -> None:
    catalogue = Desk(tmp_path, {"/models": answer}, mode="required").open()
    with pytest.raises(RouteBusy, match="required and cannot be read") as caught:
        await catalogue.refresh(["speech"])
    assert (caught.value.reach, caught.value.code) == ("route", "unreachable")


async def test_k18_a_key_that_is_refused_closes_the_route_as_that(tmp_path: Path) -> None:
    catalogue = Desk(tmp_path, {"/models": RouteClosed("no such key")}, mode="required").open()
    with pytest.raises(RouteClosed, match="required and cannot be read: no such key"):
        await catalogue.refresh(["speech"])


@pytest.mark.parametrize("answer", [Unavailable("down"), b"<html>", {"data": []}, b""])
async def test_k17_best_effort_discovery_says_what_failed_and_goes_on(tmp_path: Path, answer: object) -> None:
    desk = Desk(tmp_path, {"/models": answer})
    await desk.open().refresh(["speech"])
    assert len(desk.warnings) == 1


async def test_k19_without_discovery_nothing_is_asked_and_nothing_known(tmp_path: Path) -> None:
    desk = Desk(tmp_path, {}, mode="off")
    catalogue = desk.open()
    await catalogue.refresh(["speech"])
    assert (desk.server.asked, catalogue.model("hexgrad/kokoro-82m")) == ([], None)
    assert catalogue.knowledge().lists("hexgrad/kokoro-82m") is None


async def test_k21_a_model_is_known_for_what_the_listings_name_it_for(tmp_path: Path) -> None:
    catalogue = Desk(tmp_path, {"/models": SPEECH, "/videos/models": VIDEO}).open()
    await catalogue.refresh(["speech", "video-models"])
    knowledge = catalogue.knowledge()
    assert list(knowledge.sorts("hexgrad/kokoro-82m") or ()) == ["speech"]
    assert list(knowledge.sorts("google/veo-3.1-fast") or ()) == ["video"]
    assert (knowledge.lists("gone/model"), knowledge.sorts("gone/model")) == (False, None)


@given(st.binary(max_size=300))
def test_whatever_lies_in_the_cache_nothing_but_rows_or_nothing_comes_out(
    tmp_path_factory: pytest.TempPathFactory, body: bytes
) -> None:
    folder = tmp_path_factory.mktemp("cache")
    catalogue = Desk(folder, {}).open()
    catalogue._keep("speech", body)
    assert catalogue.model("x") is None
