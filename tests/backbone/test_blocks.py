import pytest
import torch
from torch.nn import functional

from hagan_clinic.backbone.blocks import (
    PositionNorm,
    RegionNorm,
    ResidualBlock,
    depth_to_space,
    normalisation,
    space_to_depth,
)


def test_position_norm_of_a_part_is_part_of_the_norm():
    norm = PositionNorm(8)
    torch.nn.init.normal_(norm.weight)
    features = torch.randn(2, 8, 6, 5, 4)
    assert torch.allclose(norm(features)[:, :, 2:4], norm(features[:, :, 2:4]), atol=1e-6)


def test_position_norm_normalises_each_position_over_channels():
    normal = PositionNorm(64)(3 + 5 * torch.randn(1, 64, 3, 3, 3))
    assert normal.mean(dim=1).abs().max() < 1e-5
    assert (normal.var(dim=1, unbiased=False) - 1).abs().max() < 1e-3


@pytest.mark.parametrize("kind", ["position", "group"])
def test_under_autocast_a_norm_of_half_precision_stays_there(kind):
    norm = normalisation(kind, 16)
    torch.nn.init.normal_(norm.weight)
    features = 3 + 2 * torch.randn(2, 16, 4, 4, 4)
    with torch.autocast("cpu", torch.bfloat16):
        half = norm(features.bfloat16())
        assert half.dtype == torch.bfloat16
        assert norm(features).dtype == torch.float32
    assert (half.float() - norm(features)).abs().max() < 0.05
    half.float().sum().backward()
    assert norm.weight.grad.dtype == torch.float32


def test_a_residual_block_starts_as_the_identity_and_learns():
    block = ResidualBlock(8)
    features, air = torch.randn(1, 8, 4, 4, 4), torch.randn(1, 8, 1, 1, 1)
    assert all(map(torch.equal, block(features, air), (features, air)))
    block(features, air)[0].square().sum().backward()
    assert block.second.weight.grad.abs().max() > 0


def test_depth_to_space_undoes_space_to_depth():
    volume = torch.randn(2, 3, 4, 6, 8)
    features = space_to_depth(volume)
    assert features.shape == (2, 24, 2, 3, 4)
    assert torch.equal(depth_to_space(features), volume)


def test_space_to_depth_keeps_each_cube_at_its_place():
    volume = torch.arange(4**3.0).reshape(1, 1, 4, 4, 4)
    corner = space_to_depth(volume)[0, :, 1, 0, 1]
    assert torch.equal(corner.reshape(2, 2, 2), volume[0, 0, 2:, :2, 2:])


def headed():
    """Features of two volumes, and their heads: off centre, with soft edges, unlike each other."""
    torch.manual_seed(0)
    features = 3 + 5 * torch.randn(2, 16, 6, 8, 10)
    region = torch.zeros(2, 1, 6, 8, 10)
    region[0, :, 1:4, 2:7, 1:8] = 1
    region[1, :, 2:6, 1:5, 3:9] = 1
    region[:, :, 2, 2:5, 3] = 0.5
    return features, region


AIR = torch.zeros(1, 16, 1, 1, 1)


def test_region_norm_ignores_what_is_outside_its_region():
    features, region = headed()
    norm = RegionNorm(16)
    elsewhere = torch.where(region > 0, features, 100 * torch.randn_like(features))
    inside = (region > 0).expand_as(features)
    one, other = (norm(values, AIR, region)[0][inside] for values in (features, elsewhere))
    assert torch.allclose(one, other, atol=1e-6)


def test_padding_with_air_changes_nothing_inside_for_region_norm():
    features, region = headed()
    norm = RegionNorm(16)
    torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(norm.bias)
    padded, more = (functional.pad(x, (4, 0, 0, 12, 8, 8)) for x in (features, region))
    normal, air = norm(padded, AIR, more)
    assert torch.allclose(normal[:, :, 8:14, 0:8, 4:14], norm(features, AIR, region)[0], atol=1e-5)
    assert torch.allclose(normal[:, :, :1, -1:, :1], air, atol=1e-5)


def test_region_norm_gives_each_group_mean_0_and_variance_1_over_the_region():
    features, region = headed()
    normal, _ = RegionNorm(16, groups=4)(features, AIR, region)
    for sample, weights in zip(normal, region, strict=True):
        for group in sample.split(4):
            weight = weights.expand_as(group)
            mean = (group * weight).sum() / weight.sum()
            variance = ((group - mean).square() * weight).sum() / weight.sum()
            assert mean.abs() < 1e-5
            assert (variance - 1).abs() < 1e-4


def test_region_norm_over_everything_is_group_normalisation():
    features, _ = headed()
    norm = RegionNorm(16)
    everywhere = torch.ones(2, 1, 6, 8, 10)
    expected = functional.group_norm(features, 8, norm.weight, norm.bias, eps=1e-4)
    assert torch.allclose(norm(features, AIR, everywhere)[0], expected, atol=1e-5)


def test_region_norm_of_an_empty_region_is_finite():
    features, region = headed()
    assert RegionNorm(16)(features, AIR, 0 * region)[0].isfinite().all()


def test_a_regional_block_starts_as_the_identity():
    features, region = headed()
    assert torch.equal(ResidualBlock(16, regional=True)(features, AIR, region)[0], features)
