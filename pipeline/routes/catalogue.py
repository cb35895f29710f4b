"""The catalogue of a route: what its server says of its models, kept on disk with its age.

Asked before a plan (`refresh`, the only method that waits), read during one. Rows are read tolerantly and one by one: a
row that nobody can read is left out and counted. `off` knows nothing; `best-effort` says what failed and goes on with
what was kept; `required` stops the route when nothing usable came. The files are a cache and may vanish at any time.
"""

import hashlib
import os
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Literal, TypeVar

import msgspec
from msgspec import Struct

from pipeline.core.decoding import from_json
from pipeline.core.errors import ConfigError, MediaspoolError, RouteBusy, RouteClosed
from pipeline.routes._models import Knowledge, Sort
from pipeline.routes._prices import ImagePrice, Rates, rates

Mode = Literal["off", "best-effort", "required"]
Get = Callable[[str, Mapping[str, str]], Awaitable[bytes]]
Price = str | float | int | bool | None | list[msgspec.Raw] | dict[str, msgspec.Raw]

FRESH_S = 6 * 3600.0
MAX_BODY_BYTES = 8_000_000
MAX_FILE_BYTES = MAX_BODY_BYTES

LISTINGS: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "text": ("/models", {"output_modalities": "text"}),
    "speech": ("/models", {"output_modalities": "speech"}),
    "transcription": ("/models", {"output_modalities": "transcription"}),
    "image": ("/models", {"output_modalities": "image"}),
    "video": ("/models", {"output_modalities": "video"}),
    "image-models": ("/images/models", {}),
    "video-models": ("/videos/models", {}),
}
_SORTS: Mapping[str, Sort] = {
    "text": "chat",
    "speech": "speech",
    "transcription": "transcription",
    "image": "image",
    "video": "video",
    "image-models": "image",
    "video-models": "video",
}


class Architecture(Struct, frozen=True, kw_only=True):
    input_modalities: tuple[str, ...] | None = None
    output_modalities: tuple[str, ...] | None = None


class Reasoning(Struct, frozen=True, kw_only=True):
    """How a model thinks before it answers: whether it must, and the words for how much."""

    mandatory: bool | None = None
    supported_efforts: tuple[str, ...] | None = None


class _TopProvider(Struct, frozen=True, kw_only=True):
    max_completion_tokens: float | None = None


class ModelRow(Struct, frozen=True, kw_only=True):
    """One model of `/models`. `supported_voices` None or empty means that the catalogue lists none.

    What is read as `Raw` is looked into only when it is asked for: an odd one there does not hide the model.
    """

    id: str
    name: str = ""
    context_length: float | None = None
    architecture: Architecture | None = None
    pricing: Mapping[str, Price] | None = None
    supported_parameters: tuple[str, ...] | None = None
    supported_voices: tuple[str, ...] | None = None
    expiration_date: str | None = None
    reasoning: msgspec.Raw = msgspec.Raw()
    top_provider: msgspec.Raw = msgspec.Raw()

    @property
    def thinking(self) -> Reasoning | None:
        return _decode(self.reasoning, Reasoning)

    @property
    def max_out(self) -> int | None:
        """Tokens that an answer may have at most."""
        found = _decode(self.top_provider, _TopProvider)
        return int(found.max_completion_tokens) if found is not None and found.max_completion_tokens else None


class Allowed(Struct, frozen=True, kw_only=True):
    """What one parameter may be: a list of values, a range, or simply present."""

    type: str | None = None
    values: tuple[str | float | int | bool, ...] | None = None
    min: float | None = None
    max: float | None = None


class ImageRow(Struct, frozen=True, kw_only=True):
    """One model of `/images/models`. A parameter that is absent must not be sent."""

    id: str
    name: str = ""
    architecture: Architecture | None = None
    supported_parameters: Mapping[str, Allowed] | None = None


class VideoRow(Struct, frozen=True, kw_only=True):
    """One model of `/videos/models`. A list that is None is not offered: the field must not be sent."""

    id: str
    name: str = ""
    supported_durations: tuple[float, ...] | None = None
    supported_resolutions: tuple[str, ...] | None = None
    supported_aspect_ratios: tuple[str, ...] | None = None
    supported_sizes: tuple[str, ...] | None = None
    supported_frame_images: tuple[str, ...] | None = None
    generate_audio: bool | None = None
    seed: bool | None = None
    pricing_skus: Mapping[str, Price] | None = None


class _Page(Struct, frozen=True, kw_only=True):
    data: tuple[msgspec.Raw, ...] = ()


class _Endpoint(Struct, frozen=True, kw_only=True):
    pricing: Mapping[str, Price] | None = None


class _ImageEndpoint(Struct, frozen=True, kw_only=True):
    pricing: tuple[ImagePrice, ...] = ()


class _Endpoints(Struct, frozen=True, kw_only=True):
    endpoints: tuple[msgspec.Raw, ...] = ()


class _EndpointsPage(Struct, frozen=True, kw_only=True):
    data: _Endpoints | None = None
    endpoints: tuple[msgspec.Raw, ...] = ()


Row = ModelRow | ImageRow | VideoRow
R = TypeVar("R", bound=Row)
S = TypeVar("S", bound=Struct)


class Catalogue:
    """The listings of one route, by name. Safe to ask about anything: what is not known is None."""

    def __init__(
        self, route: str, folder: str, *, mode: Mode, get: Get, now: Callable[[], float], warn: Callable[[str], None]
    ) -> None:
        self.mode = mode
        self.unreadable = 0
        self._route = route
        self._folder = folder
        self._get = get
        self._now = now
        self._warn = warn
        self._bodies: dict[str, bytes | None] = {}
        self._rows: dict[str, Mapping[str, Row] | None] = {}

    async def refresh(self, names: Iterable[str]) -> None:
        """Fetch what is missing or old: a name of LISTINGS, `endpoints:MODEL` or `image-endpoints:MODEL` for prices."""
        if self.mode == "off":
            return
        for name in names:
            age_s = self.age_s(name)
            is_readable = name not in LISTINGS or self._listing(name, _kind(name)) is not None
            if age_s is None or age_s > FRESH_S or not is_readable:
                await self._fetch(name)

    async def _fetch(self, name: str) -> None:
        path, query = _address(name)
        try:
            body = await self._get(path, query)
            self._check(name, body)
        except MediaspoolError as error:
            self._failed(name, error)
            return
        self._keep(name, body)

    def _check(self, name: str, body: bytes) -> None:
        """A listing without one readable model is no listing."""
        if name in LISTINGS and not _read_rows(body, _kind(name))[0]:
            raise ConfigError(f"the listing {name} of route {self._route} names no model")

    def _failed(self, name: str, error: MediaspoolError) -> None:
        if self.mode == "required":
            told = f"the catalogue of route {self._route} is required and cannot be read: {error.message}"
            kind, code = (RouteClosed, error.code) if isinstance(error, RouteClosed) else (RouteBusy, "unreachable")
            hint = "run again when the server is up; check base_url, or set discovery = 'best-effort'"
            raise kind(told, code=code, hint=hint) from error
        self._warn(f"route {self._route}: the listing {name} could not be fetched ({error.message})")

    def model(self, model: str) -> ModelRow | None:
        """Its row in any of the listings of `/models` that are known."""
        for name in ("speech", "transcription", "text", "image", "video"):
            row = (self._listing(name, ModelRow) or {}).get(model)
            if row is not None:
                return row
        return None

    def image(self, model: str) -> ImageRow | None:
        return (self._listing("image-models", ImageRow) or {}).get(model)

    def video(self, model: str) -> VideoRow | None:
        return (self._listing("video-models", VideoRow) or {}).get(model)

    def endpoints(self, model: str) -> tuple[Rates, ...]:
        """The prices of everybody who may answer; the model's own row where its endpoints are not known."""
        body = self._body(f"endpoints:{model}")
        listed = [_decode(raw, _Endpoint) for raw in _endpoints(body)] if body else []
        known = tuple(rates(endpoint.pricing) for endpoint in listed if endpoint is not None and endpoint.pricing)
        row = self.model(model)
        return known or ((rates(row.pricing),) if row is not None and row.pricing else ())

    def image_prices(self, model: str) -> tuple[ImagePrice, ...]:
        body = self._body(f"image-endpoints:{model}")
        listed = [_decode(raw, _ImageEndpoint) for raw in _endpoints(body)] if body else []
        return tuple(price for endpoint in listed if endpoint is not None for price in endpoint.pricing)

    def rows(self, name: str) -> Mapping[str, Row] | None:
        """A whole listing, for a person to look at."""
        return self._listing(name, _kind(name))

    def knowledge(self) -> Knowledge:
        return Knowledge(sorts=self._sorts, lists=self._lists)

    def age_s(self, name: str) -> float | None:
        """Seconds since a listing was fetched; None when it is not here."""
        try:
            return max(0.0, self._now() - os.stat(self._path(name)).st_mtime)
        except OSError:
            return None

    def _sorts(self, model: str) -> frozenset[Sort] | None:
        found = {sort for name, sort in _SORTS.items() if model in (self._listing(name, _kind(name)) or {})}
        return frozenset(found) or None

    def _lists(self, model: str) -> bool | None:
        known = [name for name in LISTINGS if self._listing(name, _kind(name)) is not None]
        return self._sorts(model) is not None if known else None

    def _listing(self, name: str, kind: type[R]) -> Mapping[str, R] | None:
        if name not in self._rows:
            body = self._body(name)
            rows, unreadable = _read_rows(body, kind) if body else (None, 0)
            self.unreadable += unreadable
            self._rows[name] = rows
        return self._rows[name]  # type: ignore[return-value]  # the rows of one name are always of one kind

    def _body(self, name: str) -> bytes | None:
        if self.mode == "off":
            return None
        if name not in self._bodies:
            self._bodies[name] = _read_file(self._path(name))
        return self._bodies[name]

    def _keep(self, name: str, body: bytes) -> None:
        self._bodies[name] = body
        self._rows.pop(name, None)
        path = self._path(name)
        try:
            for folder in (os.path.dirname(self._folder), self._folder):  # a plan that asks may come before any spool
                os.makedirs(folder, mode=0o700, exist_ok=True)
            with open(f"{path}.part", "wb", opener=_private) as file:
                file.write(body)
            os.replace(f"{path}.part", path)
        except OSError as error:
            self._warn(f"route {self._route}: the catalogue could not be kept ({error.strerror})")

    def _path(self, name: str) -> str:
        digest = hashlib.sha256(f"{self._route}\0{name}".encode()).hexdigest()[:16]
        return os.path.join(self._folder, f"{digest}.json")


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _address(name: str) -> tuple[str, Mapping[str, str]]:
    """Where a listing is asked for. An id has only letters that `_models` lets through, so it needs no quoting."""
    if name in LISTINGS:
        return LISTINGS[name]
    listing, _, model = name.partition(":")
    return (f"/images/models/{model}/endpoints" if listing == "image-endpoints" else f"/models/{model}/endpoints"), {}


def _kind(name: str) -> type[Row]:
    match name:
        case "image-models":
            return ImageRow
        case "video-models":
            return VideoRow
        case _:
            return ModelRow


def _read_rows(body: bytes, kind: type[R]) -> tuple[dict[str, R] | None, int]:
    """The readable rows by id, and how many could not be read. None when the body is no page at all."""
    page = _decode(body, _Page)
    if page is None:
        return None, 0
    rows = [_decode(raw, kind) for raw in page.data]
    return {row.id: row for row in rows if row is not None}, sum(row is None for row in rows)


def _endpoints(body: bytes) -> tuple[msgspec.Raw, ...]:
    page = _decode(body, _EndpointsPage)
    if page is None:
        return ()
    return page.data.endpoints if page.data is not None else page.endpoints


def _decode(body: bytes | msgspec.Raw, kind: type[S]) -> S | None:
    try:
        return from_json(body, kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _read_file(path: str) -> bytes | None:
    try:
        with open(path, "rb") as file:
            body = file.read(MAX_FILE_BYTES + 1)
    except OSError:
        return None
    return body if len(body) <= MAX_FILE_BYTES else None
