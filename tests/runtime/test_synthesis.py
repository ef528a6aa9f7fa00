import csv
import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from hagan_clinic.api.generators import load_encoder, load_generator
from hagan_clinic.data.cohort import find_cohort
from hagan_clinic.data.prepared import prepare_cohort
from hagan_clinic.errors import DeviceError, InputError, ModelError
from hagan_clinic.imageio import read, write
from hagan_clinic.onnx_export import export_part
from hagan_clinic.runtime.latents import draw_latents
from hagan_clinic.runtime.memory import MIB, size_text
from hagan_clinic.runtime.model_file import load_model
from hagan_clinic.runtime.providers import choose_device
from hagan_clinic.runtime.slabs import SlabPlan
from hagan_clinic.runtime.synthesis_network import OnnxGenerator
from hagan_clinic.unconditional import HAGANConfig, VolumeEncoder
from hagan_clinic.unconditional.trained import TorchEncoder


@pytest.fixture(scope="module")
def both(unconditional_run, unconditional_parts):
    """Generator and encoder of one run, from its folder and from its files."""
    return {
        "torch": (load_generator(unconditional_run), load_encoder(unconditional_run)),
        "onnx": (
            load_generator(unconditional_parts["generator"]),
            load_encoder(unconditional_parts["encoder"]),
        ),
    }


@pytest.fixture(scope="module")
def patient(real_cohort):
    """A real patient's scan and brain mask."""
    with real_cohort.open() as file:
        row = next(csv.DictReader(file))
    return row["t1"], row["mask"]


def test_files_and_run_folder_are_one_model(both):
    (one, reader), (other, other_reader) = both["torch"], both["onnx"]
    facts = {replace(model.facts, name="") for model in (one, reader, other, other_reader)}
    assert len(facts) == 1
    assert (one.latent, one.image, one.classes) == (8, "t1", ())
    assert one.facts.licence == "NOASSERTION"
    credit = f"{one.name}, weights {one.identity[:12]}, no licence stated"
    assert one.facts.credit == credit
    z = draw_latents(2, 8, seed=3)
    for a, b in zip(one.decode(z), other.decode(z), strict=True):
        assert a.shape == (32, 32, 32) and 0 <= a.min() < a.max() <= 1
        assert np.abs(a - b).max() < 1e-4
    volume = np.random.default_rng(0).uniform(-1, 1, (32, 32, 32)).astype(np.float32)
    assert np.abs(reader.encode(volume) - other_reader.encode(volume)).max() < 1e-4


def test_the_grid_is_canonical_and_centred_on_the_origin(both):
    grid = both["onnx"][0].grid
    assert grid.spacing == (6.0, 6.0, 6.0)
    assert np.abs(grid.corners().mean(1)).max() < 1e-9
    to_superior, to_anterior, to_right = grid.affine[:3, :3].T / 6
    assert (to_superior[2], to_anterior[1], to_right[0]) == (1, 1, 1)


@pytest.mark.parametrize("kind", ["torch", "onnx"])
def test_a_scan_is_prepared_as_training_prepared_it(both, kind, patient, real_cohort, tmp_path):
    encoder = both[kind][1]
    subject = find_cohort(real_cohort, ("t1",), None)[0]
    (trained,) = prepare_cohort([subject], encoder.facts.recipe, tmp_path, shape=(32, 32, 32))
    expected, _, brain = trained.load(stripped=True)
    scan = encoder.prepare(*patient)
    assert np.abs(scan.array - expected[0]).max() < 1 / 127  # training keeps bytes
    assert (scan.brain == brain[0]).all()
    assert (scan.array[~scan.brain] == -1).mean() > 0.9  # the skull is gone


@pytest.mark.parametrize("kind", ["torch", "onnx"])
def test_encoding_slab_by_slab_is_the_definition(
    make_unconditional_run, random_parts, tmp_path, kind
):
    autoencoder = make_unconditional_run(tmp_path / "run")
    path = {"torch": tmp_path / "run", "onnx": random_parts["encoder"]}[kind]
    volume = np.random.default_rng(1).uniform(-1, 1, (32, 32, 32)).astype(np.float32)
    found = load_encoder(path).encode(volume)
    with torch.inference_mode():
        whole = torch.from_numpy(volume)[None, None]
        features = [autoencoder.encoder.slab(slab) for slab in whole.split(4, dim=2)]
        expected = autoencoder.encoder.latent(torch.cat(features, dim=2))[0].numpy()
        at_once = autoencoder.encoder.latent(autoencoder.encoder.slab(whole))[0].numpy()
    scale = np.abs(expected).max()
    assert np.abs(found - expected).max() < 1e-5 * max(scale, 1)
    assert np.abs(at_once - expected).max() > 1e-3 * scale  # the slabs' borders count


def test_the_torch_encoder_is_volume_encoder_encode():
    torch.manual_seed(0)
    config = HAGANConfig(size=(64, 32, 32), slab=16, latent=8, width=64)
    encoder = VolumeEncoder(config).eval()
    volume = np.random.default_rng(1).uniform(-1, 1, config.size).astype(np.float32)
    seen = []
    encoder.slab.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0].shape))
    found = TorchEncoder(encoder, torch.device("cpu")).latent(volume)
    assert seen == [(1, 1, 16, 32, 32)] * 4  # never more than a slab
    with torch.inference_mode():
        expected = encoder.encode(torch.from_numpy(volume)[None, None])
    assert np.abs(found - expected[0].numpy()).max() < 1e-5


_PEAKS = """
import sys
import numpy as np
from hagan_clinic.runtime import memory, model_file, providers, session, synthesis
path, how = sys.argv[1:]
model = model_file.load_model(path, "encoder")
count, *_ = shape = model.shapes["slabs"]
encoder = synthesis.onnx_encoder(path, "cpu", threads=1)
if how == "whole":
    network = session.Session(model.content, providers.choose_device("cpu"), 1)
volume = np.zeros(model.recipe.box, "f4")
before = memory.resident()
if how == "whole":
    network.run({"slabs": volume.reshape(shape)}, ["latent"])
elif how == "encode":
    encoder.encode(volume)
else:
    for slab in volume.reshape(shape):
        encoder._network._slab.run({"slabs": slab[None]}, ["features"])
print(memory.peak() - before)
"""


def test_encoding_holds_no_more_than_a_slab_and_its_features(make_unconditional_run, tmp_path):
    make_unconditional_run(tmp_path / "run", size=(64, 256, 256), slab=4, width=512, spacing=1.0)
    path = export_part(tmp_path / "run", tmp_path / "e.onnx", "encoder").path

    def peak(how):
        command = [sys.executable, "-c", _PEAKS, str(path), how]
        return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    features = 64 * (64 // 4) * (256 // 4) ** 2 * 4  # A, as slabs and once more as a volume
    assert peak("encode") < peak("slabs") + 3 * features < 0.7 * peak("whole")


def test_a_generator_in_slabs_is_the_whole_and_the_halo_is_needed(random_parts):
    model = load_model(random_parts["generator"], "generator")
    network = OnnxGenerator(model, choose_device("cpu"))
    z = draw_latents(1, 8, seed=0)
    whole = network.image(z, SlabPlan(32, 32, model.recipe.halo))
    for thickness in (4, 12, 20):
        assert np.abs(network.image(z, SlabPlan(32, thickness, 4)) - whole).max() < 1e-5
    assert np.abs(network.image(z, SlabPlan(32, 4, 0)) - whole).max() > 1e-3


def test_memory_decides_how_a_generator_is_cut(make_unconditional_run, tmp_path, monkeypatch):
    plans = []
    monkeypatch.setattr(SlabPlan, "__iter__", _remembering(plans, SlabPlan.__iter__), raising=True)
    z = draw_latents(1, 8, seed=0)
    make_unconditional_run(tmp_path / "run", norm="position")
    path = export_part(tmp_path / "run", tmp_path / "g.onnx", "generator").path
    (roomy,) = load_generator(path).decode(z)
    (tight,) = load_generator(path, max_memory=_needed(path, slices=16)).decode(z)
    assert [plan.is_whole for plan in plans] == [True, False]
    assert np.abs(roomy - tight).max() < 1e-5
    with pytest.raises(DeviceError, match="raise --max-memory by"):
        next(load_generator(path, max_memory="1KiB").decode(z))


def test_a_limit_below_a_volume_that_cannot_be_cut_is_refused(make_unconditional_run, tmp_path):
    z = draw_latents(1, 8, seed=0)
    make_unconditional_run(tmp_path / "run", norm="group")
    path = export_part(tmp_path / "run", tmp_path / "g.onnx", "generator").path
    needed = _needed(path, slices=32)
    (free,), (enough,) = (
        load_generator(path, max_memory=limit).decode(z) for limit in (None, needed)
    )
    assert (free == enough).all()
    message = (
        f"--max-memory gives the network {size_text(needed - MIB)}, and a volume of 32x32x32 needs "
        f"{size_text(needed)}: this model's norm (group) makes it whole"
    )
    with pytest.raises(DeviceError, match=re.escape(message)):
        next(load_generator(path, max_memory=needed - MIB).decode(z))


def _needed(path, slices):
    """Bytes that a generator of 32 cubed takes with windows of so many slices."""
    model = load_model(path, "generator")
    return 4 * len(model.content) + 20 * 32**3 + slices * 32**2 * model.activation_bytes


def _remembering(plans, iterate):
    def remember(plan):
        plans.append(plan)
        return iterate(plan)

    return remember


@pytest.fixture(scope="module")
def classes(make_unconditional_run, tmp_path_factory):
    """A generator of two classes, from folder and file, and its network."""
    folder = tmp_path_factory.mktemp("classes")
    autoencoder = make_unconditional_run(folder / "run", label="side", classes=("a", "b"))
    path = export_part(folder / "run", folder / "g.onnx", "generator").path
    return load_generator(folder / "run"), load_generator(path), autoencoder


@pytest.mark.parametrize("number", [0, 1])
def test_a_label_is_the_one_hot_vector_beside_z(classes, number):
    generator, autoencoder = classes[number], classes[2]
    assert (generator.latent, generator.classes, generator.facts.label) == (8, ("a", "b"), "side")
    z = draw_latents(1, 8, seed=0)
    images = list(generator.decode(np.repeat(z, 2, axis=0), ["a", "b"]))
    assert np.abs(images[0] - images[1]).max() > 1e-3
    for image, one_hot in zip(images, ([1, 0], [0, 1]), strict=True):
        joined = torch.cat([torch.from_numpy(z), torch.tensor([one_hot])], dim=1)
        with torch.inference_mode():
            expected = autoencoder.generator(joined.float())[0][0, 0].numpy()
        assert np.abs(image - (expected + 1) / 2).max() < 1e-4


@pytest.mark.parametrize(
    ("z", "labels", "message"),
    [
        (np.zeros((1, 9), np.float32), ["a"], r"shape \(1, 9\), expected \(volumes, 8\)"),
        (np.full((1, 8), np.inf, np.float32), ["a"], "NaN or infinite"),
        (np.zeros((2, 8), np.float32), ["a"], "1 labels for 2 latents"),
        (np.zeros((1, 8), np.float32), None, "0 labels for 1 latents: expected one of a, b"),
        (np.zeros((1, 8), np.float32), ["c"], "unknown label 'c': expected one of a, b"),
    ],
)
def test_latents_and_labels_that_do_not_fit_are_refused_at_once(classes, z, labels, message):
    with pytest.raises(InputError, match=message):
        classes[1].decode(z, labels)


def test_a_label_for_a_model_without_classes_is_refused(both):
    with pytest.raises(InputError, match="has no classes"):
        both["onnx"][0].decode(draw_latents(1, 8, seed=0), ["a"])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.full((20, 20, 20), 7.0), "all voxels have the value 7"),
        (np.full((20, 20, 20), np.nan), "8000 of 8000 voxels are NaN or infinite"),
    ],
)
def test_scans_without_content_are_refused_by_name(both, patient, tmp_path, values, message):
    scan = read(patient[0])
    bad = tmp_path / "bad.nii.gz"
    write(type(scan)(values.astype(np.float32), scan.affine), bad)
    with pytest.raises(InputError, match=rf"bad\.nii\.gz: .*{re.escape(message)}"):
        both["onnx"][1].prepare(bad)


def test_masks_that_do_not_fit_are_refused_by_name(both, patient, tmp_path):
    mask = read(patient[1])
    write(mask.with_array(mask.array * 0), tmp_path / "empty.nii.gz")
    write(type(mask)(mask.array[1:], mask.affine), tmp_path / "other.nii.gz")
    for name, message in (("empty", "brain mask is empty"), ("other", "different grids")):
        with pytest.raises(InputError, match=message) as caught:
            both["torch"][1].prepare(patient[0], tmp_path / f"{name}.nii.gz")
        assert patient[0] in str(caught.value)


def test_a_volume_of_another_size_is_not_encoded(both):
    for _, encoder in both.values():
        with pytest.raises(InputError, match=r"shape \(32, 32, 16\), expected \(32, 32, 32\)"):
            encoder.encode(np.zeros((32, 32, 16), np.float32))
        with pytest.raises(InputError, match="NaN or infinite"):
            encoder.encode(np.full((32, 32, 32), np.nan, np.float32))


def test_a_scan_larger_than_the_box_is_warned_of(both, patient, tmp_path):
    scan = read(patient[0])
    wide = scan.affine.copy()
    wide[:3, :3] *= 2
    write(type(scan)(scan.array, wide), tmp_path / "wide.nii.gz")
    assert both["onnx"][1].prepare(*patient).warnings == ()
    (warning,) = both["onnx"][1].prepare(tmp_path / "wide.nii.gz").warnings
    assert "outside the box that the model sees" in warning


def test_the_wrong_kind_of_model_is_refused(
    both, unconditional_parts, toy_generator, make_unconditional_run, tmp_path
):
    with pytest.raises(ModelError, match=r"encoder\.onnx: this is the encoder .*expected the gen"):
        load_generator(unconditional_parts["encoder"])
    with pytest.raises(ModelError, match=r"generator\.onnx: this is the generator .*the encoder"):
        load_encoder(unconditional_parts["generator"])
    with pytest.raises(ModelError, match=r"this is a translating model .*expected the generator"):
        load_generator(toy_generator)
    make_unconditional_run(tmp_path / "run", encoder=False)
    load_generator(tmp_path / "run")
    with pytest.raises(ModelError, match="was trained with --no-encoder"):
        load_encoder(tmp_path / "run")
    (tmp_path / "conditional").mkdir()
    (tmp_path / "conditional" / "config.json").write_text('{"mode": "conditional"}')
    with pytest.raises(ModelError, match="--mode conditional: expected unconditional"):
        load_generator(tmp_path / "conditional")
    with pytest.raises(ModelError, match="is not a run folder"):
        load_generator(tmp_path)
