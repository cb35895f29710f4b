"""What an OpenRouter model takes: the catalogue's word where there is one, else the local tables.

Promises the same nouns whichever of them knew, so that a check need not ask. Fetches nothing.
"""

from collections.abc import Collection

import msgspec
from msgspec import Struct

from pipeline.routes import _voices
from pipeline.routes._chat_wire import EFFORTS, Manner
from pipeline.routes._image_models import Parameter, Parameters, known_parameters
from pipeline.routes._models import SORTS, Knowledge, sort_of
from pipeline.routes._video_models import VideoModel, known_video
from pipeline.routes._voices import SpeechModel
from pipeline.routes.catalogue import Allowed, Catalogue, ModelRow

_NO_MAX_EFFORT = ("deepseek/",)  # they answer 400 to the highest word


class Shelf(Struct, frozen=True, kw_only=True):
    """Catalogue and tables together."""

    catalogue: Catalogue

    def knowledge(self, operation: str, listings: Collection[str]) -> Knowledge:
        """What the listings say. A model is only said to be missing where the listing that would have it is here.

        A variant such as `:nitro` is the model before the colon; routers and moving names are in no listing.
        """
        known, wanted = self.catalogue.knowledge(), SORTS[operation]
        is_here = all(self.catalogue.rows(name) is not None for name in listings)

        def lists(model: str) -> bool | None:
            if known.sorts(model) is not None or known.sorts(model.partition(":")[0]) is not None:
                return True
            is_elsewhere = sort_of(model) not in (None, wanted) or model.startswith(("~", "openrouter/"))
            return False if is_here and not is_elsewhere else None

        return Knowledge(sorts=known.sorts, lists=lists)

    def speech(self, model: str) -> SpeechModel:
        known, row = _voices.openrouter_speech(model), self.catalogue.model(model)
        if row is None or not row.supported_voices:
            return known
        voices = row.supported_voices
        usual = known.voice if known.voice in voices else None
        return msgspec.structs.replace(known, voices=voices, voice=usual)

    def parameters(self, model: str) -> Parameters | None:
        row = self.catalogue.image(model)
        if row is None or row.supported_parameters is None:
            return known_parameters(model)
        return {name: _parameter(rule) for name, rule in row.supported_parameters.items()}

    def answers_words_too(self, model: str) -> bool | None:
        """Does it answer words beside its pictures? None where no catalogue says."""
        row = self.catalogue.model(model)
        outputs = row.architecture.output_modalities if row is not None and row.architecture is not None else None
        return "text" in outputs if outputs is not None else None

    def video(self, model: str) -> VideoModel | None:
        row = self.catalogue.video(model)
        if row is None:
            return known_video(model)
        return VideoModel(
            durations=tuple(int(each) for each in row.supported_durations) if row.supported_durations else None,
            resolutions=row.supported_resolutions,
            aspect_ratios=row.supported_aspect_ratios,
            sizes=row.supported_sizes,
            frames=row.supported_frame_images,
            audio=row.generate_audio,
            seed=row.seed is True,
        )

    def manner(self, model: str, *, cache_marks: bool) -> Manner:
        row = self.catalogue.model(model)
        architecture = row.architecture if row is not None else None
        inputs = architecture.input_modalities if architecture is not None else None
        supported = row.supported_parameters if row is not None else None
        return Manner(
            schema=_schema_way(supported),
            efforts=_efforts(model, row),
            cache_marks=cache_marks and model.startswith("anthropic/"),
            takes_images=None if inputs is None else "image" in inputs,
            takes_audio=None if inputs is None else "audio" in inputs,
            context_tokens=int(row.context_length) if row is not None and row.context_length else None,
            max_out=row.max_out if row is not None else None,
        )


def _efforts(model: str, row: ModelRow | None) -> tuple[str, ...]:
    """The words that a model takes: those that the catalogue lists, else all but what is known to be rejected."""
    thinking = row.thinking if row is not None else None
    supported = row.supported_parameters if row is not None else None
    if thinking is None and supported is not None and "reasoning" not in supported:
        return ()
    listed = (thinking.supported_efforts if thinking is not None else None) or EFFORTS
    never = {"max"} if model.startswith(_NO_MAX_EFFORT) else set()
    never |= {"none"} if thinking is not None and thinking.mandatory else set()
    return tuple(word for word in EFFORTS if word in listed and word not in never)


def _schema_way(supported: tuple[str, ...] | None) -> str:
    if supported is None or "structured_outputs" in supported:
        return "json_schema"
    return "json_object" if "response_format" in supported else "words"


def _parameter(rule: Allowed) -> Parameter:
    values = tuple(_word(value) for value in rule.values) if rule.values is not None else None
    low, high = (None if bound is None else int(bound) for bound in (rule.min, rule.max))
    return Parameter(values=values, low=low, high=high)


def _word(value: str | float | bool) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
