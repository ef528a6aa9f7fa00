import pytest
import torch

from hagan_clinic.unconditional import HAGANConfig, VolumeEncoder

SMALL = {"slab": 8, "latent": 6, "width": 64, "discriminator_width": 64}


def parameters(part):
    return sum(parameter.numel() for parameter in part.parameters())


def small(size=(32, 32, 32), **changes):
    torch.manual_seed(0)
    return VolumeEncoder(HAGANConfig(size=size, **(SMALL | changes))).eval()


@pytest.mark.parametrize(
    ("side", "expected"),
    [(32, 17_827_584), (64, 19_400_832), (128, 19_663_168), (256, 19_663_264)],
)
def test_the_encoder_has_the_parameters_of_the_paper(side, expected):
    with torch.device("meta"):
        encoder = VolumeEncoder(HAGANConfig(size=(side,) * 3))
    assert parameters(encoder.slab) == 161_152
    assert parameters(encoder.latent) == expected


@pytest.mark.parametrize("size", [(32, 32, 32), (32, 48, 40), (64, 64, 80)])
@pytest.mark.parametrize("samples", [1, 2])
@torch.inference_mode()
def test_every_size_gives_a_latent_a_volume(size, samples):
    latent = small(size).encode(torch.rand(samples, 1, *size))
    assert latent.shape == (samples, 6)
    assert torch.isfinite(latent).all()


@torch.inference_mode()
def test_encoding_slab_by_slab_is_the_definition():
    encoder = small()
    volume = torch.rand(1, 1, 32, 32, 32) * 2 - 1
    disjoint = [volume[:, :, r : r + 8] for r in (0, 8, 16, 24)]
    expected = encoder.latent(torch.cat([encoder.slab(slab) for slab in disjoint], dim=2))
    assert (encoder.encode(volume) - expected).abs().max() < 1e-6
    assert (encoder(torch.cat(disjoint)) - expected).abs().max() < 1e-5
    swapped = torch.cat([disjoint[i] for i in (1, 0, 2, 3)])
    assert (encoder(swapped) - expected).abs().max() > 1e-3


@torch.inference_mode()
def test_encoding_holds_one_slab_at_a_time():
    encoder, seen = small(), []
    encoder.slab.register_forward_pre_hook(lambda _, given: seen.append(given[0].shape[2]))
    encoder.encode(torch.rand(1, 1, 32, 32, 32))
    assert seen == [8] * 4


def test_checkpointing_gives_the_same_gradients():
    slabs = torch.rand(2, 1, 8, 32, 32)
    gradients = []
    for checkpointing in (False, True):
        encoder = small()
        encoder.checkpointing = checkpointing
        encoder.slab(slabs).square().mean().backward()
        gradients.append([parameter.grad for parameter in encoder.slab.parameters()])
    for kept, recomputed in zip(*gradients, strict=True):
        assert torch.allclose(kept, recomputed, rtol=1e-4, atol=1e-8)
        assert kept.abs().max() > 0
