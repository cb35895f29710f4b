"""Wrong values in the settings: told with their key, and with what can stand there."""

import re
from pathlib import Path

import pytest

from pipeline.core.errors import ConfigError
from pipeline.state.settings import Settings, load_settings, route_configs


def load(folder: Path, text: str) -> Settings:
    (folder / "mediaspool.toml").write_text(text)
    return load_settings(str(folder / "mediaspool.toml"), {})


WRONG_WORDS = {
    '[routes.far]\ndriver = "openai"\ndiscovery = "never"': "write one of: best-effort, off, required",
    '[log]\nlevel = "loud"': "write one of: ",
    "roots = [5]": "write text in quotes",
}


@pytest.mark.parametrize("text", WRONG_WORDS)
def test_a_word_that_cannot_stand_there_is_told_with_those_that_can(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError) as error:
        load(tmp_path, text)
    assert error.value.hint.startswith(WRONG_WORDS[text])


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('drain_grace = "soon"', "drain_grace"),
        ('[routes.far]\ndriver = "openai"\ncall_timeout = "soon"', "routes.far.call_timeout"),
        ('[routes.far]\ndriver = "openai"\n[routes.far.timeouts]\nidle = "soon"', "routes.far.timeouts.idle"),
        (
            '[routes.far]\ndriver = "openai"\n[routes.far.call_timeouts]\nspeak = "soon"',
            "routes.far.call_timeouts.speak",
        ),
    ],
)
def test_a_time_that_is_none_is_told_with_its_key(tmp_path: Path, text: str, key: str) -> None:
    with pytest.raises(ConfigError, match=f"^{re.escape(key)} = 'soon' is not a duration"):
        route_configs(load(tmp_path, text))
