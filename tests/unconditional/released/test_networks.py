"""Against a forward pass written from the paper's layer table, on the authors' own names."""

import pytest
import torch
from torch.nn import functional as f


@pytest.fixture(params=[128, 256])
def both(released_models, imported, request, authors_weights):
    """Our model of the authors' files, what the files hold, and the model's side."""
    paths, contents = authors_weights(request.param, **released_models[request.param])
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
