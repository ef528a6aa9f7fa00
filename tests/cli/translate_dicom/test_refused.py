"""`translate` on real DICOM series: what is refused, and what is left as it was."""

import shutil

import nibabel as nib
import numpy as np
import pytest


def test_options_of_a_series_need_one_to_be_written(run, dicom, tmp_path):
    result = run(dicom / "brainix/t1", "-o", tmp_path / "flair.nii.gz", "--burn-in")
    assert result.exit_code == 2
    assert "--burn-in go with a DICOM series as the output" in result.stderr


def test_a_series_that_exists_is_replaced_whole_or_not_at_all(run, done, dicom, tmp_path):
    source, out = dicom / "brainix/t1", tmp_path / "out"
    out.mkdir()
    done(source, "-o", out)  # an empty folder is fine
    for stale in range(23, 30):
        shutil.copy(out / "0001.dcm", out / f"{stale:04}.dcm")
    result = run(source, "-o", out)
    assert result.exit_code == 6 and "is not empty" in result.stderr
    done(source, "-o", out, "--overwrite")
    assert len(list(out.iterdir())) == 22
    (out / "notes.txt").write_text("mine")
    result = run(source, "-o", out, "--overwrite")
    assert result.exit_code == 6 and "holds notes.txt besides .dcm files" in result.stderr
    assert (out / "notes.txt").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]


@pytest.mark.parametrize("place", [".", "derived", ".."])
def test_an_output_in_the_source_or_around_it_is_refused(run, series, place):
    source = series()
    before = sorted(source.rglob("*"))
    result = run(source, "-o", source / place, "--overwrite")
    assert result.exit_code == 6, result.output
    assert sorted(source.rglob("*")) == before


def test_a_full_disk_leaves_nothing(run, dicom, small_disk):
    result = run(dicom / "brainix/t1", "-o", small_disk / "out")
    assert result.exit_code == 6
    assert "the disk is full" in result.stderr or "No space left" in result.stderr
    assert list(small_disk.iterdir()) == []


def _synthetic(header, number):
    header.add_new(0x0008001C, "CS", "YES")


def _contrast(header, number):
    header.ContrastBolusAgent = "Gadovist"


def _tilted(header, number):
    x, y, z = header.ImagePositionPatient
    header.ImagePositionPatient = [x, y + 2 * number, z]


def _without_place(header, number):
    del header.ImagePositionPatient


def _two_matrices(header, number):
    if number == 3:
        header.Rows, header.Columns = 256, 256
        header.PixelData = header.PixelData[: 256 * 256 * 2]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_synthetic, "is synthetic"),
        (_contrast, "contrast-enhanced"),
        (_tilted, "tilt"),
        (_without_place, "ImagePositionPatient"),
        (_two_matrices, "256"),
    ],
)
def test_a_series_that_must_not_be_translated_is_refused_by_name(
    change, message, run, series, tmp_path
):
    source = series(change)
    result = run(source, "-o", tmp_path / "out")
    assert result.exit_code == 3, result.output
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_missing_slice_is_refused_and_contrast_allowed_if_told(run, done, series, tmp_path):
    source = series(_contrast)
    done(source, "-o", tmp_path / "out", "--allow-contrast")
    sorted(source.iterdir())[9].unlink()
    result = run(source, "-o", tmp_path / "none", "--allow-contrast")
    assert result.exit_code == 3
    assert "missing" in result.stderr


def test_what_it_wrote_is_never_translated_again(run, done, dicom, tmp_path):
    done(dicom / "brainix/t1", "-o", tmp_path / "out")
    result = run(tmp_path / "out", "-o", tmp_path / "again")
    assert (result.exit_code, (tmp_path / "again").exists()) == (3, False)
    assert "is synthetic" in result.stderr


def test_a_folder_of_both_kinds_is_refused(run, series, tmp_path):
    source = series()
    nib.save(nib.Nifti1Image(np.zeros((4, 4, 4), np.int16), np.eye(4)), source / "x.nii.gz")
    result = run(source, "-o", tmp_path / "out")
    assert result.exit_code == 3
    assert "holds DICOM files and volume files" in result.stderr
