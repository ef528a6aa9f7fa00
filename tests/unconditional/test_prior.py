import pytest
import torch

from hagan_clinic.unconditional.prior import prior_discrepancy


def mean_discrepancy(draw, batches=400):
    return float(torch.stack([prior_discrepancy(draw()) for _ in range(batches)]).mean())


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def test_noise_lies_at_no_distance_from_itself():
    assert abs(mean_discrepancy(lambda: torch.randn(4, 32))) < 2e-3


@pytest.mark.parametrize(
    "elsewhere",
    [
        pytest.param(lambda z: z + 1, id="shifted"),
        pytest.param(lambda z: 0.2 * z, id="too near"),
        pytest.param(lambda z: 4 * z, id="too far"),
        pytest.param(lambda z: z[:1].expand(4, -1), id="all alike"),
    ],
)
def test_what_is_not_noise_lies_at_a_distance(elsewhere):
    assert mean_discrepancy(lambda: elsewhere(torch.randn(4, 32))) > 0.02


def test_following_it_makes_noise_of_a_far_corner():
    latents = torch.nn.Parameter(3 + 0.1 * torch.randn(50, 32))
    optimizer = torch.optim.Adam([latents], lr=0.05)
    for _ in range(1200):
        optimizer.zero_grad()
        prior_discrepancy(latents[torch.randperm(50)[:8]]).backward()
        optimizer.step()
    assert latents.mean(0).abs().mean() < 0.2
    assert 0.8 < latents.std(0).mean() < 1.3


def test_the_gradient_of_equal_latents_is_finite():
    latents = torch.ones(4, 8, requires_grad=True)
    prior_discrepancy(latents).backward()
    assert torch.isfinite(latents.grad).all()
