import torch
from torch import nn
from torch.nn import functional

from hagan_clinic.backbone.air import ConvolutionInAir, held_to_air, in_air
from hagan_clinic.backbone.blocks import ResidualBlock


def surrounded(air, more):
    """Random features (2, 8, 5, 6, 4) with ``more`` voxels of air around them."""
    inner = torch.randn(2, 8, 5, 6, 4, generator=torch.Generator().manual_seed(0))
    whole = air.expand(2, 8, *(side + 2 * more for side in inner.shape[2:])).clone()
    whole[:, :, more : more + 5, more : more + 6, more : more + 4] = inner
    return whole


def test_a_convolution_in_air_is_one_amid_more_air():
    for air in (torch.randn(1, 8, 1, 1, 1), torch.randn(2, 8, 1, 1, 1)):
        convolution = ConvolutionInAir(8, 3, 3, padding=1)
        result, after = convolution(surrounded(air, 0), air)
        plain = functional.conv3d(surrounded(air, 4), convolution.weight, convolution.bias)
        assert torch.allclose(result, plain[:, :, 3:8, 3:9, 3:7], atol=1e-5)
        assert torch.allclose(after.expand(2, 3, 1, 1, 1), plain[:, :, :1, :1, :1], atol=1e-5)


def test_zero_air_is_zero_padding():
    convolution = ConvolutionInAir(8, 3, 3, padding=1)
    features = torch.randn(1, 8, 4, 4, 4)
    plain = functional.conv3d(features, convolution.weight, convolution.bias, padding=1)
    assert torch.allclose(convolution(features, torch.zeros(1, 8, 1, 1, 1))[0], plain, atol=1e-6)


def test_what_a_strided_convolution_makes_of_air_is_what_it_gives_there():
    convolution = nn.Conv3d(8, 5, 2, stride=2)
    air = torch.randn(1, 8, 1, 1, 1)
    assert torch.allclose(
        convolution(air.expand(1, 8, 2, 2, 2)), in_air(convolution, air), atol=1e-5
    )


def test_features_are_air_where_there_is_no_head_and_untouched_within_it():
    features, air = torch.randn(1, 4, 2, 2, 2), torch.randn(1, 4, 1, 1, 1)
    assert torch.equal(held_to_air(features, air, torch.ones(1, 1, 2, 2, 2)), features)
    nothing = held_to_air(features, air, torch.zeros(1, 1, 2, 2, 2))
    assert torch.equal(nothing, air.expand_as(features))


def test_more_air_changes_nothing_in_a_block_that_knows_its_head():
    air = torch.randn(1, 8, 1, 1, 1)
    for regional in (True, False):
        block = ResidualBlock(8, regional=regional)
        nn.init.normal_(block.second.weight, std=0.1)
        head = torch.ones(2, 1, 5, 6, 4)
        alone, alone_air = block(surrounded(air, 0), air, head)
        amid, amid_air = block(surrounded(air, 3), air, functional.pad(head, (3,) * 6))
        assert torch.allclose(amid[:, :, 3:8, 3:9, 3:7], alone, atol=1e-5)
        assert torch.allclose(amid_air, alone_air, atol=1e-5)
