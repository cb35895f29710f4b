"""Transcripts that are whole JSON and yet wrong: what the faults named after segments and texts do to a good one."""

from collections.abc import Callable

from tests.standin.nouns import Asked

Body = dict[str, object]


def odd_transcript(asked: Asked, body: Body) -> Body:
    """The transcript as the fault of this request would have it."""
    for name in asked.variations:
        change = ODD_TRANSCRIPTS.get(name)
        if change is not None:
            return change(body)
    return body


def _without(*names: str) -> Callable[[Body], Body]:
    return lambda body: {name: value for name, value in body.items() if name not in names}


def _with_text(value: object) -> Callable[[Body], Body]:
    return lambda body: {**body, "text": value}


def _silent(body: Body) -> Body:
    return {**body, "text": "", **({"segments": []} if "segments" in body else {})}


def _segments(change: Callable[[list[Body]], list[Body]]) -> Callable[[Body], Body]:
    def changed(body: Body) -> Body:
        found = body.get("segments")
        rows = [row for row in found if isinstance(row, dict)] if isinstance(found, list) else []
        return {**body, "segments": change(rows)} if rows else body

    return changed


def _first(**values: object) -> Callable[[list[Body]], list[Body]]:
    return lambda rows: [{**rows[0], **values}, *rows[1:]]


def _overlapping(rows: list[Body]) -> list[Body]:
    return [{**row, "start": 0.0} for row in rows]


def _swapped(rows: list[Body]) -> list[Body]:
    return [{**row, "start": row["end"], "end": row["start"]} for row in rows]


ODD_TRANSCRIPTS: dict[str, Callable[[Body], Body]] = {
    "transcript-empty": _silent,
    "transcript-missing": _without("text"),
    "transcript-null": _with_text(None),
    "transcript-number": _with_text(42),
    "transcript-list": _with_text(["a", "b"]),
    "segments-unsorted": _segments(lambda rows: rows[::-1]),
    "segments-overlap": _segments(_overlapping),
    "segments-backward": _segments(_swapped),
    "segments-nan": _segments(_first(start=float("nan"))),
    "segments-negative": _segments(_first(start=-5.0)),
    "segments-beyond": _segments(_first(end=86_400.0)),
    "segments-null": lambda body: {**body, "segments": None},
    "words-null": lambda body: {**body, "words": None},
    "words-of-null": lambda body: {**body, "words": [None, {"word": None, "start": None, "end": None}]},
    "no-language": _without("language", "task", "duration"),
    "no-usage": _without("usage"),
    "usage-null": lambda body: {**body, "usage": None},
    "duration-string": lambda body: {**body, "duration": str(body.get("duration", "1.0"))},
}
