import pytest
import torch

from hagan_clinic.backbone.slab import Slab, take_slabs


def test_high_and_low_select_the_same_slices():
    image = torch.arange(64.0).reshape(1, 1, 64, 1, 1)
    features = image.reshape(1, 1, 16, 4, 1, 1).mean(dim=3)
    slab = Slab(20, 32)
    high = slab.high(image).reshape(8, 4).mean(dim=1)
    assert torch.equal(high, slab.low(features).flatten())


@pytest.mark.parametrize(("start", "thickness"), [(2, 8), (4, 6), (-4, 8), (0, 0)])
def test_a_slab_out_of_step_cannot_exist(start, thickness):
    with pytest.raises(ValueError, match="slab"):
        Slab(start, thickness)


@pytest.mark.parametrize("start", range(0, 112 - 32 + 1, 4))
def test_windows_of_a_volume_hold_the_slab_and_have_one_thickness(start):
    slab = Slab(start, 32)
    window = slab.window(depth=112, halo=8)
    assert window.thickness == 48
    assert window.start >= 0 and window.stop <= 112
    assert window.start <= max(start - 8, 0) or window.stop == 112
    assert window.stop >= min(slab.stop + 8, 112)
    assert window.start <= slab.start and slab.stop <= window.stop


def test_a_window_is_never_larger_than_the_volume():
    assert Slab(0, 32).window(depth=32, halo=8) == Slab(0, 32)


def test_each_sample_gives_its_own_slab():
    volumes = torch.arange(2 * 16.0).reshape(2, 1, 16, 1, 1)
    slabs = take_slabs(volumes, torch.tensor([0, 8]), 4)
    assert slabs.flatten().tolist() == [0, 1, 2, 3, 24, 25, 26, 27]


def test_the_gradient_of_slabs_falls_on_their_slices_alone():
    volumes = torch.randn(2, 3, 16, 4, 5, requires_grad=True)
    towards = torch.randn(2, 3, 4, 4, 5)
    take_slabs(volumes, [0, 8], 4).backward(towards)
    expected = torch.zeros_like(volumes)
    expected[0, :, 0:4], expected[1, :, 8:12] = towards
    assert torch.equal(volumes.grad, expected)
