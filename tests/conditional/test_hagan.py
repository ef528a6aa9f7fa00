import pytest
import torch
from torch.nn import functional

from hagan_clinic.backbone.slab import Slab, take_slabs
from hagan_clinic.backbone.translating import SlabTranslatingNetwork
from hagan_clinic.conditional import (
    ConditionalConfig,
    ConditionalGenerator,
    ConditionalHAGAN,
    GeneratorConfig,
)
from hagan_clinic.errors import InputError


def small(**settings):
    """The model of these settings with a generator that has narrower layers than they can say."""
    chosen = ConditionalConfig(**{"adversarial_start": 0.0, **settings})
    sizes = {"half_width": 8, "quarter_width": 16, "trunk_widths": (16, 24, 32)}
    config = GeneratorConfig(**sizes, low_res_branch=chosen.low_res_branch)
    return ConditionalHAGAN(chosen, generator=ConditionalGenerator(config))


def batch(samples=2, depth=48, thickness=16, halo=4):
    torch.manual_seed(1)
    source = torch.rand(samples, 1, depth, 32, 32) * 2 - 1
    target = -source
    brain = torch.ones_like(target)
    starts = torch.arange(samples) * 16 % (depth - thickness + 1)
    windows = [Slab(int(r), thickness).window(depth, halo) for r in starts]
    window_starts = torch.tensor([window.start for window in windows])
    return {
        "source_window": take_slabs(source, window_starts, windows[0].thickness),
        "target_slab": take_slabs(target, starts, thickness),
        "brain_slab": take_slabs(brain, starts, thickness),
        "source_low": functional.avg_pool3d(source, 4),
        "target_low": functional.avg_pool3d(target, 4),
        "brain_low": functional.avg_pool3d(brain, 4),
        "slab_start": starts,
        "window_start": window_starts,
    }


class Recorder:
    """Stands in for the loop: takes the gradient of each update."""

    def __init__(self, model):
        self.groups = model.groups()
        self.gradients = {}

    def __call__(self, name, loss):
        parameters = self.groups[name].parameters
        for parameter in parameters:
            parameter.grad = None
        loss.backward()
        self.gradients[name] = [None if p.grad is None else p.grad.clone() for p in parameters]


def test_a_step_updates_every_parameter_of_both_groups():
    model = small()
    for name, parameter in model.named_parameters():
        if name.endswith("second.weight"):
            torch.nn.init.normal_(parameter, std=0.05)
    recorder = Recorder(model)
    terms = model.training_step(batch(), 0, recorder)
    assert set(terms) == {"high", "low", "structure", "likelihood", "discriminator", "adversarial"}
    for name, gradients in recorder.gradients.items():
        assert all(g is not None and torch.isfinite(g).all() for g in gradients), name
        assert sum(float(g.abs().sum()) > 0 for g in gradients) == len(gradients), name


def test_the_model_gives_what_its_generator_gives():
    model = small().eval()
    source = torch.rand(1, 1, 32, 48, 16) * 2 - 1
    with torch.no_grad():
        target, scale = model(source)
        expected, expected_scale, _ = model.generator(source)
    assert torch.equal(target, expected) and torch.equal(scale, expected_scale)


def test_slabs_with_their_context_are_those_of_the_whole_volume():
    model = small().eval()
    torch.manual_seed(2)
    source = torch.rand(3, 1, 112, 32, 32) * 2 - 1
    starts = torch.tensor([0, 44, 96])
    with torch.no_grad():
        whole = model(source)
        parts = model.slabs(source, model.context(source), starts, 16)
    for part, of_whole in zip(parts, whole, strict=True):
        assert (part - take_slabs(of_whole, starts, 16)).abs().max() < 1e-4


@pytest.mark.parametrize("shape", [(1, 2, 32, 32, 32), (1, 1, 32, 40, 32), (32, 32, 32)])
def test_a_source_of_another_shape_is_refused_with_the_shape_that_is_taken(shape):
    model = small()
    with pytest.raises(InputError, match=r"shape \(.*expected \(B, 1, D, H, W\).* of 16"):
        model(torch.zeros(shape))


def test_a_step_on_a_batch_that_lacks_an_entry_names_it():
    model = small()
    given = batch()
    del given["source_low"]
    with pytest.raises(InputError, match="lacks source_low"):
        model.training_step(given, 0, Recorder(model))


def test_the_mean_of_two_samples_is_the_step_of_both():
    model = small(weight_adversarial=0.0)
    both = batch(2)
    recorder = Recorder(model)
    model.training_step(both, 0, recorder)
    together = recorder.gradients["generator"]
    apart = []
    for sample in range(2):
        model.training_step({k: v[sample : sample + 1] for k, v in both.items()}, 0, recorder)
        apart.append(recorder.gradients["generator"])
    for whole, first, second in zip(together, *apart, strict=True):
        assert torch.allclose(whole, (first + second) / 2, atol=1e-6)


def test_discriminators_join_from_their_first_step():
    model = small(adversarial_start=0.5, steps=10)
    recorder = Recorder(model)
    model.training_step(batch(), 4, recorder)
    assert set(recorder.gradients) == {"generator"}
    model.training_step(batch(), 5, recorder)
    assert set(recorder.gradients) == {"generator", "discriminator"}


def test_the_ablation_trains_without_the_low_resolution_branch():
    model = small(low_res_branch=False)
    terms = model.training_step(batch(), 0, Recorder(model))
    assert "low" not in terms
    assert model.low_discriminator is None


def test_a_few_steps_learn_an_easy_contrast():
    torch.manual_seed(0)
    model = small(weight_adversarial=0.0)
    optimizers = {
        name: torch.optim.AdamW(group.parameters, lr=3e-3, betas=group.betas)
        for name, group in model.groups().items()
    }

    def update(name, loss):
        optimizers[name].zero_grad()
        loss.backward()
        optimizers[name].step()

    losses = [float(model.training_step(batch(), step, update)["high"]) for step in range(40)]
    assert losses[-1] < 0.6 * losses[0]


@pytest.mark.parametrize("offset", [0, 4, 8])
def test_the_loss_falls_on_the_slab_and_not_on_its_halo(offset):
    model = small(weight_adversarial=0.0)
    one = batch(1, depth=64)
    start = 16 + offset
    one["slab_start"] = torch.tensor([start])
    window = Slab(start, 16).window(64, 4)
    one["window_start"] = torch.tensor([window.start])
    with torch.no_grad():
        context = model.generator.context(one["source_low"])
        image, _ = model.generator.translate(one["source_window"], window.low(context))
    expected = image[:, :, start - window.start : start - window.start + 16]
    one["target_slab"] = expected
    terms = model.training_step(one, 0, lambda name, loss: None)
    assert terms["high"] < 1e-8


class Mean(SlabTranslatingNetwork):
    """One convolution that sees a voxel, and no context."""

    halo = 0

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Conv3d(1, 1, 1)

    def context(self, source_low):
        return None

    def low_resolution(self, context):
        raise AssertionError("there is no context")

    def translate(self, source, context):
        return self.layer(source), torch.ones_like(source)

    def forward(self, source):
        return self.translate(source, None)


def test_a_generator_of_ones_own_trains_and_translates_by_slabs():
    torch.manual_seed(0)
    model = ConditionalHAGAN(ConditionalConfig(low_res_branch=False), generator=Mean())
    optimizer = torch.optim.Adam(model.groups()["generator"].parameters, lr=0.1)

    def update(name, loss):
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    first, *_, last = (model.training_step(batch(), step, update)["high"] for step in range(20))
    assert last < 0.5 * first
    source = torch.rand(1, 1, 32, 32, 32)
    with torch.no_grad():
        slab, _ = model.slabs(source, model.context(source), [8], 4)
        assert torch.equal(slab, model(source)[0][:, :, 8:12])
    assert [part.symbol for part in model.parts((32, 32, 32))] == ["G", "D^H"]
