"""`make audit`: what is known against the packages of the lock file, asked of pip-audit in an environment of its own.

Ends with 1 where something is known. Knowledge that cannot be had is said, and never taken for good news: pip-audit
itself ends well when it could look up nothing.
"""

import subprocess
import sys
from collections.abc import Sequence

import msgspec
from msgspec import Struct

from tests.pages import ROOT

LOCK = ROOT / "requirements.lock"
TOOL = ROOT / ".venv-audit/bin/pip-audit"
PATIENCE_S = 300.0


class Advisory(Struct, frozen=True):
    id: str
    fix_versions: tuple[str, ...] = ()


class Package(Struct, frozen=True):
    """As pip-audit tells of it. One that could not be looked up has a `skip_reason` and no version."""

    name: str
    version: str = ""
    vulns: tuple[Advisory, ...] = ()
    skip_reason: str | None = None


class Told(Struct, frozen=True):
    dependencies: tuple[Package, ...]


def ask() -> bytes:
    """What pip-audit says as JSON; nothing where it could not even begin."""
    words = ["--disable-pip", "--require-hashes", "--progress-spinner", "off", "-f", "json", "-r", str(LOCK)]
    done = subprocess.run([str(TOOL), *words], capture_output=True, timeout=PATIENCE_S, check=False)
    return done.stdout


def verdict(said: bytes, wanted: int) -> tuple[list[str], int]:
    """Lines for a person and an exit code, for `wanted` packages."""
    try:
        told = msgspec.json.decode(said, type=Told).dependencies
    except msgspec.DecodeError:
        told = ()
    looked_up = [package for package in told if package.skip_reason is None]
    lines = [line for package in looked_up for line in _against(package)]
    found = len({package.name for package in looked_up if package.vulns})
    lines.append(f"{len(looked_up)} of {wanted} packages were looked up, {found} with advisories")
    if len(looked_up) < wanted:
        lines.append(
            f"nothing is known of the other {wanted - len(looked_up)}: the advisories could not be had from here"
        )
    return lines, int(found > 0)


def _against(package: Package) -> Sequence[str]:
    return [
        f"{package.name} {package.version}: {each.id}, mended in {', '.join(each.fix_versions) or 'no version yet'}"
        for each in package.vulns
    ]


def main() -> int:
    wanted = sum("==" in line for line in LOCK.read_text().splitlines())
    lines, code = verdict(ask(), wanted)
    print("\n".join(lines))
    return code


if __name__ == "__main__":
    sys.exit(main())
