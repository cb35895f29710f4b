"""What of an operation may be told, and what is private in it.

Numbers, types and hashes may be told. The texts of a call may stand in no message and no artifact; names of files may
stand in a report, which is for their owner, and in nothing else. Every new operation names its texts and its media in
`core.operations`; from these alone all is told here.
"""

import os

from pipeline.core.operations import Operation, media_of, texts_of
from pipeline.trace.debug import RequestFacts


def request_facts(operation: Operation) -> RequestFacts:
    media, texts = media_of(operation), texts_of(operation)
    first = media[0] if media else None
    return RequestFacts(
        bytes=sum(ref.size for ref in media) + sum(len(text.encode("utf-8", "replace")) for text in texts),
        chars=sum(len(text) for text in texts) if texts else None,
        media_type=first.media.media_type if first else None,
        seconds=first.seconds if first else None,
        sha256=first.sha256 if first else None,
    )


def names_of(operation: Operation) -> tuple[str, ...]:
    """The files that it names."""
    paths = [ref.path for ref in media_of(operation)]
    return (*paths, *(os.path.basename(path) for path in paths))
