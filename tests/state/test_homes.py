"""Where a user's own files lie who names no place for them."""

import os
import pwd
from pathlib import Path

import msgspec
import pytest

from pipeline.core.errors import ConfigError
from pipeline.seat import real_world, take_seat
from pipeline.state.settings import home_folder, state_home


def test_the_state_home_follows_xdg() -> None:
    assert state_home({"HOME": "/h"}) == "/h/.local/state/mediaspool"
    assert state_home({"HOME": "/h", "XDG_STATE_HOME": "/s"}) == "/s/mediaspool"


@pytest.mark.parametrize("told", [{}, {"HOME": ""}, {"HOME": "relative"}])
def test_a_home_that_is_none_is_looked_up(told: dict[str, str]) -> None:
    assert home_folder(told) == pwd.getpwuid(os.getuid()).pw_dir


def test_a_user_without_a_home_has_to_name_a_spool_or_each_folder_would_have_its_own(
    homeless: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="no home folder") as error:
        take_seat(msgspec.structs.replace(real_world(), environ={}), None, None)
    assert "--spool" in error.value.hint
    assert take_seat(msgspec.structs.replace(real_world(), environ={}), "spool", None).root == str(tmp_path / "spool")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def homeless(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container whose user stands in no list."""

    def unknown(user: int) -> pwd.struct_passwd:
        raise KeyError(user)

    monkeypatch.setattr(pwd, "getpwuid", unknown)
