"""The kind `text`: one prompt over one document or over pictures becomes a text, or JSON that fits a schema.

Owns how an input is read and what of an answer is published. Promises: the input is handed over as a document, which
the driver fences as data, and never as part of the prompt; an answer that is empty, cut short or not the JSON that was
asked is no product. Never knows who answers.
"""

import json
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from jobs._asking import own_transcript
from jobs._pictures import IMAGE, MAX_PICTURES, against_pictures, listed, upright
from jobs._text import canonical, decode_text, transcript_text
from pipeline.core.errors import ContractError, InputError, LimitExceeded
from pipeline.core.kinds import NO_SOURCES, Draft, JobContext, KindResult, Sources
from pipeline.core.model import Family, Limits, Refusal, Source
from pipeline.core.operations import Complete, MediaRef, Operation, ref_of

TextFormat = Literal["txt", "md", "json"]
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]

MAX_TEXT_BYTES = 4_000_000
MAX_DOCUMENT_BYTES = 100_000_000
MAX_CHARS = 1_000_000
MAX_PROMPT_CHARS = 32_000
MAX_ANSWER_BYTES = 16_000_000
MAX_TOKENS = 200_000
SAMPLE_CHARS = 200_000
_PDF = "application/pdf"
_NOT_READ = frozenset({"text/html", "application/vnd.apple.mpegurl"})
_MEDIA_TYPES: dict[TextFormat, str] = {"txt": "text/plain", "md": "text/markdown", "json": "application/json"}


AnyJson = Annotated[object, Meta(extra_json_schema={"description": "part of a JSON Schema"})]


class TextSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`prompt` says what to do with the input; `schema` is a JSON Schema that the answer must fit."""

    prompt: Annotated[str, Meta(min_length=1, max_length=MAX_PROMPT_CHARS)] | None = None
    images: Annotated[tuple[str, ...], Meta(max_length=MAX_PICTURES)] = ()
    schema: dict[str, AnyJson] | None = None
    max_tokens: Annotated[int, Meta(ge=16, le=MAX_TOKENS)] = 4096
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    effort: Effort | None = None
    format: TextFormat | None = None


class Text:
    """Implements `core.kinds.ReadsMore`."""

    name = "text"
    version = 1
    spec: type[msgspec.Struct] = TextSpec
    families: frozenset[Family] = frozenset({"text", "document", "image"})
    asks: frozenset[str] = frozenset({"complete"})
    further: tuple[str, ...] = ("images",)
    limits = Limits(
        max_input_bytes=MAX_DOCUMENT_BYTES, max_output_bytes=MAX_ANSWER_BYTES, max_pages=2_000, max_chars=MAX_CHARS
    )

    def products(self, spec: msgspec.Struct) -> tuple[str, ...]:
        return (_format(_mine(spec)),)

    def check(self, spec: msgspec.Struct, source: Source | None, more: Sources = NO_SOURCES) -> list[Refusal]:
        mine = _mine(spec)
        reasons = [] if mine.prompt and mine.prompt.strip() else [_NO_PROMPT]
        reasons += against_pictures(_pictures(source, more), "the picture")
        if source is not None and source.media.family != IMAGE:
            reasons += _against_document(source)
        if mine.schema is not None and mine.format not in (None, "json"):
            message = f"a schema makes JSON, not {mine.format}"
            reasons.append(Refusal(code="job-invalid", message=message, hint="leave out format, or the schema"))
        return reasons

    def operations(
        self, spec: msgspec.Struct, source: Source | None, more: Sources = NO_SOURCES
    ) -> tuple[Operation, ...]:
        """The call; with a stand-in for a document that nobody has read yet, about as long as that."""
        document = None
        if source is not None and source.media.family != IMAGE:
            document = "x" * min(source.size, SAMPLE_CHARS)
        images = tuple(ref_of(picture) for picture in _pictures(source, more))
        return (_operation(_mine(spec), document, images),)

    async def run(self, spec: msgspec.Struct, ctx: JobContext) -> KindResult:
        mine = _mine(spec)
        document = await _document(ctx)
        images = [
            await upright(ctx, picture, f"image-{number}", may_move=True)
            for number, picture in enumerate(_pictures(ctx.source, ctx.more))
        ]
        answered = await ctx.ask(_operation(mine, document, tuple(images)))
        body = await ctx.read_asset(answered.assets[0], max_bytes=MAX_ANSWER_BYTES)
        name = _format(mine)
        text = _json(body) if name == "json" else _text(body)
        facts = {**answered.facts, "characters": str(len(text))}
        if document is not None:
            facts["document_characters"] = str(len(document))
        draft = Draft(name=name, media_type=_MEDIA_TYPES[name], content=text.encode())
        return KindResult(verdict="done", drafts=(draft,), facts=facts)


_NO_PROMPT = Refusal(
    code="input-missing", message="there is no prompt", hint='say what to do with the input: prompt = "..."'
)


def _mine(spec: msgspec.Struct) -> TextSpec:
    assert isinstance(spec, TextSpec)
    return spec


def _format(spec: TextSpec) -> TextFormat:
    return spec.format or ("txt" if spec.schema is None else "json")


def _pictures(source: Source | None, more: Sources) -> list[Source]:
    first = [source] if source is not None and source.media.family == IMAGE else []
    return [*first, *listed("images", more)]


def _against_document(source: Source) -> list[Refusal]:
    media_type = source.media.media_type
    if media_type in _NOT_READ or (source.media.family != "text" and media_type != _PDF):
        hint = "give text, Markdown, JSON, subtitles, PDF or a picture; transcribe recordings first"
        return [Refusal(code="input-type", message=f"no prompt runs over {media_type}", hint=hint)]
    if source.media.family == "text" and source.size > MAX_TEXT_BYTES:
        message = f"{source.size} bytes of {media_type}, {MAX_TEXT_BYTES} allowed"
        return [Refusal(code="limit-bytes", message=message, hint="split the file")]
    return []


def _operation(spec: TextSpec, document: str | None, images: tuple[MediaRef, ...]) -> Complete:
    if spec.prompt is None:
        raise InputError(_NO_PROMPT.message, code=_NO_PROMPT.code, hint=_NO_PROMPT.hint)
    schema = None if spec.schema is None else msgspec.json.encode(spec.schema, order="deterministic").decode()
    return Complete(
        prompt=spec.prompt,
        document=document,
        images=images,
        schema=schema,
        max_tokens=spec.max_tokens,
        temperature=spec.temperature,
        effort=spec.effort,
    )


async def _document(ctx: JobContext) -> str | None:
    """The input as text; our own transcript as what was said, since its times and numbers are not for a reader."""
    source = ctx.source
    if source is None or source.media.family == IMAGE:
        return None
    if source.media.media_type == _PDF:
        text = canonical(await ctx.pdf_text(source))
    else:
        text = canonical(_readable(decode_text(await ctx.read_source(max_bytes=MAX_TEXT_BYTES)), source))
    if not text:
        raise InputError("the input has no text", code="input-empty", hint="a scanned PDF is read as pictures")
    allowed = ctx.limits.max_chars
    if allowed is not None and len(text) > allowed:
        message = f"the input has {len(text)} characters, {allowed} allowed"
        raise LimitExceeded(message, code="limit-chars", hint="raise max_chars or split the file")
    return text


def _readable(text: str, source: Source) -> str:
    if source.media.media_type != "application/json":
        return text
    transcript = own_transcript(text)
    return text if transcript is None else transcript_text(transcript)


def _text(body: bytes) -> str:
    text = _decoded(body).replace("\r\n", "\n").strip("\n")
    if not text.strip():
        raise ContractError("the answer is empty", code="reply-empty", hint="mediaspool retry")
    return f"{text}\n"


def _json(body: bytes) -> str:
    """The JSON of the answer, laid out, with every number and the order as they came."""
    text = _decoded(body).strip()
    if not text:
        raise ContractError("the answer is empty", code="reply-empty", hint="mediaspool retry")
    try:
        json.loads(text)
        return msgspec.json.format(text, indent=2) + "\n"
    except (ValueError, msgspec.DecodeError, RecursionError) as error:
        hint = "give the job a schema, or name a model that keeps to JSON"
        raise ContractError("the answer is not JSON", code="reply-type", hint=hint) from error


def _decoded(body: bytes) -> str:
    try:
        return decode_text(body)
    except InputError as error:
        raise ContractError(f"the answer is {error.message}", hint="mediaspool retry") from error
