"""A file appears at its path whole or not at all."""

import os
import subprocess
import tempfile
from pathlib import Path

import pytest

from hagan_clinic.errors import OutputError
from hagan_clinic.imageio import (
    atomic_folder,
    atomic_path,
    remove_leftovers,
    write_bytes,
    write_text,
)

is_root = hasattr(os, "geteuid") and os.geteuid() == 0


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def mount(folder, options):
    """Mount a tmpfs, or skip where that is not allowed."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    if not is_root or subprocess.run(command, capture_output=True).returncode != 0:
        pytest.skip("mounting a small tmpfs needs root")


@pytest.fixture
def tiny_disk(tmp_path):
    """A disk of 64 KiB."""
    folder = tmp_path / "disk"
    mount(folder, "size=64k")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def read_only_disk(tmp_path):
    folder = tmp_path / "disk"
    mount(folder, "ro")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_the_file_appears_when_the_block_ends(tmp_path):
    path = tmp_path / "report.json"
    with atomic_path(path) as temporary:
        assert temporary.parent == tmp_path
        assert temporary.suffix == ".json"
        temporary.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new"
    assert names(tmp_path) == ["report.json"]


def test_the_whole_suffix_is_kept(tmp_path):
    with atomic_path(tmp_path / "flair.nii.gz") as temporary:
        assert temporary.name.endswith(".nii.gz")
        temporary.touch()


@pytest.mark.parametrize("failure", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_nothing_is_left_and_the_old_file_stays_when_the_block_fails(tmp_path, failure):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(failure), atomic_path(path) as temporary:
        temporary.write_text("half of the n")
        raise failure
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_a_file_has_the_permissions_of_any_new_file(tmp_path):
    (tmp_path / "plain.txt").write_text("x")
    write_text("x", tmp_path / "atomic.txt")
    assert (tmp_path / "atomic.txt").stat().st_mode == (tmp_path / "plain.txt").stat().st_mode


def test_text_is_utf_8_and_bytes_are_kept(tmp_path):
    write_text("1.5 µm\n", tmp_path / "a.txt")
    assert (tmp_path / "a.txt").read_bytes() == b"1.5 \xc2\xb5m\n"
    write_bytes(b"\x00\xff", tmp_path / "b.bin")
    assert (tmp_path / "b.bin").read_bytes() == b"\x00\xff"


def test_a_symbolic_link_stays_one(tmp_path):
    target, link = tmp_path / "target.txt", tmp_path / "link.txt"
    target.write_text("old")
    link.symlink_to(target)
    write_text("new", link)
    assert link.is_symlink()
    assert target.read_text() == "new"


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(OutputError, match=r"cannot write .*a\.txt: the folder does not exist"):
        write_text("x", tmp_path / "missing" / "a.txt")


def test_a_file_in_place_of_a_folder_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="a part of the path is a file, not a folder"):
        write_text("x", tmp_path / "file" / "a.txt")


def test_a_folder_is_not_replaced(tmp_path):
    with pytest.raises(OutputError, match="is a folder; expected the path of a file"):
        write_text("x", tmp_path)


def test_a_device_is_not_replaced():
    with pytest.raises(OutputError, match=r"/dev/null is a device; expected the path of a file"):
        write_text("x", "/dev/null")
    assert not Path("/dev/null").is_file()


@pytest.fixture
def closed_folder():
    """A folder that the user may read and not write; root becomes another user for the test."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o555)
        if is_root:
            os.seteuid(65534)
        try:
            yield folder
        finally:
            if is_root:
                os.seteuid(0)


def test_an_unwritable_folder_is_named(closed_folder):
    with pytest.raises(OutputError, match="the folder cannot be written"):
        write_text("x", closed_folder / "a.txt")
    assert names(closed_folder) == []


def test_refused_permission_is_named(tmp_path):
    with (
        pytest.raises(OutputError, match=r"a\.txt: the folder cannot be written"),
        atomic_path(tmp_path / "a.txt") as temporary,
    ):
        temporary.write_text("x")
        raise PermissionError(13, "Permission denied")
    assert names(tmp_path) == []


def test_a_full_disk_is_named_and_left_as_it_was(tiny_disk):
    path = tiny_disk / "a.bin"
    path.write_bytes(b"old")
    with pytest.raises(OutputError, match="the disk is full; free space or choose another folder"):
        write_bytes(bytes(2**20), path)
    assert path.read_bytes() == b"old"
    assert names(tiny_disk) == ["a.bin"]


def test_a_read_only_disk_is_named(read_only_disk):
    with pytest.raises(OutputError, match="the file system is read-only"):
        write_text("x", read_only_disk / "a.txt")


@pytest.mark.parametrize("name", ["scan.nii.gz", "é" * 80 + ".nii.gz"], ids=["short", "long"])
def test_what_a_killed_writer_left_is_removed_and_nothing_else(name, tmp_path):
    path, kept = tmp_path / name, {name, "other.nii.gz", f".{name}", ".0123456789ab.other.nii.gz"}
    for one in kept:
        (tmp_path / one).write_text("kept")
    with atomic_path(path) as temporary, atomic_folder(tmp_path / "series") as folder:
        (tmp_path / f"{temporary.name}").write_text("half")
        (folder / "slice.dcm").write_text("half")
        remove_leftovers(path)
        assert not temporary.exists() and folder.exists()
        remove_leftovers(tmp_path / "series")
        assert not folder.exists()
        temporary.write_text("whole")
        folder.mkdir()
    assert set(names(tmp_path)) == kept | {"series"} and path.read_text() == "whole"
    remove_leftovers(tmp_path / "nowhere" / name)
