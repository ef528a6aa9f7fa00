import pytest
import torch
from torch import nn

from hagan_clinic.backbone.chain import chained


class Counted(nn.Conv3d):
    """A convolution that counts how often it is computed."""

    def _conv_forward(self, *given):
        self.entered = getattr(self, "entered", 0) + 1
        result = super()._conv_forward(*given)
        self.computed = getattr(self, "computed", 0) + 1
        return result


def parts():
    torch.manual_seed(0)
    convolutions = [Counted(4, 4, 3, padding=1) for _ in range(4)]
    norms = [nn.GroupNorm(2, 4) for _ in range(3)]
    between = [lambda x, norm=norm: torch.relu_(norm(x)) for norm in norms]
    features = torch.randn(1, 4, 8, 8, 8, requires_grad=True)
    return features, convolutions, between


def run(recompute):
    features, convolutions, between = parts()
    sizes = {}

    def hold(tensor):
        storage = tensor.untyped_storage()
        if tensor.dim() == 5 and len(tensor) == 1:
            sizes[storage._cdata] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(hold, lambda tensor: tensor):
        result = chained(features, convolutions, between, recompute=recompute)
    result.square().sum().backward()
    gradients = [features.grad, *(c.weight.grad for c in convolutions)]
    return result, gradients, sum(sizes.values()), convolutions


def test_recomputing_changes_no_value_and_keeps_half():
    plain, gradients, kept, _ = run(False)
    again, same, fewer, _ = run(True)
    assert torch.equal(plain, again)
    assert all(torch.equal(one, other) for one, other in zip(gradients, same, strict=True))
    one = 4 * 4 * 8**3
    assert kept == 7 * one  # the input, and of each stretch what its norm and its ReLU took
    assert fewer == 4 * one


def test_no_convolution_runs_twice():
    *_, convolutions = run(True)
    assert [c.computed for c in convolutions] == [1, 1, 1, 1]
    assert [c.entered for c in convolutions] == [1, 2, 2, 2]


def test_without_gradients_nothing_is_kept_to_recompute_from():
    features, convolutions, between = parts()
    with torch.no_grad():
        result = chained(features, convolutions, between, recompute=True)
    assert not result.requires_grad


def test_a_step_too_few_is_refused():
    features, convolutions, between = parts()
    with pytest.raises(ValueError, match="zip"):
        chained(features, convolutions, between[:-1], recompute=False)
