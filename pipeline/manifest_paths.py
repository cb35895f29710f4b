"""Names of products: the template language of `out`, and the confined real path that it leads to.

A template that cannot work is refused when it is read, not at the hundredth file. Values come from file names, so what
they make of the path is judged after rendering, by the roots.
"""

import functools
import os
import re
from collections.abc import Iterable, Mapping

from msgspec import Struct

from pipeline.core.confine import display
from pipeline.core.errors import InputError
from pipeline.core.model import Family, ProductPath
from pipeline.manifest_model import JobInvalid, invalid, unknown
from pipeline.state.roots import Roots

FIELDS = frozenset({"date", "ext", "hash8", "id", "index", "lang", "name", "reldir", "stem", "step"})
DEFAULT_JOB_OUT = "{id}.{ext}"
MAX_REMEMBERED_FOLDERS = 50_000

_PIECE = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_SAME_EXTENSION = ({"jpg", "jpeg"}, {"ogg", "oga", "opus"}, {"txt", "text"}, {"htm", "html"}, {"m4a", "mp4"})
_EXTENSIONS: tuple[tuple[frozenset[Family], str], ...] = (
    (frozenset({"text"}), "txt text md markdown json jsonl srt vtt tsv csv htm html xml log"),
    (frozenset({"document"}), "pdf"),
    (frozenset({"image"}), "png jpg jpeg webp gif tif tiff bmp heic"),
    (
        frozenset({"audio"}),
        "wav wave mp3 mp2 mpga oga opus spx flac aac m4a m4b aif aiff aifc wma amr 3ga mka ac3 au caf ape wv dss ds2",
    ),
    (frozenset({"audio", "video"}), "ogg mp4 webm 3gp"),
    (frozenset({"video"}), "mov mkv avi m4v mpg mpeg wmv ogv flv mts m2ts"),
)
_FAMILIES = {extension: families for families, extensions in _EXTENSIONS for extension in extensions.split()}


def suggested_families(name: str) -> frozenset[Family]:
    """What the extension of a name promises; never a proof."""
    return _FAMILIES.get(name.rpartition(".")[2].lower(), frozenset())


class Template(Struct, frozen=True, kw_only=True):
    """`pieces` are (literal, None) or ("", field), in order."""

    text: str
    pieces: tuple[tuple[str, str | None], ...]
    fields: frozenset[str]

    @property
    def literal_extension(self) -> str:
        """What the name surely ends with, in lower case; empty when that is a field or nothing."""
        literal, field = self.pieces[-1]
        name = literal.rpartition("/")[2]
        return "" if field is not None or "." not in name else name.rpartition(".")[2].lower()


@functools.lru_cache(maxsize=1024)
def parse_template(text: str) -> Template:
    """JobInvalid for an unknown field, a stray brace or a template that names a folder."""
    pieces: list[tuple[str, str | None]] = []
    end = 0
    for match in _PIECE.finditer(text):
        pieces.append((text[end : match.start()], None))
        pieces.append(_piece(match))
        end = match.end()
    pieces.append((text[end:], None))
    kept = tuple(piece for piece in pieces if piece != ("", None))
    if not kept or text.endswith("/"):
        raise invalid(f"out '{display(text)}' names a folder", "end it with a file name, as in {stem}.{ext}")
    fields = frozenset(field for _, field in kept if field is not None)
    reasons = unknown(sorted(fields), FIELDS, "the template field")
    if reasons:
        raise JobInvalid(reasons)
    return Template(text=text, pieces=kept, fields=fields)


def _piece(match: re.Match[str]) -> tuple[str, str | None]:
    if match[0] in ("{{", "}}"):
        return match[0][0], None
    if match[1] is None:
        raise invalid("out has a single brace", "write {{ or }} for a brace that is meant")
    return "", match[1]


def check_template(template: Template, products: tuple[str, ...]) -> None:
    """JobInvalid when several products would share the name, or the name would lie about the product."""
    if "ext" in template.fields:
        return
    if len(products) > 1:
        raise invalid(f"out has no {{ext}} but there are {len(products)} products", "end it with .{ext}")
    said, made = template.literal_extension, products[0] if products else ""
    lies = said in _FAMILIES and said != made and not any({said, made} <= same for same in _SAME_EXTENSION)
    if lies:
        raise invalid(f"out ends in .{said} but the product is {made}", "end it with .{ext}, or ask for that format")


def escaped(text: str) -> str:
    """`text` as it must be written inside a template to stand for itself."""
    return text.replace("{", "{{").replace("}", "}}")


def render(template: Template, values: Mapping[str, str], ext: str) -> str:
    made = "".join(
        literal if field is None else ext if field == "ext" else values[field] for literal, field in template.pieces
    )
    # an empty {reldir} at the front must not turn a relative path into an absolute one
    return made if template.text.startswith("/") else made.lstrip("/")


class Places:
    """Confined paths for one reading of one manifest; remembers folders, so it must not outlive the reading."""

    def __init__(self, roots: Roots, base: str) -> None:
        self.base = base
        self._roots = roots
        self._folders: dict[str, str | InputError] = {}

    def input(self, text: str) -> str:
        """The real path of an input; one that is missing is the plan's to refuse, one outside is ours."""
        folder, name = self._split(text)
        try:
            return self._roots.input_in(folder, name)
        except InputError as error:
            if error.code != "input-missing":
                raise
        return os.path.join(folder, name)

    def products(self, template: Template, values: Mapping[str, str], names: Iterable[str]) -> tuple[ProductPath, ...]:
        return tuple(ProductPath(name=name, path=self._output(render(template, values, name))) for name in names)

    def _output(self, text: str) -> str:
        folder, name = self._split(text)
        return self._roots.output_in(folder, name)

    def folder(self, path: str) -> str:
        """The real path of a folder inside a root, existing or not."""
        known = self._folders.get(path)
        if known is None:
            known = self._resolve(path)
            if len(self._folders) >= MAX_REMEMBERED_FOLDERS:
                self._folders.clear()
            self._folders[path] = known
        if isinstance(known, InputError):
            raise known
        return known

    def _split(self, text: str) -> tuple[str, str]:
        folder, name = os.path.split(os.path.join(self.base, text))
        return self.folder(folder), name

    def _resolve(self, path: str) -> str | InputError:
        try:
            return self._roots.resolve_folder(path)
        except InputError as error:
            return error
