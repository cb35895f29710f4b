"""Cut short means refused: invariant 16."""

import io
from collections.abc import Callable

import pytest

from pipeline.media.containers import Examination, examine
from tests.media.zoo import Specimen

# In how many places the last so many bytes may be cut without a trace: wherever a frame or fragment ends.
UNITS = {
    "mp3-bare": (1200, 6),  # frames of 192 bytes
    "mp3-live": (1200, 6),  # a pipe leaves the header's count of frames empty
    "mp3": (1200, 1),  # the last frame only: some writers count one more than there is
    "aac": (1200, 6),  # frames of about 190 bytes
    "flac-live": (700, 1),  # the last frame is a short one
    "mp4-sound-fragmented": (1200, 1),  # in front of the access table at its end
}
# Exactly 21 of its 42 frames: nothing in these bytes says that there were more. Callers compare durations.
UNTOLD = {("mp2", "50 %")}


def examined(body: bytes) -> Examination:
    return examine(io.BytesIO(body), len(body))


def passes(body: bytes, specimen: Specimen) -> bool:
    """Is this still taken as what the specimen is? (The first two bytes of a tag are a fine text.)"""
    verdict = examined(body)
    return verdict.ok and verdict.media is not None and verdict.media.media_type == specimen.media_type


def cuts(body: bytes) -> dict[str, bytes]:
    share = {f"{percent} %": max(1, len(body) * percent // 100) for percent in (1, 50, 99)}
    return {name: body[:length] for name, length in (share | {"last byte": len(body) - 1}).items()}


def test_invariant_16_a_cut_file_of_any_format_is_refused(
    whole: dict[str, Specimen], tell: Callable[[str], None]
) -> None:
    tried = [
        (each.name, where, passes(body, each))
        for each in whole.values()
        if each.cuts != "untold"
        for where, body in cuts(each.body).items()
    ]
    passed = {(name, where) for name, where, is_passing in tried if is_passing}
    tell(f"invariant 16: {len(tried)}/{len(tried)} cut copies refused, or cut between two frames as {passed} are")
    assert passed == UNTOLD
    assert len(tried) > 200


def test_invariant_16_formats_that_state_their_length_are_refused_wherever_they_are_cut(
    whole: dict[str, Specimen], tell: Callable[[str], None]
) -> None:
    refused = tried = 0
    for each in whole.values():
        if each.cuts == "refused":
            step = max(1, len(each.body) // 40)
            places = [*range(1, len(each.body), step), *range(max(1, len(each.body) - 20), len(each.body))]
            refused += sum(not passes(each.body[:length], each) for length in places)
            tried += len(places)
    tell(f"invariant 16: {refused}/{tried} cuts anywhere refused")
    assert refused == tried


@pytest.mark.parametrize("name", sorted(UNITS))
def test_formats_without_a_length_pass_only_when_cut_between_two_units(whole: dict[str, Specimen], name: str) -> None:
    body, (tail, units) = whole[name].body, UNITS[name]
    passing = [length for length in range(len(body) - tail, len(body)) if passes(body[:length], whole[name])]
    assert len(passing) == units


def test_a_cut_wav_is_refused_with_the_missing_bytes(whole: dict[str, Specimen]) -> None:
    verdict = examined(whole["wav-plain"].body[:-1000])
    assert (verdict.code, verdict.reason) == (
        "input-damaged",
        "cut short: 1000 bytes are missing of what the header says",
    )


def test_a_cut_file_still_says_what_it_would_have_been(whole: dict[str, Specimen]) -> None:
    for name in ("mp4", "webm", "ogg-opus", "flac", "mp3", "png", "wav"):
        verdict = examined(whole[name].body[: len(whole[name].body) // 2])
        assert verdict.media is not None, name
        assert verdict.media.media_type == whole[name].media_type


def test_more_bytes_announced_than_a_file_gives_is_a_cut(whole: dict[str, Specimen]) -> None:
    for name in ("wav", "mp3", "ogg-opus", "flac", "mp4", "webm", "png", "gif", "jpeg", "prose", "pdf"):
        body = whole[name].body
        assert not examine(io.BytesIO(body), len(body) + 100).ok, name
