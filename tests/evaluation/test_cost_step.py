"""Which steps are measured, and on what."""

import pytest

from hagan_clinic.conditional.cgan3d_laf import LocalFusion, LocalFusionGAN
from hagan_clinic.evaluation.cost_step import measured_steps, random_batch
from hagan_clinic.training.registry import gather_settings
from hagan_clinic.unconditional import wgan_gp
from hagan_clinic.unconditional.progressive_gan import GrowingLayers
from hagan_clinic.unconditional.wgan_gp import WassersteinGAN

VOLUMES = {"mode": "unconditional", "size": [32, 32, 32], "batch_size": 2, "width": 4, "latent": 8}
PAIRS = {"mode": "conditional", "size": [32, 48, 32], "batch_size": 1}
PATCHES = {**PAIRS, "width": 8, "patch": 32, "levels": 5}
FUSION = {**PATCHES, "model": "cgan3d-laf", "cell": 8, "fit_every": 3}


def recorded(monkeypatch, kind, name):
    """What each call of a method, or of a module's function, is given."""
    calls, function = [], getattr(kind, name)

    def call(*given):
        calls.append(given)
        return function(*given)

    monkeypatch.setattr(kind, name, call)
    return calls


@pytest.mark.parametrize(
    ("kind", "rare", "settings", "cycle"),
    [
        (WassersteinGAN, (wgan_gp, "frozen"), {**VOLUMES, "model": "wgan-gp"}, 5),
        (LocalFusionGAN, (LocalFusion, "fit"), FUSION, 3),
    ],
    ids=["wgan-gp", "cgan3d-laf"],
)
@pytest.mark.parametrize("steps", [0, 1])
def test_what_moves_now_and_then_moves_in_the_first_step_and_in_those_that_are_timed(
    monkeypatch, kind, rare, settings, cycle, steps
):
    taken, moved = recorded(monkeypatch, kind, "training_step"), recorded(monkeypatch, *rare)
    measured_steps(settings, "cpu", steps)
    assert len(taken) == 1 + steps * cycle
    assert len(moved) == 1 + steps


def test_what_the_paper_leaves_for_later_is_measured_too():
    outlook = {"measurements": ["age", "fluid_ml"], "region": "seg", "attention": True}
    sizes = {"size": [64, 64, 64], "levels": 2, "width": 32, "discriminator_width": 32}
    measured = measured_steps({**VOLUMES, **sizes, **outlook}, "cpu", 0)
    assert measured["parameters"] > measured_steps({**VOLUMES, **sizes}, "cpu", 0)["parameters"]


def test_a_growing_model_is_measured_fully_grown(monkeypatch):
    made = recorded(monkeypatch, GrowingLayers, "at")
    measured_steps({**VOLUMES, "model": "progressive-gan"}, "cpu", 1)
    assert {(stage, share) for *_, stage, share in made} == {(3, 1.0)}


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (
            {**PAIRS, "model": "slab-unet", "slab": 8, "halo": 4},
            {"source_window": (1, 16, 48, 32), "target_slab": (1, 8, 48, 32)},
        ),
        (PATCHES | {"model": "cgan3d-patch"}, {"source_patch": (1, 32, 32, 32)}),
        (FUSION, {"target_patch": (1, 32, 32, 32), "brain_whole": (1, 32, 48, 32)}),
        (VOLUMES | {"model": "vae-gan"}, {"source_whole": (1, 32, 32, 32)}),
    ],
)
def test_random_batches_are_shaped_as_those_of_training(settings, expected):
    config = gather_settings(None, [], settings)
    batch = random_batch(config)
    for name, shape in expected.items():
        assert batch[name].shape == (config.batch_size, *shape)
    assert batch["index"].tolist() == list(range(config.batch_size))
    whole = {name for name in batch if name.endswith("_whole")}
    assert bool(whole) == (config.model in ("cgan3d-laf", "vae-gan"))
