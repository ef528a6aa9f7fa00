import hashlib
import json
import shutil

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from hagan_clinic.errors import InputError, ModelError
from hagan_clinic.onnx_export import export_part, export_run, synthesis
from hagan_clinic.runtime.model_file import load_model
from hagan_clinic.runtime.providers import choose_device
from hagan_clinic.runtime.slabs import SlabPlan
from hagan_clinic.runtime.synthesis_network import OnnxEncoder, OnnxGenerator


@pytest.fixture(scope="module")
def autoencoder(make_unconditional_run, tmp_path_factory):
    """The network of `random_run`."""
    return make_unconditional_run(tmp_path_factory.mktemp("network") / "run")


@pytest.fixture
def traced(random_parts, traced_before, monkeypatch):
    """Has each export take its part of `random_parts` for what torch traces."""

    def as_before(network, example, name, outputs):
        part = "generator" if name == "latent" else "encoder"
        return traced_before(random_parts[part])

    monkeypatch.setattr(synthesis, "traced_to_onnx", as_before)
    monkeypatch.setattr(synthesis, "_activation_bytes", lambda content, network: 100)


def test_a_generator_file_computes_what_torch_computes(random_parts, autoencoder):
    z = np.random.default_rng(5).standard_normal((1, 8)).astype(np.float32)
    session = onnxruntime.InferenceSession(random_parts["generator"])
    found = session.run(["image", "context"], {"latent": z})
    assert found[0].shape == (1, 1, 32, 32, 32) and found[1].shape == (1, 8, 8, 8, 8)
    with torch.inference_mode():
        expected = autoencoder.generator(torch.from_numpy(z))
    for one, other in zip(found, expected, strict=True):
        assert np.abs(one - other.numpy()).max() < 1e-4
    assert found[0].std() > 0.01


def test_an_encoder_file_computes_what_torch_computes(random_parts, autoencoder):
    slabs = np.random.default_rng(5).uniform(-1, 1, (8, 1, 4, 32, 32)).astype(np.float32)
    session = onnxruntime.InferenceSession(random_parts["encoder"])
    latent, features = session.run(["latent", "features"], {"slabs": slabs})
    assert latent.shape == (1, 8) and features.shape == (8, 8, 1, 8, 8)
    with torch.inference_mode():
        expected = autoencoder.encoder(torch.from_numpy(slabs)).numpy()
    assert np.abs(latent - expected).max() < 1e-4 * max(1, np.abs(expected).max())


def test_a_file_tells_its_kind_and_weights_and_nothing_of_the_machine(random_run, random_parts):
    weights = (random_run / "best" / "average.safetensors").read_bytes()
    for part, path in random_parts.items():
        model = load_model(path, part)
        assert model.kind == part
        assert model.recipe.box == (32, 32, 32) and model.recipe.halo == 4
        assert model.training["weights_sha256"] == hashlib.sha256(weights).hexdigest()
        assert model.training["skull_stripped"] is True
        assert "private" not in json.dumps(dict(model.training))
        content = path.read_bytes()
        home = bytes(random_run.parent)
        for trace in (home, b"stack_trace", b"onnx_export", b"site-packages"):
            assert trace not in content
    assert load_model(random_parts["generator"], "generator").activation_bytes > 16


def test_an_encoder_is_checked_on_a_scan_while_there_is_one(
    random_run, real_cohort, traced, tmp_path
):
    run = tmp_path / "run"
    shutil.copytree(random_run, run)
    assert export_part(run, tmp_path / "a.onnx", "encoder").checked == ("random",)
    scan = real_cohort.read_text().splitlines()[1].split(",")[1]
    checked = export_part(run, tmp_path / "a.onnx", "encoder", images=[scan]).checked
    assert checked == ("random", "real")
    with pytest.raises(InputError, match="the encoder reads one"):
        export_part(run, tmp_path / "b.onnx", "encoder", images=[scan, scan])
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps(config | {"data": str(real_cohort)}))
    split = [line.split(",") for line in real_cohort.read_text().splitlines()]
    (run / "split.csv").write_text("\n".join(f"{row[0]},{row[3]}" for row in split) + "\n")
    assert export_part(run, tmp_path / "a.onnx", "encoder").checked == ("random", "real")
    assert export_part(run, tmp_path / "a.onnx", "generator").checked == ("random",)


def test_half_precision_halves_a_file_that_can_still_be_cut(
    random_run, random_parts, autoencoder, traced, tmp_path
):
    device = choose_device("cpu")
    z = np.random.default_rng(5).standard_normal((1, 8)).astype(np.float32)
    volume = np.random.default_rng(5).uniform(-1, 1, (32, 32, 32)).astype(np.float32)
    sizes = []
    for part in ("generator", "encoder"):
        path = export_part(random_run, tmp_path / f"{part}.onnx", part, half=True).path
        sizes.append(path.stat().st_size / random_parts[part].stat().st_size)
    assert max(sizes) < 0.7
    generator = OnnxGenerator(load_model(tmp_path / "generator.onnx", "generator"), device)
    encoder = OnnxEncoder(load_model(tmp_path / "encoder.onnx", "encoder"), device)
    with torch.inference_mode():
        image = autoencoder.generator(torch.from_numpy(z))[0][0, 0].numpy()
        latent = autoencoder.encoder.encode(torch.from_numpy(volume)[None, None])[0].numpy()
    assert np.abs(generator.image(z, SlabPlan(32, 8, 4)) - image).max() < 2e-2
    assert np.abs(encoder.latent(volume) - latent).max() < 2e-2 * max(1, np.abs(latent).max())


@pytest.mark.parametrize("part", ["generator", "encoder"])
def test_a_file_that_differs_from_torch_is_not_written(
    random_run, part, traced, tmp_path, monkeypatch
):
    monkeypatch.setattr("hagan_clinic.onnx_export.onnx_file.LARGEST_DIFFERENCE", 0.0)
    with pytest.raises(ModelError, match=r"differs from torch by .* nothing was written"):
        export_part(random_run, tmp_path / "model.onnx", part)
    assert not (tmp_path / "model.onnx").exists()


def test_runs_without_the_part_are_refused(random_run, make_unconditional_run, tmp_path):
    with pytest.raises(ModelError, match="expected conditional, or a part of it with --part gen"):
        export_run(random_run, tmp_path / "model.onnx")
    make_unconditional_run(tmp_path / "bare", encoder=False)
    with pytest.raises(ModelError, match="--no-encoder"):
        export_part(tmp_path / "bare", tmp_path / "model.onnx", "encoder")
    assert not (tmp_path / "model.onnx").exists()


@pytest.mark.parametrize(
    ("part", "key", "value", "message"),
    [
        ("generator", "kind", "critic", "a model of the kind 'critic', this version knows"),
        (
            "generator",
            "kind",
            "encoder",
            r"inputs \['latent'\] and outputs .* expected \['slabs'\]",
        ),
        ("generator", "box", (64, 32, 32), "expected fixed sizes that fill the box"),
        ("encoder", "box", (32, 32, 64), "expected fixed sizes that fill the box"),
    ],
)
def test_a_file_whose_metadata_belie_it_is_refused(
    random_parts, tmp_path, part, key, value, message
):
    proto = onnx.load(random_parts[part])
    for entry in proto.metadata_props:
        if key == "kind" and entry.key == "hagan_clinic.kind":
            entry.value = value
        if key == "box" and entry.key == "hagan_clinic.recipe":
            entry.value = json.dumps(json.loads(entry.value) | {"box": value})
    onnx.save(proto, tmp_path / "altered.onnx")
    with pytest.raises(ModelError, match=message):
        load_model(tmp_path / "altered.onnx", kind=None)
