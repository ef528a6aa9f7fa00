import pytest
import torch
from torch import nn
from torch.nn import functional

from hagan_clinic.backbone import doubling
from hagan_clinic.backbone.doubling import convolve_doubled

FORMATS = [torch.contiguous_format, torch.channels_last_3d]


def plainly(features, convolution):
    return convolution(functional.interpolate(features, scale_factor=2.0, mode="nearest"))


def case(shape=(2, 6, 7, 8, 9), out=5, memory_format=torch.contiguous_format):
    torch.manual_seed(0)
    convolution = nn.Conv3d(shape[1], out, 3, padding=1).to(memory_format=memory_format)
    features = torch.randn(shape).to(memory_format=memory_format).requires_grad_()
    return features, convolution


@pytest.mark.parametrize("out", [1, 5])
@pytest.mark.parametrize("memory_format", FORMATS)
def test_values_and_gradients_are_those_of_the_doubled_grid(memory_format, out):
    features, convolution = case(out=out, memory_format=memory_format)
    given = [features, *convolution.parameters()]
    told = []
    for way in (plainly, convolve_doubled):
        result = way(features, convolution)
        towards = torch.randn(result.shape, generator=torch.Generator().manual_seed(1))
        told.append([result, *torch.autograd.grad(result, given, towards)])
    for expected, found in zip(*told, strict=True):
        assert found.shape == expected.shape
        assert (found - expected).abs().max() < 1e-5 * expected.abs().max()


def test_the_doubled_grid_is_never_kept():
    features, convolution = case((1, 8, 16, 16, 16), out=1)

    def kept(way):
        sizes = []
        with torch.autograd.graph.saved_tensors_hooks(
            lambda tensor: sizes.append(tensor.numel()) or tensor, lambda tensor: tensor
        ):
            way(features, convolution)
        return max(sizes)

    assert kept(plainly) == 8 * features.numel()
    assert kept(convolve_doubled) == features.numel()


@pytest.mark.parametrize("small_grid", [True, False])
def test_small_grids_and_evaluation_take_the_plain_way(monkeypatch, small_grid):
    monkeypatch.setattr(doubling, "eight_kernels", lambda weight: pytest.fail("eight kernels"))
    features, convolution = case((2, 6, 4, 4, 4) if small_grid else (2, 6, 7, 8, 9))
    convolution.train(small_grid)
    assert torch.equal(convolve_doubled(features, convolution), plainly(features, convolution))
