"""What image models take, where no catalogue says it: a dated snapshot of their own lists of parameters.

Promises the same shape for the snapshot, a catalogue and the settings: a parameter that is absent is not sent, one
with values takes those, one with bounds takes what lies between. None in place of the table: nothing is known.
"""

from collections.abc import Mapping
from fnmatch import fnmatchcase

from msgspec import Struct


class Parameter(Struct, frozen=True, kw_only=True):
    """What one field takes: `values`, or numbers from `low` to `high`; neither: anything."""

    values: tuple[str, ...] | None = None
    low: int | None = None
    high: int | None = None


Parameters = Mapping[str, Parameter]

_COMMON = "1:1 4:3 3:4 16:9 9:16"
_ROWS: tuple[tuple[str, str], ...] = (
    (
        "openai/gpt-image-2",
        (
            "aspect_ratio=1:1 3:2 2:3 4:3 3:4 16:9 9:16 21:9 auto|quality=auto low medium high|background=auto opaque"
            "|n=1-10|input_references=0-16|output_compression=0-100"
        ),
    ),
    (
        "openai/gpt-image-1",
        (
            "aspect_ratio=1:1 3:2 2:3 auto|quality=auto low medium high|background=auto transparent opaque|n=1-10"
            "|input_references=0-16|output_compression=0-100"
        ),
    ),
    (
        "black-forest-labs/flux.2-pro",
        "aspect_ratio=1:1 4:3 3:4 3:2 2:3 16:9 9:16 21:9 auto|output_format=png jpeg|n=1-1|input_references=0-8|seed=",
    ),
    ("bytedance-seed/seedream-4.5", "aspect_ratio=|resolution=1K 2K 4K|n=1-10|input_references=0-14|seed="),
    (
        "google/gemini-3.1-flash-image*",
        (
            "aspect_ratio=1:1 1:4 1:8 2:3 3:2 3:4 4:1 4:3 4:5 5:4 8:1 9:16 16:9 21:9|resolution=512 1K 2K 4K|n=1-1"
            "|input_references=0-14"
        ),
    ),
    (
        "google/gemini-3-pro-image*",
        "aspect_ratio=1:1 2:3 3:2 3:4 4:3 4:5 5:4 9:16 16:9 21:9|resolution=1K 2K 4K|n=1-1|input_references=0-14",
    ),
    ("qwen/qwen-image-3", "aspect_ratio=|resolution=1K 2K|n=1-6|input_references=0-4|seed="),
    (
        "krea/krea-2-medium",
        "aspect_ratio=1:1 4:3 3:2 16:9 4:5 2:3 9:16|resolution=1K|input_references=0-1|seed=",
    ),
    ("x-ai/grok-imagine-image-2.0", "aspect_ratio=|resolution=1K 2K|quality=low medium|n=1-1|input_references=0-3"),
    ("microsoft/mai-image-2.6", f"aspect_ratio={_COMMON} 3:2 2:3 auto|n=1-1|input_references=0-5"),
    (
        "sourceful/riverflow-v2.5-fast",
        (
            "aspect_ratio=|resolution=1K 2K|output_format=jpeg|background=auto transparent opaque|n=1-1"
            "|input_references=0-4"
        ),
    ),
    ("inclusionai/ming-image-0.1-design-layer", "output_format=png webp|input_references=1-1|size="),
)
IMAGE_ONLY = ("black-forest-labs/*", "bytedance-seed/*", "sourceful/*", "recraft/*", "microsoft/*", "x-ai/*", "krea/*")
"""Makers whose models answer pictures and no words beside them."""


def known_parameters(model: str) -> Parameters | None:
    name = model.lower()
    return next((_parameters(told) for pattern, told in _ROWS if fnmatchcase(name, pattern)), None)


def is_image_only(model: str) -> bool:
    return any(fnmatchcase(model.lower(), pattern) for pattern in IMAGE_ONLY)


def _parameters(told: str) -> Parameters:
    return {name: _parameter(rule) for name, _, rule in (field.partition("=") for field in told.split("|"))}


def _parameter(rule: str) -> Parameter:
    low, dash, high = rule.partition("-")
    if dash and low.isdigit() and high.isdigit():
        return Parameter(low=int(low), high=int(high))
    return Parameter(values=tuple(rule.split()) or None)
