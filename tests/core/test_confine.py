"""Confinement: what is opened lies under the root whatever happens to the tree; what is shown cannot forge anything."""

import errno
import os
import socket
import stat
import subprocess
import sys
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core import confine
from pipeline.core.confine import display, is_safe_name, open_beneath, way_below
from pipeline.core.errors import InputError

Way = Callable[[int, str, int], int]
WAYS = [
    pytest.param(confine._by_openat2, id="openat2"),
    pytest.param(confine._by_components, id="components"),
]
FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A root with a file, links that leave it in every usual way, and a secret beside it."""
    root = tmp_path / "root"
    (root / "deep" / "er").mkdir(parents=True)
    (root / "deep" / "er" / "a.wav").write_bytes(b"inside")
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "a.wav").write_bytes(b"SECRET")
    (root / "link.wav").symlink_to(tmp_path / "secret" / "a.wav")
    (root / "up").symlink_to("../secret")
    (root / "away").symlink_to(tmp_path / "secret")
    (root / "proc").symlink_to("/proc/self/root")
    (root / "inner").symlink_to("deep")
    return root


def refused(root: Path, relative: str) -> str:
    with pytest.raises(InputError) as caught:
        os.close(open_beneath(str(root), relative))
    return caught.value.code


def read_through(way: Way, root: Path, relative: str) -> bytes:
    root_fd = os.open(root, os.O_PATH | os.O_DIRECTORY)
    try:
        fd = way(root_fd, relative, FLAGS)
    finally:
        os.close(root_fd)
    with os.fdopen(fd, "rb") as file:
        return file.read()


def test_a_regular_file_under_the_root_is_opened(tree: Path) -> None:
    with os.fdopen(open_beneath(str(tree), "deep/er/a.wav"), "rb") as file:
        assert file.read() == b"inside"


def test_the_descriptor_is_not_inherited_and_blocks(tree: Path) -> None:
    fd = open_beneath(str(tree), "deep/er/a.wav")
    try:
        assert (os.get_inheritable(fd), os.get_blocking(fd)) == (False, True)
    finally:
        os.close(fd)


ESCAPES = [
    "../secret/a.wav",
    "./../secret/a.wav",
    "deep/../../secret/a.wav",
    "deep/er/../../../secret/a.wav",
    "link.wav",
    "up/a.wav",
    "away/a.wav",
    "inner/er/a.wav",
    "proc/etc/passwd",
    "/etc/passwd",
    "//etc/passwd",
]


@pytest.mark.parametrize("relative", ESCAPES)
def test_a_way_out_of_the_root_is_refused(tree: Path, relative: str) -> None:
    assert refused(tree, relative) == "path-outside-roots"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("relative", ["link.wav", "up/a.wav", "away/a.wav", "inner/er/a.wav", "proc/etc/passwd"])
def test_both_ways_of_opening_see_a_link_as_a_link(tree: Path, way: Way, relative: str) -> None:
    with pytest.raises(OSError, match=os.strerror(errno.ELOOP)):
        read_through(way, tree, relative)


@pytest.mark.parametrize("way", WAYS)
def test_both_ways_of_opening_read_a_plain_file(tree: Path, way: Way) -> None:
    assert read_through(way, tree, "./deep//er/a.wav") == b"inside"


@pytest.mark.parametrize("way", WAYS)
def test_both_ways_say_that_a_file_is_no_folder(tree: Path, way: Way) -> None:
    with pytest.raises(NotADirectoryError):
        read_through(way, tree, "deep/er/a.wav/more")


def test_a_fifo_is_refused_without_waiting(tree: Path) -> None:
    os.mkfifo(tree / "pipe")
    assert refused(tree, "pipe") == "path-unsafe"


def test_a_socket_is_refused(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tree)  # the path of a socket has 108 bytes at most
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("s")
        assert refused(tree, "s") == "path-unsafe"


def test_a_device_is_refused() -> None:
    assert refused(Path("/dev"), "null") == "path-unsafe"


@pytest.mark.parametrize("relative", ["deep", "deep/er", "."])
def test_a_folder_is_refused(tree: Path, relative: str) -> None:
    assert refused(tree, relative) == "path-unsafe"


@pytest.mark.parametrize("relative", ["none.wav", "deep/none/a.wav", "deep/er/a.wav/more"])
def test_a_missing_file_is_missing(tree: Path, relative: str) -> None:
    assert refused(tree, relative) == "input-missing"


def test_a_missing_root_is_missing(tmp_path: Path) -> None:
    assert refused(tmp_path / "none", "a.wav") == "input-missing"


@contextmanager
def nobody_special() -> Iterator[None]:
    """Root reads what its mode forbids: for a moment be somebody else."""
    mine = os.geteuid()
    if mine == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(mine)


def test_a_file_without_permission_is_unreadable(tree: Path) -> None:
    (tree / "deep" / "er" / "a.wav").chmod(0)
    with nobody_special():
        assert refused(tree, "deep/er/a.wav") == "input-unreadable"


@pytest.mark.parametrize("name", ["", "a\nb", "a\x00b", "\x1b[2J", "a\x7f", "a\x85", "a\u2028b", "x" * 256, "ä" * 128])
def test_an_unsafe_name_is_refused_before_anything_is_opened(tree: Path, name: str) -> None:
    assert (is_safe_name(name), refused(tree, name)) == (False, "path-unsafe")


def test_a_path_longer_than_the_system_allows_is_unsafe() -> None:
    assert not is_safe_name("/".join(["x" * 200] * 21))


@pytest.mark.parametrize("name", ["a.wav", "x" * 255, "ä" * 127, "Übung 1 (Kopie).wav", "a b", "\udcff.wav", "語" * 85])
def test_a_usual_or_merely_odd_name_is_safe(name: str) -> None:
    assert is_safe_name(name)


def test_a_surrogate_that_stands_for_no_byte_is_unsafe() -> None:
    assert not is_safe_name("\ud800")


def test_no_descriptor_is_left_by_refusals(tree: Path) -> None:
    os.mkfifo(tree / "pipe")
    before = set(os.listdir("/proc/self/fd"))
    for relative in (*ESCAPES, "pipe", "deep", "none"):
        refused(tree, relative)
    assert set(os.listdir("/proc/self/fd")) == before


SWAP_FOR_EVER = """
import os, sys
folder, secret = sys.argv[1:]
while True:
    os.rename(folder, folder + ".kept")
    os.symlink(secret, folder)
    os.unlink(folder)
    os.rename(folder + ".kept", folder)
"""


@contextmanager
def swapping(folder: Path, secret: Path) -> Iterator[None]:
    """Another process exchanges the folder with a link to the secret one, and back, as fast as it can."""
    with subprocess.Popen([sys.executable, "-c", SWAP_FOR_EVER, str(folder), str(secret)]) as swapper:
        try:
            yield
        finally:
            swapper.kill()


def race(read: Callable[[], bytes]) -> Counter[bytes]:
    """At least 3000 tries, and as many more as it takes to have met the folder and its absence often enough."""
    met: Counter[bytes] = Counter()
    while met.total() < 3000 or min(met[b"inside"], met.total() - met[b"inside"]) < 20:
        met[read()] += 1
    return met


@pytest.mark.real_time
@pytest.mark.parametrize("way", WAYS)
def test_invariant_26_a_folder_swapped_for_a_link_while_opening_never_leads_out(tree: Path, way: Way) -> None:
    def read() -> bytes:
        try:
            return read_through(way, tree, "deep/er/a.wav")
        except OSError as error:
            return errno.errorcode[error.errno or 0].encode()

    with swapping(tree / "deep" / "er", tree.parent / "secret"):
        met = race(read)
    kept = met.total() - met[b"SECRET"]
    print(f"invariant 26: {kept}/{met.total()} did not escape, {met[b'inside']} opened inside")
    assert met[b"SECRET"] == 0


PATHS = st.lists(st.sampled_from(["..", ".", "", "deep", "er", "a.wav", "up", "away", "link.wav", "inner", "proc"]))


@settings(max_examples=200, deadline=None)
@given(parts=PATHS, absolute=st.booleans())
def test_invariant_26_no_spelling_of_a_path_reads_outside(
    tmp_path_factory: pytest.TempPathFactory, parts: list[str], absolute: bool
) -> None:
    root = _shared_tree(tmp_path_factory)
    relative = ("/" if absolute else "") + "/".join(parts)
    try:
        fd = open_beneath(str(root), relative)
    except InputError:
        return
    with os.fdopen(fd, "rb") as file:
        assert file.read() == b"inside"


_trees: dict[str, Path] = {}


def _shared_tree(factory: pytest.TempPathFactory) -> Path:
    if "tree" not in _trees:
        base = factory.mktemp("spelling")
        (base / "root" / "deep" / "er").mkdir(parents=True)
        (base / "root" / "deep" / "er" / "a.wav").write_bytes(b"inside")
        (base / "a.wav").write_bytes(b"SECRET")
        for name, target in {"up": "..", "away": str(base), "link.wav": "../a.wav", "inner": "deep"}.items():
            (base / "root" / name).symlink_to(target)
        _trees["tree"] = base / "root"
    return _trees["tree"]


def harmless(shown: str) -> bool:
    """One line, only printable characters: nothing that moves a cursor, turns the reading direction or ends a line."""
    categories = {unicodedata.category(c) for c in shown}
    return not categories & {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"} and len(shown.splitlines()) <= 1


NASTY = {
    "a\r\nSet-Cookie: x": "a\\x0d\\x0aSet-Cookie: x",
    "\x1b]0;title\x07": "\\x1b]0;title\\x07",
    "\x9b31m": "\\u{9b}31m",
    "gpj\u202egnp.exe": "gpj\\u{202e}gnp.exe",
    "\u2066a\u2069": "\\u{2066}a\\u{2069}",
    "bad\udcff.wav": "bad\\xff.wav",
    "\ud800": "\\u{d800}",
    "a\u2028b": "a\\u{2028}b",
    "\U000e0041": "\\u{e0041}",
    "zero\u200bwidth": "zero\\u{200b}width",
    "Übung 語 🎧": "Übung 語 🎧",
    "nul\0": "nul\\x00",
}


def test_invariant_28_the_known_forgeries_are_shown_harmless() -> None:
    shown = [display(text) == want and harmless(display(text)) for text, want in NASTY.items()]
    print(f"invariant 28: {sum(shown)}/{len(shown)} forgeries shown harmless")
    assert all(shown)


any_text = st.text(st.characters(exclude_categories=()), max_size=400)


@settings(max_examples=500, deadline=None)
@given(text=any_text, limit=st.integers(min_value=1, max_value=400))
def test_invariant_28_any_text_is_shown_as_one_bounded_harmless_line(text: str, limit: int) -> None:
    shown = display(text, limit)
    assert harmless(shown)
    assert len(shown) <= limit
    shown.encode("utf-8")


@settings(max_examples=300, deadline=None)
@given(raw=st.binary(max_size=300))
def test_invariant_28_any_file_name_is_shown_harmless_and_twice_the_same(raw: bytes) -> None:
    shown = display(os.fsdecode(raw))
    assert harmless(shown)
    assert display(shown) == shown


@settings(max_examples=300, deadline=None)
@given(raw=st.binary(min_size=1, max_size=600))
def test_a_name_called_safe_has_no_control_and_no_long_part(raw: bytes) -> None:
    name = os.fsdecode(raw)
    if is_safe_name(name):
        assert all(unicodedata.category(c) != "Cc" for c in name)
        assert max(len(part) for part in raw.split(b"/")) <= 255


def test_a_short_plain_text_is_shown_as_it_is() -> None:
    assert display("Interview mit Frau Öztürk.m4a") == "Interview mit Frau Öztürk.m4a"


def test_a_long_text_is_cut_with_a_mark() -> None:
    assert display("x" * 1000) == "x" * 299 + "…"


def test_a_new_file_can_be_made_beneath_but_not_through_a_link(tree: Path) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    os.close(open_beneath(str(tree), "deep/new.wav", flags))
    assert stat.S_IMODE((tree / "deep" / "new.wav").stat().st_mode) == 0o600
    with pytest.raises(InputError):
        open_beneath(str(tree), "away/new.wav", flags)


NAMES = st.lists(st.sampled_from(["a", "b.c", "..", ".", "", "d.", ".e", "..f", "g..", "/"]), max_size=5)


@given(folder=st.sampled_from(["/", "/r", "/r/", "/r/s"]), names=NAMES)
def test_the_way_below_a_folder_is_the_relative_path_however_it_is_written(folder: str, names: list[str]) -> None:
    path = "/".join([folder, *names])
    assert way_below(folder, path) == os.path.relpath(path, folder)
