import pytest
import torch
from torch.nn import functional

from hagan_clinic.unconditional.regions import attended_error, attention_of


@pytest.fixture
def images():
    torch.manual_seed(0)
    return torch.rand(2, 1, 4, 4, 4).requires_grad_(), torch.rand(2, 1, 4, 4, 4)


def test_without_a_region_it_is_the_l1_error(images):
    assert attention_of(None, 3.0) is None
    assert attention_of(torch.ones(1), 0.0) is None
    assert torch.equal(attended_error(*images, None), functional.l1_loss(*images))
    even = attention_of(torch.zeros(2, 1, 4, 4, 4), 3.0)
    assert torch.allclose(attended_error(*images, even), functional.l1_loss(*images))


def test_an_error_within_the_region_counts_as_much_more_as_is_said(images):
    prediction, target = images
    region = torch.zeros(2, 1, 4, 4, 4)
    region[0, 0, :2] = 1
    region[1, 0, 0, 0, 0] = 0.5
    attended_error(prediction, target, attention_of(region, 4.0)).backward()
    gradient = prediction.grad.abs()
    ratio = gradient[0, 0, 0, 0, 0] / gradient[0, 0, 3, 3, 3]
    assert float(ratio) == pytest.approx(5.0)
    assert float(gradient[1, 0, 0, 0, 0] / gradient[1, 0, 3, 3, 3]) == pytest.approx(3.0)
    # Each sample's gradients add up to the same: a small lesion is not weighted away by a large.
    assert float(gradient[0].sum()) == pytest.approx(float(gradient[1].sum()), rel=1e-5)
