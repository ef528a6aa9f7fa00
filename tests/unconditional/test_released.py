"""Against a forward pass written from the paper's layer table, on the authors' own names."""

import functools
import pickle
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch.nn import functional as f

from hagan_clinic.cli import main
from hagan_clinic.errors import ModelError
from hagan_clinic.imageio import read
from hagan_clinic.training.checkpoint import load_checkpoint
from hagan_clinic.training.initial import load_averaged, load_first_weights
from hagan_clinic.training.registry import build_model, read_config
from hagan_clinic.training.run_folder import read_facts
from hagan_clinic.unconditional import Autoencoder
from hagan_clinic.unconditional.released import read_released

MODELS = {128: {"classes": 3, "prefix": "module."}, 256: {}}


@functools.cache
def imported(paths):
    return read_released(*paths)


@pytest.fixture(params=list(MODELS))
def both(request, authors_weights):
    """Our model of the authors' files, what the files hold, and the model's side."""
    paths, contents = authors_weights(request.param, **MODELS[request.param])
    return imported(tuple(paths)).model.eval(), contents, request.param


def conv(w, name, x, stride=1, padding=1):
    return f.conv3d(x, w[f"{name}.weight"], w[f"{name}.bias"], stride, padding)


def normed(w, name, x):
    return f.relu(f.group_norm(x, 8, w[f"{name}.weight"], w[f"{name}.bias"]))


def reference_a(w, z, side):
    h = f.linear(z, w["fc1.weight"], w["fc1.bias"]).view(-1, 512, 4, 4, 4)
    for i in range(1, 6):
        if i > 1 and not (i == 5 and side == 128):
            h = f.interpolate(h, scale_factor=2)
        h = normed(w, f"bn{i}", conv(w, f"tp_conv{i}", h))
    return h


def reference_high(w, a):
    h = normed(w, "bn6", conv(w, "tp_conv6", f.interpolate(a, scale_factor=2)))
    return torch.tanh(conv(w, "tp_conv7", f.interpolate(h, scale_factor=2)))


def reference_low(w, a):
    h = normed(w, "sub_G.bn1", conv(w, "sub_G.tp_conv1", a))
    h = normed(w, "sub_G.bn2", conv(w, "sub_G.tp_conv2", h))
    return torch.tanh(conv(w, "sub_G.tp_conv3", h))


def reference_e(w, slab):
    h = normed(w, "bn1", conv(w, "conv1", slab, 2))
    h = normed(w, "bn2", conv(w, "conv2", h))
    return normed(w, "bn3", conv(w, "conv3", h, 2))


def reference_sub_e(w, a, side):
    for i in range(1 if side == 256 else 2, 5):
        a = normed(w, f"bn{i}", conv(w, f"conv{i}", a, 2))
    return conv(w, "conv5", a, 1, 0).flatten(1)


def spectral(w, name):
    matrix = w[f"{name}.weight"].flatten(1)
    v = f.normalize(w[f"{name}.u0"] @ matrix, eps=1e-12)
    u = f.normalize(v @ matrix.T, eps=1e-12)
    return {
        f"{name}.weight": w[f"{name}.weight"] / (v @ matrix.T @ u.T).squeeze(),
        f"{name}.bias": w[f"{name}.bias"],
    }


def reference_d(w, slab, low, r, side):
    """Logits and class logits of D^H, then of D^L."""
    w = {k: v for name in w if name.endswith("u0") for k, v in spectral(w, name[:-3]).items()}
    first = 1 if side == 256 else 2
    geometry = {4: ((2, 2, 2), (0, 1, 1)), 5: ((2, 2, 2), (0, 1, 1)), 6: ((1, 2, 2), (0, 1, 1))}
    h = slab
    for i in range(first, 8):
        stride, padding = geometry.get(i, (2, 1)) if i < 7 else (1, 0)
        h = f.leaky_relu(conv(w, f"conv{i}", h, stride, padding), 0.2)
    h = torch.cat([h.flatten(1), r[:, None] / (side * 7 / 8)], 1)
    h = f.leaky_relu(f.linear(h, w["fc1.weight"], w["fc1.bias"]), 0.2)
    high = [f.linear(h, w["fc2.weight"], w["fc2.bias"])[:, 0]]
    if "fc2_class.weight" in w:
        high.append(f.linear(h, w["fc2_class.weight"], w["fc2_class.bias"]))
    else:
        high.append(high[0].new_empty(len(slab), 0))
    h = low
    for i in range(first, 5):
        h = f.leaky_relu(conv(w, f"sub_D.conv{i}", h, 2), 0.2)
    h = conv(w, "sub_D.conv5", h, 1, 0).flatten(1)
    return high, [h[:, 0], h[:, 1:]]


def noise(model, samples=1):
    torch.manual_seed(3)
    z = torch.randn(samples, model.config.latent)
    if not model.config.classes:
        return z
    labels = torch.arange(samples) % model.config.classes
    return torch.cat([z, f.one_hot(labels, model.config.classes)], 1)


@torch.inference_mode()
def test_the_generator_is_the_authors(both):
    model, w, side = both
    generator, z = model.autoencoder.generator, noise(model)
    expected = reference_a(w["G"], z, side)
    a = generator.context(z)
    assert a.shape == (1, 64, side // 4, side // 4, side // 4)
    assert (a - expected).abs().max() < 1e-5
    assert (generator.low(a) - reference_low(w["G"], expected)).abs().max() < 1e-5
    slab = reference_high(w["G"], expected[:, :, 4:8])
    start = torch.tensor([16])
    assert (generator.slabs(a, start, 16) - slab).abs().max() < 1e-5
    assert slab.std() > 0.1


@pytest.mark.parametrize("both", [128, pytest.param(256, marks=pytest.mark.slow)], indirect=True)
@torch.inference_mode()
def test_the_whole_volume_is_the_authors(both):
    model, w, side = both
    z = noise(model)
    volume, a = model.autoencoder.generator(z)
    assert volume.shape == (1, 1, side, side, side)
    difference = reference_high(w["G"], a).sub_(volume).abs_().max()
    assert difference < 1e-5


@torch.inference_mode()
def test_the_encoder_is_the_authors(both):
    model, w, side = both
    torch.manual_seed(4)
    volume = torch.rand(1, 1, side, side, side) * 2 - 1
    slabs = volume.split(side // 8, dim=2)
    a = torch.cat([reference_e(w["E"], slab) for slab in slabs], dim=2)
    z = reference_sub_e(w["Sub_E"], a, side)
    encoded = model.autoencoder.encoder.encode(volume)
    assert encoded.shape == z.shape
    assert (encoded - z).abs().max() < 1e-5
    assert z.std() > 0.1


@torch.inference_mode()
def test_the_discriminators_are_the_authors(both):
    model, w, side = both
    torch.manual_seed(5)
    slab = torch.rand(2, 1, side // 8, side, side) * 2 - 1
    low = torch.rand(2, 1, side // 4, side // 4, side // 4) * 2 - 1
    r = torch.tensor([0.0, side * 7 / 8])
    expected_high, expected_low = reference_d(w["D"], slab, low, r, side)
    position = r / (side - model.config.slab)
    high, low_logits = (
        model.slab_discriminator.logits(slab, position),
        model.low_discriminator.logits(low),
    )
    for ours, theirs in ((high, expected_high), (low_logits, expected_low)):
        for logits, expected in zip(ours, theirs, strict=True):
            assert logits.shape == expected.shape
            assert torch.allclose(logits, expected, rtol=0, atol=1e-5)
    assert (high[0][0] - high[0][1]).abs() > 1e-4


@pytest.fixture(scope="module")
def run(authors_weights, tmp_path_factory):
    paths, _ = authors_weights(128, **MODELS[128])
    folder = tmp_path_factory.mktemp("runs") / "copdgene"
    arguments = ["import-weights", *map(str, paths), "-o", str(folder), "--image", "ct"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    return folder, result.output


def test_the_command_says_what_it_read_and_what_the_files_do_not_state(run):
    folder, output = run
    assert f"{folder}: HA-GAN for 128x128x128 voxels, z of 16, 3 classes, " in output
    assert "1 mm is assumed: give --spacing" in output
    assert "do not state the orientation" in output


def test_the_run_describes_the_model_and_where_it_came_from(run, authors_weights):
    config = read_config(run[0])
    assert (config.mode, config.norm, config.variant) == ("unconditional", "group", "released")
    assert (config.image, config.spacing, config.classes) == ("ct", 1.0, ("0", "1", "2"))
    assert config.window == (-1024.0, 600.0)
    released = imported(tuple(authors_weights(128, **MODELS[128])[0]))
    assert build_model(config).config == released.model.config
    facts = read_facts(run[0])
    assert facts["box"] == [128, 128, 128]
    names = [file["name"] for file in facts["imported"]]
    assert names == [f"{part}_iter80000.pth" for part in ("G", "D", "E", "Sub_E")]
    assert facts["imported"] == list(released.files)


def test_the_run_is_used_and_fine_tuned_like_a_trained_one(run, authors_weights):
    folder = run[0]
    config = read_config(folder)
    original = imported(tuple(authors_weights(128, **MODELS[128])[0])).model
    used = Autoencoder(config.sizes())
    assert load_averaged(used, folder)["best_step"] == 0
    fine_tuned = build_model(config)
    assert load_first_weights(fine_tuned.averaged, folder)["name"] == "copdgene"
    resumed = build_model(config)
    average = torch.optim.swa_utils.AveragedModel(resumed.averaged)
    load_checkpoint(folder / "last", resumed, average, {})
    for ours, theirs in (
        (used, original.autoencoder),
        (fine_tuned.autoencoder, original.autoencoder),
        (average.module, original.autoencoder),
        (resumed, original),
    ):
        expected = theirs.state_dict()
        assert ours.state_dict().keys() == expected.keys()
        assert all(torch.equal(v, expected[k]) for k, v in ours.state_dict().items())


def test_the_run_is_sampled_from(run, authors_weights, tmp_path):
    released = imported(tuple(authors_weights(128, **MODELS[128])[0]))
    arguments = ["sample", str(run[0]), "-o", str(tmp_path / "samples"), "-n", "1", "--label", "2"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    made = read(tmp_path / "samples" / "sample_0001.nii.gz")
    assert (made.array.shape, made.spacing) == ((128, 128, 128), (1.0, 1.0, 1.0))
    with np.load(tmp_path / "samples" / "latents.npz", allow_pickle=False) as latents:
        z = torch.from_numpy(latents["latents"])
    label = f.one_hot(torch.tensor([2]), 3)
    with torch.inference_mode():
        volume, _ = released.model.autoencoder.eval().generator(torch.cat([z, label], 1))
    assert np.abs(made.array - (volume[0, 0].numpy() + 1) / 2).max() < 1e-4


def test_a_given_spacing_is_kept_and_an_empty_folder_taken(authors_weights, tmp_path):
    paths, _ = authors_weights(128, **MODELS[128])
    (tmp_path / "run").mkdir()
    arguments = ["import-weights", *map(str, paths), "-o", str(tmp_path / "run")]
    result = CliRunner().invoke(main, [*arguments, "--spacing", "1.5"])
    assert result.exit_code == 0, result.output
    assert "is assumed" not in result.output
    assert read_config(tmp_path / "run").spacing == 1.5


class Code:
    """What a hostile pickle does when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def refused(paths, folder):
    """Exit code and message of the command, which leaves nothing behind."""
    before = sorted(folder.iterdir())
    arguments = ["import-weights", *map(str, paths), "-o", str(folder / "run")]
    result = CliRunner().invoke(main, arguments)
    assert sorted(folder.iterdir()) == before
    assert result.stderr.count("\n") == 1
    return result.exit_code, result.stderr


@pytest.mark.parametrize("save", [torch.save, lambda x, path: path.write_bytes(pickle.dumps(x))])
def test_code_in_a_file_is_refused_and_not_run(authors_weights, tmp_path, save):
    paths, _ = authors_weights(128, **MODELS[128])
    hostile = tmp_path / "G.pth"
    save({"fc1.weight": torch.zeros(1), "fc1.bias": Code(tmp_path / "it_ran")}, hostile)
    code, message = refused([hostile, *paths[1:]], tmp_path)
    assert code == 4
    assert f"{hostile} is damaged, or no file of tensors alone" in message
    assert "nothing in it was run" in message
    torch.load(hostile, weights_only=False) if save is torch.save else pickle.loads(
        hostile.read_bytes()
    )
    assert (tmp_path / "it_ran").exists()  # the code was real


def flipped(path):
    """One bit of a tensor changed."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize("damage", [flipped, cut, lambda path: path.write_bytes(b"")])
def test_a_corrupt_file_is_named(authors_weights, tmp_path, damage):
    paths, _ = authors_weights(128, **MODELS[128])
    damaged = tmp_path / "Sub_E.pth"
    shutil.copy(paths[3], damaged)
    damage(damaged)
    code, message = refused([*paths[:3], damaged], tmp_path)
    assert code == 4
    assert f"{damaged} is damaged" in message


def changed(contents, **changes):
    return {k: v for k, v in (contents | changes).items() if v is not None}


@pytest.mark.parametrize(
    ("number", "change", "message"),
    [
        (2, {"conv2.bias": None}, "does not fit the 128 model: conv2.bias missing"),
        (2, {"conv9.bias": torch.ones(1)}, "does not fit the 128 model: conv9.bias unexpected"),
        (
            2,
            {"conv2.bias": torch.ones(31)},
            r"conv2.bias has the shape (31,), expected (32,)",
        ),
        (2, {"conv2.bias": torch.full((32,), torch.nan)}, "conv2.bias is not finite"),
        (2, {"conv2.bias": torch.ones(32, dtype=torch.int64)}, "something else than tensors"),
        (3, {"conv5.weight": None}, "conv5.weight is missing: give the four files"),
        (3, {"conv5.weight": torch.ones(())}, "conv5.weight is empty"),
        (3, {"conv1.weight": torch.ones(64, 64, 4, 4, 4)}, "conv1.weight unexpected"),
        (1, {"fc2_class.weight": None}, "does not fit the 128 model: fc2_class.weight missing"),
        (1, {"sub_D.conv5.weight": torch.ones(2, 256, 4, 4, 4)}, "has a head for one class"),
        (1, {"conv1.weight": torch.ones(16, 1, 4, 4, 4)}, "does not fit the 256 model: "),
    ],
)
def test_tensors_of_neither_model_are_named(authors_weights, tmp_path, number, change, message):
    paths, contents = authors_weights(128, **MODELS[128])
    other = tmp_path / "other.pth"
    torch.save(changed(list(contents.values())[number], **change), other)
    code, told = refused([*paths[:number], other, *paths[number + 1 :]], tmp_path)
    assert code == 4
    assert f"{other}" in told or "256 model" in message
    assert message in told


def test_files_in_another_order_are_named(authors_weights, tmp_path):
    paths, _ = authors_weights(128, **MODELS[128])
    code, message = refused([paths[1], paths[0], *paths[2:]], tmp_path)
    assert code == 4
    assert "give the four files of one model in the order G, D, E, Sub_E" in message


def test_files_of_two_models_are_named(authors_weights, tmp_path):
    small, large = (authors_weights(side, **MODELS[side])[0] for side in (128, 256))
    code, message = refused([*large[:3], small[3]], tmp_path)
    assert code == 4
    assert f"{small[3]} does not fit the 256 model: bn1.bias, bn1.weight, conv1.bias" in message


@pytest.mark.parametrize("content", [torch.ones(3), {}, {"a": 1}, [torch.ones(1)]])
def test_what_is_no_state_dict_is_named(authors_weights, tmp_path, content):
    paths, _ = authors_weights(128, **MODELS[128])
    other = tmp_path / "E.pth"
    torch.save(content, other)
    with pytest.raises(ModelError, match="something else than tensors by name"):
        read_released(*paths[:2], other, paths[3])


def test_a_tensor_that_asks_for_more_than_its_file_holds_is_refused(authors_weights, tmp_path):
    paths, contents = authors_weights(128)
    name = next(iter(contents["G"]))
    huge = torch.zeros(1).expand(10**5, 10**5)  # 40 GB of one number
    path = tmp_path / "huge.pth"
    torch.save({**contents["G"], name: huge}, path)
    with pytest.raises(ModelError, match="made to exhaust the memory"):
        read_released(path, *paths[1:])


def test_a_file_that_inflates_is_refused(authors_weights, tmp_path):
    paths, _ = authors_weights(128)
    path = tmp_path / "bomb.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data/0", bytes(2**26))
    with pytest.raises(ModelError, match="inflates to 67108864 bytes"):
        read_released(path, *paths[1:])


def test_a_missing_file_and_a_taken_folder_are_named(authors_weights, tmp_path):
    paths, _ = authors_weights(128, **MODELS[128])
    code, message = refused([*paths[:3], tmp_path / "nothing.pth"], tmp_path)
    assert (code, "cannot read" in message) == (4, True)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "kept").write_text("kept")
    code, message = refused(paths, tmp_path)
    assert (code, "exists and is not empty" in message) == (6, True)
