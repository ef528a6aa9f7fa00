"""`hagan-clinic check`: what is printed and written, and the exit code."""

import csv
import shutil

import nibabel as nib
import numpy as np
import pytest
from click.testing import CliRunner

from hagan_clinic.cli import main


@pytest.fixture
def cohort(tmp_path):
    """Two subjects, each with its own noise in a ball."""
    rng = np.random.default_rng(0)
    ball = np.square(np.indices((12, 12, 12)) - 5.5).sum(0) < 20
    for name in ("a-subject-with-a-name-of-more-than-thirty-characters", "b"):
        texture = rng.uniform(50, 100, ball.shape)
        for sequence, values in (("t1", texture), ("flair", 200 - texture)):
            image = nib.Nifti1Image((values * ball).astype(np.float32), np.diag([4, 4, 4, 1]))
            nib.save(image, tmp_path / f"{name}_{sequence}.nii.gz")
    return tmp_path


def check(*arguments, columns="80"):
    return CliRunner(env={"COLUMNS": columns}).invoke(main, ["check", *map(str, arguments)])


def test_a_sound_cohort_is_exit_code_0_and_a_csv_without_rows(cohort, tmp_path):
    result = check(cohort, "-o", tmp_path / "faults.csv")
    assert result.exit_code == 0, result.output
    assert result.stdout == "2 subjects: 0 errors and 0 warnings\n"
    assert (tmp_path / "faults.csv").read_text() == "subject,severity,fault,text\n"


def test_warnings_alone_are_exit_code_0(cohort):
    shutil.copy(cohort / "b_t1.nii.gz", cohort / "c_t1.nii.gz")
    shutil.copy(cohort / "b_flair.nii.gz", cohort / "c_flair.nii.gz")
    result = check(cohort)
    assert result.exit_code == 0
    assert "3 subjects: 0 errors and 2 warnings" in result.stdout
    quiet = check(cohort, "-q")
    assert (quiet.exit_code, quiet.stdout) == (0, "3 subjects: 0 errors and 2 warnings\n")


def test_errors_are_exit_code_3_and_all_are_named_within_80_columns(cohort, tmp_path):
    long = "a-subject-with-a-name-of-more-than-thirty-characters"
    for name in (long, "b"):
        (cohort / f"{name}_flair.nii.gz").write_bytes(b"nothing")
    result = check(cohort, "-o", tmp_path / "faults.csv")
    assert result.exit_code == 3
    assert "2 errors and 0 warnings in 2 subjects; correct the errors" in result.stderr
    assert max(map(len, result.stdout.splitlines())) <= 80
    assert result.stdout.count("unreadable") == 2
    with (tmp_path / "faults.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["subject"], row["severity"], row["fault"]) for row in rows] == [
        (long, "error", "unreadable"),
        ("b", "error", "unreadable"),
    ]


def test_a_copy_across_the_sides_of_a_split_file_is_an_error(cohort, tmp_path):
    shutil.copy(cohort / "b_t1.nii.gz", cohort / "c_t1.nii.gz")
    shutil.copy(cohort / "b_flair.nii.gz", cohort / "c_flair.nii.gz")
    names = ("a-subject-with-a-name-of-more-than-thirty-characters", "b", "c")
    sides = zip(names, ("train", "train", "test"), strict=True)
    split = tmp_path / "split.csv"
    split.write_text("subject,split\n" + "".join(f"{name},{side}\n" for name, side in sides))
    result = check(cohort, "--split", split, columns="300")
    assert result.exit_code == 3
    assert "one is in train, the other in test of the split" in result.stdout


def test_one_sequence_alone_is_checked_for_unconditional_training(cohort):
    (cohort / "b_flair.nii.gz").unlink()
    assert check(cohort, "--image", "t1").exit_code == 0
    assert check(cohort).exit_code == 3


def test_the_faults_are_never_written_over_what_is_read(cohort, tmp_path):
    names = ("a-subject-with-a-name-of-more-than-thirty-characters", "b")
    rows = [f"{name}_t1.nii.gz,{name}_flair.nii.gz" for name in names]
    table = tmp_path / "cohort.csv"
    table.write_text("\n".join(["t1,flair", *rows]) + "\n")
    split = tmp_path / "split.csv"
    split.write_text("subject,split\n" + "".join(f"{name},train\n" for name in names))
    scan = cohort / "b_flair.nii.gz"
    for file, reason in ((table, "the input"), (split, "the input"), (scan, "expected .csv")):
        before = file.read_bytes()
        result = check(table, "--split", split, "-o", file, "--overwrite")
        assert (result.exit_code, file.read_bytes()) == (6, before), result.output
        assert reason in result.stderr


def test_an_existing_file_is_replaced_when_told_so(cohort, tmp_path):
    faults = tmp_path / "faults.csv"
    faults.write_text("mine")
    result = check(cohort, "-o", faults)
    assert (result.exit_code, faults.read_text()) == (6, "mine")
    assert check(cohort, "-o", faults, "--overwrite").exit_code == 0
    assert faults.read_text() == "subject,severity,fault,text\n"


def test_quiet_says_nothing_where_nothing_is_wrong(cohort):
    assert (check(cohort, "-q").exit_code, check(cohort, "-q").output) == (0, "")


def test_one_is_told_as_one(cohort):
    for file in cohort.glob("a-*"):
        file.unlink()
    assert check(cohort).stdout == "1 subject: 0 errors and 0 warnings\n"
    (cohort / "b_flair.nii.gz").write_bytes(b"nothing")
    assert "1 error and 0 warnings in 1 subject; correct" in check(cohort).stderr


def test_no_more_threads_are_taken_than_the_process_may_use(cohort, monkeypatch):
    from hagan_clinic.data import check as checks

    taken = []
    monkeypatch.setattr("hagan_clinic.runtime.session.usable_cpus", lambda: 3)
    monkeypatch.setattr(
        checks, "check_images", lambda *_, workers, **__: taken.append(workers) or []
    )
    assert check(cohort).exit_code == 0 and taken == [3]


def test_faults_of_files_and_of_images_are_named_at_once(cohort, tmp_path):
    """Two runs, a damaged T1 and a missing FLAIR, of one subject each."""
    bids = tmp_path / "bids"
    for name in ("sub-1", "sub-2", "sub-3", "sub-4"):
        (bids / name / "anat").mkdir(parents=True)
        for sequence, ending in (("t1", "T1w"), ("flair", "FLAIR")):
            shown = nib.load(cohort / f"b_{sequence}.nii.gz")
            grain = np.random.default_rng(int(name[-1])).uniform(0.9, 1.1, shown.shape)
            varied = nib.Nifti1Image((shown.get_fdata() * grain).astype(np.float32), shown.affine)
            nib.save(varied, bids / name / "anat" / f"{name}_{ending}.nii.gz")
    first = bids / "sub-1" / "anat" / "sub-1_T1w.nii.gz"
    shutil.copy(first, first.with_name("sub-1_run-2_T1w.nii.gz"))
    damaged = bids / "sub-2" / "anat" / "sub-2_T1w.nii.gz"
    damaged.write_bytes(damaged.read_bytes()[:500])
    (bids / "sub-3" / "anat" / "sub-3_FLAIR.nii.gz").unlink()
    split = tmp_path / "split.csv"
    split.write_text("subject,split\n" + "".join(f"sub-{n},train\n" for n in range(1, 5)))
    result = check(bids, "--split", split, "-o", tmp_path / "faults.csv")
    assert result.exit_code == 3
    assert "3 errors and 0 warnings in 4 subjects" in result.stderr
    with (tmp_path / "faults.csv").open() as file:
        rows = {row["subject"]: (row["fault"], row["text"]) for row in csv.DictReader(file)}
    assert {name: fault for name, (fault, _) in rows.items()} == {
        "sub-1": "several", "sub-2": "unreadable", "sub-3": "missing",
    }  # fmt: skip
    assert rows["sub-1"][1] == (
        "has 2 files for t1 (sub-1/anat/sub-1_T1w.nii.gz, sub-1/anat/sub-1_run-2_T1w.nii.gz); "
        "name one in a CSV, or remove the others"
    )


def test_a_cohort_without_the_target_is_told_which_option_to_give(cohort):
    for file in cohort.glob("*_flair.nii.gz"):
        file.unlink()
    result = check(cohort)
    assert result.exit_code == 3 and result.stderr.count("\n") == 1
    assert "no subject has flair" in result.stderr and "found t1 in 2;" in result.stderr
    assert "or one alone by --image" in result.stderr
    assert check(cohort, "--image", "t1").exit_code == 0
