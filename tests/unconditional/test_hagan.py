import pytest
import torch
from torch.nn import functional

from hagan_clinic.backbone.batch import SynthesisBatch
from hagan_clinic.backbone.noise import noise
from hagan_clinic.backbone.optimisation import frozen
from hagan_clinic.backbone.slab import take_slabs
from hagan_clinic.errors import InputError
from hagan_clinic.unconditional import HAGAN, Autoencoder, HAGANConfig, UnconditionalConfig
from hagan_clinic.unconditional.targets import Targets

SMALL = {"size": (32, 32, 32), "slab": 8, "latent": 6, "width": 64, "discriminator_width": 64}
JOINED = {"encoder_loss_to_generator": True}
GROUPS = ["discriminator", "generator", "slab_encoder", "latent_encoder"]


def parameters(part):
    return sum(parameter.numel() for parameter in part.parameters())


def small(sizes=SMALL, **settings):
    torch.manual_seed(0)
    classes = settings.pop("classes", 0)
    if classes:
        settings |= {"label": "label", "classes": tuple(map(str, range(classes)))}
    return HAGAN(UnconditionalConfig(**sizes, **{"diffaugment": False, **settings}))


def batch(samples=2, classes=0, size=(32, 32, 32), thickness=8):
    torch.manual_seed(1)
    whole = torch.rand(samples, 1, *size) * 2 - 1
    starts = torch.tensor([4, 24, 0])[:samples]
    made = {
        "source_window": take_slabs(whole, starts, thickness),
        "source_low": functional.avg_pool3d(whole, 4),
        "source_whole": whole,
        "slab_start": starts,
        "index": torch.arange(10, 10 + samples),
    }
    return made | ({"label": torch.arange(samples) % classes} if classes else {})


def test_the_model_makes_whole_volumes_and_the_same_slab_by_slab():
    model = small().eval()
    z, starts = torch.randn(2, 6), torch.tensor([4, 24])
    with torch.no_grad():
        whole = model(z)
        slabs = model.slabs(model.context(z), starts)
        assert model.encode(whole).shape == z.shape
    assert whole.shape == (2, 1, 32, 32, 32)
    assert (slabs - take_slabs(whole, starts, 8)).abs().max() < 1e-4


def test_a_model_with_classes_makes_another_volume_of_another_class():
    model, z = small(classes=3).eval(), torch.randn(1, 6)
    with torch.no_grad():
        assert not torch.allclose(model(z, torch.tensor([0])), model(z, torch.tensor([2])))
    with pytest.raises(InputError, match="3 classes: expected a label for each"):
        model(z)
    with pytest.raises(InputError, match="0 classes: expected no labels"):
        small()(z, torch.tensor([0]))


def test_an_autoencoder_of_ones_own_is_trained():
    own = Autoencoder(HAGANConfig(**SMALL))
    own.generator.high = torch.nn.Sequential(
        torch.nn.Conv3d(8, 1, 1), torch.nn.Upsample(scale_factor=4), torch.nn.Tanh()
    )
    model = HAGAN(UnconditionalConfig(**SMALL, diffaugment=False), autoencoder=own)
    terms, gradients = step(model, batch())
    assert list(terms) == GROUPS
    assert gradients["generator"]["autoencoder.generator.high.0.weight"].any()
    assert model(torch.randn(1, 6)).shape == (1, 1, 32, 32, 32)


def test_noise_of_another_length_is_refused():
    with pytest.raises(InputError, match=r"shape \(2, 7\); expected \(B, 6\)"):
        small()(torch.randn(2, 7))


def test_a_step_of_the_encoder_without_whole_volumes_names_what_it_lacks():
    model, given = small(), batch()
    del given["source_whole"]
    with pytest.raises(InputError, match="lacks source_whole"):
        step(model, given)


class Recorder:
    """Stands in for the loop: keeps the gradient of each update, in order, and moves nothing."""

    def __init__(self, model):
        self.model = model
        self.gradients = {}

    def __call__(self, name, loss):
        self.model.zero_grad(set_to_none=True)
        loss.backward()
        self.gradients[name] = {
            key: value.grad.clone()
            for key, value in self.model.named_parameters()
            if value.grad is not None
        }


def step(model, given, number=0):
    recorder = Recorder(model)
    terms = model.training_step(given, number, recorder)
    assert all(torch.isfinite(term) and not term.requires_grad for term in terms.values())
    return terms, recorder.gradients


def same(one, other):
    assert one.keys() == other.keys()
    return all(torch.allclose(one[k], other[k], rtol=1e-4, atol=1e-7) for k in one)


@pytest.mark.parametrize(
    ("side", "high", "low", "total"),
    [
        (32, 4_207_809, 33_025, 74_747_780),
        (64, 4_470_017, 2_122_113, 78_672_324),
        (128, 4_599_073, 2_642_369, 79_583_972),
        (256, 4_630_833, 2_771_425, 79_744_884),
    ],
)
def test_the_model_has_the_parameters_of_the_paper(side, high, low, total):
    with torch.device("meta"):
        model = HAGAN(UnconditionalConfig(size=(side,) * 3))
    assert parameters(model.slab_discriminator) == high
    assert parameters(model.low_discriminator) == low
    assert parameters(model) == total
    assert sum(p.numel() for g in model.groups().values() for p in g.parameters) == total


@pytest.mark.parametrize("variant", ["paper", "released"])
@pytest.mark.parametrize("encoder_to_generator", [False, True])
def test_each_update_changes_its_group_alone_and_all_of_it(variant, encoder_to_generator):
    model = small(variant=variant, encoder_loss_to_generator=encoder_to_generator)
    _, gradients = step(model, batch())
    assert list(gradients) == list(model.groups()) == GROUPS
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    for group, moved in gradients.items():
        assert set(moved) == {names[id(p)] for p in model.groups()[group].parameters}
        assert sum(bool(gradient.any()) for gradient in moved.values()) > 0.9 * len(moved)
    assert all(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize("size", [(32, 32, 32), (32, 48, 40), (64, 64, 64)])
def test_a_batch_of_one_and_any_size_trains(size):
    model = small(sizes=SMALL | {"size": size})
    terms, _ = step(model, batch(1, size=size))
    assert list(terms) == GROUPS


def test_the_paper_gives_adam_its_rates():
    groups = small().groups()
    assert {group.betas for group in groups.values()} == {(0.0, 0.999)}
    assert [groups[name].lr for name in GROUPS] == [4e-4, 1e-4, 1e-4, 1e-4]


def test_muon_trains_generator_and_encoder_at_a_rate_that_decays():
    groups = small(optimizer="muon", generator_lr=3e-3).groups()
    for name, group in groups.items():
        assert group.muon == group.decays == (name != "discriminator")
    assert groups["generator"].lr == groups["latent_encoder"].lr == 3e-3


def spy(part, monkeypatch):
    """What a discriminator is given and returns."""
    seen = []
    original = part.logits

    def watched(*given):
        answer = original(*given)
        seen.append((given, answer))
        return answer

    monkeypatch.setattr(part, "logits", watched)
    return seen


def test_real_and_fake_slabs_lie_at_the_same_r(monkeypatch):
    model, given = small(), batch(3)
    seen = spy(model.slab_discriminator, monkeypatch)
    low_seen = spy(model.low_discriminator, monkeypatch)
    step(model, given)
    (real, _), (fake, _), (again, _) = seen
    assert torch.equal(real[0], given["source_window"])
    for _, position in (real, fake, again):
        assert torch.equal(position, torch.tensor([4, 24, 0]) / 24)
    generator = model.autoencoder.generator
    for draw, seen_logits, low_logits in ((0, fake, low_seen[1]), (1, again, low_seen[2])):
        with torch.no_grad():
            context = generator.context(noise(0, given["index"], draw, 6))
            volumes = generator.high(context)
        slabs = take_slabs(volumes, given["slab_start"], 8)
        assert (seen_logits[0] - slabs).abs().max() < 1e-5
        assert (low_logits[0][0] - generator.low(context)).abs().max() < 1e-5


@pytest.mark.parametrize("averaged", [False, True])
def test_the_discriminators_are_scored_apart_or_by_the_mean_of_their_logits(monkeypatch, averaged):
    model = small(variant="released" if averaged else "paper")
    seen = [
        spy(discriminator, monkeypatch)
        for discriminator in (model.slab_discriminator, model.low_discriminator)
    ]
    terms, _ = step(model, batch())
    real, fake, again = (
        [answers[number][1][0].detach() for answers in seen] for number in range(3)
    )

    def entropy(logits, label):
        logits = [sum(logits) / 2] if averaged else logits
        target = torch.full_like(logits[0], label)
        return sum(functional.binary_cross_entropy_with_logits(each, target) for each in logits)

    assert torch.allclose(terms["discriminator"], entropy(real, 1.0) + entropy(fake, 0.0))
    assert torch.allclose(terms["generator"], entropy(again, 1.0))


def test_reconstruction_trains_the_generator_only_if_set():
    def generator_gradients(**settings):
        return step(small(**settings), batch())[1]["generator"]

    apart = generator_gradients()
    assert same(apart, generator_gradients(weight_reconstruction=50.0))
    joined = generator_gradients(**JOINED)
    assert not same(apart, joined)
    assert not same(joined, generator_gradients(**JOINED, weight_reconstruction=1))
    adversarial_alone = generator_gradients(**JOINED, weight_reconstruction=0.0)
    assert same(apart, adversarial_alone)


def test_the_prior_trains_the_latent_encoder_alone_and_only_if_set():
    terms, without = step(small(), batch())
    assert "prior" not in terms
    terms, gradients = step(small(weight_prior=10.0), batch())
    assert torch.isfinite(terms["prior"])
    for name in GROUPS:
        assert same(gradients[name], without[name]) == (name != "latent_encoder")


def test_the_reconstruction_losses_are_those_of_the_paper():
    model, given = small(), batch()
    terms, _ = step(model, given)
    generator, encoder = model.autoencoder.generator, model.autoencoder.encoder
    with torch.no_grad():
        slab = generator.high(encoder.slab(given["source_window"]))
        context = generator.context(encoder.encode(given["source_whole"]))
        again = take_slabs(generator.high(context), given["slab_start"], 8)
        low = generator.low(context)
    high_loss = functional.l1_loss(slab, given["source_window"])
    both = functional.l1_loss(again, given["source_window"])
    both = both + functional.l1_loss(low, given["source_low"])
    assert torch.allclose(terms["slab_encoder"], high_loss, atol=1e-5)
    assert torch.allclose(terms["latent_encoder"], both, atol=1e-5)


def test_labels_train_the_discriminators_and_reach_the_generator():
    def run(**settings):
        return step(small(classes=3, **settings), batch(3, classes=3))

    terms, gradients = run()
    assert {"class_real", "class_fake"} <= set(terms)
    assert gradients["discriminator"]["slab_discriminator.class_head.bias"].any()
    _, without = run(weight_class=0.0)
    assert not same(gradients["generator"], without["generator"])
    assert same(gradients["discriminator"], without["discriminator"])
    other = batch(3, classes=3) | {"label": torch.tensor([2, 2, 2])}
    assert not torch.equal(step(small(classes=3), other)[0]["generator"], terms["generator"])


def test_without_an_encoder_nothing_asks_for_whole_volumes():
    model, given = small(encoder=False), batch()
    del given["source_whole"]
    terms, gradients = step(model, given)
    assert list(terms) == list(gradients) == list(model.groups()) == GROUPS[:2]


def test_without_the_low_resolution_branch_only_slabs_are_discriminated():
    model = small(low_res_branch=False)
    assert model.low_discriminator is None
    terms, gradients = step(model, batch())
    assert list(terms) == GROUPS
    moved = {name for gradient in gradients.values() for name in gradient}
    assert not any(name.startswith("autoencoder.generator.low") for name in moved)
    with_branch, _ = step(small(), batch())
    assert with_branch["latent_encoder"] > terms["latent_encoder"]


def test_checkpointing_gives_the_same_gradients():
    kept, recomputed = (
        step(small(gradient_checkpointing=checkpointing, **JOINED), batch())[1]
        for checkpointing in (False, True)
    )
    assert all(same(kept[group], recomputed[group]) for group in GROUPS)


@pytest.mark.parametrize("loss", ["_slab_loss", "_volume_loss"])
def test_checkpointing_keeps_fewer_activations_in_each_loss_of_the_encoder(loss):
    def kept(checkpointing):
        sizes = SMALL | {"size": (64, 64, 64)}
        model = small(sizes, gradient_checkpointing=checkpointing)
        given = SynthesisBatch.of(batch(1, size=sizes["size"]))
        real = Targets.of(given, model.config, seed=0, weight_region=0.0)
        weights = {p.untyped_storage()._cdata for p in model.parameters()}
        held = {}

        def hold(tensor):
            storage = tensor.untyped_storage()
            if storage._cdata not in weights:
                held[storage._cdata] = storage.nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(hold, lambda tensor: tensor):
            if loss == "_slab_loss":
                model._slab_loss(given, real)
            else:
                model._volume_loss(real, model._encoded(given), None)
        return sum(held.values())

    assert kept(True) < 0.75 * kept(False)


def test_augmentation_changes_what_the_discriminators_see_and_nothing_else(monkeypatch):
    model, given = small(diffaugment=True), batch()
    seen = spy(model.slab_discriminator, monkeypatch)
    terms, gradients = step(model, given)
    assert not torch.equal(seen[0][0][0], given["source_window"])
    plain, _ = step(small(), given)
    assert torch.equal(terms["slab_encoder"], plain["slab_encoder"])
    assert gradients["generator"]["autoencoder.generator.high.last.weight"].any()


def test_a_few_steps_teach_the_encoder_to_bring_a_volume_back():
    model, given = small(), batch(1)
    given["source_low"] = torch.full_like(given["source_low"], 0.5)
    for name in ("source_window", "source_whole"):
        given[name] = torch.full_like(given[name], 0.5)
    optimizers = {
        name: torch.optim.Adam(group.parameters, lr=2e-3, betas=group.betas)
        for name, group in model.groups().items()
    }

    def update(name, loss):
        optimizers[name].zero_grad()
        loss.backward()
        optimizers[name].step()

    losses = [model.training_step(given, number, update) for number in range(20)]
    assert losses[-1]["slab_encoder"] < 0.7 * losses[0]["slab_encoder"]
    assert losses[-1]["latent_encoder"] < 0.7 * losses[0]["latent_encoder"]


def test_noise_is_a_function_of_seed_number_and_draw():
    numbers = torch.tensor([3, 8])
    z = noise(5, numbers, 0, 64)
    assert torch.equal(z, noise(5, numbers, 0, 64))
    assert torch.equal(z[1:], noise(5, torch.tensor([8]), 0, 64))
    others = [z[1], noise(6, numbers, 0, 64)[0], noise(5, numbers, 1, 64)[0]]
    for other in others:
        assert (z[0] - other).abs().max() > 0.1
    many = noise(0, torch.arange(500), 0, 64)
    assert abs(float(many.mean())) < 0.03
    assert abs(float(many.std()) - 1) < 0.03


def test_frozen_passes_gradients_on_and_restores_what_was():
    first, second = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    second.bias.requires_grad_(False)
    with frozen(second):
        assert not any(parameter.requires_grad for parameter in second.parameters())
        second(first(torch.ones(1, 2))).sum().backward()
    assert second.weight.requires_grad
    assert not second.bias.requires_grad
    assert second.weight.grad is None
    assert first.weight.grad.any()
    with pytest.raises(ValueError, match="within"), frozen(first):
        raise ValueError("within")
    assert first.weight.requires_grad
