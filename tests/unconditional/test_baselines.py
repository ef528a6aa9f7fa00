"""Each unconditional baseline from training to samples, on the small cohort."""

import csv
import itertools
import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file

from hagan_clinic.cli import main
from hagan_clinic.errors import DeviceError, InputError, ModelError
from hagan_clinic.onnx_export import export_part
from hagan_clinic.runtime.latents import draw_latents
from hagan_clinic.runtime.synthesis import onnx_encoder, onnx_generator
from hagan_clinic.training import run
from hagan_clinic.training.loop import optimizer_of
from hagan_clinic.training.registry import MODELS, build_model, gather_settings, read_config
from hagan_clinic.training.run import run_training
from hagan_clinic.unconditional.trained import TorchEncoder, TorchGenerator, load_autoencoder

BASELINES = [model for model in MODELS["unconditional"] if model != "hagan"]
WITH_ENCODER = ["vae-gan", "alpha-gan"]
CPU = torch.device("cpu")


def configuration(model, data, **changes):
    given = {"mode": "unconditional", "model": model, "data": str(data), "device": "cpu"}
    # Seven steps grow from 4 to 32 voxels a side, and hold one of the generator of wgan-gp.
    given |= {"steps": 7, "checkpoint_every": 3, "validate_every": 7}
    return gather_settings("tiny", [], given | changes)


def train(config, folder):
    return run_training(config, folder, say=lambda line: None)


@pytest.fixture(scope="module", params=BASELINES)
def trained(request, small_cohort, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "whole"
    config = configuration(request.param, small_cohort)
    return config, folder, train(config, folder)


@pytest.fixture(scope="module")
def generator_file(trained):
    return export_part(trained[1], trained[1].parent / "g.onnx", "generator").path


def test_a_run_trains_and_is_validated(trained):
    config, folder, state = trained
    assert {"mmd", "ms_ssim_samples", "ms_ssim_real"} <= state["metrics"].keys()
    assert ("reconstruction_psnr" in state["metrics"]) == (config.model in WITH_ENCODER)
    with (folder / "metrics.csv").open() as file:
        names = {row["name"] for row in csv.DictReader(file)}
    assert "train/generator" in names
    assert read_config(folder) == config


def test_a_run_cut_in_two_is_the_whole_run(trained, tmp_path, monkeypatch):
    config, folder, _ = trained
    whole = run.slab_loader
    with monkeypatch.context() as patch:
        patch.setattr(run, "slab_loader", lambda *a, **k: itertools.islice(whole(*a, **k), 5))
        with pytest.raises(StopIteration):
            train(config, tmp_path / "run")
    train(config, tmp_path / "run")
    names = sorted(path.name for path in (folder / "last").glob("*.safetensors"))
    assert len(names) == 2 + len(build_model(config).groups())
    for name in names:
        a, b = load_file(folder / "last" / name), load_file(tmp_path / "run" / "last" / name)
        assert a.keys() == b.keys()
        assert all(torch.equal(a[key], b[key]) for key in a), name


def test_an_exported_generator_samples_what_the_run_does(trained, generator_file):
    expected = TorchGenerator(load_autoencoder(trained[1]).autoencoder.generator, CPU)
    z = draw_latents(2, 8, seed=0)
    made = list(onnx_generator(generator_file, "cpu").decode(z))
    for row, volume in zip(z, made, strict=True):
        assert volume.shape == (32, 32, 32)
        wanted = np.clip((expected.image(row[None]) + 1) / 2, 0, 1)
        assert np.abs(volume - wanted).max() < 1e-4
    assert np.abs(made[0] - made[1]).max() > 1e-4


def test_a_generator_that_does_not_fit_says_so(generator_file):
    generator = onnx_generator(generator_file, "cpu", max_memory=1000)
    with pytest.raises(DeviceError, match="this model makes it whole, in no slabs"):
        next(generator.decode(draw_latents(1, 8, seed=0)))


def test_an_encoder_is_exported_where_there_is_one(trained, small_cohort, tmp_path):
    config, folder, _ = trained
    if config.model not in WITH_ENCODER:
        with pytest.raises(ModelError, match=rf"--model {config.model}, which has no encoder"):
            export_part(folder, tmp_path / "e.onnx", "encoder")
        return
    exported = export_part(folder, tmp_path / "e.onnx", "encoder")
    assert exported.checked == ("random", "real")
    encoder = onnx_encoder(exported.path, "cpu")
    volume = encoder.prepare(small_cohort / "p0" / "p0_t1.nii.gz").array
    expected = TorchEncoder(load_autoencoder(folder).autoencoder.encoder, CPU).latent(volume)
    assert np.allclose(encoder.encode(volume), expected, atol=1e-4)


def test_the_commands_of_synthesis_take_a_run(trained, small_cohort, tmp_path):
    config, folder, _ = trained
    scan = str(small_cohort / "p0" / "p0_t1.nii.gz")

    def exit_code(*arguments):
        return CliRunner().invoke(main, [str(argument) for argument in arguments]).exit_code

    assert exit_code("sample", folder, "-o", tmp_path / "samples", "-n", 1) == 0
    assert (tmp_path / "samples" / "sample_0001.nii.gz").exists()
    expected = 0 if config.model in WITH_ENCODER else ModelError.exit_code
    assert exit_code("encode", folder, scan, "-o", tmp_path / "z.npz") == expected
    assert exit_code("reconstruct", folder, scan, "-o", tmp_path / "back") == expected


@pytest.mark.parametrize("model", BASELINES)
def test_each_loss_trains_its_group_alone(model, small_cohort):
    variant = build_model(configuration(model, small_cohort))
    groups = variant.groups()
    every = {id(p) for group in groups.values() for p in group.parameters}
    assert every == {id(p) for p in variant.parameters()}
    assert sum(len(group.parameters) for group in groups.values()) == len(every)
    moved = []

    def update(name, loss):
        before = {n: [p.clone() for p in g.parameters] for n, g in groups.items()}
        loss.backward()
        torch.optim.Adam(groups[name].parameters, lr=1e-4).step()
        changed = {
            n
            for n, g in groups.items()
            if any((p != q).any() for p, q in zip(g.parameters, before[n], strict=True))
        }
        assert changed == {name}
        moved.append(name)
        for parameter in variant.parameters():
            parameter.grad = None

    torch.manual_seed(0)
    batch = {"source_whole": torch.rand(2, 1, 32, 32, 32) * 2 - 1, "index": torch.arange(2)}
    for step in range(5):
        variant.training_step(batch, step, update)
    once = {
        "wgan-gp": ["discriminator"],
        "vae-gan": ["encoder", "generator", "discriminator"],
        "alpha-gan": ["generator", "discriminator", "code_discriminator"],
        "progressive-gan": ["discriminator", "generator"],
    }[model]
    assert moved == once * 5 + (["generator"] if model == "wgan-gp" else [])


def test_the_rates_are_those_of_the_papers():
    def stated(model):
        config = gather_settings(None, [], {"mode": "unconditional", "model": model})
        assert (config.latent, config.width, config.size) == (1000, 64, (128, 128, 128))
        with torch.device("meta"):
            groups = build_model(config).groups()
        assert len({(group.lr, group.betas) for group in groups.values()}) == 1
        return groups["generator"].lr, groups["generator"].betas

    assert stated("wgan-gp") == (1e-4, (0.0, 0.9))
    assert stated("vae-gan") == (1e-4, (0.9, 0.999))
    assert stated("alpha-gan") == (2e-4, (0.9, 0.999))
    assert stated("progressive-gan") == (1e-4, (0.0, 0.99))


@pytest.mark.parametrize("model", BASELINES)
def test_muon_updates_what_it_is_chosen_for(model):
    def with_muon(**chosen):
        given = {"mode": "unconditional", "model": model} | chosen
        network = build_model(gather_settings("tiny", [], given))
        groups = network.groups()
        assert all(group.decays == group.muon for group in groups.values())
        assert groups.keys() == {*network.makers, *network.discriminators}
        return network, {name for name, group in groups.items() if group.muon}

    network, none = with_muon()
    assert none == set()
    assert with_muon(optimizer="muon")[1] == set(network.makers)
    assert with_muon(discriminator_optimizer="muon")[1] == set(network.discriminators)


@pytest.mark.parametrize("model", BASELINES)
def test_muon_moves_every_part(model):
    given = {"mode": "unconditional", "model": model, "width": 8, "steps": 10}
    muon = {"optimizer": "muon", "discriminator_optimizer": "muon"}
    network = build_model(gather_settings("tiny", [], given | muon))
    groups = network.groups()
    optimizers = {name: optimizer_of(group) for name, group in groups.items()}
    before = {name: [p.clone() for p in group.parameters] for name, group in groups.items()}

    def update(name, loss):
        optimizers[name].zero_grad()
        loss.backward()
        optimizers[name].step()
        network.zero_grad()

    torch.manual_seed(0)
    batch = {"source_whole": torch.rand(2, 1, 32, 32, 32) * 2 - 1, "index": torch.arange(2)}
    # The last step of wgan-gp's five, and of the grown progressive-gan.
    network.training_step(batch, 9, update)
    for name, group in groups.items():
        pairs = list(zip(group.parameters, before[name], strict=True))
        assert all(torch.isfinite(now).all() for now, _ in pairs), name
        assert sum(not torch.equal(now, then) for now, then in pairs) > len(pairs) / 2, name


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "dcgan"}, "model is 'dcgan': expected one of hagan, wgan-gp, vae-gan"),
        ({"size": [32, 48, 32]}, "32x48x32: expected a cube"),
        ({"batch_size": 1}, "--batch-size is 1: --model vae-gan compares the volumes of a batch"),
        ({"slab": 8}, "--slab is 8: --model vae-gan learns from whole volumes"),
        ({"width": 6}, "width is 6: expected a positive multiple of 4"),
        ({"latent": 0}, "latent is 0: expected 1 or more"),
        ({"window": [1.0, 0.0]}, "window is .* expected a lower and a higher value"),
        ({"low_res_branch": False}, "--no-low-res-branch: --model vae-gan has none"),
        ({"weight_reconstruction": -1.0}, "weight_reconstruction is -1.0: expected 0 or more"),
        ({"discriminator_width": 64}, "unknown setting 'discriminator_width'"),
        ({"encoder": False}, "unknown setting 'encoder'"),
        ({"optimizer": "adamw"}, "optimizer is 'adamw': expected one of adam, muon"),
        ({"discriminator_optimizer": "sgd"}, "discriminator_optimizer is 'sgd': expected one of"),
    ],
)
def test_bad_settings_are_named(changes, message):
    with pytest.raises(InputError, match=message):
        gather_settings(None, [], {"mode": "unconditional", "model": "vae-gan"} | changes)


@pytest.mark.parametrize("model", BASELINES)
def test_a_model_is_summarised(model):
    given = ["summary", "--mode", "unconditional", "--model", model, "--size", "32", "--json"]
    result = CliRunner().invoke(main, [*given, "--set", "width=4"])
    assert result.exit_code == 0, result.output
    facts = json.loads(result.stdout)
    assert facts["model"] == model
    assert {"total", "G", "D"} <= facts["parameters"].keys()
    assert facts["activation_bytes"]["fp32"]["G"] > 0
    assert len(facts["layers"]["G"]) > 4
