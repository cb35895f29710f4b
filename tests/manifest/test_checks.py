"""What only shows when all jobs of a manifest are seen together."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.manifest_checks import in_circle
from tests.manifest.conftest import Desk, codes, hints


def jobs(**needs: str) -> str:
    return "".join(f'[[job]]\nid = "{name}"\nkind = "tts"\n{keys}\n' for name, keys in needs.items())


def test_two_jobs_of_one_id_are_both_refused(desk: Desk) -> None:
    manifest = desk.toml(jobs(a="", b="") + jobs(a='out = "other.wav"'))
    assert [(bad.id, bad.where, bad.reasons[0].code) for bad in manifest.bad] == [
        ("a", "job 1", "job-duplicate"),
        ("a", "job 3", "job-duplicate"),
    ]
    assert [job.id for job in manifest.jobs] == ["b"]


def test_a_good_job_with_the_id_of_a_bad_one_is_refused_too(desk: Desk) -> None:
    manifest = desk.toml(jobs(a="voize = 1") + jobs(a=""))
    assert [bad.reasons[0].code for bad in manifest.bad] == ["job-invalid", "job-duplicate"]


def test_an_unknown_parent_is_refused(desk: Desk) -> None:
    manifest = desk.toml(jobs(a='needs = "z"', b='input = "@y"', c=""))
    assert codes(manifest) == {"a": ["job-parent-unknown"], "b": ["job-parent-unknown"]}


def test_the_children_of_a_bad_job_stay_jobs_for_the_plan_to_block(desk: Desk) -> None:
    manifest = desk.toml(jobs(a="voize = 1", b='input = "@a"', c='needs = "b"'))
    assert ([job.id for job in manifest.jobs], list(codes(manifest))) == (["b", "c"], ["a"])


def test_every_job_of_a_circle_is_refused_and_no_other(desk: Desk) -> None:
    manifest = desk.toml(
        jobs(a='needs = "b"', b='input = "@c"', c='needs = ["a", "free"]', free="", after='needs = "a"')
    )
    assert codes(manifest) == {name: ["job-cycle"] for name in "abc"}
    assert [job.id for job in manifest.jobs] == ["free", "after"]


def test_a_job_that_needs_itself_is_a_circle(desk: Desk) -> None:
    assert codes(desk.toml(jobs(a='needs = "a"'))) == {"a": ["job-cycle"]}


graphs = st.dictionaries(st.sampled_from("abcdef"), st.lists(st.sampled_from("abcdefg"), max_size=3), max_size=6)


def reaches_itself(graph: dict[str, list[str]], start: str) -> bool:
    seen: set[str] = set()
    waiting = list(graph.get(start, []))
    while waiting:
        node = waiting.pop()
        if node == start:
            return True
        if node not in seen:
            seen.add(node)
            waiting += graph.get(node, [])
    return False


@settings(max_examples=500, deadline=None)
@given(graph=graphs)
def test_a_circle_is_exactly_what_reaches_itself(graph: dict[str, list[str]]) -> None:
    assert in_circle(graph) == {node for node in graph if reaches_itself(graph, node)}


def test_a_circle_of_a_hundred_thousand_is_found_without_recursion() -> None:
    size = 100_000
    graph = {str(number): [str((number + 1) % size)] for number in range(size)}
    started = time.perf_counter()
    assert len(in_circle(graph)) == size
    assert time.perf_counter() - started < 10


COLLISIONS = {
    "the same name": ('out = "x.wav"', 'out = "x.wav"'),
    "another spelling": ('out = "x.wav"', 'out = "deep/../x.wav"'),
    "through a link": ('out = "real/x.wav"', 'out = "link/x.wav"'),
    "composed and decomposed": ('out = "caf\u00e9.wav"', 'out = "cafe\u0301.wav"'),
    "the receipt of the other": ('out = "x.wav"', 'format = "wav"\nout = "x.wav.receipt.json"'),
}


@pytest.mark.parametrize("what", COLLISIONS)
def test_two_products_of_one_path_are_both_refused_before_any_work(desk: Desk, what: str) -> None:
    (desk.base / "real").mkdir()
    (desk.base / "link").symlink_to("real")
    first, second = COLLISIONS[what]
    if what == "the receipt of the other":
        second = 'out = "x.wav.receipt.{ext}"\nformats = ["json"]'
        text = jobs(a=first) + f'[[job]]\nid = "b"\nkind = "transcription"\n{second}\n'
    else:
        text = jobs(a=first, b=second)
    manifest = desk.toml(text + jobs(c='out = "c.wav"'))
    assert codes(manifest) == {"a": ["output-collision"], "b": ["output-collision"]}
    assert [job.id for job in manifest.jobs] == ["c"]


def test_three_products_of_one_path_are_all_refused(desk: Desk) -> None:
    manifest = desk.toml(jobs(a='out = "x.wav"', b='out = "x.wav"', c='out = "x.wav"'))
    assert sorted(codes(manifest)) == ["a", "b", "c"]


def test_a_folder_whose_template_forgets_the_name_collides(desk: Desk) -> None:
    for name in ("in/talk.wav", "in/talk.mp3", "in/other.wav"):
        desk.file(name)
    manifest = desk.toml(
        '[[folder]]\nid = "f"\nglob = "in/*"\nout = "t/{stem}.{ext}"\n'
        '[[folder.step]]\nid = "s"\nkind = "transcription"\n'
    )
    assert codes(manifest) == {"f/talk.mp3#s": ["output-collision"], "f/talk.wav#s": ["output-collision"]}
    assert "{name}" in hints(manifest)


def test_a_job_does_not_collide_with_itself(desk: Desk) -> None:
    manifest = desk.toml('[[job]]\nid = "a"\nkind = "transcription"\nformats = ["txt", "srt", "json"]\n')
    assert manifest.bad == ()


FOLDER = '[[folder]]\nid = "f"\nglob = "in/**/*"\naccept = ["audio"]\n{keys}\n[[folder.step]]\nid = "s"\n{step}\n'
TRANSCRIBE = 'kind = "transcription"'


def test_a_product_that_the_folder_would_take_as_an_input_is_refused(desk: Desk) -> None:
    desk.file("in/a.wav")
    manifest = desk.toml(FOLDER.format(keys="", step=TRANSCRIBE) + jobs(hello='out = "in/deep/hello.mp3"'))
    assert codes(manifest) == {"hello": ["output-inside-input"]}


def test_a_product_of_a_family_that_the_folder_does_not_take_may_lie_inside(desk: Desk) -> None:
    desk.file("in/a.wav")
    manifest = desk.toml(FOLDER.format(keys='out = "in/{stem}.{ext}"', step=TRANSCRIBE))
    assert (desk.paths(manifest), manifest.bad) == (["in/a.txt"], ())


def test_a_product_that_feeds_its_own_folder_is_refused(desk: Desk) -> None:
    desk.file("in/a.txt", b"TEXT")
    text = FOLDER.replace("audio", "text").format(keys="", step='kind = "canonical_text"')
    assert codes(desk.toml(text))["f/a.txt#s"][0] == "output-inside-input"


@pytest.mark.parametrize("exclude", ["in/deep/**", "deep", "*.mp3", "in/deep"])
def test_an_exclude_pattern_allows_it(desk: Desk, exclude: str) -> None:
    desk.file("in/a.wav")
    text = FOLDER.format(keys=f'exclude = ["{exclude}"]', step=TRANSCRIBE) + jobs(hello='out = "in/deep/hello.mp3"')
    assert desk.toml(text).bad == ()


@pytest.mark.parametrize("out", ["in/.hidden/hello.mp3", "in/~syncthing~x.mp3", "beside/hello.mp3", "inner/hello.mp3"])
def test_what_is_never_taken_may_lie_inside(desk: Desk, out: str) -> None:
    desk.file("in/a.wav")
    assert desk.toml(FOLDER.format(keys="", step=TRANSCRIBE) + jobs(hello=f'out = "{out}"')).bad == ()


def test_a_product_in_a_folder_that_a_link_brings_in_is_refused(desk: Desk) -> None:
    desk.file("in/a.wav")
    desk.file("other/b.wav")
    (desk.base / "in" / "link").symlink_to("../other")
    manifest = desk.toml(FOLDER.format(keys="", step=TRANSCRIBE) + jobs(hello='out = "other/hello.mp3"'))
    assert codes(manifest) == {"hello": ["output-inside-input"]}


def test_a_product_that_would_replace_its_own_input_is_refused(desk: Desk) -> None:
    desk.file("a.txt", b"TEXT")
    text = '[[job]]\nid = "a"\nkind = "canonical_text"\ninput = "a.txt"\nout = "{stem}.{ext}"\n'
    assert codes(desk.toml(text)) == {"a": ["output-inside-input"]}


def test_a_product_on_the_input_of_another_job_is_refused_unless_that_job_waits(desk: Desk) -> None:
    reader = '[[job]]\nid = "b"\nkind = "transcription"\ninput = "speech/a.wav"\n'
    maker = jobs(a='out = "speech/a.wav"')
    manifest = desk.toml(maker + reader)
    assert codes(manifest) == {"a": ["output-inside-input"]}
    assert 'input = "@a"' in hints(manifest)
    assert desk.toml(maker + reader + 'needs = ["a"]\n').bad == ()


def codes_beside_a_spool(desk: Desk, out: str) -> list[str]:
    """What is said of a job whose product goes there, where the folder `spool` is one."""
    for mark in ("spool/ledger.db", "spool/staging/x", "spool/assets/x", "spool/incoming/notes.toml"):
        desk.file(mark)
    keys = f'kind = "transcription"\ninput = "a.wav"\nformats = ["{out.rpartition(".")[2]}"]\nout = "{out}"\n'
    return codes(desk.toml(f'[[job]]\nid = "a"\n{keys}')).get("a", [])


@pytest.mark.parametrize("name", ["idle.json", "claimed/x.json", "standing/x.json", "assets/ab/x.json", "new/x.txt"])
def test_no_product_lands_among_the_files_of_a_spool(desk: Desk, name: str) -> None:
    assert codes_beside_a_spool(desk, f"spool/{name}") == ["output-inside-input"]


def test_a_product_that_the_spool_would_take_for_a_manifest_is_refused(desk: Desk) -> None:
    assert codes_beside_a_spool(desk, "spool/incoming/talk.json") == ["output-inside-input"]


@pytest.mark.parametrize("name", ["incoming/talk.txt", "incoming/texts/talk.json", "../texts/talk.json"])
def test_a_product_beside_dropped_manifests_is_fine_where_nobody_takes_it_for_one(desk: Desk, name: str) -> None:
    assert codes_beside_a_spool(desk, f"spool/{name}") == []
