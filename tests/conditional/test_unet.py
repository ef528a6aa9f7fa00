import pytest
import torch

from hagan_clinic.conditional.unet import PatchGAN, UNet


def parameters(part):
    return sum(parameter.numel() for parameter in part.parameters())


def test_the_layers_of_256_squared_slices_are_those_of_pix2pix():
    """54.41 and 2.77 million are what pix2pix counts for three channels in and three out."""
    with torch.device("meta"):
        unet = UNet(2, 3, levels=8, width=64, dropout=0.5)
        discriminator = PatchGAN(2, 6, width=64)
    # Two more output channels of kernel 4 on 128.
    assert parameters(unet) + 2 * (16 * 128 + 1) == pytest.approx(54.41e6, abs=0.01e6)
    assert parameters(discriminator) == pytest.approx(2.77e6, abs=0.01e6)


@pytest.mark.parametrize(("axes", "side"), [(2, 64), (3, 32)])
def test_a_unet_keeps_the_size_and_ends_at_one_position(axes, side):
    levels = side.bit_length() - 1
    unet = UNet(axes, 2, levels=levels, width=2, dropout=0.0)
    seen = []
    unet.down[-1].register_forward_hook(lambda *given: seen.append(given[2].shape))
    made = unet(torch.randn(2, 2, *(side,) * axes))
    assert made.shape == (2, 1, *(side,) * axes)
    assert seen[0] == (2, 16, *(1,) * axes)
    assert made.abs().max() <= 1


def test_dropout_is_of_training_alone():
    torch.manual_seed(0)
    unet = UNet(2, 1, levels=6, width=4, dropout=0.5)
    source = torch.randn(1, 1, 64, 64)
    assert not torch.equal(unet(source), unet(source))
    unet.eval()
    assert torch.equal(unet(source), unet(source))


def test_a_sample_does_not_depend_on_its_batch():
    torch.manual_seed(0)
    unet = UNet(2, 1, levels=5, width=4, dropout=0.0)
    source = torch.randn(3, 1, 32, 32)
    assert torch.allclose(unet(source)[1:2], unet(source[1:2]), atol=1e-5)


def test_each_logit_of_the_patchgan_sees_seventy_pixels():
    discriminator = PatchGAN(2, 1, width=4)
    for module in discriminator.modules():
        if "InstanceNorm" in type(module).__name__:
            module.forward = lambda features: features  # it sees everything
    image = torch.randn(1, 1, 160, 160, requires_grad=True)
    logits = discriminator(image)
    logits[0, 0, logits.shape[2] // 2, logits.shape[3] // 2].backward()
    assert (image.grad[0, 0].any(dim=1).sum(), image.grad[0, 0].any(dim=0).sum()) == (70, 70)
