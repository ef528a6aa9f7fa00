import pytest
import torch
from torch.nn import functional

from hagan_clinic.backbone.slab import Slab
from hagan_clinic.conditional import ConditionalGenerator, GeneratorConfig

SMALL = {"half_width": 8, "quarter_width": 16, "trunk_widths": (16, 24, 32)}


def trained_like(config, seed=0):
    """A generator whose residual blocks no longer are the identity."""
    torch.manual_seed(seed)
    generator = ConditionalGenerator(config).eval()
    for name, parameter in generator.named_parameters():
        if name.endswith("second.weight"):
            torch.nn.init.normal_(parameter, std=0.05)
    return generator


@pytest.mark.parametrize("blocks", [1, 2])
@pytest.mark.parametrize("low_res_branch", [True, False])
def test_slab_translation_equals_whole_volume(blocks, low_res_branch):
    config = GeneratorConfig(**SMALL, high_blocks=blocks, low_res_branch=low_res_branch)
    generator = trained_like(config)
    source = torch.rand(1, 1, 144, 16, 16) * 2 - 1
    with torch.inference_mode():
        whole, whole_scale, *_ = generator(source)
        context = generator.context(functional.avg_pool3d(source, 4))
        for start in (0, 64, 128):
            slab = Slab(start, 16)
            first = max(0, slab.start - config.halo)
            window = Slab(first, min(144, slab.stop + config.halo) - first)
            target, scale = generator.translate(
                window.high(source), None if context is None else window.low(context)
            )
            inner = slice(slab.start - first, slab.stop - first)
            assert (target[:, :, inner] - slab.high(whole)).abs().max() < 1e-4
            assert (scale[:, :, inner] - slab.high(whole_scale)).abs().max() < 1e-4


def test_the_halo_is_no_larger_than_it_must_be():
    config = GeneratorConfig(**SMALL, low_res_branch=False)
    generator = trained_like(config)
    source = torch.rand(1, 1, 144, 16, 16) * 2 - 1
    short = config.halo - 4
    with torch.inference_mode():
        whole = generator(source)[0][:, :, 64:80]
        window = generator.translate(source[:, :, 64 - short : 80 + short], None)[0]
    assert (window[:, :, short:-short] - whole).abs().max() > 1e-6


def test_air_beyond_the_border_is_air_within():
    generator = trained_like(GeneratorConfig(**SMALL))
    air = torch.full((1, 1, 16, 16, 16), -1.0)
    stems = {"half": generator.encoder.stem, "context": generator.trunk.stem}
    seen = {}
    for name, stem in stems.items():
        stem.register_forward_hook(lambda _, __, out, name=name: seen.update({name: out}))
    generator(air)
    for features in seen.values():
        assert (features - features[:, :, :1, :1, :1]).abs().max() < 1e-6


@pytest.mark.parametrize("channels", [1, 3])
def test_outputs_have_their_shapes_and_ranges(channels):
    generator = ConditionalGenerator(GeneratorConfig(source_channels=channels, **SMALL))
    target, scale, context = generator(torch.rand(2, channels, 32, 48, 16))
    assert target.shape == scale.shape == (2, 1, 32, 48, 16)
    assert context.shape == (2, 16, 8, 12, 4)
    assert generator.low(context).shape == (2, 1, 8, 12, 4)
    assert target.abs().max() <= 1
    assert scale.min() > 0


def test_the_context_carries_what_lies_beyond_the_halo_to_a_slab():
    generator = trained_like(GeneratorConfig(**SMALL)).double()
    source = torch.zeros(1, 1, 96, 16, 16, dtype=torch.float64)
    changed = source.clone()
    changed[:, :, 32 + generator.config.halo :] = 1.0
    with torch.inference_mode():
        difference = (generator(source)[0] - generator(changed)[0])[:, :, :32].abs().max()
    assert difference > 1e-9


def test_without_the_low_resolution_branch_there_is_no_context():
    generator = ConditionalGenerator(GeneratorConfig(**SMALL, low_res_branch=False))
    assert len(generator(torch.rand(1, 1, 16, 16, 16))) == 2
    assert generator.context(torch.rand(1, 1, 4, 4, 4)) is None
