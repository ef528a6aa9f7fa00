import pytest
import torch

from hagan_clinic.conditional.slab_unet import HALO, STRIDE, SlabPairDiscriminator, SlabUNet


def parameters(part):
    return sum(parameter.numel() for parameter in part.parameters())


def settled(width=2):
    """A U-Net whose batch norms have seen something."""
    torch.manual_seed(0)
    unet = SlabUNet(1, width)
    for module in unet.modules():
        if isinstance(module, torch.nn.BatchNorm3d):
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 2)
            module.weight.data.uniform_(0.5, 2)
    return unet.eval()


def test_the_parameters_are_those_of_the_early_code():
    with torch.device("meta"):
        assert parameters(SlabUNet(1)) == 5_728_257
        assert parameters(SlabPairDiscriminator(2, 512)) == 4_140_337


def test_the_discriminator_of_the_early_codes_slabs_ends_at_one_position():
    with torch.device("meta"):
        discriminator, seen = SlabPairDiscriminator(2, 512), []
        discriminator.layers[-1].register_forward_hook(lambda *given: seen.append(given[2].shape))
        logits = discriminator(torch.empty(1, 2, 32, 240, 240), torch.empty(1))
    assert seen == [(1, 128, 1, 1, 1)] and logits.shape == (1,)


def test_slabs_with_their_halo_are_what_the_whole_volume_is():
    unet = settled()
    volume = torch.randn(1, 1, 96, 16, 16)
    with torch.inference_mode():
        whole, scale = unet(volume)
        for start in range(0, 96, 16):
            first, last = max(start - HALO, 0), min(start + 16 + HALO, 96)
            assert first % STRIDE == 0
            slab = unet(volume[:, :, first:last])[0][:, :, start - first :][:, :, :16]
            assert (slab - whole[:, :, start : start + 16]).abs().max() < 1e-5
        assert (scale == 1).all()


def test_the_halo_is_the_shortest():
    volume = torch.randn(1, 1, 96, 16, 16, requires_grad=True)
    settled()(volume)[0][:, :, 48].sum().backward()
    reached = volume.grad[0, 0].flatten(1).any(dim=1).nonzero()[:, 0]
    assert 48 - int(reached.min()) == pytest.approx(HALO, abs=STRIDE - 1)
    assert 48 - int(reached.min()) <= HALO
