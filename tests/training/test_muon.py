import copy

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from hagan_clinic.training.checkpoint import load_checkpoint, save_checkpoint
from hagan_clinic.training.muon import ADAM_MATCH, Muon, orthogonal


def network():
    """A thin first layer, hidden convolutions of two kinds, and a thin last layer."""
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv3d(1, 16, 3), nn.Conv3d(16, 24, 2), nn.Conv3d(24, 16, 1), nn.Conv3d(16, 2, 1)
    ).to(memory_format=torch.channels_last_3d)


def steps(model, optimizer, numbers):
    """Descend on a loss that differs from step to step."""
    for number in numbers:
        volume = torch.randn(1, 1, 6, 6, 6, generator=torch.Generator().manual_seed(number))
        optimizer.zero_grad()
        model(volume).square().mean().backward()
        optimizer.step()


@pytest.mark.parametrize(
    ("rows", "columns"),
    [(16, 16 * 27), (96, 24 * 8), (64, 128), (192, 64), (24, 8)],
    ids=["wide", "stride 2", "1x1x1", "tall", "tall 1x1x1"],
)
def test_singular_values_become_about_one(rows, columns):
    matrix = torch.randn(rows, columns, generator=torch.Generator().manual_seed(0))
    values = torch.linalg.svdvals(orthogonal(1e-3 * matrix))
    assert values.min() > 0.6 and values.max() < 1.3


def test_an_uneven_square_matrix_keeps_its_directions():
    left, right = (torch.linalg.qr(torch.randn(32, 32, dtype=torch.float64))[0] for _ in range(2))
    matrix = left @ torch.diag(torch.logspace(-2, 0, 32, dtype=torch.float64)) @ right
    turned = left.T @ orthogonal(matrix) @ right.T
    assert turned.dtype == torch.float64
    assert turned.diagonal().min() > 0.6 and turned.diagonal().max() < 1.3
    assert (turned - torch.diag(turned.diagonal())).abs().max() < 1e-4


def test_a_gradient_of_zero_changes_nothing():
    assert torch.equal(orthogonal(torch.zeros(8, 16)), torch.zeros(8, 16))


@pytest.mark.parametrize("shape", [(16, 8, 3, 3, 3), (96, 24, 2, 2, 2), (192, 64, 1, 1, 1)])
def test_a_step_on_a_convolution_is_as_long_as_adams(shape):
    weight = nn.Parameter(torch.zeros(shape).to(memory_format=torch.channels_last_3d))
    weight.grad = 1e-4 * torch.randn(shape)
    Muon([weight], lr=0.01).step()
    length = weight.detach().square().mean().sqrt()
    assert 0.7 * ADAM_MATCH * 0.01 < length < 1.2 * ADAM_MATCH * 0.01


def test_matrices_move_as_by_torchs_own_muon():
    torch.manual_seed(0)
    ours = nn.Parameter(torch.randn(24, 64))
    theirs = nn.Parameter(ours.detach().clone())
    before = ours.detach().clone()
    settings = {"lr": 0.01, "weight_decay": 0.1, "momentum": 0.95}
    one = Muon([ours], **settings)
    other = torch.optim.Muon([theirs], adjust_lr_fn="match_rms_adamw", **settings)
    for _ in range(5):
        ours.grad = torch.randn(24, 64)
        theirs.grad = ours.grad.clone()
        one.step()
        other.step()
    # Theirs iterates in bfloat16.
    assert (ours - theirs).norm() < 0.02 * (theirs - before).norm()


@pytest.mark.parametrize("shape", [(16,), (16, 1, 3, 3, 3), (2, 16, 1, 1, 1)])
def test_biases_and_thin_layers_move_as_by_adamw(shape):
    torch.manual_seed(0)
    ours = nn.Parameter(torch.randn(shape))
    theirs = nn.Parameter(ours.detach().clone())
    settings = {"lr": 0.01, "betas": (0.9, 0.99), "weight_decay": 0.1}
    one, other = Muon([ours], **settings), torch.optim.AdamW([theirs], **settings)
    for scale in (1.0, 1e-3, 0.0, 10.0, 1.0, 1.0):
        ours.grad = scale * torch.randn(shape)
        theirs.grad = ours.grad.clone()
        one.step()
        other.step()
        assert torch.allclose(ours, theirs, rtol=0, atol=1e-6)


def test_what_has_no_gradient_stays():
    weight = nn.Parameter(torch.ones(16, 16))
    Muon([weight], lr=0.1, weight_decay=0.1).step()
    assert torch.equal(weight, torch.ones(16, 16))


def test_saved_and_restored_it_goes_on_exactly(tmp_path):
    whole = network()
    optimizer = Muon(whole.parameters(), lr=0.01, weight_decay=0.01)
    steps(whole, optimizer, range(3))
    part = copy.deepcopy(whole)
    save_checkpoint(tmp_path / "last", part, AveragedModel(part), {"generator": optimizer}, {})
    steps(whole, optimizer, range(3, 6))

    resumed = network()
    restored = Muon(resumed.parameters(), lr=0.01, weight_decay=0.01)
    load_checkpoint(tmp_path / "last", resumed, AveragedModel(resumed), {"generator": restored})
    steps(resumed, restored, range(3, 6))
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name

    forgetful = copy.deepcopy(part)
    steps(forgetful, Muon(forgetful.parameters(), lr=0.01, weight_decay=0.01), range(3, 6))
    for name, value in whole.state_dict().items():
        assert not torch.equal(value, forgetful.state_dict()[name]), name
