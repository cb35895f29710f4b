"""Origins and addresses in settings: a slip of the hand is told when they are read, not when they are used."""

import pytest

from pipeline.core.errors import ConfigError
from pipeline.core.notices import NotifyTable, check_notify
from pipeline.core.origins import check_origins, origin_of

BAD = ["127.0.0.1:8000", "localhost", "ftp://host", "https://", "http://[::1", "http://host:port", "http://me:pw@host"]


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("http://10.0.0.5:8000", ("http", "10.0.0.5", 8000)),
        ("HTTPS://Host.Example/path?query", ("https", "host.example", 443)),
        ("http://host", ("http", "host", 80)),
        ("http://[::1]:9000", ("http", "::1", 9000)),
    ],
)
def test_an_origin_is_scheme_host_and_port(text: str, origin: tuple[str, str, int]) -> None:
    assert origin_of(text) == origin
    check_origins([text], "key")


@pytest.mark.parametrize("text", BAD)
def test_what_is_no_origin_is_refused_by_the_key_that_has_it_and_shows_no_password(text: str) -> None:
    with pytest.raises(ConfigError, match=r"notify\.origins has") as refused:
        check_notify(NotifyTable(origins=("http://10.0.0.5", text)))
    assert "pw" not in refused.value.message


@pytest.mark.parametrize("url", ["hc.example/canary", "ftp://hc.example/canary", "http://hc.example/canary"])
def test_an_address_that_no_notice_could_reach_is_refused_without_being_shown(url: str) -> None:
    for table in (NotifyTable(ping_url=url), NotifyTable(webhook_url=url, origins=("http://other",))):
        with pytest.raises(ConfigError, match=r"notify\.(ping|webhook)_url is no") as refused:
            check_notify(table)
        assert "canary" not in f"{refused.value.message} {refused.value.hint}"


def test_https_and_hosts_of_ones_own_are_addresses() -> None:
    check_notify(
        NotifyTable(ping_url="https://hc.example/id", webhook_url="http://10.0.0.5/x", origins=("http://10.0.0.5",))
    )
