"""Answers with pictures that are whole JSON and yet no good: missing, cut, mislabelled, or too large once decoded."""

import base64
from collections.abc import Callable

from tests.standin import pictures
from tests.standin.nouns import Asked, list_of

Body = dict[str, object]
Row = dict[str, object]


def odd_images(asked: Asked, body: Body) -> Body:
    """The answer as the fault of this request would have it."""
    if asked.plays("image-url"):
        return {**body, "data": [{"url": f"{asked.elsewhere}/files/picture-256x256-1.png"}]}
    for name in asked.variations:
        change = ODD_IMAGES.get(name)
        if change is not None:
            return change(body)
    return body


def _rows(change: Callable[[list[Row]], object]) -> Callable[[Body], Body]:
    return lambda body: {**body, "data": change([row for row in list_of(body, "data") if isinstance(row, dict)])}


def _each(change: Callable[[Row], Row]) -> Callable[[Body], Body]:
    return _rows(lambda rows: [change(row) for row in rows])


def _bytes(change: Callable[[bytes], bytes]) -> Callable[[Row], Row]:
    def changed(row: Row) -> Row:
        body = base64.b64decode(str(row["b64_json"]))
        return {**row, "b64_json": base64.b64encode(change(body)).decode()}

    return changed


def _prefixed(row: Row) -> Row:
    return {**row, "b64_json": f"data:{row.get('media_type', 'image/png')};base64,{row['b64_json']}"}


def _last_spoilt(rows: list[Row]) -> list[Row]:
    return [*rows[:-1], {**rows[-1], "b64_json": "%%% not base64 %%%"}]


def _without_usage(body: Body) -> Body:
    return {name: value for name, value in body.items() if name != "usage"}


ODD_IMAGES: dict[str, Callable[[Body], Body]] = {
    "images-none": _rows(lambda rows: []),
    "images-null": _rows(lambda rows: None),
    "images-fewer": _rows(lambda rows: rows[: max(1, len(rows) - 1)]),
    "images-of-null": _rows(lambda rows: [None]),
    "image-no-type": _each(lambda row: {"b64_json": row["b64_json"]}),
    "image-other-type": _each(lambda row: {**row, "media_type": "image/gif"}),
    "image-bad-base64": _each(lambda row: {**row, "b64_json": "%%% not base64 %%%"}),
    "image-data-prefix": _each(_prefixed),
    "image-null": _each(lambda row: {**row, "b64_json": None}),
    "image-empty": _each(lambda row: {**row, "b64_json": ""}),
    "image-wrong-magic": _each(_bytes(lambda body: b"no picture at all, only words " * 40)),
    "image-html": _each(_bytes(lambda body: b"<!DOCTYPE html><html><body>502</body></html>\n")),
    "image-cut": _each(_bytes(lambda body: body[: len(body) // 2])),
    "image-bomb": _each(_bytes(lambda body: pictures.bomb())),
    "image-last-spoilt": _rows(_last_spoilt),
    "image-no-usage": _without_usage,
}
