import math

import pytest
import torch

from hagan_clinic.unconditional.measurements import MeasurementHead

COUNT = 400


def fitted(latents, measurements):
    torch.manual_seed(0)
    head = MeasurementHead(latents.shape[1], measurements.shape[1])
    optimizer = torch.optim.Adam(head.parameters(), 0.05)
    for _ in range(400):
        optimizer.zero_grad()
        head.surprise(latents, measurements).backward()
        optimizer.step()
    return head


@pytest.fixture(scope="module")
def correlated():
    """z whose first number, with noise, is the measurement: r = 0.8."""
    torch.manual_seed(1)
    latents = torch.randn(COUNT, 3)
    measurements = 0.8 * latents[:, :1] + 0.6 * torch.randn(COUNT, 1)
    return latents, (measurements - measurements.mean()) / measurements.std()


def test_the_bound_comes_to_the_mutual_information_of_a_gaussian_pair(correlated):
    latents, measurements = correlated
    surprise = fitted(latents, measurements).surprise(latents, measurements).item()
    entropy = 0.5 * math.log(2 * math.pi * math.e)
    assert entropy - surprise == pytest.approx(-0.5 * math.log(1 - 0.8**2), abs=0.08)


def test_of_measurements_that_z_knows_nothing_of_the_bound_is_zero(correlated):
    _, measurements = correlated
    unrelated = torch.randn(COUNT, 3, generator=torch.Generator().manual_seed(5))
    surprise = fitted(unrelated, measurements).surprise(unrelated, measurements).item()
    assert 0.5 * math.log(2 * math.pi * math.e) - surprise == pytest.approx(0, abs=0.02)


def test_its_gradient_makes_z_tell_the_measurement(correlated):
    _, measurements = correlated
    head = MeasurementHead(3, 1)
    latents = torch.randn(COUNT, 3).requires_grad_()
    head.surprise(latents, measurements).backward()
    moved = latents.detach() - 100 * latents.grad
    assert head.surprise(moved, measurements) < head.surprise(latents, measurements)


def test_what_was_not_measured_counts_for_nothing(correlated):
    latents, measurements = correlated
    head = MeasurementHead(3, 2)
    both = measurements.repeat(1, 2)
    both[10:, 1] = math.nan
    assert torch.isfinite(head.surprise(latents, both))
    head.surprise(latents, both).backward()
    assert all(torch.isfinite(weight.grad).all() for weight in head.parameters())
    assert head.surprise(latents, torch.full_like(both, math.nan)) == 0


@pytest.mark.parametrize(
    ("weight", "expected"),
    [
        ([[1.0, 0.0], [0.0, 2.0]], 0.0),
        ([[1.0, 0.0], [-3.0, 0.0]], 1.0),
        ([[1.0, 0.0], [1.0, 1.0]], 0.5),
        ([[1.0, 1.0]], 0.0),
    ],
)
def test_overlap_is_the_mean_squared_cosine_of_the_directions(weight, expected):
    head = MeasurementHead(2, len(weight))
    head.mean.weight.data = torch.tensor(weight)
    assert head.overlap().item() == pytest.approx(expected, abs=1e-6)


def test_minimising_the_overlap_makes_directions_orthogonal():
    torch.manual_seed(0)
    head = MeasurementHead(4, 3)
    head.mean.weight.data = torch.ones(3, 4) + 0.1 * torch.randn(3, 4)
    assert head.overlap().item() > 0.9
    optimizer = torch.optim.Adam(head.parameters(), 0.05)
    for _ in range(200):
        optimizer.zero_grad()
        head.overlap().backward()
        optimizer.step()
    assert head.overlap().item() < 0.01
