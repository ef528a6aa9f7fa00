"""`translate` on real DICOM series: what comes out, and where it lies."""

import shutil
import subprocess
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest

from hagan_clinic.imageio.dicom.discovery import find_series
from hagan_clinic.imageio.dicom.geometry import stack as build_stack


def test_a_series_gives_a_series_on_its_own_planes(t1_series, done, tmp_path):
    done(t1_series, "-o", tmp_path / "out")
    (found,) = find_series(t1_series).series
    (derived,) = find_series(tmp_path / "out").series
    before, after = build_stack(found), build_stack(derived)
    assert len(list((tmp_path / "out").iterdir())) == len(before.slices) == len(after.slices)
    for origin, made in zip(before.slices, after.slices, strict=True):
        for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
            there, here = origin.plane[keyword].value, made.plane[keyword].value
            assert [v.original_string for v in here] == [v.original_string for v in there]
    header = derived.header
    assert header.SyntheticData == "YES" and header.SeriesDescription.startswith("SYNTHETIC")
    assert header.SOPClassUID == pydicom.uid.MRImageStorage  # of an enhanced source too
    assert header.StudyInstanceUID == found.header.StudyInstanceUID
    assert header.FrameOfReferenceUID == found.header.FrameOfReferenceUID


def test_a_series_and_a_volume_file_hold_the_same_values(pixels, done, dicom, tmp_path):
    for output in ("out", "flair.nii.gz"):
        done(dicom / "brainix/t1", "-o", tmp_path / output)
    volume = nib.load(tmp_path / "flair.nii.gz")
    stored = pixels(tmp_path / "out").T
    assert stored.std() > 100
    np.testing.assert_array_equal(stored, np.rint(volume.get_fdata(dtype=np.float32) * 4095))
    subprocess.run(
        ["dcm2niix", "-z", "n", "-f", "series", "-o", tmp_path, tmp_path / "out"],
        check=True, capture_output=True,
    )  # fmt: skip
    oracle = nib.as_closest_canonical(nib.load(tmp_path / "series.nii"))
    ours = nib.as_closest_canonical(volume)
    np.testing.assert_allclose(ours.affine, oracle.affine, atol=1e-3)
    values = np.rint(ours.get_fdata(dtype=np.float32) * 4095)
    np.testing.assert_array_equal(values, oracle.get_fdata())


def test_the_same_translation_is_the_same_series(pixels, uids, done, dicom, tmp_path):
    source = dicom / "brainix/t1"
    for folder in ("one", "two"):
        done(source, "-o", tmp_path / folder)
    assert uids(tmp_path / "one") == uids(tmp_path / "two")
    np.testing.assert_array_equal(pixels(tmp_path / "one"), pixels(tmp_path / "two"))


def test_what_changes_the_result_changes_the_uids(
    headers, pixels, uids, done, series, toy_generator, tmp_path
):
    source = series()
    (found,) = find_series(source).series
    grid = build_stack(found).grid
    mask = np.zeros(grid.shape, np.uint8)
    mask[100:400, 100:400, 4:18] = 1
    nib.save(nib.Nifti1Image(mask, grid.affine), tmp_path / "mask.nii.gz")
    mask[150:] = 0
    nib.save(nib.Nifti1Image(mask, grid.affine), tmp_path / "other.nii.gz")
    done(source, "-o", tmp_path / "plain")
    done(source, "-o", tmp_path / "burnt", "--burn-in")
    done(source, "-o", tmp_path / "masked", "--mask", tmp_path / "mask.nii.gz")
    done(source, "-o", tmp_path / "other", "--mask", tmp_path / "other.nii.gz")
    kinds = ("plain", "burnt", "masked", "other")
    assert len({uids(tmp_path / kind)[0] for kind in kinds}) == len(kinds)
    assert "no brain mask" in headers(tmp_path / "plain")[0].DerivationDescription
    assert "brain mask of sha256" in headers(tmp_path / "masked")[0].DerivationDescription
    burnt, plain = pixels(tmp_path / "burnt"), pixels(tmp_path / "plain")
    assert (burnt[:, :40] == 4095).any(axis=(1, 2)).all()
    np.testing.assert_array_equal(burnt[:, 256:], plain[:, 256:])


def test_a_converted_mask_with_other_axes_is_the_same_mask(pixels, done, dicom, tmp_path):
    source = dicom / "brainix/t1"
    (found,) = find_series(source).series
    grid = build_stack(found).grid
    mask = np.zeros(grid.shape, np.uint8)
    mask[100:400, 100:400, 4:18] = 1
    image = nib.Nifti1Image(mask, grid.affine)
    nib.save(image, tmp_path / "mask.nii.gz")
    nib.save(nib.as_closest_canonical(image), tmp_path / "turned.nii.gz")
    for name in ("mask", "turned"):
        done(source, "-o", tmp_path / name, "--mask", tmp_path / f"{name}.nii.gz")
    np.testing.assert_array_equal(pixels(tmp_path / "mask"), pixels(tmp_path / "turned"))


def test_a_file_converted_from_a_series_gives_a_series_like_it(
    pixels, uids, run, done, dicom, tmp_path
):
    source = dicom / "brainix/t1"
    subprocess.run(
        ["dcm2niix", "-z", "y", "-f", "t1", "-o", tmp_path, source],
        check=True, capture_output=True,
    )  # fmt: skip
    done(tmp_path / "t1.nii.gz", "-o", tmp_path / "out", "--dicom-like", source)
    done(source, "-o", tmp_path / "direct")
    made, direct = pixels(tmp_path / "out"), pixels(tmp_path / "direct")
    assert np.abs(made.astype(int) - direct).max() <= 1
    assert uids(tmp_path / "out") != uids(tmp_path / "direct")  # of another file
    # A volume file beside the series stays on the scan's own grid.
    like = [tmp_path / "t1.nii.gz", "--dicom-like", source, "--overwrite"]
    done(*like, "-o", tmp_path / "out", "--uncertainty", tmp_path / "unsure.nii.gz")
    scan, unsure = (nib.load(tmp_path / name) for name in ("t1.nii.gz", "unsure.nii.gz"))
    np.testing.assert_array_equal(scan.affine, unsure.affine)
    result = run(*like, "-o", tmp_path / "flair.nii.gz")
    assert result.exit_code == 6 and "--dicom-like is for a DICOM series" in result.stderr
    result = run(
        tmp_path / "t1.nii.gz", "-o", tmp_path / "none", "--dicom-like", dicom / "sag_mprage"
    )
    assert (result.exit_code, (tmp_path / "none").exists()) == (3, False)
    assert "does not lie on the grid of the series" in result.stderr


def test_the_uncertainty_map_is_a_series_of_its_own(headers, done, dicom, tmp_path):
    done(dicom / "brainix/t1", "-o", tmp_path / "out", "--uncertainty", tmp_path / "unsure")
    image, unsure = headers(tmp_path / "out")[0], headers(tmp_path / "unsure")[0]
    assert unsure.SeriesDescription.startswith("SYNTHETIC UNCERTAINTY")
    assert unsure.SeriesInstanceUID != image.SeriesInstanceUID
    assert unsure.SeriesNumber != image.SeriesNumber
    assert unsure.StudyInstanceUID == image.StudyInstanceUID
    assert "half-width of the 90 % interval" in unsure.DerivationDescription


def test_options_and_their_file_show_in_the_headers(headers, run, done, dicom, tmp_path):
    (tmp_path / "site.toml").write_text('department = "Radiology"\nseries-number = 7\n')
    source = dicom / "brainix/t1"
    result = run(source, "-o", tmp_path / "out", "--dicom-config", tmp_path / "site.toml")
    assert result.exit_code == 3 and "series_number" in result.stderr
    (tmp_path / "site.toml").write_text('department = "Radiology"\nnumber = 7\n')
    chosen = ["--series-description", "head", "--series-number", "8", "--station-name", "node1"]
    done(source, "-o", tmp_path / "out", "--dicom-config", tmp_path / "site.toml", *chosen)
    header = headers(tmp_path / "out")[0]
    assert header.SeriesDescription == "SYNTHETIC head"
    assert (header.SeriesNumber, header.StationName) == (8, "node1")
    assert header.InstitutionalDepartmentName == "Radiology"


@pytest.mark.parametrize(
    "name",
    ["brainix/t1", "xa30_enhanced/5_anat-T1w_acq-tfl", "decubitus/HFS/3_t1_fl2d_sag"],
)
def test_validators_find_no_error(name, done, dicom, tmp_path):
    if shutil.which("dciodvfy") is None:
        pytest.skip("dciodvfy is not installed")
    done(dicom / name, "-o", tmp_path / "out", "--uncertainty", tmp_path / "unsure")
    for folder in (tmp_path / "out", tmp_path / "unsure"):
        for path in sorted(folder.iterdir())[::10]:
            told = subprocess.run(["dciodvfy", "-new", path], capture_output=True)
            lines = (told.stdout + told.stderr).decode("utf-8", "replace").splitlines()
            assert "MRImage" in lines  # it checked what it should
            # Its 2022 build does not know SyntheticData.
            errors = [line for line in lines if line.startswith("Error")]
            assert [line for line in errors if "(0008,001c)" not in line] == []


def test_python_does_the_same(pixels, uids, toy_generator, dicom, tmp_path, done):
    import hagan_clinic

    source = dicom / "brainix/t1"
    result = hagan_clinic.translate(source, tmp_path / "out", model=toy_generator, device="cpu")
    done(source, "-o", tmp_path / "command")
    assert uids(tmp_path / "out") == uids(tmp_path / "command")
    np.testing.assert_array_equal(
        pixels(tmp_path / "out").T, np.rint(result.volume.array * 4095).astype(np.uint16)
    )
    assert Path(tmp_path / "out" / "0022.dcm").is_file()
