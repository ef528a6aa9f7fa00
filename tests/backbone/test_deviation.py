import pytest
import torch

from hagan_clinic.backbone.deviation import deviation, with_deviation
from hagan_clinic.backbone.discriminator import LowResolutionDiscriminator, SlabDiscriminator


def test_it_is_the_standard_deviation_over_the_batch():
    features = torch.randn(5, 3, 2, 2, 2)
    expected = features.std(0, correction=0).mean()
    assert float(deviation(features)) == pytest.approx(float(expected), rel=1e-3)


def test_samples_that_are_all_alike_have_none_and_a_finite_gradient():
    features = torch.randn(1, 3, 2, 2, 2).repeat(4, 1, 1, 1, 1).requires_grad_()
    assert deviation(features) < 1e-3
    deviation(features).backward()
    assert torch.isfinite(features.grad).all()


def test_every_sample_and_position_is_told_the_same():
    joined = with_deviation(features := torch.randn(2, 3, 2, 4, 2))
    assert joined.shape == (2, 4, 2, 4, 2)
    assert torch.equal(joined[:, :3], features)
    assert len(joined[:, 3].unique()) == 1


@pytest.mark.parametrize("compares", [False, True])
def test_a_discriminator_that_compares_judges_a_sample_by_its_batch(compares):
    torch.manual_seed(0)
    low = LowResolutionDiscriminator(1, 1, width=64, compares=compares).eval()
    slab = SlabDiscriminator(1, 0, width=64, compares=compares).eval()
    image, others = torch.randn(1, 1, 8, 8, 8), torch.randn(2, 1, 8, 8, 8)
    place = torch.zeros(2)
    for judge in (low, lambda images: slab(images.repeat(1, 1, 1, 4, 4), place)):
        alone = judge(torch.cat([image, image]))[0]
        among = judge(torch.cat([image, others[:1]]))[0]
        assert bool((alone - among).abs() > 1e-5) == compares
