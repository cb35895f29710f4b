"""What the PDF stage is asked and what it answers, on both sides of the process border. No pypdf here."""

from msgspec import Struct

MAX_TEXT_CHARS = 5_000_000  # whatever a caller allows: the text travels in one message


class PdfFacts(Struct, frozen=True, kw_only=True):
    """The text of all pages, an empty line between them."""

    text: str
    pages: int
