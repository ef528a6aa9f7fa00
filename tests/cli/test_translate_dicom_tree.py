"""A tree of DICOM examinations: a derived series of each, in a tree like its own."""

import csv
import shutil

import nibabel as nib
import numpy as np
import pydicom
import pytest
from click.testing import CliRunner

from hagan_clinic.cli import main


@pytest.fixture
def tree(test_data, tmp_path):
    """A T1 with its FLAIR, an image in colours, and two examinations in one folder."""
    dicom, top = test_data / "dicom", tmp_path / "in"
    shutil.copytree(dicom / "brainix", top / "site/smith")
    shutil.copytree(dicom / "edge/generic/rgb/001", top / "jones")
    (top / "flat").mkdir()
    for name in ("HFP/2_t1_fl2d_sag", "HFS/3_t1_fl2d_sag"):
        for file in (dicom / "decubitus" / name).iterdir():
            shutil.copy(file, top / "flat" / f"{name[:3]}{file.name}")
    return top


@pytest.fixture
def run(toy_generator, tmp_path):
    def call(folder, *arguments):
        model = ["--model", toy_generator, "--device", "cpu", "--threads", "1"]
        wanted = ["translate", folder, "-o", tmp_path / "out", *model, *arguments]
        return CliRunner().invoke(main, [str(one) for one in wanted])

    return call


def test_each_examination_gives_a_series_and_one_that_cannot_be_used_a_row(run, tree, tmp_path):
    result = run(tree, "--burn-in")
    assert result.exit_code == 3
    assert "1 of 4 failed; the exit code 3 is that of examination 3" in result.stderr
    assert "examination 3: t1: the series cannot be used: is a colour image" in result.stderr
    assert "jones" not in result.output and "smith" not in result.output
    with (tmp_path / "out/results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    made = ["flat/examination001_flair", "flat/examination002_flair", "", "site/smith_flair"]
    assert [row["output"] for row in rows] == [
        str(tmp_path / "out" / name) if name else "" for name in made
    ]
    assert "colour image" in rows[2]["reason"]
    studies = [
        pydicom.dcmread(next((tmp_path / "out" / name).glob("*.dcm"))).StudyInstanceUID
        for name in made
        if name
    ]
    assert len(set(studies)) == 3


def test_one_examination_is_one_series_as_ever(run, tree, tmp_path):
    result = run(tree / "site")
    assert result.exit_code == 0, result.output
    assert {path.suffix for path in (tmp_path / "out").iterdir()} == {".dcm"}


def test_a_tree_of_both_kinds_is_refused_in_one_line(run, tree, tmp_path):
    (tree / "p9").mkdir()
    nib.save(nib.Nifti1Image(np.zeros((4, 4, 4), np.int16), np.eye(4)), tree / "p9/t1.nii.gz")
    result = run(tree)
    assert result.exit_code == 3
    assert "DICOM files (examinations: 4) and volume files (1), expected one" in result.stderr
    assert not (tmp_path / "out").exists()
