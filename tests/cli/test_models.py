"""`models`, `voices`, `routes show` and `doctor routes`: what each route can do here, and why or why not."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from pipeline import doctor, showcase
from pipeline.core.errors import CODES, MediaspoolError
from pipeline.doctor import Checked
from pipeline.seat import Seat
from pipeline.showcase import OPERATIONS, AllVoices, ModelLine, Models, RouteSheet, VoiceLine
from tests.cli.conftest import Shell, seat
from tests.makers import Folder
from tests.standin.fixture import StandIn

pytestmark = pytest.mark.real_time
KOKORO = "hexgrad/kokoro-82m"
MANIFEST = """
schema = 1
name = "remote"
[defaults]
route = ["shop"]
[[job]]
id = "hi"
kind = "tts"
text = "Hello there."
voice = "af_alloy"
out = "out/hi.mp3"
[[job]]
id = "picture"
kind = "image"
prompt = "A red kite"
out = "out/picture.{ext}"
[[job]]
id = "words"
kind = "text"
prompt = "Say hello."
out = "out/words.txt"
"""


@pytest.fixture
def shop(tmp_path: Path, standin: StandIn) -> Folder:
    """A route whose listings an earlier run has kept."""
    folder = Folder(tmp_path, manifest=MANIFEST)
    folder.now = time.time()
    folder.add_route("shop", driver="openrouter", base_url=standin.base_url, key=standin.key, discovery="required")
    folder.run()
    standin.reset()
    return folder


def bare(folder: Folder, text: str) -> Folder:
    """A route whose server nobody has asked anything."""
    folder.config.write_text(f"{folder.config.read_text()}{text}")
    return folder


def models(folder: Folder, **narrowed: str) -> dict[str, ModelLine]:
    answer = showcase.models(seat(folder), **narrowed)
    assert isinstance(answer.record, Models)
    return {f"{line.route}/{line.id}": line for line in answer.record.models}


def sheet(folder: Folder, route: str) -> RouteSheet:
    answer = showcase.show(seat(folder), route)
    assert isinstance(answer.record, RouteSheet)
    assert answer.text
    return answer.record


def spoken(folder: Folder, model: str, route: str | None = None) -> list[VoiceLine]:
    answer = showcase.voices(seat(folder), model, route)
    assert isinstance(answer.record, AllVoices)
    return list(answer.record.routes)


def test_k23_the_matrix_says_its_version_and_answers_every_operation_with_a_reason(shop: Folder) -> None:
    found = sheet(shop, "shop")
    assert found.matrix == 2
    assert set(found.operations) == set(OPERATIONS)
    assert all(ability.reason for line in found.models for ability in line.operations.values())
    assert all(set(line.operations) == set(OPERATIONS) for line in found.models)


def test_k20_k30_the_matrix_speaks_of_this_route_and_not_of_the_vendor(folder: Folder) -> None:
    bare(folder, '[routes.one]\ndriver = "openrouter"\nbase_url = "http://127.0.0.1:9"\ncan = {speak = false}\n')
    bare(folder, '[routes.two]\ndriver = "openrouter"\nbase_url = "http://127.0.0.1:9"\nkey = "NO_SUCH_KEY"\n')
    one, two = sheet(folder, "one").operations, sheet(folder, "two").operations
    assert (one["speak"].able, one["speak"].reason) == (False, "the settings switch it off")
    assert (one["transcribe"].able, one["transcribe"].model) == (True, "openai/gpt-4o-mini-transcribe")
    assert (one["retouch"].able, one["retouch"].reason) == (False, "driver openrouter has nothing for it")
    assert (two["transcribe"].able, two["transcribe"].reason) == (False, "there is no key NO_SUCH_KEY")


def test_a_route_that_cannot_be_opened_says_why(folder: Folder) -> None:
    bare(folder, '[routes.one]\ndriver = "openai"\nbase_url = "http://127.0.0.1:9"\ncan = {make_video = true}\n')
    found = sheet(folder, "one")
    assert (found.ok, found.models) == (False, ())
    assert "settings switch off, never on" in found.summary + found.hint


def test_k21_k26_k27_models_come_from_the_kept_listings_and_nothing_is_sent(shop: Folder, standin: StandIn) -> None:
    found = models(shop, route="shop")
    kokoro = found[f"shop/{KOKORO}"]
    assert (kokoro.source, kokoro.operations["speak"].able) == ("the catalogue", True)
    assert kokoro.operations["complete"].reason == "the catalogue has it for speak"
    edits = {line.operations["edit_image"].reason for line in found.values() if line.operations["make_image"].able}
    assert edits == {"the catalogue has it for this", "it takes no pictures"}
    assert {note for line in found.values() for note in line.notes} >= {"takes pictures", "takes no sound"}
    assert standin.requests() == []


def test_models_are_narrowed_by_kind_text_and_route(shop: Folder) -> None:
    assert set(models(shop, search="KOKORO")) == {f"shop/{KOKORO}"}
    assert {name.partition("/")[0] for name in models(shop, kind="transcription")} >= {"shop", "whisper"}
    assert all(line.operations["speak"].able for line in models(shop, kind="tts", route="shop").values())
    assert set(models(shop, kind="tts", search="whisper")) == set()
    assert set(models(shop, search="whisper/")) == {"whisper/base", "whisper/tiny.en"}


def test_what_is_kept_says_its_age(shop: Folder) -> None:
    shop.now = time.time() + 7200
    answer = showcase.models(seat(shop), "shop")
    assert isinstance(answer.record, Models)
    assert (answer.record.kept_s["shop"] or 0) >= 7000
    assert "2 hours ago" in answer.text


def test_without_listings_settings_and_tables_are_told(folder: Folder) -> None:
    bare(folder, '[routes.one]\ndriver = "openai"\nbase_url = "http://127.0.0.1:9"\nmodels = {speak = "my-voice"}\n')
    found = models(folder, route="one")
    assert (found["one/my-voice"].source, found["one/whisper-1"].source) == ("the settings", "the built-in table")
    assert found["one/my-voice"].operations["speak"].able


def test_voices_are_those_of_the_catalogue_else_those_of_the_table(shop: Folder) -> None:
    (kept,) = spoken(shop, f"shop/{KOKORO}")
    assert (kept.route, kept.source, "af_alloy" in (kept.voices or ())) == ("shop", "the catalogue", True)
    assert kept.formats == ("pcm", "mp3")
    bare(shop, '[routes.other]\ndriver = "openrouter"\nbase_url = "http://127.0.0.1:9"\n')
    (table,) = spoken(shop, KOKORO, "other")
    assert (table.source, "af_alloy" in (table.voices or ())) == ("the built-in table", True)


def test_a_short_name_says_which_model_it_reached(shop: Folder) -> None:
    (line,) = spoken(shop, "kokoro", "shop")
    assert (line.model, line.asked) == (KOKORO, "kokoro")


def test_voices_of_an_engine_are_its_own(shop: Folder) -> None:
    (line,) = spoken(shop, "pico/pico")
    assert (line.route, "de-DE" in (line.voices or ())) == ("pico", True)


@pytest.mark.parametrize(
    ("ask", "code"),
    [
        (lambda there: showcase.show(there, "nowhere"), "route-unknown"),
        (lambda there: showcase.show(there, "local"), "route-unknown"),
        (lambda there: showcase.models(there, "nowhere"), "route-unknown"),
        (lambda there: showcase.models(there, None, "nothing"), "config-invalid"),
        (lambda there: showcase.voices(there, "nobody/knows", "local"), "model-unknown"),
        (lambda there: showcase.voices(there, "no-such", "pico"), "model-unknown"),
    ],
)
def test_what_does_not_exist_is_refused_with_a_way_out(
    folder: Folder, ask: Callable[[Seat], object], code: str
) -> None:
    with pytest.raises(MediaspoolError) as error:
        ask(seat(folder))
    assert error.value.code == code
    assert code in CODES
    assert error.value.hint


def test_a_catalogue_cannot_write_on_the_terminal(shop: Folder) -> None:
    listings = [path for path in (shop.spool / "catalogues").iterdir() if b'"supported_voices"' in path.read_bytes()]
    for path in listings:
        path.write_text(
            path.read_text().replace('"af_alloy"', '"\\u001b]0;voice"').replace('"name":', '"name":"\\u001b[2J","n":')
        )
    answers = (showcase.models(seat(shop), "shop"), showcase.voices(seat(shop), KOKORO, "shop"))
    assert "]0;voice" in answers[1].text
    assert not any("\x1b" in answer.text or "\x1b" in str(msgspec.to_builtins(answer.record)) for answer in answers)


def test_k56_doctor_checks_the_routes_alone_and_refuses_what_cannot_be_opened(folder: Folder) -> None:
    bare(folder, '[routes.one]\ndriver = "openai"\nbase_url = "http://127.0.0.1:9"\ncan = {make_video = true}\n')
    folder.config.write_text(folder.config.read_text().replace('"scripted"]', '"one"]', 1))
    answer = doctor.check(seat(folder), only_routes=True)
    assert isinstance(answer.record, Checked)
    assert all(finding.check.startswith("route ") for finding in answer.record.findings)
    assert (answer.exit_code, answer.record.ok) == (78, False)


def test_the_commands_are_typed_as_the_page_says(shell: Shell) -> None:
    for words in (
        ("routes", "show", "scripted"),
        ("routes", "scripted"),
        ("models", "--kind", "tts"),
        ("voices", "scripted/one"),
        ("doctor", "routes"),
    ):
        said = shell.type(*words, *shell.where(), "--json")
        assert (said.code, json.loads(said.out)["schema"]) == (0, 1), said
    assert shell.type("routes", "a", "b").code == 2
    assert shell.type("doctor", "wine").code == 2
