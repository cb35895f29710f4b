"""What the stand-in server speaks of: what was asked, what is answered, and how the answer is delivered.

Plain values. A handler turns an `Asked` into an `Answer`; a fault turns an `Answer` into a worse one; only `wire` knows
how either looks on a socket.
"""

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

Fields = Mapping[str, object]
"""A JSON object as it came: every member is looked at before it is believed."""

Options = Mapping[str, object]
Dialect = Literal["openrouter", "openai", "elsewhere", "control"]
How = Literal[
    "whole",
    "dripping",
    "silent",
    "stalled",
    "cut-in-chunk",
    "lying-length",
    "endless",
    "reset",
    "reset-midway",
    "closed",
    "garbage",
    "whole-then-closed",
]
JSON_TYPE = "application/json"


class Part(Struct, frozen=True, kw_only=True):
    """One part of a form."""

    name: str
    body: bytes
    file_name: str | None = None
    content_type: str | None = None

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")


class Asked(Struct, frozen=True, kw_only=True):
    """One request. `path` is below the base of its dialect; `variations` are the faults that a handler itself plays.

    `fields` is the JSON object of the body, `form` the parts of a multipart one; None where the body is no such thing.
    """

    number: int
    method: str
    dialect: Dialect
    path: str
    origin: str
    elsewhere: str = ""
    named: Mapping[str, str] = {}
    query: Mapping[str, str] = {}
    headers: Mapping[str, str] = {}
    body: bytes = b""
    fields: Fields | None = None
    form: tuple[Part, ...] | None = None
    variations: Mapping[str, Options] = {}

    @property
    def base(self) -> str:
        return self.origin + ("/v1" if self.dialect == "openai" else "/api/v1")

    @property
    def content_type(self) -> str:
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def model(self) -> str | None:
        if self.form is not None:
            return self.part("model")
        return text_of(self.fields or {}, "model")

    def part(self, name: str) -> str | None:
        """The text of a form's part."""
        return next((part.text for part in self.form or () if part.name == name), None)

    def plays(self, name: str) -> bool:
        return name in self.variations


class Delivery(Struct, frozen=True, kw_only=True):
    """How an answer travels. `wait_s` passes before its first byte, `pause_s` between chunks."""

    how: How = "whole"
    wait_s: float = 0.0
    pause_s: float = 0.0


class Answer(Struct, frozen=True, kw_only=True):
    """`usd` not None means that work was done and will be paid for."""

    status: int = 200
    media_type: str = JSON_TYPE
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    chunk: int = 16_384
    delivery: Delivery = Delivery()
    usd: Decimal | None = None

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    def fields(self) -> dict[str, object]:
        """The JSON object in the body; empty where there is none."""
        try:
            found = json.loads(self.body)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    def saying(self, body: object) -> "Answer":
        """The same answer with another JSON body."""
        return replace(self, body=dumped(body))

    def delivered(self, how: How, *, wait_s: float = 0.0, pause_s: float = 0.0) -> "Answer":
        return replace(self, delivery=Delivery(how=how, wait_s=wait_s, pause_s=pause_s))

    def with_header(self, name: str, value: str) -> "Answer":
        return replace(self, headers=(*self.headers, (name, value)))


class Refused(Exception):
    """A handler's way to say no: carries the whole answer."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


def dumped(body: object) -> bytes:
    """JSON as the real service writes it; NaN is let through, since a fault may want it."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


def json_answer(body: object, *, status: int = 200, usd: Decimal | None = None, **headers: str) -> Answer:
    """Header names are given with underscores."""
    pairs = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return Answer(status=status, headers=pairs, body=dumped(body), usd=usd)


def text_of(fields: Fields, name: str) -> str | None:
    """A member that is a string; None for anything else."""
    value = fields.get(name)
    return value if isinstance(value, str) else None


def fields_of(fields: Fields, name: str) -> dict[str, object]:
    """A member that is an object; empty for anything else."""
    value = fields.get(name)
    return value if isinstance(value, dict) else {}


def list_of(fields: Fields, name: str) -> list[object]:
    """A member that is a list; empty for anything else."""
    value = fields.get(name)
    return value if isinstance(value, list) else []


def objects_of(fields: Fields, name: str) -> list[dict[str, object]]:
    """The objects in a member that is a list."""
    return [item for item in list_of(fields, name) if isinstance(item, dict)]


def whole_of(fields: Fields, name: str) -> int | None:
    """A member that is a whole number; a boolean is none."""
    value = fields.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def names(text: str) -> tuple[str, ...]:
    """Names with spaces between them."""
    return tuple(text.split())


def number_of(options: Options, name: str, default: float) -> float:
    value = options.get(name)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else default
