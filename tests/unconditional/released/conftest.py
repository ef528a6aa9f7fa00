"""The authors' weights: random numbers under the names and in the shapes of their layer table."""

import functools
import math
from itertools import pairwise

import pytest
import torch

LATENT = 16  # theirs is 1024; the other widths are theirs


@pytest.fixture(scope="session")
def released_models():
    """By their sides, what tells the two released models from one another."""
    return {128: {"classes": 3, "prefix": "module."}, 256: {}}


@pytest.fixture(scope="session")
def imported():
    """The function that reads four files as a model, each four once: no test may change it."""
    from hagan_clinic.unconditional.released import read_released

    return functools.cache(lambda paths: read_released(*paths))


@pytest.fixture(scope="session")
def authors_weights(tmp_path_factory):
    """The function that writes the four files of a model and gives their paths and contents."""
    made = {}

    def make(side, classes=0, prefix=""):
        key = (side, classes, prefix)
        if key not in made:
            folder = tmp_path_factory.mktemp(f"released{side}")
            contents = state_dicts(side, classes)
            paths = []
            for name, tensors in contents.items():
                paths.append(folder / f"{name}_iter80000.pth")
                torch.save({prefix + k: v for k, v in tensors.items()}, paths[-1])
            made[key] = paths, contents
        return made[key]

    return make


def state_dicts(side, classes):
    source = torch.Generator().manual_seed(side + classes)

    def normal(*shape):
        return torch.randn(*shape, generator=source)

    def layer(name, out, into, *kernel, spectral=False):
        weight = normal(out, into, *kernel) / math.sqrt(into * math.prod(kernel))
        content = {f"{name}.weight": weight * math.sqrt(2), f"{name}.bias": 0.1 * normal(out)}
        if spectral:
            content |= {f"{name}.u0": normal(1, out), f"{name}.sv0": torch.ones(1)}
        return content

    def norm(name, channels):
        return {
            f"{name}.weight": 1 + 0.1 * normal(channels),
            f"{name}.bias": 0.1 * normal(channels),
        }

    first = 1 if side == 256 else 2
    g = layer("fc1", 512 * 4**3, LATENT + classes)
    widths = (512, 512, 512, 256, 128, 64, 32)
    for i, (into, out) in enumerate(pairwise(widths), start=1):
        g |= layer(f"tp_conv{i}", out, into, 3, 3, 3) | norm(f"bn{i}", out)
    g |= layer("tp_conv7", 1, 32, 3, 3, 3)
    g |= layer("sub_G.tp_conv1", 32, 64, 3, 3, 3) | norm("sub_G.bn1", 32)
    g |= layer("sub_G.tp_conv2", 16, 32, 3, 3, 3) | norm("sub_G.bn2", 16)
    g |= layer("sub_G.tp_conv3", 1, 16, 3, 3, 3)

    d = {}
    widths = {1: 16, 2: 32, 3: 64, 4: 128, 5: 256, 6: 512, 7: 128}
    kernels = {1: (4, 4, 4), 2: (4, 4, 4), 3: (4, 4, 4), 4: (2, 4, 4), 5: (2, 4, 4)}
    into = 1
    for i in range(first, 8):
        d |= layer(f"conv{i}", widths[i], into, *kernels.get(i, (1, 4, 4)), spectral=True)
        into = widths[i]
    d |= layer("fc1", 64, 129, spectral=True) | layer("fc2", 1, 64, spectral=True)
    if classes:
        d |= layer("fc2_class", classes, 64, spectral=True)
    into = 1
    for i in range(first, 5):
        out = 16 << i
        d |= layer(f"sub_D.conv{i}", out, into, 4, 4, 4, spectral=True)
        into = out
    d |= layer("sub_D.conv5", 1 + classes, into, 4, 4, 4, spectral=True)

    e = layer("conv1", 32, 1, 4, 4, 4) | norm("bn1", 32)
    e |= layer("conv2", 32, 32, 3, 3, 3) | norm("bn2", 32)
    e |= layer("conv3", 64, 32, 4, 4, 4) | norm("bn3", 64)

    sub_e = {}
    into = 64
    for i in range(first, 5):
        out = 16 << i
        sub_e |= layer(f"conv{i}", out, into, 4, 4, 4) | norm(f"bn{i}", out)
        into = out
    sub_e |= layer("conv5", LATENT, into, 4, 4, 4)
    return {"G": g, "D": d, "E": e, "Sub_E": sub_e}
