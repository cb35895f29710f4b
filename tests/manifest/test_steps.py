"""The steps of a folder: the jobs of each file, the names of their products, and steps that are wrong."""

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.errors import ManifestError
from pipeline.manifest import ManifestLimits
from tests.manifest.conftest import AUDIO, CANON, STEP, Desk, codes, folder, hints


def test_each_step_of_each_file_is_a_job_with_its_parent(desk: Desk) -> None:
    desk.file("in/b/a.wav")
    text, canon = desk.toml(folder(steps=STEP + CANON)).jobs
    assert (text.id, text.parent, text.accept) == ("f/b/a.wav#text", None, ("audio",))
    assert (canon.id, canon.parent, canon.needs, canon.input) == (
        "f/b/a.wav#canon",
        "f/b/a.wav#text",
        ("f/b/a.wav#text",),
        None,
    )


def test_a_step_may_need_a_sibling_or_another_job(desk: Desk) -> None:
    desk.file("in/a.wav")
    more = '[[folder.step]]\nid = "c"\nkind = "canonical_text"\nneeds = ["text", "hello"]\n'
    manifest = desk.toml(folder(steps=STEP + more) + '[[job]]\nid = "hello"\nkind = "tts"\n')
    assert manifest.jobs[1].needs == ("f/a.wav#text", "hello")
    assert manifest.jobs[1].input == str(desk.base / "in" / "a.wav")


def test_the_default_name_mirrors_the_tree_beside_the_inputs(desk: Desk) -> None:
    desk.file("in/a.wav")
    desk.file("in/b/c.d.wav")
    assert desk.paths(desk.toml(folder())) == ["in/a.text.txt", "in/b/c.d.text.txt"]


def test_the_default_name_keeps_the_extension_where_two_inputs_share_a_stem(desk: Desk) -> None:
    desk.file("in/talk.mp3", b"ID3.")
    desk.file("in/talk.wav")
    desk.file("in/b/talk.wav")
    assert desk.paths(desk.toml(folder())) == ["in/b/talk.text.txt", "in/talk.mp3.text.txt", "in/talk.wav.text.txt"]


def test_a_file_that_waits_counts_for_shared_stems_so_that_names_stay(desk: Desk) -> None:
    settled, waiting = desk.file("in/talk.mp3", b"ID3."), desk.file("in/talk.wav")
    desk.now = settled.stat().st_ctime + 3600
    os.utime(waiting, (desk.now, desk.now))
    assert desk.paths(desk.toml(folder())) == ["in/talk.mp3.text.txt"]


def test_a_file_that_waits_keeps_its_index(desk: Desk) -> None:
    waiting, settled = desk.file("in/a.wav"), desk.file("in/b.wav")
    desk.now = settled.stat().st_ctime + 3600
    os.utime(waiting, (desk.now, desk.now))
    assert desk.paths(desk.toml(folder(keys=AUDIO + 'out = "{index}.{ext}"'))) == ["0002.txt"]


def test_out_of_a_folder_holds_for_all_steps_and_a_step_may_have_its_own(desk: Desk) -> None:
    desk.file("in/b/a.wav")
    steps = STEP + CANON + 'out = "c/{stem}.{ext}"\n'
    manifest = desk.toml(folder(keys=AUDIO + 'out = "t/{reldir}/{index}.{lang}.{step}.{ext}"', steps=steps))
    assert desk.paths(manifest) == ["t/b/0001.auto.text.txt", "c/a.txt", "c/a.provenance.json"]


def test_braces_in_the_name_of_a_folder_are_only_braces(desk: Desk) -> None:
    desk.file("in {x}/a.wav")
    assert desk.paths(desk.toml(folder("in {x}/*"))) == ["in {x}/a.text.txt"]


WRONG_FOLDERS = {
    AUDIO: ("", "the folder has no steps"),
    'accept = ["sound"]': (STEP, "sound"),
    "accept = []": (STEP, "accept is empty"),
    'acept = ["audio"]': (STEP, 'did you mean "accept"?'),
    'settle = "soon"': (STEP, "not a duration"),
    'out = "{stam}.{ext}"': (STEP, 'did you mean "stem"?'),
    'kind = "tts"': (STEP, "'kind' is not known"),
    "exclude = [1]": (STEP, "exclude (entry 1) is a whole number"),
    "step = 5": ("", "the folder has no steps"),
}


@pytest.mark.parametrize("keys", WRONG_FOLDERS)
def test_a_wrong_folder_harms_only_itself_and_says_why(desk: Desk, keys: str) -> None:
    desk.file("in/a.wav")
    steps, want = WRONG_FOLDERS[keys]
    manifest = desk.toml(folder(keys=keys, steps=steps) + '[[job]]\nid = "hello"\nkind = "tts"\n')
    assert ([job.id for job in manifest.jobs], list(codes(manifest))) == (["hello"], ["f"])
    assert want in hints(manifest)


def test_two_folders_of_one_id_are_both_refused(desk: Desk) -> None:
    desk.file("in/a.wav")
    manifest = desk.toml(folder() + folder())
    assert [(bad.id, bad.where, bad.reasons[0].code) for bad in manifest.bad] == [
        ("f", "folder 1", "job-duplicate"),
        ("f", "folder 2", "job-duplicate"),
    ]


WRONG_STEPS = {
    '[[folder.step]]\nid = "x"\nkind = "tttts"\n': {"f#x": "job-invalid"},
    '[[folder.step]]\nkind = "tts"\n': {"f#2": "job-invalid"},
    '[[folder.step]]\nid = "x"\nkind = "tts"\ninput = "a"\n': {"f#x": "job-invalid"},
    '[[folder.step]]\nid = "x"\nkind = "canonical_text"\nfrom = "y"\n': {"f#x": "job-parent-unknown"},
    '[[folder.step]]\nid = "x"\nkind = "canonical_text"\nfrom = "x"\n': {"f#x": "job-cycle"},
    '[[folder.step]]\nid = "x"\nkind = "no"\n[[folder.step]]\nid = "y"\nkind = "canonical_text"\nfrom = "x"\n': {
        "f#x": "job-invalid",
        "f#y": "job-invalid",
    },
    '[[folder.step]]\nid = "x"\nkind = "canonical_text"\nfrom = "y"\n'
    '[[folder.step]]\nid = "y"\nkind = "canonical_text"\nneeds = ["x"]\n': {"f#x": "job-cycle", "f#y": "job-cycle"},
}


@pytest.mark.parametrize("steps", WRONG_STEPS)
def test_a_wrong_step_is_told_once_and_takes_its_readers_with_it(desk: Desk, steps: str) -> None:
    for name in ("in/a.wav", "in/b.wav"):
        desk.file(name)
    manifest = desk.toml(folder(steps=STEP + steps))
    assert {key: found[0] for key, found in codes(manifest).items()} == WRONG_STEPS[steps]
    assert [job.id for job in manifest.jobs] == ["f/a.wav#text", "f/b.wav#text"]


def test_two_steps_of_one_id_are_both_refused(desk: Desk) -> None:
    assert codes(desk.toml(folder(".gone*", steps=STEP + STEP))) == {"f#text": ["job-duplicate"]}


def test_several_products_need_the_extension_in_the_template(desk: Desk) -> None:
    steps = STEP + 'formats = ["txt", "srt"]\n'
    assert "no {ext} but there are 2 products" in hints(desk.toml(folder("*", AUDIO + 'out = "o/{stem}.txt"', steps)))


ODD_NAMES = [
    b"a\nb.wav",
    b"\x1b[2J.wav",
    b"x" * 251 + b".wav",
    b"x" * 230 + b".wav",
    b"\xff\xfe.wav",
    "evil\u202ewav.wav".encode(),
    "caf\u00e9.wav".encode(),
    "cafe\u0301.wav".encode(),
    b"-rf.wav",
    b"{stem}.wav",
    b"a b\\c'\"$(x).wav",
    "語🎧.wav".encode(),
]


def test_invariant_28_odd_names_are_taken_or_refused_and_always_shown_harmless(desk: Desk) -> None:
    for name in ODD_NAMES:
        desk.file(os.fsdecode(b"in/" + name))
    manifest = desk.toml(folder(keys=AUDIO + 'out = "t/{stem}.{step}.{ext}"'))
    shown = [job.id for job in manifest.jobs] + [bad.id for bad in manifest.bad]
    harmless = sum(text.isprintable() for text in shown)
    print(f"invariant 28: {harmless}/{len(ODD_NAMES)} odd file names taken or refused under a harmless id")
    assert harmless == len(shown) == len(ODD_NAMES)
    assert codes(manifest) == {
        "f/a\\x0ab.wav": ["path-unsafe"],
        "f/\\x1b[2J.wav": ["path-unsafe"],
        f"f/{'x' * 251}.wav#text": ["path-unsafe"],
        "f/caf\u00e9.wav#text": ["output-collision"],
        "f/cafe\u0301.wav#text": ["output-collision"],
    }


def test_names_that_look_the_same_are_told_as_that_and_rename_one_is_the_advice(desk: Desk) -> None:
    for name in ("caf\u00e9.wav", "cafe\u0301.wav"):
        desk.file(f"in/{name}")
    told = hints(desk.toml(folder(keys=AUDIO + 'out = "t/{name}.{step}.{ext}"'))).splitlines()
    assert len(told) == 2
    assert all("in another encoding of the same letters" in line and "| rename one of them" in line for line in told)


def test_a_name_that_is_too_long_says_so_before_its_own_length_hides_it(desk: Desk) -> None:
    desk.file(f"in/{'x' * 251}.wav")
    told = hints(desk.toml(folder(keys=AUDIO + 'out = "t/{name}.{step}.{ext}"')))
    assert "x…' is too long" in told[:120]


@settings(max_examples=150, deadline=None)
@given(names=st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=4, unique=True))
def test_invariant_28_any_file_name_gives_harmless_ids_and_messages(
    tmp_path_factory: pytest.TempPathFactory, names: list[bytes]
) -> None:
    desk = Desk(tmp_path_factory.mktemp("names"))
    for name in names:
        if name not in (b".", b"..") and not set(name) & set(b"/\0"):
            desk.file(os.fsdecode(b"in/" + name + b".wav"))
    (desk.base / "in").mkdir(exist_ok=True)
    manifest = desk.toml(folder())
    assert all(job.id.isprintable() for job in manifest.jobs)
    assert all(text.isprintable() for text in [bad.id for bad in manifest.bad] + hints(manifest).splitlines())


def test_the_same_folder_gives_the_same_jobs_in_the_same_order(desk: Desk) -> None:
    for name in ("in/b.wav", "in/a.wav", "in/B/a.wav", "in/é.wav", "in/a/z.wav"):
        desk.file(name)
    first, again = (desk.toml(folder(steps=STEP + CANON)) for _ in range(2))
    assert (first.jobs, first.jobs[0].id) == (again.jobs, "f/B/a.wav#text")


def test_a_folder_that_makes_too_many_jobs_is_refused(desk: Desk) -> None:
    for number in range(3):
        desk.file(f"in/{number}.wav")
    desk.limits = ManifestLimits(max_jobs=5)
    with pytest.raises(ManifestError, match="more than 5 jobs"):
        desk.toml(folder(steps=STEP + CANON))


@pytest.mark.skipif(not os.access("/dev/shm", os.W_OK), reason="only a memory file system keeps such a time")
def test_a_date_that_no_calendar_has_harms_only_its_file() -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as base:
        desk = Desk(Path(base))
        desk.file("in/a.wav")
        os.utime(desk.file("in/b.wav"), (1, -(2**40)))
        manifest = desk.toml(folder(keys=AUDIO + 'out = "o/{date}.{name}.{ext}"'))
    assert (len(manifest.jobs), codes(manifest)) == (1, {"f/b.wav#text": ["input-unreadable"]})
