"""The loopback route: every answer is whole, says who made it, and costs nothing; it is never used unasked."""

from pathlib import Path

import msgspec
import pytest

from pipeline.core.errors import ConfigError
from pipeline.core.operations import Complete, Operation, operation_name
from pipeline.routes import loopback
from pipeline.state.route_tables import BUILT_IN, GROUPS
from tests.makers import Folder, outcomes, verdicts
from tests.routes.conftest import route, say
from tests.routes.remote import picture

pytestmark = pytest.mark.real_time
MANIFEST = """
schema = 1
name = "tries"
[defaults]
route = ["try"]
[[job]]
id = "voice"
kind = "tts"
text = "Good morning, this is a first try."
out = "out/voice.wav"
[[job]]
id = "heard"
kind = "transcription"
input = "recordings/a.wav"
out = "out/heard.txt"
[[job]]
id = "words"
kind = "text"
prompt = "Say hello."
out = "out/words.txt"
[[job]]
id = "picture"
kind = "image"
prompt = "A red kite"
out = "out/picture.{ext}"
[[job]]
id = "film"
kind = "video"
prompt = "A red kite flies"
out = "out/film.{ext}"
"""


def test_a_first_try_of_every_kind_is_made_free_and_labelled_or_refused(tmp_path: Path) -> None:
    folder = Folder(tmp_path, manifest=MANIFEST)
    folder.config.write_text(folder.config.read_text() + '[routes.try]\ndriver = "loopback"\n')
    folder.record("a.wav", 3.0)
    result = folder.run()
    assert verdicts(result) == {
        "voice": "done",
        "heard": "done",
        "words": "done",
        "picture": "done",
        "film": "refused",
    }, outcomes(result)
    assert all(outcome.usd == 0 for outcome in outcomes(result).values())
    assert "loopback" in folder.product("heard.txt").read_text()
    assert "loopback" in folder.product("words.txt").read_text()
    assert b"made by loopback" in folder.product("picture.png").read_bytes()
    assert '"made_by"' in folder.product("voice.wav.receipt.json").read_text()


def test_it_is_never_a_default() -> None:
    assert "loopback" not in BUILT_IN
    assert not any("loopback" in members for members in GROUPS.values())


@pytest.mark.parametrize(
    "ask",
    [
        picture(aspect_ratio="16:9"),
        picture(size="4096x4096"),
        picture(format="jpeg"),
        Complete(prompt="x", schema="{}"),
        say("long " * 5000),
    ],
)
def test_what_cannot_be_pretended_is_refused(ask: Operation) -> None:
    driver = loopback.Loopback(route("loopback"))
    assert driver.check(ask, driver.bind(operation_name(ask), None))


def test_k54_k55_settings_switch_off_and_never_on() -> None:
    off = msgspec.structs.replace(route("loopback"), can={"speak": False})
    assert "speak" not in loopback.Loopback(off).facts.operations
    with pytest.raises(ConfigError):
        loopback.Loopback(msgspec.structs.replace(route("loopback"), can={"make_video": True}))
