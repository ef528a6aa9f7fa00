"""Each conditional baseline from training to translation, on the small cohort."""

import csv
import itertools
import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file

from hagan_clinic.cli import main
from hagan_clinic.errors import InputError, ModelError
from hagan_clinic.imageio import read
from hagan_clinic.runtime import Translator
from hagan_clinic.runtime.model_file import load_model
from hagan_clinic.runtime.network import Network
from hagan_clinic.runtime.providers import choose_device
from hagan_clinic.runtime.slabs import SlabPlan
from hagan_clinic.training import run
from hagan_clinic.training.registry import MODELS, build_model, gather_settings, read_config
from hagan_clinic.training.run import run_training

BASELINES = [model for model in MODELS["conditional"] if model != "hagan"]


def configuration(model, data, **changes):
    given = {"mode": "conditional", "model": model, "data": str(data), "device": "cpu"}
    given |= {"steps": 4, "width": 4, "checkpoint_every": 2}
    return gather_settings("tiny", [], given | changes)


def train(config, folder):
    return run_training(config, folder, say=lambda line: None)


def weights(folder, file="weights"):
    return load_file(folder / "last" / f"{file}.safetensors")


@pytest.fixture(scope="module", params=BASELINES)
def trained(request, small_cohort, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "whole"
    config = configuration(request.param, small_cohort)
    return config, folder, train(config, folder)


@pytest.fixture(scope="module")
def exported(trained, export_quickly):
    return export_quickly(trained[1], trained[1].parent / "model.onnx")


def test_a_run_trains_and_is_validated(trained):
    config, folder, state = trained
    assert state["step"] == 4
    assert {"psnr", "ssim", "interval_factor"} <= state["metrics"].keys()
    with (folder / "metrics.csv").open() as file:
        rows = {row["name"]: float(row["value"]) for row in csv.DictReader(file)}
    assert {"train/discriminator", "train/adversarial", "train/l1"} <= rows.keys()
    assert read_config(folder) == config


def test_a_run_cut_in_two_is_the_whole_run(trained, tmp_path, monkeypatch):
    config, folder, _ = trained
    whole = run.slab_loader
    with monkeypatch.context() as patch:
        patch.setattr(run, "slab_loader", lambda *a, **k: itertools.islice(whole(*a, **k), 3))
        with pytest.raises(StopIteration):
            train(config, tmp_path / "run")
    train(config, tmp_path / "run")
    for file in ("weights", "average", "optimizer.generator", "optimizer.discriminator"):
        a, b = weights(folder, file), weights(tmp_path / "run", file)
        assert a.keys() == b.keys()
        assert all(torch.equal(a[key], b[key]) for key in a), file


def test_an_exported_run_translates_a_scan_onto_its_grid(trained, exported, small_cohort):
    assert exported.difference < 1e-4
    source = small_cohort / "p0" / "p0_t1.nii.gz"
    translation = Translator(exported.path, "cpu").translate(source)
    assert translation.volume.grid.same_as(read(source).grid, 1e-6)
    assert translation.volume.array.std() > 0.01
    # No error bar of its own: the half-width is the same wherever something was synthesised.
    inside = translation.uncertainty.array[10:16, 12:20, 10:16]
    half_width = trained[2]["metrics"]["interval_factor"] / 2
    assert np.allclose(inside, min(half_width, 1.0), atol=1e-5)


def test_slabs_of_the_exported_file_are_its_whole(exported):
    """Also of the patch models, whose every slab needs all of the box: so says their halo."""
    model = load_model(exported.path)
    network = Network(model, choose_device("cpu"))
    box, in_patches = model.recipe.box, "cgan3d" in model.training["config"]["model"]
    assert model.shapes["source"][2] == (box[0] if in_patches else 0)
    assert (model.recipe.halo >= box[0]) == in_patches
    depth = box[0] if in_patches else 96
    volume = np.random.default_rng(0).uniform(-1, 1, (1, depth, *box[1:])).astype(np.float32)
    whole, _ = network.run(volume, SlabPlan(depth, depth, model.recipe.halo))
    halo = -(-model.recipe.halo // network.step) * network.step
    slabs, _ = network.run(volume, SlabPlan(depth, network.step, halo))
    assert np.abs(slabs - whole).max() < 1e-4


@pytest.mark.parametrize("model", BASELINES)
def test_each_loss_trains_its_group_alone(model, small_cohort, tmp_path):
    config = configuration(model, small_cohort, steps=1)
    variant = build_model(config)
    batches = []
    whole = run.slab_loader
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            run, "slab_loader", lambda *a, **k: (batches.append(b) or b for b in whole(*a, **k))
        )
        train(config, tmp_path / "run")
    groups = variant.groups()
    every = {id(p) for group in groups.values() for p in group.parameters}
    assert every == {id(p) for p in variant.parameters()}
    assert sum(len(group.parameters) for group in groups.values()) == len(every)
    moved = []

    def update(name, loss):
        moved.append(name)
        gradients = torch.autograd.grad(loss, groups[name].parameters, retain_graph=True)
        assert all(g is not None and torch.isfinite(g).all() for g in gradients)
        assert any(g.any() for g in gradients)
        if name == "discriminator":
            others = groups["generator"].parameters
            reached = torch.autograd.grad(loss, others, retain_graph=True, allow_unused=True)
            assert all(g is None for g in reached)

    variant.training_step(batches[0], 0, update)
    assert moved == ["discriminator", "generator"]


def test_the_rates_and_weights_are_those_of_the_papers():
    def stated(model):
        variant = build_model(gather_settings(None, [], {"model": model}))
        groups = variant.groups()
        rates = (groups["generator"].lr, groups["discriminator"].lr, groups["generator"].betas)
        return *rates, variant.settings.weight_l1, variant.least_squares

    with torch.device("meta"):
        assert stated("slab-unet") == (1e-4, 4e-4, (0.0, 0.999), 10, False)
        assert stated("cgan2d") == (2e-4, 2e-4, (0.5, 0.999), 100, False)
        assert stated("cgan3d-patch") == (2e-4, 2e-4, (0.5, 0.999), 300, True)
        assert stated("cgan3d-laf") == (2e-4, 2e-4, (0.5, 0.999), 300, True)


def test_the_fusion_is_fitted_in_training_and_exported(small_cohort, tmp_path):
    config = configuration("cgan3d-laf", small_cohort)
    train(config, tmp_path / "run")
    average = load_file(tmp_path / "run" / "best" / "average.safetensors")
    fresh = build_model(config).translator.weights
    assert not torch.allclose(average["module.weights"], fresh)


@pytest.mark.parametrize("model", BASELINES)
def test_a_model_is_summarised(model):
    given = ["summary", "--mode", "conditional", "--model", model, "--size", "32,48,32", "--json"]
    small = {"patch": 32, "levels": 5} if "cgan3d" in model else {}
    given += [f"--set={name}={value}" for name, value in {"width": 4, **small}.items()]
    result = CliRunner().invoke(main, given)
    assert result.exit_code == 0, result.output
    facts = json.loads(result.stdout)
    assert list(facts["parameters"]) == ["total", "G", "D"]
    assert facts["activation_bytes"]["fp32"]["G"] > 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "pix2pix"}, "model is 'pix2pix': expected one of hagan, slab-unet, cgan2d"),
        ({"model": "cgan2d", "mode": "unconditional"}, "expected one of hagan, wgan-gp, vae-gan"),
        ({"model": "cgan2d", "half_width": 8}, "unknown setting 'half_width'"),
        ({"model": "cgan2d", "low_res_branch": False}, "--no-low-res-branch: --model cgan2d has"),
        ({"model": "cgan2d", "dropout": 1.5}, "dropout is 1.5: expected 0 to 1"),
        ({"model": "cgan2d", "levels": 0}, "levels is 0: expected 1 to 10"),
        ({"model": "slab-unet", "slab": 20}, "--slab is 20: expected a multiple of 8"),
        ({"model": "slab-unet", "halo": 6}, "--halo is 6: expected 0 or a multiple of 4"),
        (
            {"model": "slab-unet", "discriminator_width": 40},
            "discriminator_width is 40: expected a positive mult",
        ),
        ({"model": "slab-unet", "weight_l1": -1.0}, "weight_l1 is -1.0: expected 0 or more"),
        ({"model": "cgan3d-patch", "patch": 48}, "patch is 48: expected at least 32 and a multi"),
        ({"model": "cgan3d-patch", "slab": 16}, "learns from patches; give their side with --set"),
        ({"model": "cgan3d-laf", "size": [100, 128, 96]}, "cell is 16: expected a number that div"),
        ({"model": "cgan3d-laf", "ridge": 0.0}, "ridge is 0.0: expected a positive number"),
    ],
)
def test_bad_settings_are_named(changes, message):
    with pytest.raises(InputError, match=message):
        gather_settings(None, [], {"mode": "conditional"} | changes)


def test_settings_of_another_model_are_no_configuration():
    from hagan_clinic.conditional.settings import ConditionalConfig

    with pytest.raises(InputError, match="model is 'cgan2d': expected one of hagan"):
        ConditionalConfig(model="cgan2d")


def test_the_weights_of_another_model_do_not_fit(trained, small_cohort, tmp_path):
    other = "cgan2d" if trained[0].model != "cgan2d" else "slab-unet"
    config = configuration(other, small_cohort)
    with pytest.raises(ModelError, match="does not fit this model"):
        run_training(config, tmp_path / "run", init=trained[1], say=lambda line: None)


def test_a_run_from_before_the_choice_of_models_is_one_of_hagan(tmp_path):
    (tmp_path / "config.json").write_text('{"mode": "conditional", "steps": 5}')
    assert read_config(tmp_path).model == "hagan"
