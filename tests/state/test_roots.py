"""Roots: a path is judged by where its links lead, for inputs and for products that do not exist yet."""

import os
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.errors import ConfigError, InputError
from pipeline.state.roots import MAX_OUTPUT_NAME_BYTES, Roots
from tests.core.test_confine import race, swapping


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """Two roots, `in` and `out`, and a place that is none of them, with links in all directions."""
    for name in ("in", "in/deep", "out", "else"):
        (tmp_path / name).mkdir()
    (tmp_path / "in" / "a.wav").write_bytes(b"inside")
    (tmp_path / "else" / "a.wav").write_bytes(b"SECRET")
    (tmp_path / "in" / "away").symlink_to(tmp_path / "else")
    (tmp_path / "in" / "away.wav").symlink_to(tmp_path / "else" / "a.wav")
    (tmp_path / "in" / "other").symlink_to(tmp_path / "out")
    (tmp_path / "in" / "same.wav").symlink_to("a.wav")
    (tmp_path / "in" / "loop").symlink_to("loop")
    (tmp_path / "in" / "dangling.wav").symlink_to("none.wav")
    os.mkfifo(tmp_path / "in" / "pipe.wav")
    return tmp_path


@pytest.fixture
def roots(base: Path) -> Roots:
    return Roots([str(base / "in"), str(base / "out")])


def resolve_input(roots: Roots, path: str) -> str:
    folder, name = os.path.split(path)
    return roots.input_in(roots.resolve_folder(folder), name)


def input_code(roots: Roots, path: object) -> str:
    with pytest.raises(InputError) as caught:
        resolve_input(roots, str(path))
    assert caught.value.hint
    return caught.value.code


def output_code(roots: Roots, path: object) -> str:
    with pytest.raises(InputError) as caught:
        roots.resolve_output(str(path))
    return caught.value.code


def test_the_names_for_children_are_short_and_lead_to_real_folders(base: Path, roots: Roots) -> None:
    assert roots.names() == {"r0": str(base / "in"), "r1": str(base / "out")}


def test_a_root_given_through_a_link_or_twice_is_one_real_folder(base: Path) -> None:
    assert Roots([str(base / "in" / "other"), str(base / "out")]).names() == {"r0": str(base / "out")}


def test_a_root_that_is_no_folder_is_a_mistake_in_the_settings(base: Path) -> None:
    with pytest.raises(ConfigError, match="is not a folder"):
        Roots([str(base / "none")])


def test_the_whole_tree_may_be_a_root(base: Path) -> None:
    assert resolve_input(Roots(["/"]), str(base / "else" / "a.wav")) == str(base / "else" / "a.wav")


def test_a_file_inside_a_root_is_taken(base: Path, roots: Roots) -> None:
    assert resolve_input(roots, f"{base}/in/deep/../a.wav") == str(base / "in" / "a.wav")


def test_a_link_that_stays_inside_is_taken_as_what_it_leads_to(base: Path, roots: Roots) -> None:
    assert resolve_input(roots, str(base / "in" / "same.wav")) == str(base / "in" / "a.wav")


WAYS_OUT = ["else/a.wav", "in/../else/a.wav", "in/away/a.wav", "in/away.wav", "in/other/../else/a.wav", "in"]


@pytest.mark.parametrize("path", WAYS_OUT)
def test_an_input_outside_the_roots_is_refused(base: Path, roots: Roots, path: str) -> None:
    assert input_code(roots, base / path if path != "in" else "/etc/passwd") == "path-outside-roots"


def test_a_neighbour_whose_name_only_begins_like_a_root_is_outside(base: Path, roots: Roots) -> None:
    (base / "inner").mkdir()
    (base / "inner" / "a.wav").write_bytes(b"")
    assert input_code(roots, base / "inner" / "a.wav") == "path-outside-roots"


@pytest.mark.parametrize("name", ["pipe.wav", "deep", "loop", "a\nb.wav", "x" * 256, "", ".", "..", "a.wav/more"])
def test_an_odd_input_is_unsafe(base: Path, roots: Roots, name: str) -> None:
    assert input_code(roots, f"{base}/in/deep/../{name}") in ("path-unsafe", "path-outside-roots")


def test_a_device_is_unsafe() -> None:
    assert input_code(Roots(["/dev"]), "/dev/null") == "path-unsafe"


@pytest.mark.parametrize("name", ["none.wav", "dangling.wav", "none/a.wav"])
def test_a_missing_input_is_missing(base: Path, roots: Roots, name: str) -> None:
    assert input_code(roots, base / "in" / name) == "input-missing"


def test_a_relative_path_is_refused(roots: Roots) -> None:
    assert input_code(roots, "a.wav") == "path-unsafe"


def test_a_product_in_folders_that_do_not_exist_yet_is_placed(base: Path, roots: Roots) -> None:
    assert roots.resolve_output(f"{base}/out/new/./er/a.txt") == str(base / "out" / "new" / "er" / "a.txt")


def test_a_product_through_a_link_between_roots_gets_its_real_path(base: Path, roots: Roots) -> None:
    assert roots.resolve_output(str(base / "in" / "other" / "new" / "a.txt")) == str(base / "out" / "new" / "a.txt")


@pytest.mark.parametrize(
    "path", ["else/a.txt", "in/away/new/a.txt", "in/away.wav", "out/../a.txt", "out/x/../../a.txt"]
)
def test_a_product_outside_the_roots_is_refused(base: Path, roots: Roots, path: str) -> None:
    assert output_code(roots, base / path) == "path-outside-roots"


@pytest.mark.parametrize(
    "path", ["in/a.wav/a.txt", "in/pipe.wav", "in/deep", "in/loop", "in/loop/a.txt", "out/n\n/a.txt"]
)
def test_a_product_where_none_can_be_is_unsafe(base: Path, roots: Roots, path: str) -> None:
    assert output_code(roots, base / path) == "path-unsafe"


def test_a_product_name_leaves_room_for_its_receipt(base: Path, roots: Roots) -> None:
    longest = "x" * MAX_OUTPUT_NAME_BYTES
    assert roots.resolve_output(f"{base}/out/{longest}").endswith(longest)
    assert output_code(roots, f"{base}/out/{longest}x") == "path-unsafe"


def test_an_existing_product_is_a_place_too(base: Path, roots: Roots) -> None:
    assert roots.resolve_output(str(base / "in" / "a.wav")) == str(base / "in" / "a.wav")


def test_the_opened_file_is_the_one_that_was_resolved(base: Path, roots: Roots) -> None:
    with os.fdopen(roots.open(resolve_input(roots, str(base / "in" / "same.wav"))), "rb") as file:
        assert file.read() == b"inside"


@pytest.mark.parametrize("path", ["in/away/a.wav", "in/away.wav", "in/../else/a.wav", "else/a.wav"])
def test_opening_refuses_what_was_never_resolved(base: Path, roots: Roots, path: str) -> None:
    with pytest.raises(InputError) as caught:
        os.close(roots.open(str(base / path)))
    assert caught.value.code == "path-outside-roots"


def test_an_error_never_carries_a_raw_control_character(base: Path, roots: Roots) -> None:
    with pytest.raises(InputError) as caught:
        resolve_input(roots, f"{base}/in/a\x1b]0;x\x07\n.wav")
    assert caught.value.message.isprintable()


def resolve_and_read(roots: Roots, path: str) -> bytes:
    try:
        fd = roots.open(resolve_input(roots, path))
    except InputError as error:
        return error.code.encode()
    with os.fdopen(fd, "rb") as file:
        return file.read()


@pytest.mark.real_time
def test_invariant_26_a_folder_swapped_between_question_and_opening_never_leads_out(base: Path, roots: Roots) -> None:
    (base / "in" / "deep" / "a.wav").write_bytes(b"inside")
    with swapping(base / "in" / "deep", base / "else"):
        met = race(lambda: resolve_and_read(roots, f"{base}/in/deep/a.wav"))
    kept = met.total() - met[b"SECRET"]
    print(f"invariant 26: {kept}/{met.total()} did not escape, {met[b'inside']} opened inside")
    assert met[b"SECRET"] == 0


PARTS = st.lists(st.sampled_from(["..", ".", "", "in", "out", "else", "deep", "away", "other", "loop", "new", "a.wav"]))


@settings(max_examples=300, deadline=None)
@given(parts=PARTS, name=st.sampled_from(["a.wav", "away.wav", "same.wav", "new.txt", "dangling.wav"]))
def test_invariant_26_no_spelling_of_a_path_leaves_the_roots(
    tmp_path_factory: pytest.TempPathFactory, parts: list[str], name: str
) -> None:
    base = _shared(tmp_path_factory)
    roots = Roots([str(base / "in"), str(base / "out")])
    for resolve in (partial(resolve_input, roots), roots.resolve_output):
        try:
            real = resolve("/".join([str(base), *parts, name]))
        except InputError:
            continue
        assert os.path.realpath(real) == real
        assert real.startswith((f"{base}/in/", f"{base}/out/"))


_bases: dict[str, Path] = {}


def _shared(factory: pytest.TempPathFactory) -> Path:
    if "base" not in _bases:
        base = factory.mktemp("roots")
        for folder in ("in/deep", "out", "else"):
            (base / folder).mkdir(parents=True)
        (base / "else" / "a.wav").write_bytes(b"SECRET")
        links = {"in/away": "../else", "out/away": str(base / "else"), "in/other": "../out", "in/loop": "loop"}
        links |= {"in/away.wav": "../else/a.wav", "in/deep/dangling.wav": "../../else/none.wav", "in/up": ".."}
        for link, target in links.items():
            (base / link).symlink_to(target)
        _bases["base"] = base
    return _bases["base"]
