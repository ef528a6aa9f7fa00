import csv
import json

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio

from hagan_clinic.api.generators import load_encoder, load_generator
from hagan_clinic.cli import main
from hagan_clinic.imageio import read


def invoke(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def two(real_cohort, tmp_path_factory):
    """A cohort of two real patients."""
    path = tmp_path_factory.mktemp("two") / "two.csv"
    path.write_text("\n".join(real_cohort.read_text().splitlines()[:3]) + "\n")
    with path.open() as file:
        return path, list(csv.DictReader(file))


@pytest.fixture(scope="module")
def made(unconditional_run, two, tmp_path_factory):
    """What `reconstruct` wrote of it, from a run folder."""
    folder = tmp_path_factory.mktemp("made") / "back"
    result = invoke("reconstruct", unconditional_run, two[0], "-o", folder, "--montage")
    assert result.exit_code == 0, result.output
    assert result.output.endswith("SYNTHETIC, research use only, not for diagnosis.\n")
    return folder, result.output


def test_the_figures_are_those_of_the_files(made, two, unconditional_run):
    folder, output = made
    rows = list(csv.DictReader((folder / "metrics.csv").read_text().splitlines()))
    assert [row["subject"] for row in rows] == [row["subject"] for row in two[1]] + ["mean"]
    assert [row["region"] for row in rows] == ["brain"] * 3
    encoder = load_encoder(unconditional_run)
    for row, patient in zip(rows, two[1], strict=False):
        scan = encoder.prepare(patient["t1"], patient["mask"])
        back = read(folder / f"{patient['subject']}_reconstruction.nii.gz")
        assert back.grid.same_as(scan.grid)  # around the brain, in the scan's space
        real = (scan.array[scan.brain] + 1) / 2
        found = back.array[scan.brain]
        expected = peak_signal_noise_ratio(real, found, data_range=1.0)
        assert float(row["psnr"]) == pytest.approx(expected, abs=1e-3)
        assert float(row["l1"]) == pytest.approx(np.abs(real - found).mean(), abs=1e-5)
        assert -1 < float(row["ssim"]) < 1
    table = json.loads((folder / "metrics.json").read_text())
    for name in ("psnr", "ssim", "l1"):
        values = [subject[name] for subject in table["subjects"]]
        assert table["mean"]["brain"][name] == pytest.approx(np.mean(values))
        assert float(rows[2][name]) == pytest.approx(table["mean"]["brain"][name], rel=1e-5)
    assert f"mean in the brain: psnr {table['mean']['brain']['psnr']:.4g}" in output


def test_a_reconstruction_is_what_the_generator_makes_of_the_latent(made, two, unconditional_run):
    encoder, generator = load_encoder(unconditional_run), load_generator(unconditional_run)
    scan = encoder.prepare(two[1][0]["t1"], two[1][0]["mask"])
    (expected,) = generator.decode(encoder.encode(scan.array)[None])
    found = read(made[0] / f"{two[1][0]['subject']}_reconstruction.nii.gz").array
    assert np.abs(found - expected).max() < 1e-6
    sidecar = json.loads((made[0] / f"{two[1][0]['subject']}_reconstruction.json").read_text())
    assert sidecar["synthetic"] is True
    title = Image.open(made[0] / "montage.png").info["Title"]
    assert title.startswith("SYNTHETIC, NOT FOR DIAGNOSIS")


def test_files_give_what_the_run_folder_gives(made, two, unconditional_parts, tmp_path):
    files = []
    for part, path in unconditional_parts.items():
        files += [f"--{part}", path]
    result = invoke("reconstruct", *files, two[0], "-o", tmp_path / "back", "-q")
    assert result.exit_code == 0 and result.output == "", result.output
    one, other = (
        json.loads((folder / "metrics.json").read_text())["mean"]["brain"]
        for folder in (made[0], tmp_path / "back")
    )
    assert one == pytest.approx(other, rel=1e-3)


def test_without_a_mask_the_box_is_measured_with_a_mean_of_its_own(
    made, unconditional_run, two, tmp_path
):
    scans = [two[0], two[1][0]["t1"]]
    result = invoke("reconstruct", unconditional_run, *scans, "-o", tmp_path / "back")
    assert result.exit_code == 0, result.output
    found = json.loads((tmp_path / "back" / "metrics.json").read_text())
    bare = found["subjects"][2]
    assert bare["region"] == "box"
    masked = json.loads((made[0] / "metrics.json").read_text())["mean"]
    box = {name: bare[name] for name in ("psnr", "ssim", "l1")}
    assert found["mean"] == {"brain": pytest.approx(masked["brain"]), "box": pytest.approx(box)}
    rows = list(csv.DictReader((tmp_path / "back" / "metrics.csv").read_text().splitlines()))
    assert [(row["subject"], row["region"]) for row in rows[3:]] == [
        ("mean", "brain"),
        ("mean", "box"),
    ]
    assert float(rows[4]["l1"]) == pytest.approx(bare["l1"], rel=1e-5)
    assert f"mean in the box: psnr {bare['psnr']:.4g}" in result.output


def test_the_class_comes_from_the_cohort_or_the_option(make_unconditional_run, two, tmp_path):
    run = tmp_path / "run"
    make_unconditional_run(run, label="side", classes=("a", "b"))
    scan = two[1][0]["t1"]
    for name, arguments in (
        ("cohort", [two[0]]),
        ("a", [two[0], "--label", "a"]),
        ("b", [two[0], "--label", "b"]),
    ):
        result = invoke("reconstruct", run, *arguments, "-o", tmp_path / name)
        assert result.exit_code == 0, result.output
    volumes = {
        (name, row["subject"]): read(tmp_path / name / f"{row['subject']}_reconstruction.nii.gz")
        for name in ("cohort", "a", "b")
        for row in two[1]
    }
    for row in two[1]:
        chosen, other = (row["side"], "ab".replace(row["side"], ""))
        found = volumes["cohort", row["subject"]].array
        assert (found == volumes[chosen, row["subject"]].array).all()
        assert np.abs(found - volumes[other, row["subject"]].array).max() > 1e-3
    result = invoke("reconstruct", run, two[0], "--label", "c", "-o", tmp_path / "none")
    assert result.exit_code == 3 and "--label c: expected one of a, b" in result.stderr
    result = invoke("reconstruct", run, scan, "-o", tmp_path / "none")
    assert result.exit_code == 3 and "has no class: expected one of a, b" in result.stderr


def test_what_does_not_go_together_is_refused(
    make_unconditional_run, unconditional_run, unconditional_parts, two, tmp_path
):
    make_unconditional_run(tmp_path / "run")
    scan, generator = two[1][0]["t1"], unconditional_parts["generator"]
    for arguments, code, message in (
        (["--generator", generator, scan], 2, "Give both --generator and --encoder"),
        ([unconditional_run], 2, "Give the scans after the run folder"),
        ([unconditional_run, scan, "--label", "a"], 3, "--label a: this model has no classes"),
        (
            ["--generator", generator, "--encoder", tmp_path / "run", scan],
            4,
            "are of two trainings",
        ),
    ):
        result = invoke("reconstruct", *arguments, "-o", tmp_path / "out")
        assert result.exit_code == code and message in result.stderr
    assert not (tmp_path / "out").exists()
