"""What a run asks the servers of its routes before it plans."""

import time
from pathlib import Path

import pytest

from pipeline import preview
from pipeline.preview import Plan
from tests.cli.conftest import seat
from tests.makers import Folder, outcomes, verdicts
from tests.standin.fixture import StandIn

pytestmark = pytest.mark.real_time
MODEL = "hexgrad/kokoro-82m"
MANIFEST = """
schema = 1
name = "remote"
[[job]]
id = "hi"
kind = "tts"
text = "Hello there."
voice = "af_alloy"
route = ["shop"]
out = "out/hi.wav"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path, manifest=MANIFEST)


def shop(folder: Folder, standin: StandIn, *, discovery: str, base_url: str | None = None) -> None:
    folder.add_route(
        "shop", driver="openrouter", base_url=base_url or standin.base_url, key=standin.key, discovery=discovery
    )


def listings(standin: StandIn) -> list[str]:
    return [
        str(request["path"]) for request in standin.requests() if str(request["path"]).endswith(("models", "endpoints"))
    ]


def test_k16_only_what_jobs_name_is_asked_about_and_only_once(folder: Folder, standin: StandIn) -> None:
    shop(folder, standin, discovery="best-effort")
    folder.now = time.time()
    folder.run()
    first = listings(standin)
    folder.run(is_forced=True)
    assert [path.rpartition("/v1")[2] for path in first] == ["/models", "/models/hexgrad/kokoro-82m/endpoints"]
    assert listings(standin) == first


def test_k19_with_discovery_off_nobody_is_asked(folder: Folder, standin: StandIn) -> None:
    shop(folder, standin, discovery="off")
    folder.run()
    assert listings(standin) == []


def test_k17_a_catalogue_that_fails_is_a_warning_where_it_is_only_wished_for(folder: Folder, standin: StandIn) -> None:
    shop(folder, standin, discovery="best-effort", base_url="http://127.0.0.1:9/api/v1")
    result = folder.run()
    assert any("could not be fetched" in warning for warning in result.whole.warnings)


def test_a_voice_that_the_catalogue_does_not_list_is_refused_before_any_paid_call(
    folder: Folder, standin: StandIn
) -> None:
    shop(folder, standin, discovery="best-effort")
    folder.manifest.write_text(MANIFEST.replace("af_alloy", "nobody"))
    assert outcomes(folder.run())["hi"].code == "voice-unknown"
    assert standin.count("speak") == 0


def test_the_price_of_the_dearest_endpoint_is_known_before_the_call(folder: Folder, standin: StandIn) -> None:
    shop(folder, standin, discovery="best-effort")
    folder.manifest.write_text(
        MANIFEST.replace('name = "remote"', 'name = "remote"\n[limits]\nmax_spend_usd = 0.000001')
    )
    outcome = outcomes(folder.run())["hi"]
    assert outcome.code == "budget-spend"
    assert standin.count("speak") == 0


def test_a_plan_sends_nobody_to_ask_a_server_that_tells_no_prices(folder: Folder, standin: StandIn) -> None:
    folder.add_route("home", driver="openai", base_url=standin.openai_url, key=standin.key)
    folder.manifest.write_text(MANIFEST.replace("shop", "home").replace("af_alloy", "nova"))
    text = preview.plan(seat(folder), [str(folder.manifest)]).text
    assert ("price unknown" in text, "--ask" in text) == (True, False)


def test_a_plan_asks_for_prices_where_it_is_told_to_and_nobody_otherwise(folder: Folder, standin: StandIn) -> None:
    shop(folder, standin, discovery="required")
    answer = preview.plan(seat(folder), [str(folder.manifest)])
    silent = answer.record
    assert isinstance(silent, Plan)
    assert "a price is unknown: mediaspool plan --ask" in answer.text
    assert (silent.usd, standin.requests()) == (None, [])
    answer = preview.plan(seat(folder), [str(folder.manifest)], is_asking=True)
    asked = answer.record
    assert isinstance(asked, Plan)
    assert asked.usd is not None
    assert "plan --ask" not in answer.text
    made = (folder.spool, *folder.spool.rglob("*"))
    assert {path.name: oct(path.stat().st_mode) for path in made if path.stat().st_mode & 0o077} == {}
    assert listings(standin) == ["/models", f"/models/{MODEL}/endpoints"]
    assert {request["method"] for request in standin.requests()} == {"GET"}
    assert preview.plan(seat(folder), [str(folder.manifest)]).record == asked


def test_a_plan_says_what_kept_it_from_the_prices(folder: Folder, standin: StandIn) -> None:
    shop(folder, standin, discovery="best-effort", base_url="http://127.0.0.1:9/api/v1")
    answer = preview.plan(seat(folder), [str(folder.manifest)], is_asking=True)
    assert "warning: route shop: the listing speech could not be fetched" in answer.text


BOTH = """
[[job]]
id = "here"
kind = "tts"
text = "Good evening."
out = "out/here.wav"
"""
NOBODY = "http://127.0.0.1:9/api/v1"


def test_a_server_that_must_tell_and_is_down_stops_its_own_jobs_and_no_others(folder: Folder, standin: StandIn) -> None:
    shop(folder, standin, discovery="required", base_url=NOBODY)
    folder.manifest.write_text(MANIFEST + BOTH)
    result = folder.run()
    assert verdicts(result) == {"hi": "not-started", "here": "done"}
    assert (outcomes(result)["hi"].code, result.whole.exit_code) == ("unreachable", 3)
    folder.config.write_text(folder.config.read_text().replace(NOBODY, standin.base_url))
    assert verdicts(folder.run()) == {"hi": "done", "here": "unchanged"}


@pytest.mark.parametrize(("on_failure", "verdict", "calls"), [("stop", "not-started", 0), ("next-route", "done", 1)])
def test_the_next_route_is_taken_from_a_server_that_does_not_tell_only_where_the_manifest_says_so(
    folder: Folder, standin: StandIn, on_failure: str, verdict: str, calls: int
) -> None:
    shop(folder, standin, discovery="required", base_url=NOBODY)
    folder.add_route("home", driver="openai", base_url=standin.openai_url, key=standin.key)
    routes = f'route = ["shop", "home/tts-1"]\non_failure = "{on_failure}"'
    folder.manifest.write_text(MANIFEST.replace('route = ["shop"]', routes).replace("af_alloy", "alloy"))
    assert (verdicts(folder.run()), standin.count("speak")) == ({"hi": verdict}, calls)


def test_a_plan_that_asks_shows_the_jobs_of_a_server_that_does_not_tell_as_left(
    folder: Folder, standin: StandIn
) -> None:
    shop(folder, standin, discovery="required", base_url=NOBODY)
    answer = preview.plan(seat(folder), [str(folder.manifest)], is_asking=True)
    assert "the catalogue of route shop is required and cannot be read" in answer.text
