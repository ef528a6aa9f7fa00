import torch

from hagan_clinic.backbone.blocks import (
    PositionNorm,
    ResidualBlock,
    depth_to_space,
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


def test_a_residual_block_starts_as_the_identity_and_learns():
    block = ResidualBlock(8)
    features = torch.randn(1, 8, 4, 4, 4)
    assert torch.equal(block(features), features)
    block(features).square().sum().backward()
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
