import csv

import nibabel
import numpy as np
import pytest


@pytest.fixture
def bare(test_data, names, tmp_path_factory):
    """Six real patients as a CSV that names neither masks nor lesions."""
    path = tmp_path_factory.mktemp("bare") / "cohort.csv"
    scans = [test_data / "lgg_mni" / name / f"{name}_t1.nii.gz" for name in names[:6]]
    rows = [f"{name},{scan}" for name, scan in zip(names, scans, strict=False)]
    path.write_text("\n".join(["subject,t1", *rows]) + "\n")
    return path


def test_a_real_cohort_gets_a_table_that_says_what_was_measured(hagan, twelve, names, tmp_path):
    result = hagan("measure", twelve, "-o", tmp_path / "v.csv", "--lesions")
    assert "12 subjects, brain_ml is the volume brighter than 0.3 in the brain" in result.output
    assert "as all brain masks have one volume" in result.output
    rows = list(csv.DictReader((tmp_path / "v.csv").open()))
    assert [row["subject"] for row in rows] == names
    assert rows[0]["patient"] == "TCGA_CS_4941"
    assert all(1200 < float(row["brain_ml"]) < 1900 for row in rows)
    assert all(float(row["lesion_ml"]) > 0 for row in rows)


def test_without_lesions_the_table_has_no_column_of_them(hagan, bare, tmp_path):
    hagan("measure", bare, "-o", tmp_path / "v.csv", "--stripped", "--threshold", "0.2")
    header, *rows = (tmp_path / "v.csv").read_text().splitlines()
    assert header == "subject,patient,brain_ml"
    assert len(rows) == 6


def test_lungs_and_emphysema_of_chest_ct_are_measured_on_its_own_voxels(hagan, test_data, tmp_path):
    chest = nibabel.load(test_data / "ct" / "LIDC-IDRI-0314_2mm.nii.gz")
    values = np.asarray(chest.dataobj, np.float32)
    for name, array in {"a": values, "b": np.where(values < -800, -1000, values)}.items():
        nibabel.Nifti1Image(array, chest.affine).to_filename(tmp_path / f"{name}_ct.nii.gz")
    hagan("measure", tmp_path, "-o", tmp_path / "v.csv", "--image", "ct", "--emphysema")
    rows = list(csv.DictReader((tmp_path / "v.csv").open()))
    assert list(rows[0]) == ["subject", "patient", "lung_ml", "emphysema_percent"]
    assert [float(row["lung_ml"]) for row in rows] == pytest.approx([2743, 2743], abs=1)
    assert float(rows[0]["emphysema_percent"]) == pytest.approx(1.046, abs=0.001)
    inside = values[(values < -800)].size * 8 / 1000 / 2743 * 100
    assert 50 < float(rows[1]["emphysema_percent"]) < inside


def test_fat_and_bone_of_a_ct_are_measured_beside_its_lungs(hagan, test_data, tmp_path):
    chest = nibabel.load(test_data / "ct" / "LIDC-IDRI-0314_2mm.nii.gz")
    values = np.asarray(chest.dataobj, np.float32)
    stony = np.where((values >= -100) & (values <= -90), 400, values)
    for name, array in {"a": values, "b": stony}.items():
        nibabel.Nifti1Image(array, chest.affine).to_filename(tmp_path / f"{name}_ct.nii.gz")
    options = ("-o", tmp_path / "v.csv", "--image", "ct", "--emphysema", "--tissues")
    assert "bone above 200" in hagan("measure", tmp_path, *options).output
    first, second = csv.DictReader((tmp_path / "v.csv").open())
    columns = ["subject", "patient", "lung_ml", "emphysema_percent", "fat_ml", "bone_ml"]
    assert list(first) == columns
    # Without the table: with it they would be 5112 and 1173 ml.
    assert float(first["fat_ml"]) == pytest.approx(4961.8, abs=1)
    assert float(first["bone_ml"]) == pytest.approx(917.9, abs=1)
    gained = float(second["bone_ml"]) - float(first["bone_ml"])
    assert gained == pytest.approx(float(first["fat_ml"]) - float(second["fat_ml"]), abs=0.01)
    assert 500 < gained < 2000


@pytest.mark.parametrize(
    ("arguments", "output", "code", "message"),
    [
        ([], "v.csv", 3, "6 of 6 subjects have no brain mask: TCGA_CS_4941_19960909"),
        (["--stripped", "--lesions"], "v.csv", 3, "have no lesion label map"),
        (["--mask", "none.nii.gz"], "v.csv", 3, "none.nii.gz does not exist"),
        (["--image", "t2"], "v.csv", 3, "expected ['t2']"),
        (["--stripped", "--threshold", "2"], "v.csv", 3, "threshold is 2"),
        (["--emphysema"], "v.csv", 3, "shows no lung"),
        (["--emphysema", "--stripped"], "v.csv", 2, "leave the options of brains out"),
        (["--tissues"], "v.csv", 3, "shows no fat"),
        (["--tissues", "--lesions"], "v.csv", 2, "--tissues is of chest CT"),
        (["--stripped"], "v.txt", 6, "expected .csv"),
        (["--stripped"], "there.csv", 6, "exists already"),
        (["--stripped"], "none/v.csv", 6, "does not exist"),
    ],
)
def test_bad_input_is_named_in_one_line(hagan, bare, tmp_path, arguments, output, code, message):
    (tmp_path / "there.csv").write_text("kept")
    result = hagan("measure", bare, "-o", tmp_path / output, *arguments, code=code)
    assert message in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["there.csv"]
    assert (tmp_path / "there.csv").read_text() == "kept"
