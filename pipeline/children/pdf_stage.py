"""The PDF stage: the text of a document, in a media child, within bounds of pages and characters.

Follows nothing out of the file, runs nothing in it, opens no encrypted one. What pypdf stumbles over is a damaged
input; what it runs away with is stopped by the lane's memory and the deadline.
"""

import logging
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import pypdf
from pypdf.errors import PyPdfError

from pipeline.children import files
from pipeline.children.pdf_work import MAX_TEXT_CHARS, PdfFacts
from pipeline.children.stage import Roots, StageResult, StageSpec, packed
from pipeline.core.errors import InputError, LimitExceeded

# Everything that pypdf is known to raise on a malformed file; it does not wrap what its parsers meet.
_STUMBLES = (
    PyPdfError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    RecursionError,
    zlib.error,
)


def text(spec: StageSpec, roots: Roots) -> StageResult:
    """PdfFacts of one input."""
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)
    with files.source(spec.inputs[0], roots) as source, _damage():
        reader = pypdf.PdfReader(source)  # type: ignore[arg-type]  # it wants IO[bytes] and uses read, seek and tell
        if reader.is_encrypted:
            raise InputError("the PDF is encrypted; a copy without a password can be read", code="input-unreadable")
        pages = len(reader.pages)
        _bound(pages, spec.limits.max_pages, "pages", "limit-pages")
        facts = PdfFacts(text=_text(reader, spec.limits.max_chars), pages=pages)
    return StageResult(facts=packed(facts))


def _text(reader: pypdf.PdfReader, max_chars: int | None) -> str:
    allowed = min(max_chars or MAX_TEXT_CHARS, MAX_TEXT_CHARS)
    found: list[str] = []
    size = 0
    for page in reader.pages:
        found.append(_whole(page.extract_text().strip()))
        size += len(found[-1])
        _bound(size, allowed, "characters", "limit-chars")
    return "\n\n".join(part for part in found if part)


def _whole(extracted: str) -> str:
    """Surrogate pairs joined, halves replaced: broken character maps give both."""
    return extracted.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _bound(count: int, allowed: int | None, unit: str, code: str) -> None:
    if allowed is not None and count > allowed:
        raise LimitExceeded(f"more than {allowed} {unit}", code=code)


@contextmanager
def _damage() -> Iterator[None]:
    try:
        yield
    except _STUMBLES as error:
        raise InputError(f"the PDF cannot be read: {type(error).__name__}", code="input-damaged") from error
