"""FreeSurfer volumes agree with nibabel; hostile ones are refused."""

import struct

import nibabel as nib
import numpy as np
import pytest

from hagan_clinic.errors import InputError
from hagan_clinic.imageio import DESCRIPTION, read, read_description, write
from hagan_clinic.volume import Volume

# Offsets of fields in the big-endian header.
VERSION, DIMS, TYPE, GOOD_RAS, DELTA = 0, 4, 20, 28, 30

AFFINE = np.array([[-1, 0, 0, 80], [0, 0, 1.5, -100], [0, -1, 0, 60], [0, 0, 0, 1.0]])


@pytest.fixture
def path(tmp_path):
    array = np.arange(60, dtype=np.int16).reshape(3, 4, 5)
    nib.save(nib.MGHImage(array, AFFINE), tmp_path / "a.mgh")
    return tmp_path / "a.mgh"


def patched(path, offset, value, kind):
    content = bytearray(path.read_bytes())
    data = np.array(value, dtype=kind).tobytes()
    content[offset : offset + len(data)] = data
    path.write_bytes(content)


@pytest.mark.parametrize("suffix", [".mgh", ".mgz"])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.float32])
def test_values_and_affine_are_those_of_nibabel(suffix, dtype, tmp_path):
    array = np.random.default_rng(0).integers(0, 250, (3, 4, 5)).astype(dtype)
    nib.save(nib.MGHImage(array, AFFINE), tmp_path / f"a{suffix}")
    volume = read(tmp_path / f"a{suffix}")
    assert (volume.array == array).all()
    assert (volume.affine == nib.load(tmp_path / f"a{suffix}").affine).all()


def test_what_is_written_is_read_by_nibabel(tmp_path):
    array = np.random.default_rng(0).normal(size=(3, 4, 5)).astype(np.float32)
    write(Volume(array, AFFINE), tmp_path / "a.mgz")
    image = nib.load(tmp_path / "a.mgz")
    assert (image.get_fdata(dtype=np.float32) == array).all()
    np.testing.assert_allclose(image.affine, AFFINE, atol=1e-4)


def tag(number, content):
    return struct.pack(">iq", number, len(content)) + content


def test_the_description_is_a_command_line_tag_which_freesurfer_prints(tmp_path):
    write(Volume(np.zeros((3, 4, 5), np.float32), AFFINE), tmp_path / "a.mgh")
    footer = (tmp_path / "a.mgh").read_bytes()[284 + 4 * 60 + 20 :]
    assert footer == tag(3, f"description: {DESCRIPTION}\0".encode())


@pytest.mark.parametrize(
    ("footer", "description"),
    [
        (tag(31, b"auto.xfm\0") + tag(3, b"mri_convert a b\0") + tag(3, b"description: x\0"), "x"),
        (tag(3, b"mri_convert synthetic/a.mgz b.mgz\0"), ""),
        (tag(3, b"description: x\0")[:-1], ""),
        (struct.pack(">iq", 3, -1), ""),
        (struct.pack(">i", 2) + tag(3, b"description: x\0"), ""),
        (b"\0" * 40, ""),
    ],
)
def test_the_description_is_found_among_the_tags_of_others(tmp_path, footer, description):
    nib.save(nib.MGHImage(np.zeros((3, 4, 5), np.float32), AFFINE), tmp_path / "a.mgh")
    with (tmp_path / "a.mgh").open("ab") as file:
        file.write(footer)
    assert read_description(tmp_path / "a.mgh") == description
    assert read(tmp_path / "a.mgh").shape == (3, 4, 5)


def test_the_footer_of_scan_parameters_may_be_missing(path):
    path.write_bytes(path.read_bytes()[: 284 + 120])
    assert read(path).array.max() == 59


@pytest.mark.parametrize(
    ("offset", "value", "kind", "message"),
    [
        (VERSION, 2, ">i4", "is not a FreeSurfer volume"),
        (TYPE, 99, ">i4", "is not a FreeSurfer volume"),
        (GOOD_RAS, 0, ">i2", "has no orientation .its goodRASFlag is not set"),
        (DIMS, [3, 4, 5, 7], ">i4", r"has 4 axes \(3x4x5x7\), expected one 3D image"),
        (DIMS, [3, 4, 0, 1], ">i4", "is empty: its header declares 3x4x0x1 voxels"),
        (DIMS, [65536, 65536, 65536, 1], ">i4", "declares 65536x65536x65536x1 voxels, more than"),
        (DIMS, [700, 700, 700, 1], ">i4", "is truncated: .* cannot hold the 686000284"),
        (DELTA, [0, 1, 1], ">f4", "the affine is singular"),
        (DELTA, [np.nan, 1, 1], ">f4", "the affine is not a finite 4x4 matrix"),
    ],
)
def test_a_hostile_header_is_refused(path, offset, value, kind, message):
    patched(path, offset, value, kind)
    with pytest.raises(InputError, match=rf"a\.mgh: {message}"):
        read(path)


def test_several_frames_are_refused(tmp_path):
    nib.save(nib.MGHImage(np.zeros((3, 4, 5, 2), np.float32), AFFINE), tmp_path / "a.mgz")
    with pytest.raises(InputError, match="has 4 axes"):
        read(tmp_path / "a.mgz")
