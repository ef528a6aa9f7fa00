"""Damaged, hostile and odd NIfTI files are refused by name, and take no memory."""

import gzip
import os
import resource
import subprocess
import sys
import zlib

import nibabel as nib
import numpy as np
import pytest

from hagan_clinic.errors import InputError
from hagan_clinic.imageio import read

# Offsets of fields in the NIfTI-1 header.
DIM, DATATYPE, BITPIX, PIXDIM, VOX_OFFSET, SLOPE, INTER = 40, 70, 72, 76, 108, 112, 116


QFORM_CODE, SFORM_CODE, MAGIC = 252, 254, 344


def test_a_file_without_orientation_is_refused(source, patched, tmp_path):
    path = patched(source(tmp_path / "a.nii"), QFORM_CODE, [0, 0], "<i2")
    message = "has neither an sform nor a qform .* so its orientation is unknown; set one"
    with pytest.raises(InputError, match=message):
        read(path)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((3, 4, 5, 2)), r"has 4 axes \(3x4x5x2\), expected one 3D image"),
        (np.zeros((3, 4, 5, 1, 3)), r"has 5 axes \(3x4x5x1x3\), expected one 3D image"),
        (np.zeros((3, 4)), r"has 2 axes \(3x4\), expected one 3D image"),
        (np.zeros((3, 4, 5), np.complex64), "holds complex values, expected one real number"),
        (
            np.zeros((3, 4, 5), [("R", "u1"), ("G", "u1"), ("B", "u1")]),
            "holds RGB values, expected one real number",
        ),
    ],
)
def test_what_is_not_one_scalar_volume_is_refused(array, message, tmp_path):
    path = tmp_path / "a.nii.gz"
    nib.save(nib.Nifti1Image(array, np.eye(4)), path)
    with pytest.raises(InputError, match=message):
        read(path)


@pytest.mark.parametrize(
    ("offset", "value", "kind", "message"),
    [
        (DIM, [3, 3, 0, 5], "<i2", "is empty: its header declares 3x0x5 voxels"),
        (DIM, [3, 3, -4, 5], "<i2", "is empty: its header declares 3x-4x5 voxels"),
        (DIM, [3, 32767, 32767, 32767], "<i2", "declares 32767x32767x32767 voxels, more than the"),
        (DIM, [3, 700, 700, 700], "<i2", "is truncated: 472 bytes cannot hold the 686000352"),
        (DIM, [3, 3, 4, 6], "<i2", "is truncated: 472 bytes cannot hold the 496"),
        (DIM, [0], "<i2", "is empty"),
        (DIM, [9], "<i2", "has 7 axes"),
        (DATATYPE, [12345, 16], "<i2", "has the unknown data type 12345"),
        (DATATYPE, [1, 1], "<i2", "holds unknown values, expected one real number"),
        (VOX_OFFSET, 1e30, "<f4", "has a damaged header .its voxels begin at byte 1e.30"),
        (VOX_OFFSET, -1, "<f4", "has a damaged header .its voxels begin at byte -1"),
        (VOX_OFFSET, 0, "<f4", "has a damaged header .its voxels begin at byte 0"),
        (VOX_OFFSET, 348, "<f4", "has a damaged header .its voxels begin at byte 348, expected 35"),
        (VOX_OFFSET, np.nan, "<f4", "has a damaged header .its voxels begin at byte nan"),
        (INTER, np.nan, "<f4", "has a damaged value scaling"),
        (SLOPE, 1e38, "<f4", "56 of 60 voxels are NaN or infinite"),
        (MAGIC, np.frombuffer(b"ni1\0", "u1"), "u1", "is the header of a NIfTI pair"),
        (MAGIC, np.frombuffer(b"xyz\0", "u1"), "u1", "is not a NIfTI file"),
        (280, [0.0] * 4, "<f4", "the affine is singular"),
        (280, [np.nan] * 4, "<f4", "the affine is not a finite 4x4 matrix"),
    ],
)
def test_a_hostile_header_is_refused(source, patched, offset, value, kind, message, tmp_path):
    path = patched(source(tmp_path / "a.nii"), offset, value, kind)
    with pytest.raises(InputError, match=rf"a\.nii: ({message})") as caught:
        read(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("pixdim", [[1, 0, 1, 1], [1, -1, 1, 1], [1, np.nan, 1, 1]])
def test_a_damaged_qform_is_refused(source, patched, pixdim, tmp_path):
    path = patched(source(tmp_path / "a.nii", sform=0), PIXDIM, pixdim, "<f4")
    with pytest.raises(InputError, match=r"damaged header|affine is (singular|not a finite)"):
        read(path)


def test_a_damaged_quaternion_is_refused(source, patched, tmp_path):
    path = patched(source(tmp_path / "a.nii", sform=0), 256, [3.0, 3.0, 3.0], "<f4")
    with pytest.raises(InputError, match="has a damaged header"):
        read(path)


def test_a_file_named_otherwise_than_compressed_is_refused(source, tmp_path):
    plain, packed = source(tmp_path / "a.nii"), source(tmp_path / "b.nii.gz")
    plain.rename(tmp_path / "c.nii.gz")
    packed.rename(tmp_path / "d.nii")
    with pytest.raises(
        InputError, match="holds uncompressed data, expected gzip data by its suffix"
    ):
        read(tmp_path / "c.nii.gz")
    with pytest.raises(
        InputError, match="holds gzip data, expected uncompressed data by its suffix"
    ):
        read(tmp_path / "d.nii")


def test_a_header_that_claims_256_tib_takes_no_memory(source, patched, tmp_path):
    path = source(tmp_path / "a.nii", kind=nib.Nifti2Image)
    patched(path, 16, [3, 32768, 32768, 32768], "<i8")
    code = (
        "import resource, sys; from hagan_clinic.imageio import read\n"
        "resource.setrlimit(resource.RLIMIT_AS, (2**31, 2**31))\n"
        "try: read(sys.argv[1])\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-c", code, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.startswith("InputError")
    assert "declares 32768x32768x32768 voxels, more than the" in done.stdout


def gzip_bomb(path, head, mebibytes):
    """A gzip file of `head` and then zeros."""
    squeeze = zlib.compressobj(1, wbits=31)
    with path.open("wb") as file:
        file.write(squeeze.compress(head))
        for _ in range(mebibytes):
            file.write(squeeze.compress(bytes(2**20)))
        file.write(squeeze.flush())
    return path


def test_a_gzip_bomb_behind_the_voxels_is_not_inflated(source, tmp_path):
    head = source(tmp_path / "a.nii").read_bytes()
    path = gzip_bomb(tmp_path / "bomb.nii.gz", head, mebibytes=300)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert read(path).shape == (3, 4, 5)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50 * 1024


def test_a_gzip_bomb_in_the_extensions_is_not_inflated(source, patched, tmp_path):
    path = source(tmp_path / "a.nii")
    patched(path, VOX_OFFSET, 5e8, "<f4")
    bomb = gzip_bomb(tmp_path / "bomb.nii.gz", path.read_bytes()[:352], mebibytes=300)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InputError, match=r"its voxels begin at byte 5e\+08"):
        read(bomb)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50 * 1024


def test_a_tiny_gzip_file_cannot_claim_gigabytes(source, patched, tmp_path):
    path = patched(source(tmp_path / "a.nii"), DIM, [3, 800, 800, 800], "<i2")
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(path.read_bytes()))
    with pytest.raises(InputError, match=r"bytes cannot hold the 1024000352 that its header"):
        read(tmp_path / "a.nii.gz")


def test_data_behind_the_voxels_are_ignored(source, tmp_path):
    path = source(tmp_path / "a.nii")
    path.write_bytes(path.read_bytes() + b"trailer")
    assert read(path).array.max() == 59


def test_voxels_that_begin_within_the_header_of_version_2_are_refused(source, patched, tmp_path):
    path = patched(source(tmp_path / "a.nii", kind=nib.Nifti2Image), 168, [540], "<i8")
    with pytest.raises(InputError, match="voxels begin at byte 540, expected 544 or more"):
        read(path)


@pytest.mark.parametrize("rubbish", [b"GARBAGE!", b"\0\0\0GA", b"\x1f"])
def test_rubbish_behind_a_whole_gzip_stream_is_passed_over(source, rubbish, tmp_path):
    path = source(tmp_path / "a.nii.gz")
    path.write_bytes(path.read_bytes() + rubbish)
    assert read(path).array.max() == 59


def test_a_gzip_stream_whose_checksum_is_wrong_is_refused_with_rubbish_behind_it_too(
    source, tmp_path
):
    path = source(tmp_path / "a.nii.gz")
    content = bytearray(path.read_bytes())
    content[-8] ^= 1
    for rubbish in (b"", b"GARBAGE!"):
        path.write_bytes(bytes(content) + rubbish)
        with pytest.raises(InputError, match=r"is truncated or damaged .CRC check failed"):
            read(path)


def test_rubbish_in_the_place_of_the_rest_is_a_truncation(source, tmp_path):
    path = source(tmp_path / "a.nii.gz")
    whole = gzip.decompress(path.read_bytes())
    path.write_bytes(gzip.compress(whole[:-20]) + b"GARBAGE!")
    with pytest.raises(InputError, match="is truncated"):
        read(path)
