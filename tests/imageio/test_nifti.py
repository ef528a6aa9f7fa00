"""NIfTI: the source's geometry comes back bit for bit; hostile files are refused in time."""

import gzip
import os
import resource
import subprocess
import sys
import zlib
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hagan_clinic.errors import InputError
from hagan_clinic.imageio import DESCRIPTION, read, read_grid, write
from hagan_clinic.volume import Volume

DATA = os.environ.get("HAGAN_TEST_DATA")
SAMPLES = Path(__file__).parents[2] / "examples"
SAMPLE = SAMPLES / "open_ms_patient07" / "open_ms_patient07_t1.nii.gz"

# Offsets of fields in the NIfTI-1 header.
DIM, DATATYPE, BITPIX, PIXDIM, VOX_OFFSET, SLOPE, INTER = 40, 70, 72, 76, 108, 112, 116
QFORM_CODE, SFORM_CODE, MAGIC = 252, 254, 344

GEOMETRY = [
    *("qform_code", "sform_code", "xyzt_units", "quatern_b", "quatern_c", "quatern_d"),
    *("qoffset_x", "qoffset_y", "qoffset_z", "srow_x", "srow_y", "srow_z"),
]


def source(path, array=None, affine=None, kind=nib.Nifti1Image, **codes):
    """Write a NIfTI file with nibabel."""
    array = np.arange(60, dtype=np.int16).reshape(3, 4, 5) if array is None else array
    image = kind(array, np.eye(4) if affine is None else affine)
    image.set_sform(image.affine, code=codes.get("sform", 1))
    image.set_qform(image.affine, code=codes.get("qform", 1))
    nib.save(image, path)
    return path


def patched(path, offset, value, kind):
    """Overwrite a header field of an uncompressed file."""
    content = bytearray(path.read_bytes())
    data = np.array(value, dtype=kind).tobytes()
    content[offset : offset + len(data)] = data
    path.write_bytes(content)
    return path


def same_geometry(a, b):
    """Whether two headers hold one geometry, bit for bit."""
    a, b = nib.load(a).header, nib.load(b).header
    same = all(np.array_equal(a[field], b[field]) for field in GEOMETRY)
    return same and np.array_equal(a["pixdim"][:4], b["pixdim"][:4])


def oblique(angle, flip=1):
    affine = np.diag([0.9, 1.1, 3.3 * flip, 1])
    affine[:2, :2] = [
        [0.9 * np.cos(angle), -1.1 * np.sin(angle)],
        [0.9 * np.sin(angle), 1.1 * np.cos(angle)],
    ]
    affine[:3, 3] = [-90.123, 126.7, -72.01]
    return affine


def test_values_and_affine_are_those_of_nibabel():
    image = nib.load(SAMPLE)
    volume = read(SAMPLE)
    assert volume.array.dtype == np.float32
    assert (volume.array == image.get_fdata(dtype=np.float32)).all()
    assert (volume.affine == image.affine).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.float64])
@pytest.mark.parametrize("order", ["<", ">"])
def test_every_integer_and_float_type_is_read(dtype, order, tmp_path):
    array = np.random.default_rng(0).integers(0, 120, (3, 4, 5)).astype(dtype)
    path = tmp_path / "a.nii"
    image = nib.Nifti1Image(array, np.eye(4), nib.Nifti1Header(endianness=order))
    image.header.set_data_dtype(np.dtype(dtype).newbyteorder(order))
    nib.save(image, path)
    assert nib.load(path).header.endianness == order
    assert (read(path).array == array).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
def test_slope_and_intercept_are_honoured(dtype, tmp_path):
    path = source(tmp_path / "a.nii", np.arange(60).reshape(3, 4, 5).astype(dtype))
    patched(patched(path, SLOPE, 0.25, "<f4"), INTER, -7.5, "<f4")
    expected = np.arange(60).reshape(3, 4, 5) * 0.25 - 7.5
    assert (read(path).array == expected).all()
    assert (nib.load(path).get_fdata() == expected).all()


@pytest.mark.parametrize("slope", [0.0, np.nan, np.inf])
def test_a_slope_of_zero_or_not_finite_means_none(slope, tmp_path):
    path = patched(source(tmp_path / "a.nii"), SLOPE, slope, "<f4")
    assert read(path).array.max() == 59


@settings(max_examples=25)
@given(
    angle=st.floats(-3.1, 3.1),
    codes=st.tuples(st.integers(0, 4), st.integers(0, 4)).filter(any),
    kind=st.sampled_from([nib.Nifti1Image, nib.Nifti2Image]),
    units=st.integers(0, 31),
    flip=st.sampled_from([1, -1]),
    seed=st.integers(0, 2**32 - 1),
)
def test_output_has_the_geometry_of_its_source_bit_for_bit(
    tmp_path_factory, angle, codes, kind, units, flip, seed
):
    folder = tmp_path_factory.mktemp("nifti")
    array = np.random.default_rng(seed).integers(0, 999, (3, 4, 5)).astype(np.int16)
    path = folder / "source.nii.gz"
    image = kind(array, oblique(angle, flip))
    image.set_qform(oblique(angle, flip), code=codes[0])
    # The two disagree, as after a registration that touched only the sform.
    image.set_sform(oblique(angle + 0.1, flip), code=codes[1])
    image.header["xyzt_units"] = units
    nib.save(image, path)
    volume = read(path)
    assert (volume.affine == nib.load(path).affine).all()
    write(volume, folder / "out.nii.gz", like=path)
    assert same_geometry(folder / "out.nii.gz", path)
    out = nib.load(folder / "out.nii.gz")
    assert isinstance(out, kind)
    assert out.shape == image.shape
    assert out.get_data_dtype() == np.float32
    assert (out.get_fdata() == array).all()


def test_the_sform_comes_before_the_qform(tmp_path):
    path = tmp_path / "a.nii"
    image = nib.Nifti1Image(np.zeros((3, 4, 5), np.int16), None)
    image.set_sform(np.diag([2.0, 2, 2, 1]), code=4)
    image.set_qform(np.diag([3.0, 3, 3, 1]), code=1)
    nib.save(image, path)
    assert read(path).spacing == (2, 2, 2)
    patched(path, SFORM_CODE, 0, "<i2")
    assert read(path).spacing == (3, 3, 3)


def test_a_file_without_orientation_is_refused(tmp_path):
    path = patched(source(tmp_path / "a.nii"), QFORM_CODE, [0, 0], "<i2")
    message = "has neither an sform nor a qform .* so its orientation is unknown; set one"
    with pytest.raises(InputError, match=message):
        read(path)


def test_a_big_endian_source_gives_the_same_geometry(tmp_path):
    path = tmp_path / "a.nii"
    image = nib.Nifti1Image(np.ones((3, 4, 5)), oblique(0.3), nib.Nifti1Header(endianness=">"))
    nib.save(image, path)
    write(read(path), tmp_path / "b.nii", like=path)
    assert same_geometry(path, tmp_path / "b.nii")


def test_trailing_axes_of_size_one_are_dropped(tmp_path):
    array = np.arange(60, dtype=np.float32).reshape(3, 4, 5, 1, 1)
    path = source(tmp_path / "a.nii.gz", array)
    volume = read(path)
    assert volume.shape == (3, 4, 5)
    assert (volume.array == array[..., 0, 0]).all()
    write(volume, tmp_path / "b.nii", like=path)
    assert nib.load(tmp_path / "b.nii").shape == (3, 4, 5)
    assert same_geometry(path, tmp_path / "b.nii")


def test_the_suffix_of_the_output_decides_on_compression(tmp_path):
    path = source(tmp_path / "a.nii")
    write(read(path), tmp_path / "b.nii.gz", like=path)
    write(read(path), tmp_path / "c.nii", like=tmp_path / "b.nii.gz")
    assert (tmp_path / "b.nii.gz").read_bytes()[:2] == b"\x1f\x8b"
    assert (tmp_path / "c.nii").read_bytes()[:4] == b"\x5c\x01\x00\x00"
    assert same_geometry(path, tmp_path / "c.nii")


def test_the_same_volume_gives_the_same_bytes(tmp_path):
    volume = read(SAMPLE)
    for name in ("a.nii.gz", "b.nii.gz"):
        write(volume, tmp_path / name, like=SAMPLE)
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()


def test_without_a_source_both_forms_hold_the_affine(tmp_path):
    write(Volume(np.ones((3, 4, 5), np.float32), oblique(0.3)), tmp_path / "a.nii")
    header = nib.load(tmp_path / "a.nii").header
    assert (header["sform_code"], header["qform_code"]) == (1, 1)
    np.testing.assert_allclose(header.get_sform(), oblique(0.3), atol=1e-4)
    np.testing.assert_allclose(header.get_qform(), oblique(0.3), atol=1e-4)
    assert header.get_xyzt_units()[0] == "mm"


def test_a_sheared_affine_is_left_to_the_sform(tmp_path):
    affine = np.eye(4)
    affine[0, 1] = 0.2
    write(Volume(np.ones((3, 4, 5), np.float32), affine), tmp_path / "a.nii")
    header = nib.load(tmp_path / "a.nii").header
    assert (header["sform_code"], header["qform_code"]) == (1, 0)
    assert read(tmp_path / "a.nii").affine[0, 1] == np.float32(0.2)


def test_the_description_is_written_and_the_sources_text_is_not(tmp_path):
    image = nib.Nifti1Image(np.ones((3, 4, 5)), np.eye(4))
    image.header["descrip"] = b"MUELLER^HANS"
    image.header["aux_file"] = b"mueller.txt"
    image.header["intent_name"] = b"mueller"
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"MUELLER"))
    nib.save(image, tmp_path / "a.nii")
    write(read(tmp_path / "a.nii"), tmp_path / "b.nii", like=tmp_path / "a.nii")
    assert nib.load(tmp_path / "b.nii").header["descrip"] == DESCRIPTION.encode()
    assert b"mueller" not in (tmp_path / "b.nii").read_bytes().lower()
    write(read(tmp_path / "a.nii"), tmp_path / "c.nii", description="é" * 100)
    assert nib.load(tmp_path / "c.nii").header["descrip"].item() == b"?" * 79


def test_extensions_are_skipped(tmp_path):
    image = nib.Nifti1Image(np.arange(60.0).reshape(3, 4, 5), np.eye(4))
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"x" * 5000))
    nib.save(image, tmp_path / "a.nii.gz")
    assert (read(tmp_path / "a.nii.gz").array == image.get_fdata()).all()


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
def test_a_hostile_header_is_refused(offset, value, kind, message, tmp_path):
    path = patched(source(tmp_path / "a.nii"), offset, value, kind)
    with pytest.raises(InputError, match=rf"a\.nii: ({message})") as caught:
        read(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("pixdim", [[1, 0, 1, 1], [1, -1, 1, 1], [1, np.nan, 1, 1]])
def test_a_damaged_qform_is_refused(pixdim, tmp_path):
    path = patched(source(tmp_path / "a.nii", sform=0), PIXDIM, pixdim, "<f4")
    with pytest.raises(InputError, match=r"damaged header|affine is (singular|not a finite)"):
        read(path)


def test_a_damaged_quaternion_is_refused(tmp_path):
    path = patched(source(tmp_path / "a.nii", sform=0), 256, [3.0, 3.0, 3.0], "<f4")
    with pytest.raises(InputError, match="has a damaged header"):
        read(path)


def test_a_file_named_otherwise_than_compressed_is_refused(tmp_path):
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


def test_a_header_that_claims_256_tib_takes_no_memory(tmp_path):
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


def test_a_gzip_bomb_behind_the_voxels_is_not_inflated(tmp_path):
    head = source(tmp_path / "a.nii").read_bytes()
    path = gzip_bomb(tmp_path / "bomb.nii.gz", head, mebibytes=300)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert read(path).shape == (3, 4, 5)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50 * 1024


def test_a_gzip_bomb_in_the_extensions_is_not_inflated(tmp_path):
    path = source(tmp_path / "a.nii")
    patched(path, VOX_OFFSET, 5e8, "<f4")
    bomb = gzip_bomb(tmp_path / "bomb.nii.gz", path.read_bytes()[:352], mebibytes=300)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InputError, match=r"its voxels begin at byte 5e\+08"):
        read(bomb)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50 * 1024


def test_a_tiny_gzip_file_cannot_claim_gigabytes(tmp_path):
    path = patched(source(tmp_path / "a.nii"), DIM, [3, 800, 800, 800], "<i2")
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(path.read_bytes()))
    with pytest.raises(InputError, match=r"bytes cannot hold the 1024000352 that its header"):
        read(tmp_path / "a.nii.gz")


def test_data_behind_the_voxels_are_ignored(tmp_path):
    path = source(tmp_path / "a.nii")
    path.write_bytes(path.read_bytes() + b"trailer")
    assert read(path).array.max() == 59


def test_the_grid_is_read_from_the_header_alone(tmp_path):
    path = source(tmp_path / "a.nii", affine=oblique(0.2))
    path.write_bytes(path.read_bytes()[:352])
    np.testing.assert_allclose(read_grid(path).affine, oblique(0.2), atol=1e-4)
    with pytest.raises(InputError, match="is truncated"):
        read(path)


@pytest.mark.skipif(DATA is None, reason="HAGAN_TEST_DATA is not set")
@pytest.mark.parametrize("pattern", ["lgg_mni/*/*_t1.nii.gz", "pairs_1mm/*/*_flair.nii.gz", "ct/*"])
def test_real_files_give_outputs_of_their_geometry(pattern, tmp_path):
    path = next(Path(DATA or "").glob(pattern))
    volume = read(path)
    assert (volume.array == nib.load(path).get_fdata(dtype=np.float32)).all()
    write(volume, tmp_path / "out.nii.gz", like=path)
    assert same_geometry(path, tmp_path / "out.nii.gz")
    assert nib.load(tmp_path / "out.nii.gz").shape == nib.load(path).shape
    assert (nib.load(tmp_path / "out.nii.gz").affine == nib.load(path).affine).all()


def test_voxels_that_begin_within_the_header_of_version_2_are_refused(tmp_path):
    path = patched(source(tmp_path / "a.nii", kind=nib.Nifti2Image), 168, [540], "<i8")
    with pytest.raises(InputError, match="voxels begin at byte 540, expected 544 or more"):
        read(path)


@pytest.mark.parametrize("excess", [8e-7, 2e-4])
def test_a_quaternion_that_rounding_made_too_long_is_read(excess, tmp_path):
    """A half turn, whose real part is 0: half of such headers say a little more than 1."""
    turn = np.diag([-1.0, 1.0, -1.0, 1.0])
    path = patched(source(tmp_path / "a.nii", affine=turn), SFORM_CODE, [0], "<i2")
    patched(path, 256, [0.0, np.sqrt(1 + excess), 0.0], "<f4")
    np.testing.assert_allclose(read(path).affine, turn, atol=1e-6)
    write(read(path), tmp_path / "b.nii", like=path)
    np.testing.assert_allclose(nib.load(tmp_path / "b.nii").affine, turn, atol=1e-6)


@pytest.mark.parametrize(("qfac", "handed"), [(0, 1), (0.5, 1), (-0.5, -1), (-1, -1)])
def test_a_qfac_counts_by_its_sign_and_0_as_1(qfac, handed, tmp_path):
    path = patched(source(tmp_path / "a.nii"), SFORM_CODE, [0], "<i2")
    patched(path, PIXDIM, [qfac], "<f4")
    np.testing.assert_array_equal(read(path).affine, np.diag([1, 1, handed, 1]))
    write(read(path), tmp_path / "b.nii", like=path)
    np.testing.assert_array_equal(nib.load(tmp_path / "b.nii").affine, np.diag([1, 1, handed, 1]))


@pytest.mark.parametrize("rubbish", [b"GARBAGE!", b"\0\0\0GA", b"\x1f"])
def test_rubbish_behind_a_whole_gzip_stream_is_passed_over(rubbish, tmp_path):
    path = source(tmp_path / "a.nii.gz")
    path.write_bytes(path.read_bytes() + rubbish)
    assert read(path).array.max() == 59


def test_a_gzip_stream_whose_checksum_is_wrong_is_refused_with_rubbish_behind_it_too(tmp_path):
    path = source(tmp_path / "a.nii.gz")
    content = bytearray(path.read_bytes())
    content[-8] ^= 1
    for rubbish in (b"", b"GARBAGE!"):
        path.write_bytes(bytes(content) + rubbish)
        with pytest.raises(InputError, match=r"is truncated or damaged .CRC check failed"):
            read(path)


def test_rubbish_in_the_place_of_the_rest_is_a_truncation(tmp_path):
    path = source(tmp_path / "a.nii.gz")
    whole = gzip.decompress(path.read_bytes())
    path.write_bytes(gzip.compress(whole[:-20]) + b"GARBAGE!")
    with pytest.raises(InputError, match="is truncated"):
        read(path)
