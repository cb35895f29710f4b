"""Headers of HTTP: those of an answer in any case, the media type among them, and those that may be sent at all."""

import re
from collections.abc import Iterator, Mapping

from msgspec import Struct

from pipeline.core.confine import display
from pipeline.core.errors import ConfigError

_PARAMETER = re.compile(r';\s*([\w.-]+)\s*=\s*("(?:[^"\\]|\\.)*"|[^\s;]*)')
_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_VALUE = re.compile(r"[\x20-\x7e]{0,4000}")
_OURS = frozenset({"authorization", "host", "content-length", "content-type", "transfer-encoding", "connection"})
_OURS_TOO = frozenset({"accept-encoding", "cookie", "expect", "upgrade"})


class Headers(Mapping[str, str]):
    """Names in any case; a header that came twice is joined with commas."""

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        self._values: dict[str, str] = {}
        for name, value in pairs:
            known = self._values.get(name.lower())
            self._values[name.lower()] = value if known is None else f"{known}, {value}"

    def __getitem__(self, name: str) -> str:
        return self._values[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


class MediaType(Struct, frozen=True, kw_only=True):
    """A declared type, lower case, and its parameters with lower-case names. Empty when none was declared."""

    type: str = ""
    parameters: dict[str, str] = {}

    @classmethod
    def of(cls, text: str) -> "MediaType":
        head, _, _ = text.partition(";")
        found = {name.lower(): value.strip('"') for name, value in _PARAMETER.findall(text[:1000])}
        return cls(type=head.strip().lower(), parameters=found)

    @property
    def is_json(self) -> bool:
        return self.type in ("application/json", "text/json") or self.type.endswith("+json")


def is_encoded(headers: Mapping[str, str]) -> bool:
    return headers.get("content-encoding", "").strip().lower() not in ("", "identity")


def is_sendable(value: str) -> bool:
    """Printable ASCII and not endless: nothing that could end a header early."""
    return _VALUE.fullmatch(value) is not None


def checked(headers: Mapping[str, str]) -> dict[str, str]:
    """Headers that the settings add. ConfigError for one that is set here, or that cannot be sent."""
    for name, value in headers.items():
        if name.lower() in _OURS | _OURS_TOO or not _NAME.fullmatch(name) or not is_sendable(value):
            raise ConfigError(f"the header {display(name, 60)!r} cannot be set", hint="plain ASCII, no reserved names")
    return dict(headers)
