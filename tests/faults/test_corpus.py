"""A corpus of broken media: cut at every hundredth, bits flipped, names swapped, polyglots, bombs, playlists, nothing.

No wrong accept, no crash, no hang: by the container checks for every one, and by whole runs over a folder of them.
Invariants 11, 15 and 16.
"""

import io
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.core.errors import CODES
from pipeline.media.containers import Examination, examine
from tests.faults.amounts import amount
from tests.makers import Folder, outcomes
from tests.media.oddities import odd_files
from tests.media.zoo import Specimen, whole_files

pytestmark = [pytest.mark.real_time, pytest.mark.timeout(1800)]

PERCENTS = range(1, 100)
FLIPS = amount(short=100, whole=1000)
SWAPPED = ("mp3", "wav", "flac", "m4a", "ogg", "png", "jpg", "webm", "mp4")
AUDIO = ("wav-plain", "mp3", "flac", "m4a", "ogg-opus", "aac", "webm-sound-only")


@pytest.fixture(scope="module")
def whole() -> dict[str, Specimen]:
    return whole_files()


@pytest.fixture(scope="module")
def odd(whole: dict[str, Specimen]) -> dict[str, Specimen]:
    return odd_files(whole)


def examined(body: bytes) -> Examination:
    verdict = examine(io.BytesIO(body), len(body))
    assert verdict.ok or verdict.code in CODES
    return verdict


def is_taken(body: bytes, media_type: str | None) -> bool:
    verdict = examined(body)
    return verdict.ok and verdict.media is not None and verdict.media.media_type == media_type


def test_invariant_16_a_copy_cut_at_any_hundredth_is_refused(
    whole: dict[str, Specimen], figure: Callable[[str], None]
) -> None:
    """Formats without a length may be cut between two units and be whole; their own tests count those places."""
    ends: Counter[str] = Counter()
    for specimen in whole.values():
        for percent in PERCENTS:
            is_whole = is_taken(specimen.body[: len(specimen.body) * percent // 100], specimen.media_type)
            ends[f"{specimen.cuts}, {'taken' if is_whole else 'refused'}"] += 1
    told, between = ends["refused, refused"] + ends["boundary, refused"], ends["boundary, taken"]
    figure(
        f"cuts at every hundredth of {len(whole)} files: {ends.total()}/{ends.total()} without a crash, "
        f"{told} refused, {between} end between two whole units, the rest is of formats that cannot tell"
    )
    assert ends["refused, taken"] == 0
    assert between < ends["boundary, refused"] // 10


def test_invariant_11_a_flipped_bit_never_makes_one_container_pass_as_another(
    whole: dict[str, Specimen], figure: Callable[[str], None]
) -> None:
    """Most bits of sound and pictures say nothing about the container; texts are what their letters are."""
    seed = random.SystemRandom().randrange(1 << 32)
    chance, tried, wrong = random.Random(seed), 0, []
    for specimen in whole.values():
        if specimen.media_type is None or specimen.media_type.startswith(("text/", "application/")):
            continue
        for _ in range(FLIPS):
            body, at = bytearray(specimen.body), chance.randrange(min(len(specimen.body), 4000))
            body[at] ^= 1 << chance.randrange(8)
            verdict, tried = examined(bytes(body)), tried + 1
            if verdict.ok and verdict.media != examined(specimen.body).media and not is_same(verdict, specimen):
                wrong.append((specimen.name, at, verdict.media))
    figure(f"flipped bits: {tried - len(wrong)}/{tried} refused or still of their container (seed {seed})")
    assert wrong == []


def is_same(verdict: Examination, specimen: Specimen) -> bool:
    """An MP4 whose picture track became unreadable is one of sound; that is another type, in the same container."""
    before = examined(specimen.body).media
    return before is not None and verdict.media is not None and before.demuxer == verdict.media.demuxer


def test_a_folder_of_broken_files_under_wrong_names_is_refused_file_by_file(
    tmp_path: Path, whole: dict[str, Specimen], odd: dict[str, Specimen], figure: Callable[[str], None]
) -> None:
    folder = Folder(tmp_path)
    cut = {f"{name}-cut": whole[name].body[: len(whole[name].body) // 2] for name in AUDIO if name in whole}
    broken = {**{name: specimen.body for name, specimen in odd.items()}, **cut, "zero-bytes": b""}
    for number, (name, body) in enumerate(broken.items()):
        (folder.root / "recordings" / f"{name}.{SWAPPED[number % len(SWAPPED)]}").write_bytes(body)
    for name in AUDIO:
        if name in whole:
            (folder.root / "recordings" / f"good-{name}.txt").write_bytes(whole[name].body)
    ended = outcomes(folder.run())
    texts = {job: outcome for job, outcome in ended.items() if job.endswith("#text")}
    bad = {job: outcome for job, outcome in texts.items() if "/good-" not in job}
    assert {outcome.verdict for outcome in bad.values()} <= {"refused"}, Counter(o.verdict for o in bad.values())
    assert "internal" not in {outcome.code for outcome in ended.values()}
    good = [outcome.verdict for job, outcome in texts.items() if "/good-" in job]
    assert folder.calls() == len([verdict for verdict in good if verdict == "done"])
    figure(f"a folder of broken files: {len(bad)}/{len(bad)} refused, {folder.calls()} of {len(good)} whole ones heard")
