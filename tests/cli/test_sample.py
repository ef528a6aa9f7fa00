import json

import nibabel as nib
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from hagan_clinic.cli import main
from hagan_clinic.imageio import read, read_description
from hagan_clinic.runtime.latents import draw_latents, read_latents


def invoke(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def samples(unconditional_parts, tmp_path_factory):
    """Three samples of a generator's file, with a montage."""
    folder = tmp_path_factory.mktemp("samples") / "out"
    arguments = ["-o", folder, "-n", 3, "--seed", 5, "--truncation", 0.7, "--montage"]
    result = invoke("sample", unconditional_parts["generator"], *arguments)
    assert result.exit_code == 0, result.output
    return folder, result.output


def test_samples_lie_on_the_training_grid_and_are_marked(samples):
    folder, output = samples
    assert "SYNTHETIC, research use only" in output
    names = [f"sample_{n:04d}{suffix}" for n in (1, 2, 3) for suffix in (".json", ".nii.gz")]
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        [*names, "latents.npz", "montage.png"]
    )
    volume = read(folder / "sample_0001.nii.gz")
    assert volume.shape == (32, 32, 32) and volume.spacing == (6.0, 6.0, 6.0)
    assert nib.aff2axcodes(volume.affine) == ("S", "A", "R")
    assert np.abs(volume.grid.corners().mean(1)).max() < 1e-5
    assert 0 <= volume.array.min() < volume.array.max() <= 1
    assert "SYNTHETIC" in read_description(folder / "sample_0001.nii.gz")
    sidecar = json.loads((folder / "sample_0002.json").read_text())
    assert sidecar["notice"] == "SYNTHETIC, NOT FOR DIAGNOSIS" and sidecar["synthetic"] is True
    assert sidecar["latent"] == {"number": 2, "seed": 5, "truncation": 0.7}


def test_what_was_drawn_is_kept(samples, unconditional_run):
    latents = read_latents(samples[0] / "latents.npz")
    assert latents.names == ("sample_0001", "sample_0002", "sample_0003")
    assert (latents.latents == draw_latents(3, 8, seed=5, truncation=0.7)).all()
    again = samples[0].parent / "again"
    result = invoke("sample", unconditional_run, "-o", again, "-n", 1, "--seed", 5, "-q",
                    "--truncation", 0.7)  # fmt: skip
    assert result.exit_code == 0 and result.output == ""
    assert read_latents(again / "latents.npz").identity == latents.identity
    one, other = (read(f / "sample_0001.nii.gz").array for f in (again, samples[0]))
    assert np.abs(one - other).max() < 1e-4  # run folder and file


def test_the_montage_shows_every_sample_and_says_what_it_is(samples):
    picture = Image.open(samples[0] / "montage.png")
    assert picture.info["Title"].startswith("SYNTHETIC, NOT FOR DIAGNOSIS")
    pixels = np.asarray(picture.convert("RGB")).astype(int)
    warning = (pixels == (255, 176, 84)).all(axis=2)
    assert warning.sum() > 50  # the words, drawn


def test_files_are_not_replaced_unless_asked(samples, unconditional_parts):
    folder, model = samples[0], unconditional_parts["generator"]
    before = {path: path.read_bytes() for path in folder.iterdir()}
    result = invoke("sample", model, "-o", folder, "-n", 3)
    assert result.exit_code == 6 and "exists already" in result.stderr
    result = invoke("sample", model, "-o", folder, "-n", 2, "--overwrite")
    assert result.exit_code == 6 and "is of a longer series" in result.stderr
    assert before == {path: path.read_bytes() for path in folder.iterdir()}


def test_classes_are_made_in_turn_or_one_of_them(make_unconditional_run, tmp_path):
    make_unconditional_run(tmp_path / "run", label="side", classes=("left", "right"))
    run = tmp_path / "run"
    assert invoke("sample", run, "-o", tmp_path / "a", "-n", 3).exit_code == 0
    assert read_latents(tmp_path / "a" / "latents.npz").labels == ("left", "right", "left")
    assert invoke("sample", run, "-o", tmp_path / "b", "-n", 2, "--label", "right").exit_code == 0
    assert read_latents(tmp_path / "b" / "latents.npz").labels == ("right", "right")
    sidecar = json.loads((tmp_path / "b" / "sample_0001.json").read_text())
    assert sidecar["latent"]["label"] == "right"
    one, other = (read(tmp_path / f / "sample_0001.nii.gz").array for f in "ab")
    assert np.abs(one - other).max() > 1e-3


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["generator", "--label", "x"], 3, "--label x: this model has no classes"),
        (["encoder"], 4, "this is the encoder of an unconditional model"),
        (["generator", "--truncation", "0"], 2, "--truncation"),
        (["generator", "--max-memory", "1KiB"], 5, "raise --max-memory by"),
        (["generator", "--max-memory", "much"], 3, "is not an amount of memory"),
    ],
)
def test_what_cannot_be_sampled_is_one_error_and_leaves_nothing(
    unconditional_parts, tmp_path, arguments, code, message
):
    part, *options = arguments
    path = unconditional_parts[part]
    result = invoke("sample", path, "-o", tmp_path / "out", *options)
    assert result.exit_code == code and message in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_limit_on_memory_holds_for_files_alone(unconditional_run, tmp_path):
    result = invoke("sample", unconditional_run, "-o", tmp_path / "out", "--max-memory", "1GiB")
    assert result.exit_code == 2
    assert "--max-memory holds for .onnx files" in " ".join(result.stderr.split())
    assert not (tmp_path / "out").exists()


def test_translate_refuses_a_generator(unconditional_parts, tmp_path):
    path = unconditional_parts["generator"]
    result = invoke("translate", "t1.nii.gz", "-o", tmp_path / "f.nii.gz", "--model", path)
    assert result.exit_code == 4 and result.stderr.count("\n") == 1
    assert "this is the generator of an unconditional model" in result.stderr
