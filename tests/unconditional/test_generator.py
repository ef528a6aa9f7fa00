import pytest
import torch

from hagan_clinic.errors import InputError
from hagan_clinic.unconditional import HAGANConfig, UnconditionalGenerator
from hagan_clinic.unconditional import sizes as module

SMALL = {"slab": 8, "latent": 6, "width": 64, "discriminator_width": 64}


def parameters(part):
    return sum(parameter.numel() for parameter in part.parameters())


def small(size=(32, 32, 32), seed=0, **changes):
    torch.manual_seed(seed)
    return UnconditionalGenerator(HAGANConfig(size=size, **(SMALL | changes))).eval()


@pytest.mark.parametrize("side", [32, 64, 128, 256])
@pytest.mark.parametrize("norm", ["group", "position"])
def test_the_generator_has_the_parameters_of_the_paper(side, norm):
    with torch.device("meta"):
        generator = UnconditionalGenerator(HAGANConfig(size=(side,) * 3, norm=norm))
    assert parameters(generator.trunk) == 52_392_256
    assert parameters(generator.high) == 56_257
    assert parameters(generator.low) == 69_697
    assert parameters(generator) == 52_518_210


@pytest.mark.parametrize("size", [(32, 32, 32), (32, 48, 40), (64, 64, 80), (96, 64, 64)])
@torch.inference_mode()
def test_every_size_gives_its_volume_and_its_quarter(size):
    generator = small(size)
    volume, context = generator(torch.randn(1, 6))
    low = tuple(side // 4 for side in size)
    assert volume.shape == (1, 1, *size)
    assert context.shape == (1, 8, *low)
    assert generator.low(context).shape == (1, 1, *low)
    assert volume.abs().max() <= 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size": (32, 36, 32)}, "32x36x32: expected multiples of 8 voxels where the shortest"),
        (
            {"size": (64, 72, 64)},
            "expected multiples of 16 voxels where the shortest side has 64",
        ),
        ({"size": (16, 32, 32)}, "16x32x32: expected at least 32 voxels a side"),
        ({"slab": 6}, "the slab has 6 slices: expected a multiple of 4 that divides the 32"),
        ({"slab": 12}, "the slab has 12 slices: expected a multiple of 4 that divides the 32"),
        ({"slab": 0}, "the slab has 0 slices"),
        ({"width": 40}, "width is 40: expected a positive multiple of 32"),
        (
            {"discriminator_width": 0},
            "discriminator_width is 0: expected a positive multiple",
        ),
        ({"latent": 0}, "latent is 0 and classes 0: expected a latent of 1 or more"),
        ({"classes": 1}, "classes 1: expected .* no classes or at least two"),
    ],
)
def test_sizes_that_do_not_fit_are_named(changes, message):
    settings = {"size": (32, 32, 32), **SMALL} | changes
    if "size" in changes and settings["size"][0] % 8:
        settings["slab"] = 4
    with pytest.raises(InputError, match=message):
        HAGANConfig(**settings)


def largest_difference(generator, thickness):
    """Between slabs at every r, both borders included, and the whole volume's slices there."""
    with torch.inference_mode():
        volume, context = generator(torch.randn(1, 6))
        depth = volume.shape[2]
        return [
            float(
                (
                    generator.slabs(context, torch.tensor([r]), thickness)
                    - volume[:, :, r : r + thickness]
                )
                .abs()
                .max()
            )
            for r in range(0, depth - thickness + 1, 4)
        ]


@pytest.mark.parametrize("thickness", [4, 8, 16, 32])
def test_slabs_are_the_slices_of_the_whole_volume_at_every_r(thickness):
    assert max(largest_difference(small(), thickness)) < 1e-5


def test_slabs_with_group_norm_differ_from_the_whole_volume():
    differences = largest_difference(small(norm="group"), 8)
    assert min(differences) > 1e-3
    assert max(largest_difference(small(norm="group"), 32)) < 1e-5


def test_no_shorter_halo_would_do(monkeypatch):
    monkeypatch.setattr(module, "HALO", 0)
    assert max(largest_difference(small(), 8)) > 1e-3


@torch.inference_mode()
def test_every_sample_has_its_own_r():
    generator = small((64, 64, 64))
    context = generator.context(torch.randn(3, 6))
    starts = torch.tensor([0, 56, 24])
    together = generator.slabs(context, starts, 8)
    for number, start in enumerate(starts):
        volume = generator.high(context[number : number + 1])
        expected = volume[0, :, start : start + 8]
        assert (together[number] - expected).abs().max() < 1e-5


@torch.inference_mode()
def test_class_labels_change_the_sample():
    generator = small(classes=3)
    latent = torch.randn(1, 6).expand(3, -1)
    images = generator.high(generator.context(latent, torch.eye(3)))
    assert (images[0] - images[1]).abs().max() > 1e-3
    joined, _ = generator(torch.cat([latent, torch.eye(3)], dim=1))
    assert (joined - images).abs().max() < 1e-6


def test_checkpointing_gives_the_same_gradients():
    latent, starts = torch.randn(2, 6), torch.tensor([4, 24])
    gradients = []
    for checkpointing in (False, True):
        generator = small()
        generator.checkpointing = checkpointing
        context = generator.context(latent)
        loss = generator.slabs(context, starts, 8).square().mean() + generator.low(context).mean()
        loss.backward()
        gradients.append([parameter.grad for parameter in generator.parameters()])
    for kept, recomputed in zip(*gradients, strict=True):
        assert torch.allclose(kept, recomputed, rtol=1e-4, atol=1e-7)
        assert kept.abs().max() > 0


def test_attention_joins_the_far_ends_of_the_coarsest_grid_at_once():
    generator = small((64, 64, 64), attention=True)
    trunk, seen = generator.trunk, []
    assert small((64, 64, 64)).trunk.attention is None
    trunk.attention.register_forward_hook(lambda _, given, made: seen.append((given[0], made)))
    latent = torch.randn(1, 6)
    with torch.inference_mode():
        before, _ = generator(latent)
        trunk.attention.gain.data.fill_(5.0)
        after, _ = generator(latent)
    assert (before - after).abs().max() > 1e-3
    (_, same), (given, changed) = seen
    assert given.shape == (1, 64, 4, 4, 4) and torch.equal(same, given)
    assert not torch.allclose(changed, given)
