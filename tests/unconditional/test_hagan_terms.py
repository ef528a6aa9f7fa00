"""What can be added to the losses of the paper, and to its one level of slabs."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from hagan_clinic.backbone.batch import SynthesisBatch
from hagan_clinic.errors import InputError
from hagan_clinic.unconditional import HAGAN, UnconditionalConfig
from hagan_clinic.unconditional.targets import Targets

SIZES = UnconditionalConfig(
    size=(32, 32, 32), slab=4, latent=6, width=64, discriminator_width=64, diffaugment=False
)
TWO_LEVELS = replace(SIZES, size=(64, 64, 64), levels=2)
TOLD = replace(SIZES, measurements=("age", "fluid"))
GROUPS = ["discriminator", "generator", "slab_encoder", "latent_encoder"]


def model(settings=SIZES, **changes):
    torch.manual_seed(0)
    return HAGAN(replace(settings, **changes))


def batch(sizes=SIZES, **more):
    torch.manual_seed(1)
    volumes = torch.rand(2, 1, *sizes.size) * 2 - 1
    return replace(SynthesisBatch.cut(volumes, [4, 20], sizes.slab, [10, 11]), **more)


def step(trained, given):
    """The terms, and the gradient of every update by the names of what it reaches."""
    gradients = {}

    def update(name, loss):
        trained.zero_grad(set_to_none=True)
        loss.backward()
        gradients[name] = {
            key: value.grad.clone()
            for key, value in trained.named_parameters()
            if value.grad is not None
        }

    terms = trained.training_step(given, 0, update)
    assert all(torch.isfinite(term) for term in terms.values())
    return terms, gradients


def same(one, other):
    return all(torch.allclose(one[k], other[k], rtol=1e-4, atol=1e-7) for k in other)


def test_measurements_train_the_latent_encoder_and_its_head_alone():
    told = batch(measurements=torch.tensor([[1.0, -1.0], [-1.0, float("nan")]]))
    terms, without = step(model(TOLD, weight_measurements=0.0), told)
    assert {"measurements", "overlap"} <= terms.keys()
    _, weighted = step(model(TOLD, weight_measurements=3.0), told)
    for group in GROUPS:
        assert same(weighted[group], without[group]) == (group != "latent_encoder")
    head = [name for name in weighted["latent_encoder"] if name.startswith("measurement_head")]
    assert len(head) == 3 and all(weighted["latent_encoder"][name].any() for name in head)


def test_orthogonality_trains_the_directions_alone():
    told = batch(measurements=torch.tensor([[1.0, -1.0], [-1.0, 0.5]]))
    _, without = step(model(TOLD, weight_measurements=0.0), told)
    _, weighted = step(model(TOLD, weight_overlap=3.0, weight_measurements=0.0), told)
    moved = {
        name
        for name, gradient in weighted["latent_encoder"].items()
        if not torch.allclose(gradient, without["latent_encoder"][name])
    }
    assert moved == {"measurement_head.mean.weight"}


def test_a_model_that_is_to_tell_measurements_asks_for_them():
    with pytest.raises(InputError, match="the batch lacks measurements"):
        step(model(TOLD), batch())


def test_errors_within_the_region_weigh_more_in_both_reconstructions():
    region = torch.zeros(2, 1, 32, 32, 32)
    region[:, :, 4:24, 8:16, 8:16] = 1
    given = batch(region_whole=region)
    _, plain = step(model(), batch())
    _, unweighted = step(model(weight_region=0.0), given)
    terms, attended = step(model(weight_region=5.0), given)
    for group in GROUPS:
        assert same(unweighted[group], plain[group])
        assert same(attended[group], plain[group]) == (group in GROUPS[:2])
    trained = model(weight_region=5.0)
    generator, encoder = trained.autoencoder.generator, trained.autoencoder.encoder
    with torch.no_grad():
        errors = (generator.high(encoder.slab(given.source_window)) - given.source_window).abs()
    weights = 1 + 5 * torch.stack([region[0, :, 4:8], region[1, :, 20:24]])
    expected = ((errors * weights).sum((1, 2, 3, 4)) / weights.sum((1, 2, 3, 4))).mean()
    assert torch.allclose(terms["slab_encoder"], expected, atol=1e-5)


def test_batch_deviation_widens_the_discriminators_alone():
    plain, comparing = model(), model(replace(SIZES, batch_deviation=True))
    of_plain, of_comparing = (
        {name: value.shape for name, value in one.named_parameters()} for one in (plain, comparing)
    )
    changed = {name for name in of_plain if of_plain[name] != of_comparing[name]}
    assert changed == {
        "slab_discriminator.hidden.parametrizations.weight.original",
        "low_discriminator.head.parametrizations.weight.original",
    }
    _, gradients = step(comparing, batch())
    assert all(gradients["discriminator"][name].any() for name in changed)


@pytest.mark.parametrize("to_generator", [False, True])
def test_with_two_levels_each_update_changes_its_group_alone_and_all_of_it(to_generator):
    trained = model(TWO_LEVELS, encoder_loss_to_generator=to_generator)
    _, gradients = step(trained, batch(TWO_LEVELS))
    assert list(gradients) == list(trained.groups()) == GROUPS
    names = {id(parameter): name for name, parameter in trained.named_parameters()}
    for group, moved in gradients.items():
        assert set(moved) == {names[id(p)] for p in trained.groups()[group].parameters}
        assert sum(bool(gradient.any()) for gradient in moved.values()) > 0.9 * len(moved)
    reached = gradients["generator"] | gradients["slab_encoder"] | gradients["discriminator"]
    for part in (
        "autoencoder.generator.middle.0", "autoencoder.encoder.coarser.0",
        "middle_discriminators.0",
    ):  # fmt: skip
        assert any(name.startswith(part) and value.any() for name, value in reached.items())


def test_targets_of_two_levels_are_slabs_of_the_pyramid_of_averages():
    given = batch(TWO_LEVELS)
    real = Targets.of(given, TWO_LEVELS.sizes(), seed=5, weight_region=0.0)
    quarter = functional.avg_pool3d(given.source_whole, 4)
    assert torch.allclose(real.low, functional.avg_pool3d(given.source_whole, 16), atol=1e-6)
    assert real.starts[1] == [4, 20]
    for number, start in enumerate(real.starts[0]):
        assert torch.allclose(real.slabs[0][number], quarter[number, :, start : start + 4])
        assert start <= real.starts[1][number] // 4 < start + 4
    assert torch.equal(real.positions[0], torch.tensor(real.starts[0]) / 12)
    assert torch.equal(real.positions[1], torch.tensor([4, 20]) / 60)


def test_a_model_of_two_levels_makes_the_same_whole_and_by_slabs():
    trained = model(TWO_LEVELS).eval()
    latent = torch.randn(1, 6)
    with torch.no_grad():
        whole = trained(latent)
        slab = trained.slabs(trained.context(latent), torch.tensor([32]))
        assert trained.encode(whole).shape == latent.shape
    assert whole.shape == (1, 1, 64, 64, 64)
    assert (slab - whole[:, :, 32:36]).abs().max() < 1e-4
