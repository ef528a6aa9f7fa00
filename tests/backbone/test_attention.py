import pytest
import torch

from hagan_clinic.backbone.attention import SelfAttention


@pytest.fixture
def block():
    torch.manual_seed(0)
    return SelfAttention(16)


def test_it_starts_as_the_identity_and_learns_its_gain(block):
    features = torch.randn(2, 16, 3, 4, 2)
    output = block(features)
    assert torch.equal(output, features)
    output.square().sum().backward()
    assert block.gain.grad.abs() > 0


def test_one_corner_is_felt_in_the_other(block):
    block.gain.data.fill_(1.0)
    features = torch.randn(1, 16, 4, 4, 4)
    changed = features.clone()
    changed[..., 0, 0, 0] += 1
    difference = (block(features) - block(changed)).detach().abs()
    assert difference[0, :, 3, 3, 3].max() > 1e-4


@torch.inference_mode()
def test_it_is_softmax_of_scaled_products(block):
    block.gain.data.fill_(1.0)
    features = torch.randn(1, 16, 2, 3, 2)
    q, k, v = (part(features)[0].flatten(1) for part in (block.query, block.key, block.value))
    weights = torch.softmax(q.T @ k / 2**0.5, dim=1)
    expected = features[0].flatten(1) + (weights @ v.T).T
    assert torch.allclose(block(features)[0].flatten(1), expected, atol=1e-5)
