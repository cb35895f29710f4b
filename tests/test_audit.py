"""What `make audit` makes of the words of pip-audit, as they came in three situations."""

from tests.audit import verdict

CLEAN = b'{"dependencies": [{"name": "trio", "version": "0.33.0", "vulns": []}], "fixes": []}'
KNOWN = (
    b'{"dependencies": [{"name": "trio", "version": "0.1", "vulns": [{"id": "GHSA-1", "fix_versions": ["0.2", "0.3"],'
    b' "aliases": [], "description": "bad"}]}], "fixes": []}'
)
SKIPPED = b'{"dependencies": [{"name": "trio", "skip_reason": "Dependency not found on PyPI: trio (0.33.0)"}]}'


def test_an_advisory_is_told_with_its_cure_and_fails() -> None:
    lines, code = verdict(KNOWN, 1)
    assert (lines[0], code) == ("trio 0.1: GHSA-1, mended in 0.2, 0.3", 1)


def test_a_clean_audit_says_how_many_packages_it_is_about() -> None:
    assert verdict(CLEAN, 1) == (["1 of 1 packages were looked up, 0 with advisories"], 0)


def test_an_audit_without_data_says_so_and_is_no_good_news() -> None:
    for said in (SKIPPED, b"", b"not JSON"):
        lines, code = verdict(said, 1)
        assert lines[0] == "0 of 1 packages were looked up, 0 with advisories"
        assert "nothing is known of the other 1" in lines[1]
        assert code == 0
