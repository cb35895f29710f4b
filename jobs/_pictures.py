"""Pictures that a job reads: named by hash, looked at before they are sent, turned upright where a camera lay.

Owned by no kind. Promises that a picture that cannot be decoded, is too large or moves is refused before anything is
sent. Decodes nothing itself.
"""

import os
from collections.abc import Sequence

from pipeline.core.confine import display_path, say_which
from pipeline.core.errors import InputError, LimitExceeded
from pipeline.core.kinds import JobContext, Sources
from pipeline.core.model import Refusal, Source
from pipeline.core.operations import MediaRef, ref_of

SENT_TYPES = frozenset({"image/png", "image/jpeg", "image/webp", "image/gif"})
MAX_PICTURE_BYTES = 50_000_000
MAX_PICTURES = 16
MAX_PIXELS = 64_000_000
IMAGE = "image"


def listed(field: str, more: Sources) -> list[Source]:
    """The sources of a field that is a list, in its order."""
    slots = [slot for slot in more if slot.startswith(f"{field}.")]
    return [more[slot] for slot in sorted(slots, key=lambda slot: int(slot.rpartition(".")[2]))]


def against_pictures(pictures: Sequence[Source], what: str) -> list[Refusal]:
    """Why these cannot be sent as pictures; `what` they are to the job. Of several, which one is told."""
    reasons = []
    for picture in pictures:
        named = f"{what} '{display_path(os.path.basename(picture.path))}'"
        if picture.media.media_type not in SENT_TYPES:
            message = f"{named} is {picture.media.media_type}, no picture"
            reasons.append(Refusal(code="input-type", message=message, hint="give png, jpeg, webp or gif"))
        elif picture.size > MAX_PICTURE_BYTES:
            message = f"{named} has {picture.size} bytes, {MAX_PICTURE_BYTES} allowed"
            reasons.append(Refusal(code="limit-bytes", message=message, hint="make it smaller first"))
    return reasons


async def upright(ctx: JobContext, source: Source, name: str, *, may_move: bool = False) -> MediaRef:
    """What is sent for a picture: its own bytes, or an upright copy of one that a camera marked as turned."""
    ref = ref_of(source)
    try:
        found = await ctx.look(ref)
    except (InputError, LimitExceeded) as error:
        say_which(error, source.path)
        raise
    if found.frames > 1 and not may_move:
        name = display_path(os.path.basename(source.path))
        raise InputError(f"the picture '{name}' moves: it has {found.frames} frames", hint="give a still picture")
    if not found.is_turned:
        return ref
    return await ctx.upright(ref, ctx.scratch / f"{name}.{source.media.extension}")
