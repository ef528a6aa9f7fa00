"""How the conditional baselines learn: as their papers say, or as HA-GAN does."""

import copy
from dataclasses import fields

import pytest
import torch
from torch.nn import functional

from hagan_clinic.backbone.batch import TranslationBatch
from hagan_clinic.backbone.losses import reconstruction_loss, structure_loss
from hagan_clinic.conditional import ConditionalConfig
from hagan_clinic.conditional.cgan2d import as_slices
from hagan_clinic.conditional.hagan import ConditionalHAGAN
from hagan_clinic.conditional.paired import Pieces
from hagan_clinic.errors import InputError
from hagan_clinic.training.registry import build_model, gather_settings

BASELINES = ["slab-unet", "cgan2d", "cgan3d-patch"]
SIDE = 32


def settings_of(model, **given):
    narrow = {"mode": "conditional", "model": model, "width": 8, "steps": 10}
    return gather_settings("tiny", [], narrow | given)


def small(model, **given):
    return build_model(settings_of(model, **given))


def batch(model, brain=None, target=None):
    """Two volumes, whose brain is their front half."""
    torch.manual_seed(1)
    source = torch.rand(2, 1, SIDE, SIDE, SIDE) * 2 - 1
    if target is None:
        target = -source
    if brain is None:
        brain = torch.zeros_like(source)
        brain[..., : SIDE // 2, :] = 1
    if model.startswith("cgan3d"):
        return {"source_patch": source, "target_patch": target, "brain_patch": brain}
    thickness = 4 if model == "cgan2d" else 16
    cut = TranslationBatch.cut(source, target, brain, [0, 8], thickness, 0)
    return {field.name: getattr(cut, field.name) for field in fields(cut)}


def losses_of(network, given, step=0):
    """What each group is updated by, and the terms that are logged."""
    losses = {}
    torch.manual_seed(2)
    terms = network.training_step(given, step, losses.__setitem__)
    return losses, terms


def papers_step(network, given, update):
    """The step of pix2pix, written out."""
    pieces = network.pieces(given)
    settings = network.settings

    def logits(image):
        return network.discriminator(torch.cat([pieces.source, image], 1), *pieces.place)

    def judged(image, label):
        found = logits(image)
        wanted = torch.full_like(found, label)
        if network.least_squares:
            return functional.mse_loss(found, wanted)
        return functional.binary_cross_entropy_with_logits(found, wanted)

    update("discriminator", (judged(pieces.target, 1.0) + judged(pieces.made.detach(), 0.0)) / 2)
    l1 = functional.l1_loss(pieces.made, pieces.target)
    update("generator", judged(pieces.made, 1.0) + settings.weight_l1 * l1)


@pytest.mark.parametrize("model", BASELINES)
def test_by_default_three_steps_are_those_of_the_paper(model):
    network, given = small(model), batch(model)
    expected = copy.deepcopy(network)
    assert not any(group.decays or group.muon for group in network.groups().values())

    def trained(one, step_of):
        # Without a scale of its own, as Adam has, so that what is rounding stays small.
        optimizers = {
            name: torch.optim.SGD(group.parameters, 1e-3) for name, group in one.groups().items()
        }

        def update(name, loss):
            optimizers[name].zero_grad()
            loss.backward()
            optimizers[name].step()
            optimizers[name].zero_grad()

        for step in range(3):
            torch.manual_seed(step)
            step_of(step, update)
        return one.state_dict()

    after = trained(network, lambda step, update: network.training_step(given, step, update))
    written = trained(expected, lambda step, update: papers_step(expected, given, update))
    assert all(torch.allclose(after[name], written[name], atol=1e-6) for name in written)


@pytest.mark.parametrize("model", BASELINES)
def test_tuned_is_how_hagan_is_trained(model):
    settings, of_hagan = settings_of(model, variant="tuned"), ConditionalConfig()
    for name in (
        *("optimizer", "generator_lr", "discriminator_lr", "clip", "ema", "adversarial_start"),
        *("weight_structure", "weight_adversarial", "weight_background"),
    ):
        assert getattr(settings, name) == getattr(of_hagan, name), name
    assert (settings.reconstruction, settings.weight_l1) == ("huber", of_hagan.weight_high)
    # What is given counts before what the variant stands for.
    assert settings_of(model, variant="tuned", ema=0.9).ema == 0.9
    with torch.device("meta"):
        ours, theirs = (
            network.groups()["generator"]
            for network in (build_model(settings), ConditionalHAGAN(of_hagan))
        )
    assert ours.muon and ours.decays
    for name in ("lr", "betas", "weight_decay", "decays", "muon"):
        assert getattr(ours, name) == getattr(theirs, name), name


@pytest.mark.parametrize("model", BASELINES)
def test_the_discriminator_is_left_alone_until_it_joins(model):
    network, given = small(model, adversarial_start=0.5), batch(model)
    before, terms = losses_of(network, given, step=4)
    assert before.keys() == {"generator"} and terms.keys() == {"l1"}
    joined, terms = losses_of(network, given, step=5)
    assert list(joined) == ["discriminator", "generator"]
    assert terms.keys() == {"l1", "discriminator", "adversarial"}
    without = small(model, weight_adversarial=0.0)
    assert losses_of(without, given, step=9)[0].keys() == {"generator"}


@pytest.mark.parametrize("model", BASELINES)
def test_every_weighted_term_is_in_the_total(model):
    given = batch(model)
    weights = {"weight_l1": 3.0, "weight_structure": 0.7, "weight_adversarial": 0.2}
    losses, terms = losses_of(small(model, reconstruction="huber", **weights), given)
    expected = 3 * terms["huber"] + 0.7 * terms["structure"] + 0.2 * terms["adversarial"]
    assert min(terms.values()) > 0.01
    assert losses["generator"].item() == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("model", BASELINES)
@pytest.mark.parametrize("reconstruction", ["l1", "huber"])
def test_errors_outside_the_brain_count_by_the_weight_of_the_background(model, reconstruction):
    right = batch(model)
    name = "target_patch" if model.startswith("cgan3d") else "target_slab"
    wrong = right | {name: right[name].clone()}
    wrong[name][..., SIDE // 2 :, :] *= -1

    def error(given, weight):
        network = small(model, reconstruction=reconstruction, weight_background=weight)
        return float(losses_of(network, given)[1][reconstruction])

    assert error(wrong, 0.0) == error(right, 0.0)
    added = [abs(error(wrong, weight) - error(right, weight)) for weight in (0.05, 1.0)]
    assert 0 < added[0] < added[1]


def test_slices_are_compared_as_the_slab_that_they_are_of():
    """A slice without brain adds nothing, where by itself it would count as much as any."""
    torch.manual_seed(0)
    made, target = torch.rand(2, 2, 1, 4, 16, 16) * 2 - 1
    brain = torch.ones(2, 1, 4, 16, 16)
    brain[:, :, :2] = 0
    slices = [as_slices(volume) for volume in (target, target, made, brain)]
    together = Pieces(*slices, depth=4).volumes()
    assert all(torch.equal(a, b) for a, b in zip(together, (made, target, brain), strict=True))
    inside = [volume[:, :, 2:] for volume in together]
    assert float(reconstruction_loss(*together)) == pytest.approx(
        float(reconstruction_loss(*inside))
    )
    assert float(structure_loss(*together)) > 0.5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"optimizer": "sgd"}, "optimizer is 'sgd': expected one of adam, muon, adamw"),
        ({"reconstruction": "l2"}, "reconstruction is 'l2': expected one of l1, huber"),
        ({"variant": "released"}, "variant is 'released': expected one of paper, tuned"),
        ({"weight_background": 2.0}, "weight_background is 2.0: expected 0 to 1"),
        ({"weight_structure": -1.0}, "weight_structure is -1.0: expected 0 or more"),
    ],
)
def test_bad_settings_are_named(changes, message):
    with pytest.raises(InputError, match=message):
        settings_of("cgan2d", **changes)
