import os
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


SAMPLES = Path(__file__).parents[3] / "examples"


SAMPLE = SAMPLES / "open_ms_patient07" / "open_ms_patient07_t1.nii.gz"


# Offsets of fields in the NIfTI-1 header.
DIM, DATATYPE, BITPIX, PIXDIM, VOX_OFFSET, SLOPE, INTER = 40, 70, 72, 76, 108, 112, 116


QFORM_CODE, SFORM_CODE, MAGIC = 252, 254, 344


GEOMETRY = [
    *("qform_code", "sform_code", "xyzt_units", "quatern_b", "quatern_c", "quatern_d"),
    *("qoffset_x", "qoffset_y", "qoffset_z", "srow_x", "srow_y", "srow_z"),
]


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
def test_slope_and_intercept_are_honoured(source, patched, dtype, tmp_path):
    path = source(tmp_path / "a.nii", np.arange(60).reshape(3, 4, 5).astype(dtype))
    patched(patched(path, SLOPE, 0.25, "<f4"), INTER, -7.5, "<f4")
    expected = np.arange(60).reshape(3, 4, 5) * 0.25 - 7.5
    assert (read(path).array == expected).all()
    assert (nib.load(path).get_fdata() == expected).all()


@pytest.mark.parametrize("slope", [0.0, np.nan, np.inf])
def test_a_slope_of_zero_or_not_finite_means_none(source, patched, slope, tmp_path):
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


def test_the_sform_comes_before_the_qform(patched, tmp_path):
    path = tmp_path / "a.nii"
    image = nib.Nifti1Image(np.zeros((3, 4, 5), np.int16), None)
    image.set_sform(np.diag([2.0, 2, 2, 1]), code=4)
    image.set_qform(np.diag([3.0, 3, 3, 1]), code=1)
    nib.save(image, path)
    assert read(path).spacing == (2, 2, 2)
    patched(path, SFORM_CODE, 0, "<i2")
    assert read(path).spacing == (3, 3, 3)


def test_a_big_endian_source_gives_the_same_geometry(tmp_path):
    path = tmp_path / "a.nii"
    image = nib.Nifti1Image(np.ones((3, 4, 5)), oblique(0.3), nib.Nifti1Header(endianness=">"))
    nib.save(image, path)
    write(read(path), tmp_path / "b.nii", like=path)
    assert same_geometry(path, tmp_path / "b.nii")


def test_trailing_axes_of_size_one_are_dropped(source, tmp_path):
    array = np.arange(60, dtype=np.float32).reshape(3, 4, 5, 1, 1)
    path = source(tmp_path / "a.nii.gz", array)
    volume = read(path)
    assert volume.shape == (3, 4, 5)
    assert (volume.array == array[..., 0, 0]).all()
    write(volume, tmp_path / "b.nii", like=path)
    assert nib.load(tmp_path / "b.nii").shape == (3, 4, 5)
    assert same_geometry(path, tmp_path / "b.nii")


def test_the_suffix_of_the_output_decides_on_compression(source, tmp_path):
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


def test_the_grid_is_read_from_the_header_alone(source, tmp_path):
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


@pytest.mark.parametrize("excess", [8e-7, 2e-4])
def test_a_quaternion_that_rounding_made_too_long_is_read(source, patched, excess, tmp_path):
    """A half turn, whose real part is 0: half of such headers say a little more than 1."""
    turn = np.diag([-1.0, 1.0, -1.0, 1.0])
    path = patched(source(tmp_path / "a.nii", affine=turn), SFORM_CODE, [0], "<i2")
    patched(path, 256, [0.0, np.sqrt(1 + excess), 0.0], "<f4")
    np.testing.assert_allclose(read(path).affine, turn, atol=1e-6)
    write(read(path), tmp_path / "b.nii", like=path)
    np.testing.assert_allclose(nib.load(tmp_path / "b.nii").affine, turn, atol=1e-6)


@pytest.mark.parametrize(("qfac", "handed"), [(0, 1), (0.5, 1), (-0.5, -1), (-1, -1)])
def test_a_qfac_counts_by_its_sign_and_0_as_1(source, patched, qfac, handed, tmp_path):
    path = patched(source(tmp_path / "a.nii"), SFORM_CODE, [0], "<i2")
    patched(path, PIXDIM, [qfac], "<f4")
    np.testing.assert_array_equal(read(path).affine, np.diag([1, 1, handed, 1]))
    write(read(path), tmp_path / "b.nii", like=path)
    np.testing.assert_array_equal(nib.load(tmp_path / "b.nii").affine, np.diag([1, 1, handed, 1]))
