import csv
import subprocess
import sys

import numpy as np
import pytest

from hagan_clinic.imageio import read, write
from hagan_clinic.runtime.exploration import read_direction, write_direction
from hagan_clinic.runtime.latents import draw_latents, read_latents
from hagan_clinic.volume import Volume


def rows_of(path):
    return list(csv.DictReader(path.open()))


def test_a_walk_from_a_real_patient_reaches_its_target_and_is_measured(
    hagan, unconditional_run, direction, latents, names, tmp_path
):
    found = read_direction(direction)
    folder = tmp_path / "walk"
    result = hagan(
        *("walk", unconditional_run, direction, "-o", folder, "--device", "cpu"),
        *("--from", f"{latents}:{names[3]}", "--to", found.mean, "--steps", 4),
        *("--measure-by", "threshold-volume", "--threshold", 0.5),
    )
    rows = rows_of(folder / "walk.csv")
    start = found.predict(read_latents(latents).latents[3:4])[0]
    expected = np.linspace(start, found.mean, 4)
    assert [float(row["predicted"]) for row in rows] == pytest.approx(list(expected), rel=1e-4)
    for row in rows:
        volume = read(folder / row["file"])
        ml = np.count_nonzero(volume.array > 0.5) * np.prod(volume.spacing) / 1000
        assert float(row["measured"]) == pytest.approx(ml, rel=1e-4)
    assert "measured volume above 0.5" in result.output
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        ["walk.csv", "walk.gif", "walk.png"]
        + [f"walk_{n:02}.{suffix}" for n in range(4) for suffix in ("nii.gz", "json")]
    )


def test_without_a_target_a_walk_goes_to_the_far_side_of_the_mean(
    hagan, unconditional_run, direction, tmp_path
):
    found = read_direction(direction)
    hagan("walk", unconditional_run, direction, "-o", tmp_path / "w", "--seed", 5, "--steps", 2)
    first, last = (float(row["predicted"]) for row in rows_of(tmp_path / "w" / "walk.csv"))
    length = len(found.coefficients)
    assert first == pytest.approx(found.predict(draw_latents(1, length, 5))[0], rel=1e-4)
    side = 1 if first <= found.mean else -1
    assert last == pytest.approx(found.mean + 2 * side * found.std, rel=1e-4)


def test_the_mean_in_a_label_is_measured_where_it_is_drawn(
    hagan, unconditional_run, direction, tmp_path
):
    walk = ("walk", unconditional_run, direction, "--steps", 2, "-o")
    hagan(*walk, tmp_path / "first")
    sample = read(tmp_path / "first" / "walk_00.nii.gz")
    labels = np.zeros_like(sample.array)
    labels[10:20, 12:18, 9:14] = 7
    write(Volume(labels, sample.affine), tmp_path / "labels.nii.gz", description="drawn")
    by = ("--measure-by", "mask-mean", "--mask", tmp_path / "labels.nii.gz", "--mask-label", 7)
    hagan(*walk, tmp_path / "second", *by)
    row = rows_of(tmp_path / "second" / "walk.csv")[0]
    assert float(row["measured"]) == pytest.approx(sample.array[labels == 7].mean(), rel=1e-4)


def test_a_walk_is_the_same_again_and_from_the_exported_generator(
    hagan, unconditional_run, unconditional_parts, direction, tmp_path
):
    models = {"one": unconditional_run, "again": unconditional_run}
    models["onnx"] = unconditional_parts["generator"]
    arrays = {}
    for name, model in models.items():
        folder = tmp_path / name
        hagan("walk", model, direction, "-o", folder, "--seed", 2, "--steps", 3, "-q")
        arrays[name] = [read(path).array for path in sorted(folder.glob("*.nii.gz"))]
    np.testing.assert_array_equal(arrays["one"], arrays["again"])
    np.testing.assert_allclose(arrays["one"], arrays["onnx"], atol=1e-4)
    assert not np.array_equal(arrays["one"][0], arrays["one"][2])


def test_an_exported_generator_walks_where_nothing_of_training_is_installed(
    unconditional_parts, direction, tmp_path
):
    code = (
        "import sys\n"
        "missing = ('torch', 'torchio', 'lightning_fabric', 'monai', 'sklearn', 'matplotlib',"
        " 'safetensors', 'onnxscript', 'tensorboard', 'scipy')\n"
        "sys.modules.update(dict.fromkeys(missing))\n"
        "from hagan_clinic.cli import main\n"
        "main(sys.argv[1:])\n"
    )
    model = str(unconditional_parts["generator"])
    arguments = ["latent", "walk", model, str(direction), "-o", str(tmp_path / "walk")]
    command = [sys.executable, "-c", code, *arguments, "--steps", "2", "--device", "cpu"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "walk" / "walk.gif").exists()


def test_what_the_direction_is_not_good_for_is_warned_of(
    hagan, unconditional_run, direction, tmp_path
):
    found = read_direction(direction)
    facts = {**vars(found), "r2": -0.25}
    write_direction(type(found)(**facts), tmp_path / "nothing.npz")
    far = found.mean + 4 * found.std
    arguments = ("-o", tmp_path / "walk", "--to", far, "--steps", 2)
    result = hagan("walk", unconditional_run, tmp_path / "nothing.npz", *arguments)
    assert "held-out R² is -0.250: it means nothing" in result.stderr
    assert "more than three standard deviations" in result.stderr


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"identity": "cd" * 32}, "fitted to latents of another model"),
        ({"coefficients": np.ones(7)}, "has 7 coefficients, and the model's latents have 8"),
    ],
)
def test_a_direction_of_another_model_is_refused(
    hagan, unconditional_run, direction, tmp_path, changed, message
):
    found = read_direction(direction)
    write_direction(type(found)(**{**vars(found), **changed}), tmp_path / "other.npz")
    arguments = ("walk", unconditional_run, tmp_path / "other.npz", "-o", tmp_path / "walk")
    assert message in hagan(*arguments, code=3).stderr
    assert not (tmp_path / "walk").exists()


def test_other_bad_input_is_named_in_one_line(
    hagan, unconditional_run, unconditional_parts, direction, latents, names, tmp_path
):
    scan = Volume(np.ones((8, 8, 8), np.float32), np.eye(4))
    write(scan, tmp_path / "mask.nii.gz", description="drawn")
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "walk.csv").write_text("kept")
    mask = ("--measure-by", "mask-mean", "--mask", tmp_path / "mask.nii.gz")
    encoder = unconditional_parts["encoder"]
    for model, code, message, *options in (
        (unconditional_run, 3, "has no subject 'nobody'", "--from", f"{latents}:nobody"),
        (unconditional_run, 3, "none.npz", "--from", f"none.npz:{names[0]}"),
        (unconditional_run, 3, "does not lie on the model's grid", *mask),
        (unconditional_run, 3, "this model has no classes", "--label", "a"),
        (unconditional_run, 3, "expected a finite number", "--to", "nan"),
        (unconditional_run, 6, "exists already", "-o", tmp_path / "there"),
        (encoder, 4, "generator"),
        (tmp_path / "none", 4, "none"),
        (unconditional_run, 2, "not both", "--from", f"{latents}:{names[0]}", "--seed", 1),
        (unconditional_run, 2, "LATENTS:SUBJECT", "--from", "latents"),
        (unconditional_run, 2, "--threshold goes with", "--threshold", 0.2),
        (unconditional_run, 2, "needs --mask", "--measure-by", "mask-mean"),
    ):
        result = hagan("walk", model, direction, "-o", tmp_path / "walk", *options, code=code)
        assert message in result.stderr
        assert not (tmp_path / "walk").exists()
    assert (tmp_path / "there" / "walk.csv").read_text() == "kept"


def test_a_model_with_classes_makes_the_one_that_is_asked_for(
    hagan, make_unconditional_run, direction, tmp_path
):
    run = tmp_path / "run"
    make_unconditional_run(run, classes=("a", "b"), label="side")
    from hagan_clinic.api.generators import load_generator

    found = read_direction(direction)
    identity = load_generator(run, "cpu").identity
    write_direction(type(found)(**{**vars(found), "identity": identity}), tmp_path / "d.npz")
    walk = ("walk", run, tmp_path / "d.npz", "--steps", 2, "-o")
    assert (
        "makes one of the classes a, b: give --label"
        in hagan(*walk, tmp_path / "none", code=3).stderr
    )
    assert (
        "--label c: expected one of a, b"
        in hagan(*walk, tmp_path / "none", "--label", "c", code=3).stderr
    )
    images = []
    for label in ("a", "b"):
        hagan(*walk, tmp_path / label, "--label", label)
        images.append(read(tmp_path / label / "walk_00.nii.gz").array)
    assert not np.array_equal(*images)
