"""A reference beside a recording is found by its name, watched, and part of what the job is made of."""

from jobs.transcription import Transcription
from pipeline.core.model import Further
from pipeline.manifest import Manifest, read_manifest
from pipeline.state.roots import Roots
from tests.manifest.conftest import Desk

JOB = '[[job]]\nid = "a"\nkind = "transcription"\ninput = "a.wav"\nout = "out/a.txt"\n'
FOLDER = '[[folder]]\nid = "f"\nglob = "in/*.wav"\nsettle = "0s"\nout = "out/{stem}.{ext}"\n'
STEP = '[[folder.step]]\nid = "text"\nkind = "transcription"\n'


def read(desk: Desk, text: str) -> Manifest:
    return read_manifest(
        f"schema = 1\n{text}".encode(),
        file_name="notes.toml",
        base=str(desk.base),
        kinds={"transcription": Transcription()},
        default_routes=("local",),
        roots=Roots(desk.roots),
        intake=desk.intake,
        now=desk.now,
        limits=desk.limits,
    )


def test_a_text_beside_the_input_is_its_reference(desk: Desk) -> None:
    desk.file("a.wav")
    path = str(desk.base / "a.ref.txt")
    assert read(desk, JOB).jobs[0].further == ()
    desk.file("a.ref.txt")
    made = read(desk, JOB)
    assert made.jobs[0].further == (Further(slot="reference_file", path=path, asked=path),)
    assert path in made.watched


def test_each_file_of_a_folder_has_its_own(desk: Desk) -> None:
    for name in ("in/a.wav", "in/b.wav", "in/b.ref.txt"):
        desk.file(name)
    found = {job.id: [item.path for item in job.further] for job in read(desk, FOLDER + STEP).jobs}
    assert found == {"f/a.wav#text": [], "f/b.wav#text": [str(desk.base / "in" / "b.ref.txt")]}


def test_a_file_that_the_job_names_is_taken_in_its_place(desk: Desk) -> None:
    for name in ("a.wav", "a.ref.txt", "said.txt"):
        desk.file(name)
    (job,) = read(desk, JOB + 'reference_file = "said.txt"\n').jobs
    assert [item.path for item in job.further] == [str(desk.base / "said.txt")]
