import json
import re
import shutil

import pydicom
import pytest
from click.testing import CliRunner

from hagan_clinic.cli import main


def _run(*arguments, columns=200):
    return CliRunner(env={"COLUMNS": str(columns)}).invoke(main, ["inspect", *map(str, arguments)])


def test_table_shows_every_series_and_the_chosen_one(test_data):
    result = _run(test_data / "dicom" / "brainix")
    assert result.exit_code == 0, result.output
    flair, t1 = re.findall(r"^\d +[46]01 .*", result.stdout, re.MULTILINE)
    assert "T1/SE/extrp" in t1 and "512×512×22" in t1 and "0.4688×0.4688×6" in t1
    assert "axial, 4° oblique" in t1 and "chosen" in t1
    assert "chosen" not in flair and "is no T1 ('flair' in its description)" in result.stdout
    for uid in ("2006120114285654497", "2006120114333440565"):
        assert f".5.5396.{uid}\n" in result.stdout


def test_a_row_is_matched_to_its_uid_in_80_columns_too(test_data):
    found = json.loads(_run(test_data / "dicom" / "decubitus", "--json").stdout)["series"]
    lines = _run(test_data / "dicom" / "decubitus", columns=80).stdout.splitlines()
    rows, below = lines[: lines.index("")], lines[lines.index("") :]
    assert max(map(len, rows)) <= 80
    for place, series in enumerate(found, start=1):
        (row,) = [line for line in rows if line.startswith(f"{place} ")]
        assert row.split()[1] == str(series["number"])
        assert f"{place:>4}  {series['uid']}" in below
        assert len(f"{place:>4}  {series['uid']}") <= 80


def test_json_holds_the_same(test_data):
    told = json.loads(_run(test_data / "dicom" / "brainix", "--json").stdout)
    flair, t1 = told["series"]
    assert t1["number"] == 601
    assert t1["modality"] == "MR"
    assert t1["description"] == "T1/SE/extrp"
    assert t1["size"] == [512, 512, 22]
    assert t1["spacing_mm"] == pytest.approx([0.4688, 0.4688, 6], abs=1e-3)
    assert t1["usable"] and t1["chosen"]
    assert not flair["usable"] and not flair["chosen"]


def test_the_source_may_be_another(test_data):
    told = json.loads(_run(test_data / "dicom" / "brainix", "--json", "--source", "flair").stdout)
    assert [series["chosen"] for series in told["series"]] == [True, False]


def test_where_none_is_plainly_better_none_is_chosen(test_data):
    result = _run(test_data / "dicom" / "decubitus")
    assert result.exit_code == 0
    assert "none is clearly the better" in result.stdout
    assert "chosen" not in result.stdout


def test_contrast_may_be_allowed(test_data, tmp_path):
    for path in (test_data / "dicom" / "brainix" / "t1").iterdir():
        dataset = pydicom.dcmread(path)
        dataset.ContrastBolusAgent = "Dotarem"
        dataset.save_as(tmp_path / path.name)
    for arguments, usable in ([], False), (["--allow-contrast"], True):
        (series,) = json.loads(_run(tmp_path, "--json", *arguments).stdout)["series"]
        assert series["usable"] is usable


def test_json_names_no_patient(test_data, tmp_path):
    paths = sorted((test_data / "dicom" / "brainix" / "t1").iterdir())
    for number, path in enumerate(paths):
        dataset = pydicom.dcmread(path)
        dataset.PatientName, dataset.PatientID, dataset.PatientBirthDate = (
            "Doe^Jane",
            "471",
            "19700102",
        )
        dataset.save_as(tmp_path / f"Doe_Jane_{number}.dcm")
    (tmp_path / "Doe_Jane_7.dcm").unlink()
    (tmp_path / "Doe_Jane.txt").write_text("not DICOM")
    shutil.copy(tmp_path / "Doe_Jane_9.dcm", tmp_path / "Doe_Jane_cut.dcm")
    with (tmp_path / "Doe_Jane_cut.dcm").open("r+b") as file:
        file.truncate(9000)
    told = _run(tmp_path, "--json").stdout
    (series,) = json.loads(told)["series"]
    assert re.search(r"^image \d+ and image \d+: 1 slice is missing", series["reason"])
    assert not re.search(r"doe|jane|471|1970|20061201(?!14)", told.lower())
    assert set(json.loads(told)) == {"series", "damaged", "ignored"}


def test_damaged_files_are_told(test_data, tmp_path):
    for path in (test_data / "dicom" / "brainix" / "t1").iterdir():
        shutil.copy(path, tmp_path / path.name)
    with (tmp_path / "IM-0001-0022.dcm").open("r+b") as file:
        file.truncate(50_000)
    result = _run(tmp_path)
    assert result.exit_code == 0
    assert "damaged: IM-0001-0022.dcm: is truncated" in result.stderr
    assert "None would be translated as it is: IM-0001-0022.dcm: is truncated" in result.stdout


@pytest.mark.parametrize("content", [None, "not DICOM"])
def test_where_there_is_no_series_the_exit_code_is_three(tmp_path, content):
    if content:
        (tmp_path / "notes").write_text(content)
    result = _run(tmp_path)
    assert result.exit_code == 3
    assert "empty folder" in result.stderr or "holds no DICOM series" in result.stderr
