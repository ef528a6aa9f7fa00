import csv
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from hagan_clinic.cli import main

COMMAND = [sys.executable, "-c", "from hagan_clinic.cli import main; main()"]
TINY = ["--preset", "tiny", "--device", "cpu", "--workers", "0", "--set", "ema=0"]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def cohort(test_data, tmp_path_factory):
    """Eight patients of the real cohort."""
    root = test_data / "lgg_mni"
    path = tmp_path_factory.mktemp("cohort") / "cohort.csv"
    with path.open("w", newline="") as out:
        rows = csv.writer(out)
        rows.writerow(["subject", "t1", "flair", "mask"])
        for name in sorted(one.name for one in root.iterdir() if one.is_dir())[:8]:
            images = [root / name / f"{name}_{kind}.nii.gz" for kind in ("t1", "flair")]
            rows.writerow([name, *images, root / "brain_mask.nii.gz"])
    return path


def arguments(cohort, folder, *more, steps=4):
    told = ["train", "--data", str(cohort), "-o", str(folder), *TINY, "--folds", "2"]
    return [*told, "--steps", str(steps), *map(str, more)]


@pytest.fixture(scope="module")
def cross_validated(cohort, tmp_path_factory):
    """Two folds by two workers, of which the first is killed once while it trains."""
    psutil = pytest.importorskip("psutil")
    folder = tmp_path_factory.mktemp("cv") / "hagan"
    command = [*COMMAND, *arguments(cohort, folder), "--cluster", "local:2"]
    process = subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 300
    while not (folder / "fold1" / "hagan" / "last").exists() and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.05)
    (training,) = (
        one
        for one in psutil.Process(process.pid).children(recursive=True)
        if "hagan_clinic.api.one_fold" in one.cmdline()
        and str(folder / "fold1") in "".join(file.path for file in one.parent().open_files())
    )
    training.parent().kill()
    training.wait(10)  # as its worker has gone
    told = process.communicate(timeout=500)[0]
    assert process.returncode == 0, told
    return folder, told


def rows(path):
    with Path(path).open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_two_workers_do_each_fold_once_and_a_killed_one_is_finished_by_another(cross_validated):
    folder, told = cross_validated
    assert "2 folds on 2 workers of local:2" in told
    assert "was lost; what it had is done by another" in told
    for fold in (1, 2):
        assert told.count(f"fold {fold} is done") == 1
    assert "resuming at step" in (folder / "fold1" / "log.txt").read_text()
    assert "resuming at step" not in (folder / "fold2" / "log.txt").read_text()


@pytest.mark.slow
def test_every_patient_is_evaluated_once_by_a_model_that_never_saw_it(cross_validated):
    folder, _ = cross_validated
    evaluated = []
    for fold in ("fold1", "fold2"):
        sides = {row["subject"]: row["split"] for row in rows(folder / fold / "split.csv")}
        here = {
            row["subject"]
            for row in rows(folder / fold / "evaluation" / "translation" / "subjects.csv")
        }
        assert {sides[name] for name in here} == {"test"}
        assert rows(folder / fold / "split.csv") == rows(folder / fold / "hagan" / "split.csv")
        evaluated += here
    assert sorted(evaluated) == sorted(row["subject"] for row in rows(folder / "folds.csv"))


@pytest.mark.slow
def test_the_join_is_the_mean_over_folds_of_what_each_found(cross_validated, tmp_path):
    folder, _ = cross_validated
    result = CliRunner().invoke(main, ["evaluate", "folds", str(folder), "-o", str(tmp_path / "o")])
    assert result.exit_code == 0, result.output
    joined = (tmp_path / "o" / "folds.md").read_text()
    means = []
    for fold in ("fold1", "fold2"):
        found = [
            float(row["psnr"])
            for row in rows(folder / fold / "evaluation" / "translation" / "subjects.csv")
            if (row["prediction"], row["form"], row["region"]) == ("hagan", "stripped", "brain")
        ]
        assert len(found) == 4
        means.append(sum(found) / 4)
    line = next(one for one in joined.splitlines() if one.startswith("| hagan | stripped, brain |"))
    half = abs(means[0] - means[1]) / 2**0.5
    assert f"{sum(means) / 2:.2f} ± {half:.2f}" in line
    assert "warning" not in result.output
    # What the command wrote by itself when both folds were there.
    assert (folder / "evaluation" / "folds.md").read_text() == joined


@pytest.mark.slow
def test_a_join_says_which_folds_are_missing(cross_validated, tmp_path):
    folder, _ = cross_validated
    part = tmp_path / "hagan"
    part.mkdir()
    for name in ("folds.csv", "fold1"):
        (part / name).symlink_to(folder / name)
    result = CliRunner().invoke(main, ["evaluate", "folds", str(part), "-o", str(tmp_path / "o")])
    assert result.exit_code == 0, result.output
    assert "warning: hagan has no evaluation of fold 2 yet" in result.output
    assert "hagan has no evaluation of fold 2 yet" in (tmp_path / "o" / "folds.md").read_text()


@pytest.mark.slow
def test_models_of_the_same_folds_are_tested_by_patient(cross_validated, tmp_path):
    folder, _ = cross_validated
    other = tmp_path / "again"
    other.mkdir()
    (other / "folds.csv").write_bytes((folder / "folds.csv").read_bytes())
    for fold in ("fold1", "fold2"):
        place = other / fold / "evaluation" / "translation"
        place.mkdir(parents=True)
        text = (folder / fold / "evaluation" / "translation" / "subjects.csv").read_text()
        (place / "subjects.csv").write_text(text.replace("hagan,", "again,"))
    command = ["evaluate", "folds", str(folder), str(other), "-o", str(tmp_path / "o")]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 0, result.output
    tested = [line for line in result.output.splitlines() if "brain" in line and "again" in line]
    assert any(line.rstrip().endswith("8") for line in tested)


def test_a_fold_of_an_unconditional_model_is_evaluated_by_its_samples_and_its_encoder(
    cohort, tmp_path
):
    folder = tmp_path / "hagan"
    more = ["--mode", "unconditional", "--fold", "1", "--set", "fractions=[0.4,0.4,0.2]"]
    result = CliRunner().invoke(main, arguments(cohort, folder, *more, steps=2))
    assert result.exit_code == 0, result.output
    assert "to do: fold 2" in result.output
    tested = {
        row["subject"] for row in rows(folder / "fold1" / "split.csv") if row["split"] == "test"
    }
    encoding = rows(folder / "fold1" / "evaluation" / "encoding" / "subjects.csv")
    assert {row["subject"] for row in encoding} == tested

    result = CliRunner().invoke(main, ["evaluate", "folds", str(folder), "-o", str(tmp_path / "o")])
    assert result.exit_code == 0, result.output
    figures = {
        (row["kind"], row["model"], row["figure"]): row["patient"]
        for row in rows(tmp_path / "o" / "figures.csv")
    }
    assert figures["synthesis", "hagan", "fid"] == "fold 1"
    assert figures["encoding", "hagan", "psnr"] in {row["patient"] for row in encoding}


def test_folds_that_are_too_small_to_evaluate_samples_are_refused_before_training(cohort, tmp_path):
    folder = tmp_path / "hagan"
    command = arguments(cohort, folder, "--mode", "unconditional", "--folds", "3")
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 3, result.output
    assert "fold 1 of 3 has 3 scans of 3 patients, too few" in result.output
    assert "expected 4 patients or more in each fold" in result.output
    assert not folder.exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("more", "code", "told"),
    [
        (["--fold", "3"], 3, "--fold is 3: expected 1 to 2"),
        (["--split", __file__], 3, "--split and --folds cannot be combined"),
        (["--seed", "5"], 3, "holds other folds"),
        (["--steps", "6"], 3, "holds a run with other settings: steps (4, now 6)"),
    ],
)
def test_what_does_not_fit_is_named(cross_validated, cohort, more, code, told):
    folder, _ = cross_validated
    result = CliRunner().invoke(main, arguments(cohort, folder, *more))
    assert (result.exit_code, told in result.output) == (code, True), result.output


def test_a_fold_without_folds_is_a_usage_error(cohort, tmp_path):
    result = CliRunner().invoke(main, ["train", "--data", str(cohort), "--fold", "1"])
    assert result.exit_code == 2
    assert "--fold needs --folds" in result.output


def test_a_folder_that_is_no_cross_validation_is_named(tmp_path):
    result = CliRunner().invoke(main, ["evaluate", "folds", str(tmp_path), "-o", "out"])
    assert result.exit_code == 3
    assert "holds no folds.csv" in result.output
