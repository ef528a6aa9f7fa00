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
    made = ["flat/examination001_flair", "flat/examination002_flair", "site/smith_flair"]
    assert [row["output"] for row in rows] == [*made[:2], "jones_flair", made[2]]
    assert "colour image" in rows[2]["reason"]
    studies = [
        pydicom.dcmread(next((tmp_path / "out" / name).glob("*.dcm"))).StudyInstanceUID
        for name in made
    ]
    assert len(set(studies)) == 3


def test_a_series_of_two_patients_is_refused_and_not_translated_by_halves(run, tree, tmp_path):
    halves = sorted((tree / "site/smith/t1").iterdir())
    for number, file in enumerate(halves):
        place = tree / ("first" if number < len(halves) // 2 else "second")
        place.mkdir(exist_ok=True)
        header = pydicom.dcmread(file)
        header.PatientID = place.name
        header.save_as(place / file.name)
    for folder in ("site", "jones", "flat"):
        shutil.rmtree(tree / folder)
    result = run(tree)
    assert result.exit_code == 3
    assert "is of another patient" in result.stderr
    assert not list(tmp_path.glob("out*"))


def test_a_second_run_keeps_the_series_that_the_same_scans_and_settings_gave(run, tree, tmp_path):
    shutil.rmtree(tree / "flat")
    run(tree)
    before = (tmp_path / "out/site/smith_flair/0001.dcm").stat().st_ino
    again = run(tree, "--skip-existing")
    assert "0 of 2 translated, 1 kept" in again.stdout
    assert (tmp_path / "out/site/smith_flair/0001.dcm").stat().st_ino == before
    other = run(tree, "--skip-existing", "--burn-in")
    assert "2 of 2 failed" in other.stderr
    assert "examination 2: its result: exists, but was not made" in other.stderr
    assert "smith" not in other.output
    (tmp_path / "out/site/smith_flair/0001.dcm").unlink()
    broken = run(tree, "--skip-existing", "--overwrite")
    assert "1 of 2 translated" in broken.stdout


def test_a_volume_made_of_a_series_is_kept_too(run, tree, tmp_path, toy_generator):
    model = ["--model", str(toy_generator), "--device", "cpu", "--skip-existing"]
    wanted = ["translate", str(tree / "site"), "-o", str(tmp_path / "flair.nii.gz"), *model]
    for word in ("wrote", "kept"):
        assert CliRunner().invoke(main, wanted).stdout.startswith(f"{word} {tmp_path}")
    changed = next((tree / "site/smith/t1").iterdir())
    header = pydicom.dcmread(changed)
    header.PixelData = header.PixelData[:-2] + b"\1\0"
    header.save_as(changed)
    result = CliRunner().invoke(main, wanted)
    assert result.exit_code == 6 and "exists, but was not made" in result.stderr


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
