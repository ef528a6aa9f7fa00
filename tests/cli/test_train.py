import csv
import os
import signal
import subprocess
import sys
import time

import nibabel as nib
import numpy as np
import pytest
from click.testing import CliRunner

from hagan_clinic.cli import main
from hagan_clinic.runtime import load_model
from hagan_clinic.training.run_folder import read_state

SIDES = {"train": 4, "calibration": 2, "test": 1}
TINY = ["--preset", "tiny", "--device", "cpu", "--set", "source=['t1']"]


@pytest.fixture(scope="module")
def cohort(test_data, tmp_path_factory):
    """Seven patients of the real cohort, as a CSV with its split."""
    root = test_data / "lgg_mni"
    path = tmp_path_factory.mktemp("cohort") / "cohort.csv"
    wanted = dict(SIDES)
    with (root / "split.csv").open() as source, path.open("w", newline="") as out:
        rows = csv.writer(out)
        rows.writerow(["subject", "t1", "flair", "mask", "split"])
        for row in csv.DictReader(source):
            name, side = row["subject"], row["split"]
            if wanted[side]:
                wanted[side] -= 1
                images = [root / name / f"{name}_{kind}.nii.gz" for kind in ("t1", "flair")]
                rows.writerow([name, *images, root / "brain_mask.nii.gz", side])
    return path


@pytest.fixture(scope="module")
def run(cohort, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    arguments = ["train", "--mode", "conditional", "--data", str(cohort), "-o", str(folder), *TINY]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    return folder, result.output


def test_a_trained_run_exports_and_translates_a_real_patient(run, test_data, tmp_path):
    folder, output = run
    assert "7 subjects: 4 train, 2 calibration, 1 test" in output
    assert f"next: hagan-clinic export {folder}" in output
    scan = test_data / "pairs_1mm" / "OPENMS-patient07" / "OPENMS-patient07_t1.nii.gz"
    model, flair = tmp_path / "model.onnx", tmp_path / "flair.nii.gz"
    for arguments in (
        ["export", str(folder), "-o", str(model), "--check", str(scan)],
        ["translate", str(scan), "-o", str(flair), "--model", str(model)],
    ):
        result = CliRunner().invoke(main, arguments)
        assert result.exit_code == 0, result.output
    assert load_model(model).recipe.spacing == (6.0, 6.0, 6.0)
    assert flair.stat().st_size > 10_000


def test_every_fault_of_the_cohort_is_named_before_the_first_step(cohort, tmp_path):
    with cohort.open() as file:
        rows = list(csv.DictReader(file))
    rolled, original, *_ = (row for row in rows if row["split"] == "train")
    copied, *_ = (row for row in rows if row["split"] == "calibration")
    (held_out,) = (row for row in rows if row["split"] == "test")
    image = nib.load(rolled["flair"])
    array = np.roll(np.asarray(image.dataobj), 50, axis=1)
    rolled["flair"] = tmp_path / "rolled_flair.nii.gz"
    nib.save(nib.Nifti1Image(array, image.affine), rolled["flair"])
    for row in (copied, held_out):
        row |= {"t1": original["t1"], "flair": original["flair"]}
    with (tmp_path / "cohort.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, rows[0])
        table.writeheader()
        table.writerows(rows)
    arguments = ["--mode", "conditional", "--data", str(tmp_path / "cohort.csv"), *TINY]
    result = CliRunner().invoke(
        main, ["train", *arguments, "--steps", "1", "-o", str(tmp_path / "run")]
    )
    assert result.exit_code == 0, result.output
    told, _ = result.output.split("training box")
    assert f"warning: {rolled['subject']}: flair fits t1 best when moved" in told
    assert f"{copied['subject']}: t1 holds the voxels of t1 of {original['subject']}: one" in told
    assert f"{held_out['subject']}: t1 is a file of {original['subject']} too" in told


@pytest.mark.slow
def test_the_ablation_trains_from_the_command_line(cohort, tmp_path):
    arguments = ["train", "--data", str(cohort), "-o", str(tmp_path / "run"), *TINY]
    result = CliRunner().invoke(main, [*arguments, "--no-low-res-branch", "--steps", "2"])
    assert result.exit_code == 0, result.output
    model = tmp_path / "model.onnx"
    result = CliRunner().invoke(main, ["export", str(tmp_path / "run"), "-o", str(model)])
    assert result.exit_code == 0, result.output
    assert not load_model(model).has_context


FLAGS = {
    "--no-encoder": {"encoder": False},
    "--no-low-res-branch": {"low_res_branch": False},
    "--deterministic-r": {"deterministic_r": True},
    "--encoder-loss-to-generator": {"encoder_loss_to_generator": True},
    "--gradient-checkpointing": {"gradient_checkpointing": True},
    "--precision bf16-mixed": {"precision": "bf16-mixed"},
    "--variant released": {"variant": "released", "norm": "group", "ema": 0.0},
    "--size 256": {"size": (256, 256, 256), "slab": 32},
    "--size 64 --slab 16": {"size": (64, 64, 64), "slab": 16},
    "--window=-1024,600": {"window": (-1024.0, 600.0)},
    "--label sex --classes F --classes M": {"label": "sex", "classes": ("F", "M")},
    "--image flair": {"image": "flair"},
    "--preset gpu --workers 0": {"workers": 0},
    "--seed 0": {"seed": 0},
}


@pytest.mark.parametrize("flags", FLAGS)
def test_a_flag_reaches_the_settings(flags, monkeypatch):
    given = []
    monkeypatch.setattr("hagan_clinic.api.training.train", lambda config, **_: given.append(config))
    arguments = ["train", "--mode", "unconditional", "--data", ".", *flags.split()]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    found = {name: getattr(given[0], name) for name in FLAGS[flags]}
    assert found == FLAGS[flags]


def test_the_former_name_of_variant_is_still_taken_with_a_warning(monkeypatch):
    given = []
    monkeypatch.setattr("hagan_clinic.api.training.train", lambda config, **_: given.append(config))
    arguments = ["train", "--mode", "unconditional", "--data", ".", "--recipe", "released"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    assert given[0].variant == "released" and given[0].norm == "group"
    assert "'recipe' is deprecated. Use --variant." in result.stderr


@pytest.mark.parametrize("flag", ["--steps", "--spacing", "--batch-size"])
def test_a_zero_is_not_taken_for_an_absent_option(flag):
    arguments = ["train", "--mode", "unconditional", "--data", ".", flag, "0"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 3
    assert f"{flag.strip('-')} is 0" in result.output


def test_settings_in_the_working_folder_do_for_the_bare_command(cohort, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hagan-clinic.toml").write_text(
        f"[train]\ndata = '{cohort}'\nsteps = 1\nspacing = 6.0\nslab = 16\nhalo = 4\n"
        "batch-size = 1\nworkers = 0\nhalf-width = 8\nquarter-width = 16\ndevice = 'cpu'\n"
    )
    result = CliRunner().invoke(main, ["train", "--mode", "conditional"])
    assert result.exit_code == 0, result.output
    assert read_state(tmp_path / "runs" / "conditional" / "last")["step"] == 1


def test_without_data_one_line_says_what_is_needed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, ["train", "--mode", "conditional"])
    assert result.exit_code == 3
    assert "no data: give a folder or a CSV file of the cohort with --data" in result.output
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--set", "colour=red"], 3, "unknown setting 'colour'"),
        (["--set", "colour"], 2, "expected NAME=VALUE"),
        (["--slab", "30"], 3, "--slab is 30: expected a positive multiple of 4"),
        (["--preset", "huge"], 3, "--preset huge"),
        (["--config", "none.toml"], 3, "cannot read none.toml"),
        (["--data", "nowhere"], 3, "nowhere"),
    ],
)
def test_bad_settings_exit_in_one_line(tmp_path, monkeypatch, arguments, code, message):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, ["train", "--data", ".", *arguments])
    assert result.exit_code == code
    assert message in result.output
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_all_processes_saves_and_the_same_command_resumes(cohort, tmp_path, number):
    folder = tmp_path / "run"
    command = [sys.executable, "-c", "from hagan_clinic.cli import main; main()"]
    command += ["train", "--data", str(cohort), "-o", str(folder), *TINY]
    command += ["--cache", str(tmp_path / "cache"), "--steps", "24", "--checkpoint-every", "24"]
    command += ["--workers", "1"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        command, env=environment, stderr=subprocess.PIPE, start_new_session=True
    )
    deadline = time.monotonic() + 240
    while not (folder / "best").exists() and time.monotonic() < deadline:
        time.sleep(0.2)
    os.killpg(process.pid, number)  # as a terminal or a scheduler does: to the workers as well
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130
    assert b"interrupted; the same command resumes from its last checkpoint" in errors
    step = read_state(folder / "last")["step"]
    assert 4 <= step < 24
    result = CliRunner().invoke(main, command[3:])
    assert result.exit_code == 0, result.output
    assert f"resuming at step {step}" in result.output
