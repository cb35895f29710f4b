"""What of an operation may be told, and what is private in it. Every new operation says both here.

Numbers, types and hashes may be told. The texts of a call may stand in no message and no artifact; names of files may
stand in a report, which is for their owner, and in nothing else.
"""

import os

from pipeline.core.operations import Operation, Speak, Transcribe
from pipeline.trace.debug import RequestFacts


def request_facts(operation: Operation) -> RequestFacts:
    match operation:
        case Speak():
            return RequestFacts(bytes=len(operation.text.encode()), chars=len(operation.text))
        case Transcribe():
            audio = operation.audio
            return RequestFacts(
                bytes=audio.size, media_type=audio.media.media_type, seconds=audio.seconds, sha256=audio.sha256
            )


def texts_of(operation: Operation) -> tuple[str, ...]:
    """What a person wrote for this call. Nobody may repeat a word of it."""
    match operation:
        case Speak():
            return (operation.text,)
        case Transcribe():
            return ()


def names_of(operation: Operation) -> tuple[str, ...]:
    """The files that it names."""
    match operation:
        case Speak():
            return ()
        case Transcribe():
            return (operation.audio.path, os.path.basename(operation.audio.path))
