"""Inputs are reached without links; outputs never grow past their bound; errors leave as our own."""

import os
from pathlib import Path

import pytest

from pipeline.children import files
from pipeline.children.stage import FileRef
from pipeline.core.errors import InputError, LimitExceeded, MediaspoolError, StoreError
from tests.disks import mounted


def ref(path: str, root: str = "r") -> FileRef:
    return FileRef(root=root, path=path)


def test_an_output_takes_bytes_up_to_its_bound_and_not_one_more(tmp_path: Path) -> None:
    with files.sink(ref("out"), {"r": str(tmp_path)}, 10) as sink:
        assert sink.write(b"12345") + sink.write(b"67890") == 10
        with pytest.raises(LimitExceeded):
            sink.write(b"x")
    assert (tmp_path / "out").read_bytes() == b"1234567890"


def test_a_header_may_be_rewritten_within_the_bound(tmp_path: Path) -> None:
    with files.sink(ref("out"), {"r": str(tmp_path)}, 10) as sink:
        sink.write(b"0123456789")
        sink.seek(0)
        sink.write(b"head")
    assert (tmp_path / "out").read_bytes() == b"head456789"


def test_an_output_that_is_a_link_is_never_written_through(tmp_path: Path) -> None:
    (tmp_path / "outside").write_bytes(b"precious")
    (tmp_path / "out").symlink_to(tmp_path / "outside")
    with pytest.raises(MediaspoolError), files.sink(ref("out"), {"r": str(tmp_path)}, None) as sink:
        sink.write(b"x")
    assert (tmp_path / "outside").read_bytes() == b"precious"


def test_an_old_output_is_emptied_first(tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"a longer text")
    with files.sink(ref("out"), {"r": str(tmp_path)}, None) as sink:
        sink.write(b"new")
    assert (tmp_path / "out").read_bytes() == b"new"


def test_an_input_that_is_a_fifo_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError), files.source(ref("pipe"), {"r": str(tmp_path)}):
        pass


def test_a_root_that_the_child_was_not_told_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError), files.source(ref("x", root="other"), {"r": str(tmp_path)}):
        pass


def test_a_full_device_is_disk_full(tmp_path: Path) -> None:
    with open("/dev/full", "w+b", buffering=0) as full:
        sink = files.Sink(full, None)
        with pytest.raises(StoreError) as refused:
            sink.write(b"x")
    assert refused.value.code == "disk-full"


@pytest.mark.privileged
def test_an_output_for_which_the_disk_has_no_inode_is_disk_full_and_no_unreadable_input(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk") as disk:
        disk.take_files(1)
        with pytest.raises(StoreError) as refused, files.sink(ref("out"), {"r": str(disk.folder)}, None):
            pass
    assert refused.value.code == "disk-full"


def test_a_decoder_learns_no_name_of_a_source(tmp_path: Path) -> None:
    (tmp_path / "private name.wav").write_bytes(b"x")
    with files.source(ref("private name.wav"), {"r": str(tmp_path)}) as source:
        assert source.name == "input"
