"""Each term of the paper's outlook against the same training without it, over several seeds.

    PYTHONPATH=. python benchmarks/future_work.py $HAGAN_TEST_DATA/lgg_mni OUT --seeds 0,2,4

T1s at 6 mm, 32 cubed, flipped at random: minutes of one core, to see whether a term moves its
own measure, not how good volumes become. All measures are of held-out patients (calibration and
test; nothing is chosen by them) or of samples. Tests are paired by seed, one-tailed in favour of
the term. What was trained stays in OUT, and a study that was stopped goes on.
"""

import json
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from scipy.stats import ttest_rel
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score
from torch import Tensor
from torch.nn import functional

from hagan_clinic.backbone.batch import SynthesisBatch
from hagan_clinic.data.cohort import find_cohort
from hagan_clinic.data.prepared import prepare_cohort
from hagan_clinic.data.region import prepare_regions
from hagan_clinic.data.split import read_split
from hagan_clinic.evaluation.latent_regression import PENALTY
from hagan_clinic.metrics.diversity import coverage, maximum_mean_discrepancy, pairwise_ms_ssim
from hagan_clinic.training.loop import learning_rate, optimizer_of
from hagan_clinic.training.registry import build_model, gather_settings
from hagan_clinic.unconditional import HAGAN, UnconditionalConfig

BASE: dict[str, Any] = {
    "mode": "unconditional", "size": [32, 32, 32], "spacing": 6.0, "slab": 4, "latent": 16,
    "width": 32, "discriminator_width": 64, "batch_size": 4, "optimizer": "muon",
    "generator_lr": 3e-3, "end_to_end": True, "adversarial_start": 0.5,
    "weight_reconstruction": 20.0, "weight_prior": 4.0, "diffaugment": False, "components": True,
}  # fmt: skip
"""A quarter as wide as the preset `cpu`; G and E at once, from the cohort's principal components,
as a few hundred steps from nothing do not reach the mean brain."""

MEASURED = ("ventricles", "cerebellum", "forehead")
INFORMED = {"measurements": list(MEASURED), "weight_measurements": 4.0}
DECEIVING = {"adversarial_start": 0.0, "weight_adversarial": 5.0}

ARMS: dict[str, dict[str, Any]] = {
    "none": {},
    "information": INFORMED,
    "information, orthogonal": INFORMED | {"weight_overlap": 4.0},
    "region": {"region": "seg", "weight_region": 20.0},
    "attention": {"attention": True},
    "adversarial": DECEIVING,
    "adversarial, batch deviation": DECEIVING | {"batch_deviation": True},
}
"""What each is told beside the base."""

SAMPLES, WALKS = 48, 12


@dataclass(frozen=True, eq=False)
class Cohort:
    """Volumes (N, 1, 32, 32, 32) in [-1, 1], their lesions in [0, 1], and the brain of all."""

    volumes: Tensor
    regions: Tensor
    brain: Tensor

    def measured(self, volumes: Tensor) -> np.ndarray:
        """Brightness of three parts of the brain by its own, as logarithms: (N, 3)."""
        unit = (volumes[:, 0] + 1) / 2
        places = torch.nonzero(self.brain).float()
        d, h, _ = from_middle = (places - places.mean(0)).T * float(BASE["spacing"])
        inside = [from_middle.norm(dim=0) < 20, (d < -25) & (h < -30), h > 60]
        values = unit[:, self.brain]
        means = torch.stack([values[:, part].mean(1) for part in inside], 1)
        relative = means.clamp_min(1e-3) / values.mean(1, keepdim=True).clamp_min(1e-3)
        return torch.log(relative).double().numpy()


def read(folder: Path, work: Path) -> tuple[Cohort, Cohort]:
    """The patients that are learnt from, and those held out."""
    config = gather_settings(None, [], BASE)
    recipe = config.recipe
    subjects = find_cohort(folder, recipe.sources, None)
    split = read_split(folder / "split.csv", subjects)
    sides = []
    for side in (split.train, [*split.calibration, *split.test]):
        prepared = prepare_cohort(side, recipe, work / "cache", shape=config.size)
        files = prepare_regions(side, prepared, "seg", recipe)
        loaded = [subject.load(stripped=True) for subject in prepared]
        volumes = torch.from_numpy(np.stack([source for source, _, _ in loaded]))
        regions = torch.from_numpy(np.stack([np.load(file) for file in files])).float() / 255
        sides.append(Cohort(volumes, regions, torch.from_numpy(loaded[0][2][0] > 0)))
    return sides[0], sides[1]


def trained(settings: dict[str, Any], cohort: Cohort, scores: Tensor, steps: int) -> HAGAN:
    """Train on random slabs of the cohort."""
    config = gather_settings(None, [], {**BASE, **settings, "steps": steps})
    model = build_model(config)
    assert isinstance(model, HAGAN) and isinstance(config, UnconditionalConfig)
    model.start(iter(cohort.volumes.split(8)))
    groups = model.groups()
    optimizers = {name: optimizer_of(group) for name, group in groups.items()}

    def update(name: str, loss: Tensor) -> None:
        optimizers[name].zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizers[name].step()
        optimizers[name].zero_grad()

    rng = np.random.default_rng(config.seed)
    for step in range(steps):
        for name, group in groups.items():
            if group.decays:
                optimizers[name].param_groups[0]["lr"] = learning_rate(step, steps, group.lr)
        chosen = rng.choice(len(cohort.volumes), config.batch_size, replace=False)
        starts = 4 * rng.integers(0, 8, config.batch_size)
        numbers = range(step * config.batch_size, (step + 1) * config.batch_size)
        flipped = torch.from_numpy(rng.random(config.batch_size) < 0.5)[:, None, None, None, None]
        volumes, regions = (
            torch.where(flipped, images[chosen].flip(-1), images[chosen])
            for images in (cohort.volumes, cohort.regions)
        )
        batch = SynthesisBatch.cut(volumes, starts.tolist(), 4, list(numbers))
        told = {"measurements": scores[chosen]} if config.measurements else {}
        if config.region:
            told["region_whole"] = regions
        torch.manual_seed((config.seed << 32) + step)
        model.training_step(replace(batch, **told), step, update)
    return model.eval()


@torch.no_grad()
def figures(model: HAGAN, learnt: Cohort, held_out: Cohort, seed: int) -> dict[str, float]:
    """Every measure of a trained model."""
    latents, held = model.encode(learnt.volumes), model.encode(held_out.volumes)
    back = model(held)
    error = (back - held_out.volumes).abs()
    lesion = held_out.regions * held_out.brain
    with_lesion = lesion.sum((1, 2, 3, 4)) > 1
    of_lesion = (error * lesion).sum((1, 2, 3, 4)) / lesion.sum((1, 2, 3, 4)).clamp_min(1)
    known, unseen = learnt.measured(learnt.volumes), held_out.measured(held_out.volumes)
    mean, spread = known.mean(0), known.std(0)
    ridge = Ridge(alpha=PENALTY).fit(latents.numpy(), (known - mean) / spread)
    explained = r2_score(
        (unseen - mean) / spread, ridge.predict(held.numpy()), multioutput="raw_values"
    )
    head = model.measurement_head
    directions = torch.from_numpy(ridge.coef_).float() if head is None else head.mean.weight
    made = model(torch.randn(SAMPLES, model.config.latent, generator=_random(seed)))
    real = torch.cat([learnt.volumes, held_out.volumes])
    unit = [((volume + 1) / 2).numpy() for volume in made[:, 0]]
    of_real = [((volume + 1) / 2).numpy() for volume in real[:SAMPLES, 0]]
    rows = [
        functional.avg_pool3d(volumes, 4).flatten(1).double().numpy() for volumes in (made, real)
    ]
    alike, alike_real = pairwise_ms_ssim(unit, 64, 0), pairwise_ms_ssim(of_real, 64, 0)
    return {
        "R2 of measurements": float(np.mean(explained)),
        "selectivity of directions": _selectivity(model, directions, held[:WALKS], learnt, spread),
        "L1 in lesions": float(of_lesion[with_lesion].mean()),
        "L1 in the brain": float(
            (error * held_out.brain).sum() / held_out.brain.sum() / len(error)
        ),
        "MS-SSIM above real": alike - alike_real,
        "coverage": coverage(*rows),
        "MMD": maximum_mean_discrepancy(*rows),
    }


def _selectivity(
    model: HAGAN, directions: Tensor, latents: Tensor, cohort: Cohort, spread: np.ndarray
) -> float:
    """Of what changes along a measurement's direction, its own share: 1 is that alone."""
    shares = []
    for number, weight in enumerate(directions):
        step = weight / weight.square().sum()  # what should be a standard deviation of it
        ends = [cohort.measured(model(latents + sign * step)) for sign in (-1, 1)]
        change = np.abs((ends[1] - ends[0]) / spread)
        shares.append(change[:, number] / change.sum(1))
    return float(np.mean(shares))


def _random(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


QUESTIONS: tuple[tuple[str, str, str, bool], ...] = (
    ("information", "none", "R2 of measurements", True),
    ("information, orthogonal", "information", "selectivity of directions", True),
    ("region", "none", "L1 in lesions", False),
    ("attention", "none", "L1 in the brain", False),
    ("adversarial, batch deviation", "adversarial", "MS-SSIM above real", False),
    ("adversarial, batch deviation", "adversarial", "coverage", True),
)
"""Term, what it is set against, its own measure, and whether more of it is better."""


def answers(found: dict[str, list[dict[str, float]]]) -> str:
    """The table."""
    lines = ["| term | against | measure | with | without | better by | seeds won | p |"]
    lines.append("|---|---|---|---|---|---|---|---|")
    for term, against, measure, more in QUESTIONS:
        one, other = (np.array([of[measure] for of in found[arm]]) for arm in (term, against))
        better = (one - other) * (1 if more else -1)
        p = ttest_rel(one, other, alternative="greater" if more else "less").pvalue
        cells = [term, against, measure, _spread(one), _spread(other), f"{better.mean():+.4f}"]
        cells += [f"{int((better > 0).sum())} of {len(better)}", f"{p:.3f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def everything(found: dict[str, list[dict[str, float]]]) -> str:
    """Every measure of every arm."""
    measures = list(found["none"][0])
    lines = [f"| term | {' | '.join(measures)} |", "|---" * (len(measures) + 1) + "|"]
    for arm, of_seeds in found.items():
        cells = [_spread(np.array([of[name] for of in of_seeds])) for name in measures]
        lines.append(f"| {arm} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _spread(values: np.ndarray) -> str:
    return f"{values.mean():.4f} ± {values.std(ddof=1):.4f}"


@click.command()
@click.argument("cohort", type=click.Path(path_type=Path))
@click.argument("work", metavar="OUT", type=click.Path(path_type=Path))
@click.option("--seeds", default="0,2,4", show_default=True, help="Of the runs; two or more.")
@click.option("--steps", default=150, show_default=True)
def main(cohort: Path, work: Path, seeds: str, steps: int) -> None:
    """Train every arm with every seed on COHORT, measure, and print the tables."""
    learnt, held_out = read(cohort, work)
    measured = learnt.measured(learnt.volumes)
    scores = torch.from_numpy((measured - measured.mean(0)) / measured.std(0)).float()
    found: dict[str, list[dict[str, float]]] = {arm: [] for arm in ARMS}
    for seed in map(int, seeds.split(",")):
        for arm, settings in ARMS.items():
            file = work / f"{arm.replace(', ', '-').replace(' ', '-')}-{seed}-{steps}.json"
            if not file.exists():
                began = time.process_time()
                model = trained(settings | {"seed": seed}, learnt, scores, steps)
                measures = figures(model, learnt, held_out, seed)
                file.write_text(json.dumps(measures, indent=2), "utf-8")
                print(f"{arm}, seed {seed}: {time.process_time() - began:.0f} s", flush=True)
            found[arm].append(json.loads(file.read_text("utf-8")))
    print(answers(found), everything(found), sep="\n\n")


if __name__ == "__main__":
    main()
