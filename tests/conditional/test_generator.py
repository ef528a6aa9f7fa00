import pytest
import torch
from torch.nn import functional

from hagan_clinic.backbone.slab import Slab
from hagan_clinic.conditional import ConditionalGenerator, GeneratorConfig
from hagan_clinic.conditional.generator import PATTERN_REACH

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


def test_a_slab_that_ends_in_air_or_at_the_heads_border_equals_the_whole():
    config = GeneratorConfig(**SMALL)
    generator = trained_like(config)
    source = torch.full((1, 1, 144, 32, 32), -1.0)
    source[:, :, 50:90, 6:27, 5:24] = torch.rand(40, 21, 19) * 2 - 1
    with torch.inference_mode():
        whole = generator(source)[0]
        context = generator.context(functional.avg_pool3d(source, 4))
        for start in (16, 32, 48, 76, 88, 100):  # above, across and below the head's ends
            first = max(0, start - config.halo)
            window = Slab(first, min(144, start + 16 + config.halo) - first)
            target, _ = generator.translate(window.high(source), window.low(context))
            found = target[:, :, start - first : start - first + 16]
            assert (found - whole[:, :, start : start + 16]).abs().max() < 1e-4


def test_the_halo_is_no_larger_than_it_must_be():
    config = GeneratorConfig(**SMALL, low_res_branch=False)
    generator = trained_like(config)
    source = torch.rand(1, 1, 144, 16, 16) * 2 - 1
    short = config.halo - 4
    with torch.inference_mode():
        whole = generator(source)[0][:, :, 64:80]
        window = generator.translate(source[:, :, 64 - short : 80 + short], None)[0]
    assert (window[:, :, short:-short] - whole).abs().max() > 1e-6


def test_more_air_changes_nothing():
    """Not even the voxels at the border, where the air's pattern is not known, change much."""
    generator = trained_like(GeneratorConfig(**SMALL)).double()
    source = torch.full((1, 1, 48, 48, 48), -1.0, dtype=torch.float64)
    source[:, :, 8:40, 9:38, 10:39] = torch.rand(32, 29, 29, dtype=torch.float64) * 2 - 1
    with torch.inference_mode():
        alone = generator(source)[:2]
        amid = generator(functional.pad(source, (16, 32, 16, 0, 48, 16), value=-1.0))[:2]
    for one, other in zip(alone, amid, strict=True):
        difference = (other[:, :, 48:96, 16:64, 16:64] - one).abs()
        reach = slice(PATTERN_REACH, -PATTERN_REACH)
        assert difference[:, :, reach, reach, reach].max() < 1e-5
        assert difference.max() < 0.02


def test_a_source_of_air_alone_gives_what_a_head_has_around_it():
    generator = trained_like(GeneratorConfig(**SMALL, low_res_branch=False))
    source = torch.full((1, 1, 96, 96, 96), -1.0)
    head = source.clone()
    head[:, :, :16, :16, :16] = 0.5
    with torch.inference_mode():
        (air, *_), (beside, *_) = generator(source), generator(head)
    assert (air - beside)[:, :, 64:, 64:, 64:].abs().max() < 1e-5


@pytest.mark.parametrize("channels", [1, 3])
def test_outputs_have_their_shapes_and_ranges(channels):
    generator = ConditionalGenerator(GeneratorConfig(source_channels=channels, **SMALL))
    target, scale, context = generator(torch.rand(2, channels, 32, 48, 16))
    assert target.shape == scale.shape == (2, 1, 32, 48, 16)
    assert context.shape == (2, 2 * 16, 8, 12, 4)  # with what A is in air
    assert generator.low_resolution(context).shape == (2, 1, 8, 12, 4)
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
