import pytest
import torch

from hagan_clinic.errors import InputError
from hagan_clinic.unconditional.volumes import (
    VolumeGenerator,
    VolumeSizes,
    critic_loss,
    gradient_penalty,
)


@pytest.mark.parametrize("side", [16, 96, 512])
def test_other_cubes_are_named(side):
    with pytest.raises(InputError, match=f"{side}x{side}x{side}: expected a cube of 32, 64, 128"):
        VolumeSizes((side,) * 3)


def test_boxes_that_are_no_cubes_are_named():
    with pytest.raises(InputError, match="64x32x64: expected a cube"):
        VolumeSizes((64, 32, 64))


def test_256_cubed_is_128_cubed_doubled_by_nearest_neighbour():
    sizes = VolumeSizes((256, 256, 256), latent=3, width=4)
    small = torch.arange(128.0).expand(1, 1, 128, 128, 128)
    (large,) = VolumeGenerator(sizes, torch.nn.Identity())(small)
    assert large.shape == (1, 1, 256, 256, 256)
    assert torch.equal(large[0, 0, 0, 0], torch.arange(128.0).repeat_interleave(2))
    assert torch.equal(sizes.reduced(large), small)


def test_the_penalty_is_on_the_slope_over_all_values_of_a_sample():
    """A critic of slope 2 a value has over n values the slope 2 sqrt(n)."""
    real, fake = torch.randn(3, 1, 2, 2, 4), torch.randn(3, 1, 2, 2, 4)
    penalty = gradient_penalty(lambda v: 2 * v.flatten(1).sum(1), real, fake)
    assert float(penalty) == pytest.approx((2 * 16**0.5 - 1) ** 2)
    gentle = gradient_penalty(lambda v: v.flatten(1).sum(1) / 4, real, fake)
    assert float(gentle) == pytest.approx(0, abs=1e-9)


def test_the_penalty_looks_between_real_and_fake():
    seen = []

    def critic(volumes):
        seen.append(volumes.detach())
        return volumes.flatten(1).sum(1)

    real, fake = torch.zeros(64, 1, 2), torch.ones(64, 1, 2)
    gradient_penalty(critic, real, fake)
    assert (seen[0][:, 0, 0] == seen[0][:, 0, 1]).all()
    assert 0 <= seen[0].min() < 0.2 and 0.8 < seen[0].max() <= 1


def test_a_critic_is_updated_by_distance_penalty_and_drift():
    def critic(volumes):
        return 2 * volumes.flatten(1).sum(1)

    # A slope of 2 in each of eight voxels: its norm is sqrt(32).
    real, fake = torch.full((2, 1, 2, 2, 2), 0.5), torch.zeros(2, 1, 2, 2, 2)
    penalty = 10 * (32**0.5 - 1) ** 2
    loss, terms = critic_loss(critic, real, fake)
    assert float(terms["wasserstein"]) == pytest.approx(8)
    assert terms.keys() == {"wasserstein", "penalty"}
    assert float(loss) == pytest.approx(penalty - 8, rel=1e-5)
    drifting, terms = critic_loss(critic, real, fake, drift=0.5)
    assert float(terms["drift"]) == pytest.approx(64)
    assert float(drifting) == pytest.approx(penalty - 8 + 32, rel=1e-5)
