"""Files that a spec names beside the input: confined, watched, waited for, and never in the way of a product."""

import os

import pytest

from jobs.image import Image
from jobs.video import Video
from pipeline.core.model import Further
from pipeline.manifest import Manifest, read_manifest
from pipeline.state.roots import Roots
from tests.manifest.conftest import Desk, codes

IMAGE = '[[job]]\nid = "i"\nkind = "image"\nprompt = "x"\n'
FOLDER = '[[folder]]\nid = "f"\nglob = "in/*"\naccept = ["image"]\nout = "out/{stem}.{step}.{ext}"\n'


def read(desk: Desk, text: str) -> Manifest:
    return read_manifest(
        f"schema = 1\n{text}".encode(),
        file_name="notes.toml",
        base=str(desk.base),
        kinds={"image": Image(), "video": Video()},
        default_routes=("local",),
        roots=Roots(desk.roots),
        intake=desk.intake,
        now=desk.now,
        limits=desk.limits,
    )


def test_every_named_file_has_its_slot_and_real_path(desk: Desk) -> None:
    for name in ("a.png", "b.png", "m.png"):
        desk.file(name)
    (job,) = read(desk, IMAGE + 'images = ["a.png", "./b.png"]\nmask = "m.png"\n').jobs
    base = str(desk.base)
    assert [(item.slot, item.path) for item in job.further] == [
        ("images.0", f"{base}/a.png"),
        ("images.1", f"{base}/b.png"),
        ("mask", f"{base}/m.png"),
    ]


def test_a_link_is_followed_inside_and_watched_where_it_lies(desk: Desk) -> None:
    desk.file("real/m.png")
    os.symlink(desk.base / "real" / "m.png", desk.base / "m.png")
    made = read(desk, IMAGE + 'mask = "m.png"\n')
    assert made.jobs[0].further[0].path == str(desk.base / "real" / "m.png")
    assert str(desk.base / "m.png") in made.watched


@pytest.mark.parametrize(
    ("text", "code"), [("../m.png", "path-outside-roots"), ("https://x/m.png", "job-invalid"), ("@", "job-invalid")]
)
def test_what_leaves_the_roots_or_is_no_file_is_refused(desk: Desk, text: str, code: str) -> None:
    assert codes(read(desk, IMAGE + f'mask = "{text}"\n')) == {"i": [code]}


def test_a_job_waits_for_the_one_that_makes_what_it_names(desk: Desk) -> None:
    made = read(desk, IMAGE + IMAGE.replace('"i"', '"j"') + 'images = ["@i"]\n')
    assert made.jobs[1].further == (Further(slot="images.0", parent=made.jobs[0].id),)
    assert made.jobs[1].needs == (made.jobs[0].id,)


def test_a_step_names_a_step_of_the_same_file(desk: Desk) -> None:
    desk.file("in/a.png", b"PNG.")
    steps = '[[folder.step]]\nid = "s"\nkind = "image"\nsteps = ["flip"]\n'
    steps += '[[folder.step]]\nid = "v"\nkind = "video"\nlast_frame = "@s"\n'
    small, clip = read(desk, FOLDER + steps).jobs
    assert (clip.further[0].parent, clip.needs) == (small.id, (small.id,))


def test_unknown_makers_and_circles_are_told(desk: Desk) -> None:
    assert codes(read(desk, IMAGE + 'mask = "@nobody"\n')) == {"i": ["job-parent-unknown"]}
    assert codes(read(desk, IMAGE + 'mask = "@i"\n')) == {"i": ["job-cycle"]}


def test_a_product_must_not_land_on_a_file_that_another_job_names(desk: Desk) -> None:
    desk.file("logo.png")
    reader = IMAGE + 'images = ["logo.png"]\n'
    writer = IMAGE.replace('"i"', '"w"') + 'out = "logo.png"\n'
    assert codes(read(desk, reader + writer)) == {"w": ["output-inside-input"]}
