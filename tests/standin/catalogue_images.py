"""The models that make pictures: what each lists, and what a picture costs."""

from decimal import Decimal
from typing import Literal

from msgspec import Struct


class ImageModel(Struct, frozen=True, kw_only=True):
    """Empty and None mean that the model does not list the parameter; sending it is refused.

    `default_format` is what comes when nothing was asked; `unit` and `cost` are the price as the endpoints tell it.
    """

    id: str
    maker: str
    aspects: tuple[str, ...] = ()
    resolutions: tuple[str, ...] = ()
    qualities: tuple[str, ...] = ()
    formats: tuple[str, ...] = ()
    backgrounds: tuple[str, ...] = ()
    max_n: int | None = None
    references: tuple[int, int] | None = None
    has_seed: bool = False
    has_size: bool = False
    has_compression: bool = False
    default_format: str = "png"
    unit: Literal["image", "megapixel", "token"] = "image"
    cost: Decimal = Decimal("0.04")
    outputs: tuple[str, ...] = ("image",)


_WIDE = ("1:1", "3:2", "2:3", "4:3", "3:4", "16:9", "9:16", "21:9", "auto")
_MODELS = (
    ImageModel(
        id="openai/gpt-image-1",
        maker="OpenAI",
        aspects=("1:1", "3:2", "2:3", "auto"),
        qualities=("auto", "low", "medium", "high"),
        backgrounds=("auto", "transparent", "opaque"),
        max_n=10,
        references=(0, 16),
        has_compression=True,
        unit="token",
        cost=Decimal("0.00004"),
    ),
    ImageModel(
        id="openai/gpt-image-1-mini",
        maker="OpenAI",
        aspects=("1:1", "3:2", "2:3", "auto"),
        qualities=("low", "medium", "high"),
        formats=("png", "jpeg", "webp"),
        backgrounds=("auto", "transparent", "opaque"),
        max_n=10,
        references=(0, 16),
        has_compression=True,
        unit="token",
        cost=Decimal("0.000008"),
    ),
    ImageModel(
        id="black-forest-labs/flux.2-pro",
        maker="Black Forest Labs",
        aspects=_WIDE,
        formats=("png", "jpeg"),
        max_n=1,
        references=(0, 8),
        has_seed=True,
        unit="megapixel",
        cost=Decimal("0.03"),
        default_format="jpeg",
    ),
    ImageModel(
        id="black-forest-labs/flux.2-klein-4b",
        maker="Black Forest Labs",
        aspects=_WIDE,
        formats=("png", "jpeg"),
        max_n=1,
        references=(0, 4),
        has_seed=True,
        unit="megapixel",
        cost=Decimal("0.014"),
        default_format="jpeg",
    ),
    ImageModel(
        id="bytedance-seed/seedream-4.5",
        maker="Seed",
        aspects=_WIDE,
        resolutions=("1K", "2K", "4K"),
        max_n=10,
        references=(0, 14),
        has_seed=True,
        has_size=True,
        cost=Decimal("0.04"),
        default_format="jpeg",
    ),
    ImageModel(
        id="google/gemini-3.1-flash-image",
        maker="Google AI Studio",
        aspects=("1:1", "1:4", "1:8", "2:3", "3:2", "3:4", "4:1", "4:3", "4:5", "5:4", "8:1", "9:16", "16:9", "21:9"),
        resolutions=("512", "1K", "2K", "4K"),
        max_n=1,
        references=(0, 14),
        unit="token",
        cost=Decimal("0.00003"),
        outputs=("image", "text"),
    ),
    ImageModel(
        id="recraft/recraft-v4.1-vector",
        maker="Recraft",
        aspects=("1:1", "4:3", "3:4", "16:9", "9:16", "auto"),
        formats=("svg",),
        max_n=6,
        references=(0, 1),
        default_format="svg",
        cost=Decimal("0.08"),
    ),
    ImageModel(
        id="inclusionai/ming-image-0.1-design-layer",
        maker="Inclusion",
        formats=("png", "webp"),
        references=(1, 1),
        has_size=True,
        cost=Decimal("0.02"),
    ),
    ImageModel(id="meta/muse-image", maker="Meta", cost=Decimal("0.01"), default_format="webp"),
)
IMAGES = {model.id: model for model in _MODELS}


def parameters(model: ImageModel) -> dict[str, object]:
    """`supported_parameters` as the service lists them."""
    choices = {
        "aspect_ratio": model.aspects,
        "resolution": model.resolutions,
        "quality": model.qualities,
        "output_format": model.formats,
        "background": model.backgrounds,
    }
    found: dict[str, object] = {
        name: {"type": "enum", "values": list(values)} for name, values in choices.items() if values
    }
    if model.max_n is not None:
        found["n"] = {"type": "range", "min": 1, "max": model.max_n}
    if model.references is not None:
        found["input_references"] = {"type": "range", "min": model.references[0], "max": model.references[1]}
    if model.has_seed:
        found["seed"] = {"type": "boolean"}
    if model.has_size:
        found["size"] = {"type": "boolean"}
    if model.has_compression:
        found["output_compression"] = {"type": "range", "min": 0, "max": 100}
    return found


def pricing(model: ImageModel) -> list[dict[str, object]]:
    """The price lines of the only endpoint; `cost_usd` is a number here and nowhere else."""
    lines: list[dict[str, object]] = [
        {"billable": "output_image", "unit": model.unit, "cost_usd": float(model.cost)},
    ]
    if model.unit == "token":
        lines.append({"billable": "input_text", "unit": "token", "cost_usd": 0.000005})
    if model.references is not None and model.unit == "megapixel":
        lines.append({"billable": "input_reference", "unit": "megapixel", "cost_usd": 0.001})
    if model.id == "meta/muse-image":
        lines.append({"billable": "input_font", "unit": "request", "cost_usd": 0, "variant": "never-seen"})
    return lines
