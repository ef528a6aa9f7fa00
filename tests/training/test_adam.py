import copy

import pytest
import torch
from torch import nn

from hagan_clinic.training.adam import UnaveragedAdam


def network():
    torch.manual_seed(1)
    layers = nn.Sequential(nn.Conv3d(1, 4, 3), nn.Conv3d(4, 2, 1))
    return layers.to(memory_format=torch.channels_last_3d)


def descend(model, optimizer, numbers):
    for number in numbers:
        volume = torch.randn(1, 1, 5, 5, 5, generator=torch.Generator().manual_seed(number))
        optimizer.zero_grad()
        (model(volume).square().mean() * 10 ** (number % 3)).backward()
        optimizer.step()


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_weights_move_as_by_torchs_adamw_without_its_first_moment(decay):
    ours, theirs = network(), network()
    one = UnaveragedAdam(ours.parameters(), 0.01, beta2=0.99, weight_decay=decay)
    other = torch.optim.AdamW(theirs.parameters(), 0.01, betas=(0.0, 0.99), weight_decay=decay)
    descend(ours, one, range(8))
    descend(theirs, other, range(8))
    for name, value in theirs.state_dict().items():
        assert torch.allclose(ours.state_dict()[name], value, rtol=0, atol=1e-6), name
    held = sum(v.numel() for state in one.state.values() for v in state.values() if v.dim())
    assert held == sum(parameter.numel() for parameter in ours.parameters())


def test_restored_it_goes_on_exactly():
    whole = network()
    optimizer = UnaveragedAdam(whole.parameters(), 0.01)
    descend(whole, optimizer, range(3))
    resumed = copy.deepcopy(whole)
    restored = UnaveragedAdam(resumed.parameters(), 0.01)
    restored.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for model, moved in ((whole, optimizer), (resumed, restored)):
        descend(model, moved, range(3, 6))
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_what_has_no_gradient_stays():
    weight = nn.Parameter(torch.ones(4))
    UnaveragedAdam([weight], 0.1, weight_decay=0.1).step()
    assert torch.equal(weight, torch.ones(4))
