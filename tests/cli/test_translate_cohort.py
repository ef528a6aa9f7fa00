"""Cohorts as people have them, of a real head at 4 mm: in as trees and tables, out as trees."""

import csv
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import pytest
from click.testing import CliRunner

from hagan_clinic.cli import main, one_translation

EXAMPLE = Path(__file__).parents[2] / "examples/open_ms_patient07/open_ms_patient07_t1.nii.gz"


@pytest.fixture(scope="module")
def head():
    return nib.load(EXAMPLE).slicer[::4, ::4, ::4]


@pytest.fixture
def scan(tmp_path, head):
    """The function that writes the head to a path below `in`, brighter or darker."""

    def write(name, scale=1.0):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        nib.save(nib.Nifti1Image(head.get_fdata(dtype="float32") * scale, head.affine), path)
        return path

    return write


def _arguments(model, *arguments):
    return [
        *("translate", *map(str, arguments)),
        *("--model", str(model), "--device", "cpu", "--threads", "1"),
    ]


@pytest.fixture
def run(toy_generator, tmp_path):
    """`hagan-clinic translate` of a cohort to `out` with the toy model on the CPU."""

    def call(*arguments, cohort=tmp_path / "in", model=toy_generator):
        wanted = _arguments(model, cohort, "-o", tmp_path / "out", *arguments)
        return CliRunner().invoke(main, wanted)

    return call


@pytest.fixture
def bids(scan, tmp_path):
    """Two patients: one with two sessions, of which the second has two runs, and one alone."""
    for name in ("sub-01_ses-1_T1w", "sub-01_ses-2_run-1_T1w", "sub-01_ses-2_run-2_T1w"):
        scan(f"sub-01/{name.split('_')[1]}/anat/{name}.nii.gz")
    scan("sub-02/anat/sub-02_T1w.nii.gz")
    scan("sub-02/anat/sub-02_FLAIR.nii.gz")
    facts = {"Name": "Heads", "BIDSVersion": "1.10.0", "DatasetDOI": "doi:10.0.2.3/heads"}
    (tmp_path / "in/dataset_description.json").write_text(json.dumps(facts))
    return tmp_path / "in"


def _tree(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def _rows(tmp_path):
    with (tmp_path / "out/results.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_nested_patient_folders_give_a_tree_like_theirs(run, scan, tmp_path):
    for name in ("HGG/p1/t1", "HGG/p1/flair", "p2/p2_t1", "p3/BraTS-GLI-00021-001-t1n"):
        scan(f"{name}.nii.gz")
    result = run("--preview", tmp_path / "pictures")
    assert result.exit_code == 0, result.output
    assert "3 of 3 translated" in result.stdout
    assert f"wrote {tmp_path / 'out/results.csv'}" in result.stdout
    (row,) = (line for line in result.stdout.splitlines() if "p2/p2_t1.nii.gz" in line)
    assert "translated" in row  # whose path is in the table on disk
    assert [name for name in _tree(tmp_path / "out") if name.endswith(".nii.gz")] == [
        "HGG/p1/t1_flair.nii.gz",
        "p2/p2_t1_flair.nii.gz",
        "p3/BraTS-GLI-00021-001-t1n_flair.nii.gz",
    ]
    assert "HGG/p1/t1_flair.png" in _tree(tmp_path / "pictures")
    assert {(row["subject"], row["status"]) for row in _rows(tmp_path)} == {
        ("p1", "translated"), ("p2", "translated"), ("BraTS-GLI-00021-001", "translated"),
    }  # fmt: skip


def test_bids_gives_a_derivative_data_set(run, bids, tmp_path, toy_generator):
    result = run("--uncertainty", tmp_path / "out")
    assert result.exit_code == 0, result.output
    out = tmp_path / "out"
    images = [name for name in _tree(out) if name.endswith(".nii.gz")]
    stems = [
        "sub-01/ses-1/anat/sub-01_ses-1_desc-synthetic{}_FLAIR.nii.gz",
        "sub-01/ses-2/anat/sub-01_ses-2_run-1_desc-synthetic{}_FLAIR.nii.gz",
        "sub-01/ses-2/anat/sub-01_ses-2_run-2_desc-synthetic{}_FLAIR.nii.gz",
        "sub-02/anat/sub-02_desc-synthetic{}_FLAIR.nii.gz",
    ]
    assert images == sorted(stem.format(end) for stem in stems for end in ("", "Uncertainty"))
    facts = json.loads((out / "dataset_description.json").read_text())
    assert facts["DatasetType"] == "derivative"
    assert facts["GeneratedBy"][0]["Name"] == "hagan-clinic"
    assert facts["SourceDatasets"] == [{"Name": "Heads", "DOI": "doi:10.0.2.3/heads"}]
    assert facts["DatasetLinks"] == {"raw": "doi:10.0.2.3/heads"}
    sidecar = json.loads((out / stems[3].format("").replace(".nii.gz", ".json")).read_text())
    assert sidecar["Sources"] == ["bids:raw:sub-02/anat/sub-02_T1w.nii.gz"]
    assert sidecar["SkullStripped"] is False
    assert sidecar["sources"]["t1"]["sha256"] and sidecar["synthetic"] is True


def test_the_validator_finds_no_error_in_the_derivative(run, bids, tmp_path):
    validator = Path(sys.executable).with_name("bids-validator-deno")
    if not validator.exists():
        pytest.skip("bids-validator-deno is not installed")
    out = tmp_path / "out"
    places = [
        part for option in ("uncertainty", "preview", "report") for part in (f"--{option}", out)
    ]
    result = run(*places)
    assert result.exit_code == 0, result.output
    done = subprocess.run([validator, out, "--json"], capture_output=True, text=True, check=False)
    issues = json.loads(done.stdout)["issues"]["issues"]
    assert [issue for issue in issues if issue["severity"] == "error"] == []


def test_a_derivative_within_its_data_set_is_no_source(run, bids, toy_generator):
    out = bids / "derivatives" / "synthetic"
    out.parent.mkdir()
    for _ in range(2):
        arguments = _arguments(toy_generator, bids, "-o", out, "--skip-existing")
        result = CliRunner().invoke(main, arguments)
        assert result.exit_code == 0, result.output
    assert "0 of 4 translated, 4 kept" in result.stdout


def test_a_second_data_set_has_a_link_of_its_own(run, bids, tmp_path):
    assert run().exit_code == 0
    other = tmp_path / "in two"
    (other / "sub-03/anat").mkdir(parents=True)
    (bids / "sub-02/anat/sub-02_T1w.nii.gz").rename(other / "sub-03/anat/sub-03_T1w.nii.gz")
    (other / "dataset_description.json").write_text('{"Name": "Others", "BIDSVersion": "1.10.0"}')
    for _ in range(2):
        assert run("--skip-existing", cohort=other).exit_code == 0
    facts = json.loads((tmp_path / "out/dataset_description.json").read_text())
    assert facts["SourceDatasets"] == [
        {"Name": "Heads", "DOI": "doi:10.0.2.3/heads"},
        {"Name": "Others", "URL": "../in%20two"},
    ]
    assert facts["DatasetLinks"] == {"raw": "doi:10.0.2.3/heads", "raw2": "../in%20two"}
    sidecar = tmp_path / "out/sub-03/anat/sub-03_desc-synthetic_FLAIR.json"
    assert json.loads(sidecar.read_text())["Sources"] == ["bids:raw2:sub-03/anat/sub-03_T1w.nii.gz"]
    assert str(tmp_path) not in (tmp_path / "out/dataset_description.json").read_text()


def test_a_derivative_is_of_one_model(run, bids, tmp_path, make_generator):
    assert run().exit_code == 0
    before = (tmp_path / "out/dataset_description.json").read_text()
    other = make_generator(tmp_path / "other.onnx", factor=3.0)
    refused = run("--overwrite", model=other)
    assert refused.exit_code == 6
    assert "is the derivative of the model toy, weights" in refused.stderr
    assert "choose another folder" in refused.stderr
    assert (tmp_path / "out/dataset_description.json").read_text() == before


def test_another_data_set_is_not_described_anew(run, bids, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/dataset_description.json").write_text('{"Name": "Another"}')
    result = run()
    assert result.exit_code == 6
    assert "describes another data set" in result.stderr
    assert _tree(tmp_path / "out") == ["dataset_description.json"]


def test_a_table_gives_a_folder_for_each_subject(run, scan, tmp_path):
    scan("a/t1.nii.gz"), scan("b/t1.nii.gz")
    table = tmp_path / "in/cohort.csv"
    table.write_text("subject,t1\nx,a/t1.nii.gz\ny,b/t1.nii.gz\n../z,b/t1.nii.gz\n")
    result = run(cohort=table)
    assert result.exit_code == 3
    assert "'../z' cannot name a folder" in result.stderr
    assert [name for name in _tree(tmp_path / "out") if name.endswith(".nii.gz")] == [
        "x/t1_flair.nii.gz",
        "y/t1_flair.nii.gz",
    ]
    assert [row["status"] for row in _rows(tmp_path)] == ["translated", "translated", "failed"]


def test_one_failure_ends_no_cohort_and_is_in_the_table(run, scan, tmp_path):
    scan("a/a_t1.nii.gz"), scan("c/c_t1.nii.gz")
    (tmp_path / "in/b").mkdir()
    (tmp_path / "in/b/b_t1.nii.gz").write_bytes(b"rubbish")
    result = run()
    assert result.exit_code == 3
    assert "1 of 3 failed; the exit code 3 is that of b/b_t1.nii.gz" in result.stderr
    assert "b" not in {path.name for path in (tmp_path / "out").iterdir()}
    rows = _rows(tmp_path)
    assert [row["status"] for row in rows] == ["translated", "failed", "translated"]
    assert rows[1]["output"] == "b/b_t1_flair.nii.gz" and "b_t1.nii.gz" in rows[1]["reason"]
    assert rows[0]["warnings"] and float(rows[0]["seconds"]) > 0
    assert (tmp_path / "out" / rows[0]["output"]).is_file() and Path(rows[0]["source"]).is_file()


def test_masks_are_used_and_several_are_refused(run, scan, tmp_path):
    for patient in ("a", "b"):
        scan(f"{patient}/{patient}_t1.nii.gz")
        scan(f"{patient}/{patient}_mask.nii.gz")
    scan("b/b_brainmask.nii.gz")
    result = run()
    assert result.exit_code == 3
    assert "b has 2 files for mask" in result.stderr
    sidecar = json.loads((tmp_path / "out/a/a_t1_flair.json").read_text())
    assert len(sidecar["settings"]["mask_sha256"]) == 64


def test_a_model_of_two_sequences_finds_both_and_tells_who_lacks_one(
    run, scan, make_generator, tmp_path
):
    scan("a/a_t1.nii.gz"), scan("a/a_t2.nii.gz"), scan("b/b_t2.nii.gz")
    model = make_generator(tmp_path / "two.onnx", sources=("t1", "t2"))
    result = run(model=model)
    assert result.exit_code == 3
    assert "b lacks t1" in result.stderr
    sidecar = json.loads((tmp_path / "out/a/a_t1_flair.json").read_text())
    assert [facts["file"] for facts in sidecar["sources"].values()] == [
        "a_t1.nii.gz",
        "a_t2.nii.gz",
    ]


def test_a_second_run_keeps_what_the_same_scans_and_model_gave(run, scan, make_generator, tmp_path):
    for patient in ("a", "b", "c"):
        scan(f"{patient}/{patient}_t1.nii.gz")
    assert run().exit_code == 0
    warnings = _rows(tmp_path)[0]["warnings"]
    assert warnings
    (tmp_path / "out/c/c_t1_flair.nii.gz").unlink()
    (tmp_path / "out/c/c_t1_flair.json").unlink()
    before = (tmp_path / "out/a/a_t1_flair.nii.gz").stat().st_ino
    again = run("--skip-existing")
    assert again.exit_code == 0, again.output
    assert "1 of 3 translated, 2 kept" in again.stdout
    assert (tmp_path / "out/a/a_t1_flair.nii.gz").stat().st_ino == before
    assert [row["status"] for row in _rows(tmp_path)] == ["kept", "kept", "translated"]
    assert _rows(tmp_path)[0]["warnings"] == warnings
    assert run().exit_code == 6  # nothing is replaced without --overwrite

    scan("a/a_t1.nii.gz", scale=2.0)
    changed = run("--skip-existing")
    assert changed.exit_code == 6 and "1 of 3 failed" in changed.stderr
    assert "exists, but was not made completely from this scan" in changed.stderr
    replaced = run("--skip-existing", "--overwrite")
    assert "1 of 3 translated, 2 kept" in replaced.stdout
    other = make_generator(tmp_path / "other.onnx", factor=3.0)
    assert "3 of 3 translated" in run("--skip-existing", "--overwrite", model=other).stdout
    scan("a/a_mask.nii.gz")
    assert "1 of 3 translated, 2 kept" in run("--skip-existing", "--overwrite", model=other).stdout
    more = run("--skip-existing", "--uncertainty", tmp_path / "bars", "--overwrite", model=other)
    assert "3 of 3 translated" in more.stdout  # a bar was not there


def test_one_scan_with_its_mask_is_kept_too(scan, toy_generator, tmp_path):
    wanted = [scan("t1.nii.gz"), "-o", tmp_path / "flair.nii.gz", "--skip-existing"]
    wanted += ["--mask", scan("brain.nii.gz")]
    for word in ("wrote", "kept"):
        result = CliRunner().invoke(main, _arguments(toy_generator, *wanted))
        assert result.exit_code == 0, result.output
        assert result.stdout.startswith(f"{word} {tmp_path / 'flair.nii.gz'}")


def test_a_volume_that_is_another_tools_is_not_kept(run, scan, tmp_path):
    scan("a/a_t1.nii.gz")
    assert run().exit_code == 0
    for sidecar in ("{}", "[1]", "no JSON", '{"sources": ["a_t1.nii.gz"], "model": "other"}'):
        (tmp_path / "out/a/a_t1_flair.json").write_text(sidecar)
        result = run("--skip-existing")
        assert result.exit_code == 6, sidecar
        assert "exists, but was not made completely" in result.stderr


def test_a_run_that_is_killed_goes_on(run, scan, toy_generator, tmp_path):
    for patient in ("a", "b", "c"):
        scan(f"{patient}/{patient}_t1.nii.gz")
    code = (
        "import os, sys\n"
        "from hagan_clinic.cli import main\n"
        "from hagan_clinic.runtime import translation_outputs\n"
        "write = translation_outputs.write\n"
        "def dying(volume, path, **options):\n"
        "    write(volume, path, **options)\n"
        f"    'out/b' in str(path) and os.kill(os.getpid(), {int(signal.SIGKILL)})\n"
        "translation_outputs.write = dying\n"
        "main(sys.argv[1:])\n"
    )
    arguments = _arguments(toy_generator, tmp_path / "in", "-o", tmp_path / "out")
    done = subprocess.run([sys.executable, "-c", code, *arguments], check=False, env=os.environ)
    assert done.returncode == -signal.SIGKILL
    assert [row["subject"] for row in _rows(tmp_path)] == ["a"]
    result = run("--skip-existing")
    assert "2 of 3 translated, 1 kept" in result.stdout


def test_rows_of_results_stay_through_later_calls(run, scan, tmp_path, monkeypatch):
    scan("a/a_t1.nii.gz"), scan("b/b_t1.nii.gz")
    assert run().exit_code == 0
    good = _rows(tmp_path)
    refused = run()
    assert refused.exit_code == 6 and "2 of 2 failed" in refused.stderr
    assert _rows(tmp_path) == good
    monkeypatch.chdir(tmp_path)
    again = run("--skip-existing", "-o", "./out")  # the folder by another name
    assert again.exit_code == 0, again.output
    assert _rows(tmp_path) == [{**row, "status": "kept"} for row in good]

    (tmp_path / "in").rename(tmp_path / "first")
    scan("c/c_t1.nii.gz"), scan("a/a_t1.nii.gz", scale=2.0)
    assert run("--overwrite").exit_code == 0
    found = {row["output"][0]: row for row in _rows(tmp_path)}
    assert [row["output"][0] for row in _rows(tmp_path)] == ["a", "b", "c"]
    assert {name: row["status"] for name, row in found.items()} == {
        "a": "translated", "b": "kept", "c": "translated",
    }  # fmt: skip


def test_a_resume_that_is_killed_loses_no_warning(run, scan, tmp_path, monkeypatch):
    for patient in ("a", "b"):
        scan(f"{patient}/{patient}_t1.nii.gz")
    assert run().exit_code == 0
    before = _rows(tmp_path)

    def end(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(one_translation, "is_done", end)
    assert run("--skip-existing").exit_code != 0
    assert _rows(tmp_path) == before


def test_a_table_that_is_not_of_this_tool_is_not_replaced(run, scan, tmp_path):
    scan("a/a_t1.nii.gz")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/results.csv").write_text("patient,score\np1,3\n")
    result = run()
    assert result.exit_code == 6 and "is not a table of results" in result.stderr
    assert (tmp_path / "out/results.csv").read_text() == "patient,score\np1,3\n"


@pytest.mark.parametrize(
    ("name", "message"),
    [("p1/p1_t2.nii.gz", "holds no t1; looked for file names ending in"),
     ("p1/notes.txt", "no DICOM series")],
)  # fmt: skip
def test_a_tree_without_sources_says_what_was_looked_for(run, scan, tmp_path, name, message):
    if name.endswith(".txt"):
        (tmp_path / "in/p1").mkdir(parents=True)
        (tmp_path / "in" / name).write_text("nothing")
    else:
        scan(name)
    result = run()
    assert result.exit_code == 3
    assert message in result.stderr


def test_two_cohorts_at_once_are_wrong_usage(run, scan, tmp_path):
    scan("a/a_t1.nii.gz")
    result = run(tmp_path / "in")
    assert result.exit_code == 2
    assert "is a cohort: give it alone" in result.stderr


def test_an_examination_of_dicom_stays_one_though_volumes_lie_in_it(scan, tmp_path):
    from hagan_clinic.cli.cohort_jobs import is_cohort

    scan("converted/t1.nii.gz")
    assert is_cohort(tmp_path / "in")
    (tmp_path / "in/1").mkdir()
    (tmp_path / "in/1/IM1").write_bytes(b"\0" * 128 + b"DICM")
    assert not is_cohort(tmp_path / "in")


@pytest.fixture
def app(bids, toy_generator, tmp_path):
    """`hagan-clinic bids` on the data set, with the toy model."""

    def call(*arguments, dataset=bids):
        wanted = ["bids", str(dataset), str(tmp_path / "out"), "participant", *arguments]
        return CliRunner().invoke(main, [*wanted, "--model", str(toy_generator), "--device", "cpu"])

    return call


def test_a_bids_app_translates_the_participants_it_is_told(app, tmp_path):
    one = app("--participant-label", "02", "--uncertainty")
    assert one.exit_code == 0, one.output
    assert _tree(tmp_path / "out") == [
        ".bidsignore",
        "dataset_description.json",
        "results.csv",
        "sub-02/anat/sub-02_desc-syntheticUncertainty_FLAIR.json",
        "sub-02/anat/sub-02_desc-syntheticUncertainty_FLAIR.nii.gz",
        "sub-02/anat/sub-02_desc-synthetic_FLAIR.json",
        "sub-02/anat/sub-02_desc-synthetic_FLAIR.nii.gz",
    ]
    (row,) = _rows(tmp_path)
    other = app("--participant_label", "sub-01")
    assert other.exit_code == 0, other.output
    assert "3 of 3 translated" in other.stdout
    assert len(_rows(tmp_path)) == 4 and _rows(tmp_path)[0] == row
    both = app("--participant-label", "01", "02")
    assert "0 of 4 translated, 4 kept" in both.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [(["--participant-label", "03"], 3, "of sub-03; of these it does: sub-01, sub-02"),
     (["02"], 2, "02: is not an option")],
)  # fmt: skip
def test_a_bids_app_refuses_whom_it_does_not_know(app, tmp_path, arguments, code, message):
    result = app(*arguments)
    assert result.exit_code == code
    assert message in result.stderr
    assert not (tmp_path / "out").exists()


def test_a_bids_app_takes_bids_alone(app, bids):
    (bids / "dataset_description.json").unlink()
    result = app()
    assert result.exit_code == 3
    assert "holds no dataset_description.json" in result.stderr
