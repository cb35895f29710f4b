"""PDF: its header, and an end that is there and points back at a cross-reference.

Promises that the last bytes are the end of a document, not that its objects can be read: that is asked of a child.
The number of pages is not known here.
"""

import re

from pipeline.core.model import Media
from pipeline.media._examination import Content, DamagedError, Examination, catches_damage

PDF = Media(media_type="application/pdf", family="document", extension="pdf")

TAIL_BYTES = 4096
_HEADER = re.compile(rb"%PDF-[12]\.\d")
_END = re.compile(rb"startxref\s+(\d{1,12})\s+%%EOF[\s\0]*\Z")
_CROSS_REFERENCE = re.compile(rb"\s*(?:xref\b|\d{1,10}\s+\d{1,5}\s+obj\b)")


def identify(head: bytes) -> Media | None:
    return PDF if _HEADER.match(head) else None


@catches_damage
def examine(content: Content) -> Examination:
    window = content.window
    tail = window.read(window.size - min(window.size, TAIL_BYTES), TAIL_BYTES)
    end = _END.search(tail)
    if end is None:
        raise DamagedError("cut short: it does not end as a document does (startxref, %%EOF)")
    at = int(end.group(1))
    if not _CROSS_REFERENCE.match(window.read(at, 64)):
        raise DamagedError(f"its end points at byte {at}, where no cross-reference is")
    return Examination(media=content.media, ok=True, facts={"version": window.read(5, 3).decode("latin-1")})
