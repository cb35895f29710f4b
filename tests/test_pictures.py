"""Whole runs of pictures and clips: real children, ledger and store; of the routes only the painter is scripted."""

import json
import struct
import zlib
from pathlib import Path

import msgspec
import pytest
from PIL import Image

from pipeline.core.model import Outcome
from pipeline.runtime import World
from tests.makers import Folder, outcomes
from tests.painter import painted

pytestmark = pytest.mark.real_time

PAINT = '[[job]]\nid = "cat"\nkind = "image"\nprompt = "A canary."\nroute = "painter"\nout = "out/{id}.{ext}"\n'
STEPS = '[[job]]\nid = "small"\nkind = "image"\ninput = "a.png"\nout = "out/{id}.{ext}"\n'
CLIP = '[[job]]\nid = "clip"\nkind = "video"\nseconds = 1\nsize = "64x64"\nout = "out/{id}.{ext}"\n'


class Studio(Folder):
    """A folder with pictures; routes are the embedded ones and the painter."""

    def __init__(self, root: Path, jobs: str, **painter: str) -> None:
        super().__init__(root)
        self.paint(**painter)
        self.write(jobs)
        (root / "a.png").write_bytes(painted("teal"))

    def paint(self, **options: str) -> None:
        lines = [f"{name} = {json.dumps(value)}" for name, value in {"calls": str(self.calls_file), **options}.items()]
        table = '[routes.painter]\ndriver = "painter"\n[routes.painter.options]\n' + "\n".join(lines) + "\n"
        self.config.write_text(table)

    def write(self, jobs: str) -> None:
        self.manifest.write_text(f'schema = 1\nname = "pictures"\n{jobs}')

    def world(self) -> World:
        drivers = {
            name: f"pipeline.routes.{name}:open_driver" for name in ("whisper", "hibari", "pico", "pillow", "stills")
        }
        return msgspec.structs.replace(super().world(), drivers={"painter": "tests.painter:open_driver", **drivers})

    def ended(self, **options: object) -> dict[str, Outcome]:
        return outcomes(self.run(**options))

    def made(self) -> list[str]:
        return sorted(path.name for path in (self.root / "out").glob("*") if not path.name.endswith(".json"))


def test_pictures_are_published_in_the_bytes_that_came_and_a_second_run_changes_nothing(tmp_path: Path) -> None:
    studio = Studio(tmp_path, PAINT + "n = 2\n")
    assert studio.ended()["cat"].verdict == "done"
    assert studio.made() == ["cat.2.png", "cat.png"]
    assert studio.product("cat.2.png").read_bytes() == painted("lime")
    assert studio.ended()["cat"].verdict == "unchanged"
    assert studio.calls() == 1


def test_fewer_pictures_are_told_and_are_no_reason_to_ask_again(tmp_path: Path) -> None:
    studio = Studio(tmp_path, PAINT + "n = 3\n", made="1", paid="0.05")
    outcome = studio.ended()["cat"]
    assert (outcome.verdict, outcome.reason) == ("done", "1 of 3 pictures were made")
    again = studio.ended()["cat"]
    assert (again.verdict, again.products) == ("unchanged", (str(studio.product("cat.png")),))
    assert studio.calls() == 1


def test_a_picture_of_another_type_has_its_own_ending_and_stays_unchanged(tmp_path: Path) -> None:
    studio = Studio(tmp_path, PAINT.replace("{id}.{ext}", "cat.png"), type="jpeg")
    assert studio.ended()["cat"].reason == "made as image/jpeg, not as png, and named so"
    assert (studio.made(), studio.product("cat.jpg.receipt.json").exists()) == (["cat.jpg"], True)
    assert studio.ended()["cat"].verdict == "unchanged"
    studio.product("cat.jpg").unlink()
    assert studio.ended()["cat"].verdict == "done"
    assert (studio.made(), studio.calls()) == (["cat.jpg"], 1)


def test_a_file_in_the_way_of_a_name_that_nobody_planned_is_not_overwritten_even_by_force(tmp_path: Path) -> None:
    studio = Studio(tmp_path, PAINT, type="jpeg")
    studio.product("cat.jpg").parent.mkdir()
    studio.product("cat.jpg").write_bytes(b"precious")
    for is_forced in (False, True):
        assert studio.ended(is_forced=is_forced)["cat"].code == "output-exists"
    assert studio.product("cat.jpg").read_bytes() == b"precious"


def test_a_paid_picture_whose_own_name_is_taken_has_failed_once_and_is_placed_when_it_is_free(tmp_path: Path) -> None:
    studio = Studio(tmp_path, PAINT, type="jpeg", paid="0.05")
    studio.product("cat.jpg").parent.mkdir()
    studio.product("cat.jpg").write_bytes(b"precious")
    assert [studio.ended()["cat"].verdict for _ in range(3)] == ["failed", "unchanged", "unchanged"]
    studio.product("cat.jpg").unlink()
    assert (studio.ended()["cat"].verdict, studio.calls()) == ("done", 1)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"BM" + bytes(60), "its content is none that is taken"),
        (b"<!doctype html><html></html>", "no picture"),
        (painted("red")[:60], "cut short"),
        (b"", "the file is empty"),
    ],
    ids=["unknown", "another family", "damaged", "empty"],
)
def test_of_several_pictures_the_one_that_is_wrong_is_named(tmp_path: Path, content: bytes, said: str) -> None:
    studio = Studio(tmp_path, PAINT + 'images = ["a.png", "b.png"]\n')
    (tmp_path / "b.png").write_bytes(content)
    outcome = studio.ended()["cat"]
    assert outcome.verdict == "refused"
    assert ("b.png" in outcome.reason, "a.png" in outcome.reason, said in outcome.reason) == (True, False, True)


def test_of_several_pictures_the_one_that_cannot_be_decoded_is_named(tmp_path: Path) -> None:
    studio = Studio(tmp_path, PAINT + 'images = ["a.png", "b.png"]\n')
    (tmp_path / "b.png").write_bytes(undecodable())
    outcome = studio.ended()["cat"]
    assert (outcome.verdict, outcome.code) == ("refused", "input-damaged")
    assert outcome.reason.startswith("'b.png': the picture cannot be decoded")
    assert studio.calls() == 0


def undecodable() -> bytes:
    """A PNG whose every chunk is whole, and whose pixels are noise."""
    head = struct.pack(">IIBBBBB", 50, 50, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", b"noise" * 20) + chunk(b"IEND", b"")


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def test_a_new_picture_replaces_our_own_under_that_name(tmp_path: Path) -> None:
    studio = Studio(tmp_path, PAINT, type="jpeg")
    studio.ended()
    studio.write(PAINT.replace("A canary.", "A dog."))
    assert studio.ended()["cat"].verdict == "done"
    assert studio.calls() == 2


def test_a_prompt_without_a_route_that_understands_it_is_refused_and_never_faked(tmp_path: Path) -> None:
    studio = Studio(tmp_path, PAINT.replace('route = "painter"\n', ""))
    outcome = studio.ended()["cat"]
    assert (outcome.verdict, outcome.code) == ("refused", "operation-unsupported")
    assert "name a route that can" in outcome.hint
    assert studio.made() == []


def test_steps_make_exactly_what_they_say_in_the_type_of_their_input(tmp_path: Path) -> None:
    studio = Studio(tmp_path, STEPS + 'steps = ["resize 16x12", "rotate 90"]\n')
    Image.new("RGB", (64, 48), "teal").save(tmp_path / "a.png", "JPEG")
    assert studio.ended()["small"].verdict == "done"
    with Image.open(studio.product("small.jpg")) as picture:
        assert picture.size == (12, 16)
    assert studio.ended()["small"].verdict == "unchanged"


def test_a_job_reads_the_picture_of_another_by_its_real_name(tmp_path: Path) -> None:
    studio = Studio(tmp_path, PAINT + CLIP + 'first_frame = "@cat"\nlast_frame = "a.png"\n', type="jpeg")
    assert {name: outcome.verdict for name, outcome in studio.ended().items()} == {"cat": "done", "clip": "done"}
    assert studio.made() == ["cat.jpg", "clip.jpg", "clip.mp4"]
    receipt = json.loads(studio.product("clip.mp4.receipt.json").read_text())
    assert (receipt["facts"]["made_from"], receipt["facts"]["motion"]) == ("stills", "crossfade")
    assert {outcome.verdict for outcome in studio.ended().values()} == {"unchanged"}


def test_a_further_input_counts_by_its_content_and_not_by_its_name(tmp_path: Path) -> None:
    studio = Studio(tmp_path, CLIP + 'first_frame = "a.png"\nposter = "none"\n')
    assert studio.ended()["clip"].verdict == "done"
    (tmp_path / "a.png").rename(tmp_path / "b.png")
    studio.write(CLIP + 'first_frame = "b.png"\nposter = "none"\n')
    assert studio.ended()["clip"].verdict == "unchanged"
    (tmp_path / "b.png").write_bytes(painted("maroon"))
    assert studio.ended()["clip"].verdict == "done"


def test_a_further_input_that_is_missing_or_outside_is_refused(tmp_path: Path) -> None:
    studio = Studio(
        tmp_path / "desk",
        CLIP + 'first_frame = "none.png"\n' + CLIP.replace('"clip"', '"far"') + 'first_frame = "../x.png"\n',
    )
    (tmp_path / "x.png").write_bytes(painted("teal"))
    assert studio.ended()["clip"].code == "input-missing"
    assert studio.ended()["far"].code == "path-outside-roots"


def test_a_mask_that_the_route_does_not_take_leaves_every_other_pixel_as_it_was(tmp_path: Path) -> None:
    job = PAINT + 'input = "a.png"\nmask = "mask.png"\n'
    studio = Studio(tmp_path, job, type="jpeg")
    mask = Image.new("RGBA", (32, 24), (0, 0, 0, 255))
    mask.paste((0, 0, 0, 0), (0, 0, 8, 24))
    mask.save(tmp_path / "mask.png")
    outcome = studio.ended()["cat"]
    assert outcome.verdict == "done"
    with Image.open(studio.product("cat.png")) as made, Image.open(tmp_path / "a.png") as original:
        assert made.crop((8, 0, 32, 24)).tobytes() == original.crop((8, 0, 32, 24)).tobytes()
        assert made.getpixel((2, 2)) != original.getpixel((2, 2))


def test_a_picture_beyond_the_pixels_of_the_job_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    studio = Studio(tmp_path, PAINT + 'input = "a.png"\nlimits = { max_pixels = 767 }\n')
    assert studio.ended()["cat"].code == "limit-pixels"
    assert studio.calls() == 0


def test_a_picture_that_a_camera_turned_is_sent_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    studio = Studio(tmp_path, PAINT + 'input = "a.jpg"\n')
    Image.new("RGB", (64, 48), "teal").save(tmp_path / "a.jpg", exif=exif)
    assert studio.ended()["cat"].verdict == "done"
    assert studio.ended()["cat"].verdict == "unchanged"


def test_a_spool_far_from_the_pictures_serves_as_well(tmp_path: Path) -> None:
    studio = Studio(tmp_path / "desk", PAINT + CLIP + 'first_frame = "@cat"\n')
    studio.spool = tmp_path / "elsewhere" / "spool"
    assert {outcome.verdict for outcome in studio.ended().values()} == {"done"}
    assert studio.made() == ["cat.png", "clip.jpg", "clip.mp4"]


def test_no_product_may_land_on_a_further_input(tmp_path: Path) -> None:
    studio = Studio(tmp_path, PAINT.replace("out/{id}.{ext}", "a.png") + CLIP + 'first_frame = "a.png"\n')
    result = studio.run()
    assert {outcome.code for outcome in outcomes(result).values()} >= {"output-inside-input"}
    assert (tmp_path / "a.png").read_bytes() == painted("teal")
