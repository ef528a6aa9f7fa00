"""What holds for every format: round trips, refusals, and nothing left behind."""

import gzip
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from hagan_clinic.errors import InputError, OutputError
from hagan_clinic.imageio import (
    DESCRIPTION,
    SUFFIXES,
    read,
    read_description,
    read_grid,
    suffix_of,
    write,
)
from hagan_clinic.volume import Volume

DATA = os.environ.get("HAGAN_TEST_DATA")
SAMPLES = Path(__file__).parents[2] / "examples"
SAMPLE = SAMPLES / "open_ms_patient07" / "open_ms_patient07_t1.nii.gz"

OBLIQUE = np.array(
    [
        [-0.9, 0.1 * 2, 0.3, 80.25],
        [0.15, 0.95 * 2, -0.2, -110.5],
        [0.2, 0.3 * 2, 0.93, -60.125],
        [0, 0, 0, 1],
    ]
)


@pytest.fixture
def volume():
    array = np.random.default_rng(0).normal(100, 30, (7, 9, 11)).astype(np.float32)
    return Volume(array, OBLIQUE)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_volume_survives_every_format(volume, suffix, tmp_path):
    path = tmp_path / f"a{suffix}"
    write(volume, path)
    back = read(path)
    assert back.array.dtype == np.float32
    assert (back.array == volume.array).all()
    assert back.grid.same_as(volume.grid)
    assert read_grid(path).same_as(back.grid, tolerance_mm=0)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("text", [DESCRIPTION, ""])
def test_a_description_survives_every_format(volume, suffix, text, tmp_path):
    path = tmp_path / f"a{suffix}"
    write(volume, path, description=text)
    assert read_description(path) == text


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_view_with_turned_axes_is_written_as_it_stands(volume, suffix, tmp_path):
    turned = Volume(volume.array.transpose(2, 0, 1)[::-1], OBLIQUE)
    write(turned, tmp_path / f"a{suffix}")
    assert (read(tmp_path / f"a{suffix}").array == turned.array).all()


def test_the_suffix_decides_in_any_case(volume, tmp_path):
    assert suffix_of(Path("a/sub-01.v2.NII.GZ")) == ".nii.gz"
    assert suffix_of(Path("a.b/volume.Nrrd")) == ".nrrd"
    assert suffix_of(Path("a.gz")) == ".gz"
    assert suffix_of(Path("a.nii/volume")) == ""
    write(volume, tmp_path / "A.NII.GZ")
    assert gzip.decompress((tmp_path / "A.NII.GZ").read_bytes())[:1] == b"\x5c"
    assert (read(tmp_path / "A.NII.GZ").array == volume.array).all()


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"none\.nii\.gz: no such file; check the path"):
        read(tmp_path / "none.nii.gz")


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"is a folder, expected one volume file \(\.nii, "):
        read(tmp_path)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_of_no_bytes_is_refused(suffix, tmp_path):
    path = tmp_path / f"a{suffix}"
    path.touch()
    with pytest.raises(InputError, match=r"is empty \(0 bytes\)"):
        read(path)


@pytest.mark.parametrize("name", ["a.jpg", "a.gz", "a", "a.hdr", "a.mhd"])
def test_an_unknown_suffix_is_refused_both_ways(volume, name, tmp_path):
    path = tmp_path / name
    with pytest.raises(OutputError, match=r"(unknown|no) suffix.*, expected one of \.nii, "):
        write(volume, path)
    assert not path.exists()
    path.write_bytes(b"x" * 1000)
    with pytest.raises(InputError, match=r"(unknown|no) suffix.*, expected one of \.nii, "):
        read(path)


@pytest.mark.parametrize("name", ["a.dcm", "a", "a.nii"])
def test_one_dicom_file_is_refused_whatever_its_name(name, tmp_path):
    (tmp_path / name).write_bytes(bytes(128) + b"DICM" + bytes(500))
    with pytest.raises(InputError, match="is one DICOM file, expected a volume file"):
        read(tmp_path / name)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("content", [b"\x00" * 5000, b"hello" * 1000, os.urandom(5000)])
def test_what_is_another_kind_of_file_is_refused(suffix, content, tmp_path):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(gzip.compress(content) if suffix in (".nii.gz", ".mgz") else content)
    with pytest.raises(InputError, match=rf"a\{suffix}: is not a "):
        read(path)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("part", [0.02, 0.5, 0.95])
def test_a_truncated_file_is_refused(volume, suffix, part, tmp_path):
    path = tmp_path / f"a{suffix}"
    write(volume, path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(part * len(whole))])
    with pytest.raises(InputError, match=rf"a\{suffix}: is (truncated|not a)"):
        read(path)


@pytest.mark.parametrize("suffix", [".nii.gz", ".mgz"])
@pytest.mark.parametrize("place", [-500, -8])
def test_a_damaged_gzip_file_is_refused(volume, suffix, place, tmp_path):
    path = tmp_path / f"a{suffix}"
    write(volume, path)
    content = bytearray(path.read_bytes())
    content[place] ^= 0x55
    path.write_bytes(content)
    with pytest.raises(InputError, match="is truncated or damaged"):
        read(path)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused(volume, suffix, value, tmp_path):
    volume.array[1, 2, 3:5] = value
    path = tmp_path / f"a{suffix}"
    write(volume, path)
    with pytest.raises(InputError, match="2 of 693 voxels are NaN or infinite"):
        read(path)
    assert read_grid(path).shape == volume.shape


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("step", [1e-3, 1e3])
def test_an_affine_that_is_not_in_mm_is_refused(suffix, step, tmp_path):
    path = tmp_path / f"a{suffix}"
    write(Volume(np.zeros((3, 3, 3), np.float32), np.diag([step, step, step, 1])), path)
    with pytest.raises(InputError, match=r"has voxels of .* mm by its affine, expected 0\.005 to"):
        read(path)


def test_a_volume_off_the_grid_of_its_source_is_not_written(volume, tmp_path):
    write(volume, tmp_path / "source.nii")
    moved = OBLIQUE.copy()
    moved[0, 3] += 0.5
    with pytest.raises(OutputError, match="does not lie on the grid of"):
        write(Volume(volume.array, moved), tmp_path / "a.nii", like=tmp_path / "source.nii")
    assert not (tmp_path / "a.nii").exists()


def test_an_unreadable_source_of_the_geometry_is_named(volume, tmp_path):
    with pytest.raises(InputError, match="no such file"):
        write(volume, tmp_path / "a.nii", like=tmp_path / "source.nii")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_missing_output_folder_is_named(volume, suffix, tmp_path):
    with pytest.raises(OutputError, match="the folder does not exist"):
        write(volume, tmp_path / "missing" / f"a{suffix}")


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("part", [0.3, 1.0])
def test_a_full_disk_is_named_and_left_empty(suffix, part, tmp_path):
    noise = np.random.default_rng(0).normal(size=(30, 30, 30)).astype(np.float32)
    volume = Volume(noise, np.eye(4))
    write(volume, tmp_path / f"a{suffix}")
    # A disk is filled page by page; what is rounded off lacks at the end of the file.
    pages = int(part * (tmp_path / f"a{suffix}").stat().st_size) // 4096
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={4 * pages}k", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True).returncode != 0:
        pytest.skip("mounting a small tmpfs needs root")
    try:
        with pytest.raises(OutputError, match=rf"cannot write .*a\{suffix}: the disk is full"):
            write(volume, disk / f"a{suffix}")
        assert list(disk.iterdir()) == []
    finally:
        subprocess.run(["umount", str(disk)], check=True)
