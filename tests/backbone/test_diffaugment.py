import pytest
import torch
from torch.nn import functional

from hagan_clinic.backbone.diffaugment import DiffAugment


def drawn(*rows):
    """Brightness, contrast, shift in H and W, centre of the square in H and W."""
    return torch.tensor(rows)


def images(samples=1, low=(3, 16, 16)):
    torch.manual_seed(0)
    return torch.rand(samples, 1, *low) * 2 - 1


def test_the_background_stays_background():
    torch.manual_seed(0)
    augment = DiffAugment()
    air = torch.full((8, 1, 4, 16, 16), -1.0)
    assert torch.allclose(augment(air, augment.draw(8, air.device)), air, atol=1e-6)


@pytest.mark.parametrize("shift", [(1.0, 1.0), (-1.0, 0.5), (0.0, -1.0)])
@pytest.mark.parametrize("grey", [(1.0, 0.0), (-0.7, 0.9)])
def test_a_slab_and_the_low_resolution_volume_change_alike(shift, grey):
    augment = DiffAugment(shift=0.125)
    low = images()
    high = functional.interpolate(low, scale_factor=4.0)
    change = drawn([*grey, *shift, 0.0, 0.0])
    both = (
        augment(high, change, cell=4),
        functional.interpolate(augment(low, change), scale_factor=4.0),
    )
    assert torch.allclose(*both, atol=1e-5)
    assert not torch.allclose(both[0], high, atol=0.1)


def test_any_draw_changes_both_resolutions_alike():
    torch.manual_seed(5)
    augment = DiffAugment(shift=0.125)
    low = images(64)
    change = augment.draw(64, low.device)
    high = augment(functional.interpolate(low, scale_factor=4.0), change, cell=4)
    expected = functional.interpolate(augment(low, change), scale_factor=4.0)
    assert torch.allclose(high, expected, atol=1e-5)


def test_a_shift_moves_background_in_and_the_rest_by_whole_voxels():
    plain = DiffAugment(shift=0.125, cutout=-1.0)
    image = images()
    moved = plain(image, drawn([0.0, 0.0, 1.0, -1.0, 0.0, 0.0]))
    assert torch.allclose(moved[..., 2:, :-2], image[..., :-2, 2:], atol=1e-6)
    assert torch.allclose(moved[..., :2, :], torch.tensor(-1.0))
    assert torch.allclose(moved[..., -2:], torch.tensor(-1.0))


def test_the_square_is_emptied_through_all_slices_and_nothing_else():
    image = images()
    cut = DiffAugment()(image, drawn([0.0, 0.0, 0.0, 0.0, 0.0, 0.0]))
    changed = (cut - image).abs() > 1e-5
    inside = torch.zeros_like(changed)
    inside[..., 6:10, 6:10] = True
    assert torch.equal(changed, inside)
    assert torch.allclose(cut[inside], torch.tensor(-1.0))


def test_brightness_and_contrast_scale_the_signal():
    plain = DiffAugment(cutout=-1.0)
    image = torch.tensor([-1.0, -0.5, 0.0, 0.5]).reshape(1, 1, 1, 1, 4)
    brighter = plain(image, drawn([1.0, 0.0, 0.0, 0.0, 0.0, 0.0]))
    assert torch.allclose(brighter + 1, 1.2 * (image + 1))
    steeper = plain(image, drawn([0.0, 1.0, 0.0, 0.0, 0.0, 0.0])).flatten()
    assert steeper[1] < image.flatten()[1]
    assert steeper[2] == pytest.approx(0.0)
    assert steeper[3] > image.flatten()[3]


def test_every_sample_has_its_own_change_and_the_slab_axis_none():
    torch.manual_seed(3)
    augment = DiffAugment()
    image = images().expand(6, -1, -1, -1, -1)
    changed = augment(image, augment.draw(6, image.device))
    assert all((changed[0] - other).abs().max() > 0.05 for other in changed[1:])
    slices = augment(image[:, :, 1:2], torch.zeros(6, 6))
    assert torch.equal(slices, augment(image, torch.zeros(6, 6))[:, :, 1:2])


def test_the_gradient_passes_through():
    torch.manual_seed(0)
    augment = DiffAugment(shift=0.125)
    change = augment.draw(2, torch.device("cpu")).double()
    image = (torch.rand(2, 1, 2, 8, 8).double() * 2 - 1).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: augment(x, change), (image,))
    augment(image, change).sum().backward()
    assert 0.3 < (image.grad != 0).double().mean() < 1
