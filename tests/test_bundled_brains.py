"""The generator and the encoder of brains that ship, on the real patient that ships."""

import json
import os
import re
import subprocess
import tomllib
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import hagan_clinic
from hagan_clinic.cli import main
from hagan_clinic.imageio import read
from hagan_clinic.metrics.diversity import pairwise_ms_ssim
from hagan_clinic.metrics.image_quality import psnr
from hagan_clinic.runtime import find_model, load_model
from hagan_clinic.runtime.library import verified
from hagan_clinic.runtime.providers import choose_device
from hagan_clinic.runtime.slabs import SlabPlan
from hagan_clinic.runtime.synthesis_network import OnnxGenerator
from hagan_clinic.training.config import read_settings

FOLDER = Path(__file__).parents[1] / "export" / "brain"
EXAMPLES = Path(__file__).parents[1] / "examples"
T1 = EXAMPLES / "open_ms_patient07" / "open_ms_patient07_t1.nii.gz"
PARTS = ("generator", "encoder")


@pytest.fixture(scope="module")
def samples():
    return hagan_clinic.sample("brain", 4, device="cpu")


def run(*arguments):
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result


@pytest.mark.parametrize("part", PARTS)
def test_a_part_is_whole_small_and_says_what_it_is(part):
    path = find_model("brain", part)
    assert path.name == f"{part}.onnx" and verified(path)
    assert path.stat().st_size <= 16 * 2**20
    model = load_model(path, part)
    assert model.card.name == "brain" and model.card.licence == "CC-BY-NC-SA-4.0"
    assert re.search("not for diagnosis", model.card.intended_use, re.IGNORECASE)
    assert model.recipe.sources == ("t1",) and model.recipe.spacing == (3.0, 3.0, 3.0)
    assert model.recipe.box == (64, 64, 64)


@pytest.mark.parametrize("part", PARTS)
def test_a_part_was_trained_by_the_settings_beside_it(part):
    model = load_model(FOLDER / f"{part}.onnx", part)
    settings = json.loads(json.dumps(read_settings(FOLDER / "train.toml")))
    assert settings == {name: model.training["config"][name] for name in settings}


def test_samples_are_brains_each_another(samples):
    litres = [(volume.array > 0.15).sum() * 27e-6 for volume in samples.volumes]
    assert all(1.0 < litre < 2.2 for litre in litres)
    images = [volume.array for volume in samples.volumes]
    # Two patients are as alike as 0.86 on average (README.md of the model).
    assert 0.8 < pairwise_ms_ssim(images, 6, 0) < 0.92
    for image in images:
        assert image[[0, 1, -2, -1]].max() < 0.05 and image[:, :, [0, 1, -2, -1]].max() < 0.05
        # Long brains touch the front and the back of the box, at single voxels.
        assert (image[:, [0, 1, -2, -1]] > 0.15).mean() < 0.01


def test_the_generator_makes_the_same_volume_slab_by_slab():
    model = load_model(FOLDER / "generator.onnx", "generator")
    generator = OnnxGenerator(model, choose_device("cpu"))
    z = np.random.default_rng(5).standard_normal((1, 192)).astype(np.float32)
    whole, slabs = (generator.image(z, SlabPlan(64, slab, model.recipe.halo)) for slab in (64, 16))
    assert whole.std() > 0.1 and np.abs(whole - slabs).max() < 1e-4
    too_near = generator.image(z, SlabPlan(64, 16, 4))
    assert np.abs(whole - too_near).max() > 1e-3  # the halo is not for nothing


def test_the_page_has_the_figures_of_the_card_and_the_file():
    card = tomllib.loads((FOLDER / "card.toml").read_text())
    page = (FOLDER / "README.md").read_text()
    for name, figures in card["metrics"].items():
        if name != "command":
            assert "| {:.2f} | {:.3f} | {:.4f} | {:.3f} |".format(*figures) in page, name
    assert card["metrics"]["command"] in page
    model = load_model(FOLDER / "generator.onnx", "generator")
    stated = {**model.card.__dict__}
    assert {name: stated[name] for name in card} == card


def test_a_patient_comes_back_nearer_than_the_mean_brain(samples):
    back = hagan_clinic.reconstruct("brain", T1, device="cpu")
    (mean,) = hagan_clinic.sample("brain", 1, truncation=0.01, device="cpu").volumes
    real = back.scan.array
    brain = real > 0.05
    assert psnr(back.volume.array, real, brain) > psnr(mean.array, real, brain) + 2


def test_the_commands_take_the_name_in_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run("sample", "brain", "-o", "out", "-n", "2", "--device", "cpu", "-q")
    assert np.ptp(read(Path("out/sample_0002.nii.gz")).array) > 0.5
    run("encode", "brain", T1, "-o", "latents.npz", "--device", "cpu", "-q")
    run("reconstruct", "brain", T1, "-o", "back", "--device", "cpu", "-q")
    told = json.loads(Path("back/metrics.json").read_text())
    assert told["mean"]["box"]["psnr"] > 20
    assert "brain" in run("models").stdout


def test_the_script_trains_and_exports_both_parts(tmp_path):
    """Run with a stand-in for the command, from a folder that has settings of its own."""
    here, caller = tmp_path / "export" / "brain", tmp_path / "caller"
    for folder in (here, caller, tmp_path / "data", tmp_path / "bin"):
        folder.mkdir(parents=True)
    for name in ("train.sh", "train.toml", "card.toml"):
        (here / name).write_bytes((FOLDER / name).read_bytes())
    (caller / "hagan-clinic.toml").write_text("[train]\nclip = 99.0\n")
    command = tmp_path / "bin" / "hagan-clinic"
    command.write_text(
        "#!/bin/sh\ntest ! -e hagan-clinic.toml && test -e train.toml || exit 1\n"
        f'echo "$@" >> {tmp_path}/calls\ntouch generator.onnx encoder.onnx\n'
    )
    command.chmod(0o755)
    done = subprocess.run(
        ["bash", str(here / "train.sh"), "../data", "run"],
        cwd=caller,
        env={**os.environ, "PATH": f"{command.parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    train, *exports = (tmp_path / "calls").read_text().splitlines()
    assert train == f"train --config train.toml --data {tmp_path}/data -o {caller}/run"
    for part, call in zip(PARTS, exports, strict=True):
        assert f"export {caller}/run -o {part}.onnx --part {part} --half --card" in call
    assert {"generator.onnx", "encoder.onnx"} <= set((here / "SHA256").read_text().split())
