"""Two levels of slabs, and three: every slab is what the whole volume is."""

import pytest
import torch
from torch.nn import functional

from hagan_clinic.backbone.slab import Slab, take_slabs
from hagan_clinic.errors import InputError
from hagan_clinic.unconditional import HAGANConfig, UnconditionalGenerator, VolumeEncoder
from hagan_clinic.unconditional import generator as generator_module
from hagan_clinic.unconditional import levels as levels_module
from hagan_clinic.unconditional.levels import covering, nested_starts, windows_below

SMALL = {"slab": 4, "latent": 6, "width": 64, "discriminator_width": 64, "levels": 2}


def small(size=(64, 64, 64), **changes):
    torch.manual_seed(0)
    return UnconditionalGenerator(HAGANConfig(size=size, **(SMALL | changes))).eval()


@pytest.fixture(scope="module")
def made():
    """A generator of two levels at 128 x 64 x 64, A of two volumes, and their whole images."""
    generator = small((128, 64, 64))
    with torch.inference_mode():
        context = generator.context(torch.randn(2, 6))
        features = generator.middle[0](context)
        middle = generator.middle[0].image(features)
        return generator, context, middle, generator.high(features)


def test_a_is_a_sixteenth_and_every_level_four_times_finer(made):
    generator, context, middle, whole = made
    assert context.shape == (2, 8, 8, 4, 4)
    with torch.inference_mode():
        assert generator.low(context).shape == (2, 1, 8, 4, 4)
    assert middle.shape == (2, 1, 32, 16, 16)
    assert whole.shape == (2, 1, 128, 64, 64)


@pytest.mark.parametrize("thickness", [4, 16, 128])
@torch.inference_mode()
def test_slabs_are_the_slices_of_the_whole_volume_at_every_r(made, thickness):
    generator, context, _, whole = made
    for r in range(0, 128 - thickness + 1, 12):
        starts = torch.tensor([r, 128 - thickness - r])
        slabs = generator.slabs(context, starts, thickness)
        assert (slabs - take_slabs(whole, starts, thickness)).abs().max() < 1e-5


@torch.inference_mode()
def test_every_level_of_a_pyramid_is_that_of_the_whole_volume(made):
    generator, context, middle, whole = made
    for number, start in enumerate(range(0, 125, 4)):
        first, last = nested_starts(3, [number, 7], [start, 124 - start], 4, 2, 128)
        of_middle, of_high = generator.pyramid(context, [first, last])
        assert (of_middle - take_slabs(middle, first, 4)).abs().max() < 1e-5
        assert (of_high - take_slabs(whole, last, 4)).abs().max() < 1e-5


@torch.inference_mode()
def test_three_levels_do_the_same():
    generator = small((256, 256, 256), levels=3, width=32)
    context = generator.context(torch.randn(1, 6))
    assert context.shape == (1, 4, 4, 4, 4)
    features = generator.middle[0](context)
    features = generator.middle[1](take_slabs(features, [8], 8))  # slices 32 to 64 of level 2
    inner = generator.high(features)[:, :, 16:112]  # 128 to 256, less what a border reaches
    for r in (160, 200, 212):
        slab = generator.slabs(context, torch.tensor([r]), 4)
        assert (slab - inner[:, :, r - 144 : r - 140]).abs().max() < 1e-4


def test_no_shorter_halo_of_a_middle_level_would_do(made, monkeypatch):
    generator, context, middle, whole = made
    monkeypatch.setattr(levels_module, "REACH", 0)
    with torch.inference_mode():
        slabs = generator.slabs(context, torch.tensor([16, 48]), 4)
    assert (slabs - take_slabs(whole, [16, 48], 4)).abs().max() > 1e-4
    monkeypatch.setattr(generator_module, "MIDDLE_HALO", 4)
    with torch.inference_mode():
        images = generator.pyramid(context, [[4, 8], [16, 48]])
    assert (images[0] - take_slabs(middle, [4, 8], 4)).abs().max() > 1e-4


def test_slabs_hold_one_another_wherever_they_are_drawn():
    for thickness in (4, 8, 16):
        for start in range(0, 512 - thickness + 1, 4):
            nested = nested_starts(0, [start], [start], thickness, 3, 512)
            for (outer,), (inner,), depth in zip(nested, nested[1:], (32, 128), strict=False):
                assert outer % 4 == 0 and 0 <= outer <= depth - thickness
                assert outer * 4 <= inner and inner + thickness <= (outer + thickness) * 4


def test_where_slabs_lie_depends_on_seed_and_number_and_takes_every_place():
    def draw(seed, number):
        return nested_starts(seed, [number], [256], 16, 2, 512)[0][0]

    assert draw(1, 5) == draw(1, 5)
    assert {draw(seed, number) for seed in range(2) for number in range(40)} == {52, 56, 60, 64}


@pytest.mark.parametrize("count", [1, 2, 5, 18])
def test_a_covering_slab_holds_the_slices_and_their_reach_or_ends_at_the_border(count):
    for first in range(128 - count + 1):
        slab = covering(first, count, 128)
        assert slab.thickness == covering(0, count, 128).thickness
        assert slab.start == 0 or slab.start <= first - 3
        assert slab.stop == 128 or slab.stop >= first + count + 3


def test_one_level_asks_for_its_windows_alone():
    assert windows_below([Slab(8, 12)], 1, 64) == [[Slab(8, 12)]]


@torch.inference_mode()
def test_the_encoder_is_the_same_whole_by_whole_and_by_slabs():
    torch.manual_seed(0)
    encoder = VolumeEncoder(HAGANConfig(size=(64, 64, 64), **SMALL)).eval()
    volume = torch.rand(1, 1, 64, 64, 64) * 2 - 1
    context = encoder.context(volume)
    assert context.shape == (1, 8, 4, 4, 4)
    latent = encoder.encode(volume)
    assert (encoder(torch.cat(volume.split(4, dim=2))) - latent).abs().max() < 1e-5
    by_hand = torch.cat([encoder.slab(slab) for slab in volume.split(4, dim=2)], dim=2)
    by_hand = torch.cat([encoder.coarser[0](slab) for slab in by_hand.split(4, dim=2)], dim=2)
    assert (context - by_hand).abs().max() < 1e-6


def test_gradients_of_the_finest_slab_reach_every_level():
    generator = small()
    images = generator.pyramid(generator.context(torch.randn(1, 6)), [[4], [20]])
    functional.mse_loss(images[-1], torch.ones_like(images[-1])).backward()
    for part in (generator.trunk, generator.middle[0].blocks, generator.high):
        assert all(weight.grad is not None and weight.grad.any() for weight in part.parameters())
    assert all(weight.grad is None for weight in generator.middle[0].image.parameters())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"levels": 0}, "levels is 0 with norm position: expected 1, or more"),
        ({"norm": "group"}, "levels is 2 with norm group"),
        ({"size": (32, 64, 64)}, "32x64x64: expected at least 64 voxels a side with 2 levels"),
        ({"size": (64, 80, 64)}, "expected multiples of 32 voxels where the shortest side has 64"),
        ({"slab": 32}, "32 slices: expected a multiple of 4 that divides the 16 of level 1"),
    ],
)
def test_sizes_that_do_not_fit_are_named(changes, message):
    with pytest.raises(InputError, match=message):
        small(**({"size": (64, 64, 64)} | changes))
