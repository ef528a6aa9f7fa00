import torch

from hagan_clinic.conditional.cgan2d import SliceTranslator, as_slices


def translator(**sizes):
    torch.manual_seed(0)
    return SliceTranslator(2, **{"levels": 5, "width": 4, "dropout": 0.5} | sizes).eval()


def test_every_slice_is_translated_for_itself():
    network = translator()
    volume = torch.randn(1, 2, 4, 32, 64)
    with torch.inference_mode():
        target, scale = network(volume)
        assert target.shape == scale.shape == (1, 1, 4, 32, 64)
        assert (scale == 1).all()
        for slice_ in range(4):
            alone, _ = network(volume[:, :, slice_ : slice_ + 1])
            assert torch.allclose(alone[:, :, 0], target[:, :, slice_], atol=1e-5)


def test_any_plane_is_padded_with_background_and_cut_again():
    network = translator()
    volume = torch.rand(1, 2, 2, 32, 48)
    beyond = torch.full((1, 2, 2, 32, 16), -1.0)
    with torch.inference_mode():
        target, _ = network(volume)
        padded, _ = network(torch.cat([volume, beyond], dim=4))
    assert target.shape[2:] == (2, 32, 48)
    assert torch.equal(target, padded[..., :48])


def test_slices_keep_their_samples_and_channels():
    volumes = torch.randn(2, 3, 4, 5, 6)
    slices = as_slices(volumes)
    assert slices.shape == (8, 3, 5, 6)
    assert torch.equal(slices[5], volumes[1, :, 1])
