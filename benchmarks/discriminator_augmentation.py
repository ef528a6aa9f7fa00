"""How fast the discriminators of the unconditional HA-GAN see through a fixed generator.

    hagan-clinic train --mode unconditional --preset cpu --data lgg_mni --split lgg_mni/split.csv \
        -o RUN --cache CACHE
    python benchmarks/discriminator_augmentation.py RUN --cache CACHE

The discriminators of the run's last checkpoint go on training alone, at the run's own rate and on
its own queue, under each kind of augmentation. Printed is the cross-entropy of D^H and D^L over
the last quarter of the steps; 0.693 is chance. What delays them delays the generator, which learns
from them alone; what lets them memorise the patients does harm later, which this does not show.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import torch

from hagan_clinic.backbone.batch import SynthesisBatch
from hagan_clinic.backbone.diffaugment import DiffAugment
from hagan_clinic.backbone.losses import fake_loss, real_loss
from hagan_clinic.data.cohort import find_cohort
from hagan_clinic.data.prepared import prepare_cohort
from hagan_clinic.data.queue import slab_loader
from hagan_clinic.data.split import read_split
from hagan_clinic.training.checkpoint import load_tensors
from hagan_clinic.training.registry import build_model, read_config
from hagan_clinic.training.run_folder import LAST
from hagan_clinic.unconditional.hagan import BETAS
from hagan_clinic.unconditional.targets import Targets

OFF = DiffAugment(brightness=0, contrast=0, shift=0, cutout=-1)
KINDS = {
    "none": None,
    "brightness and contrast": replace(OFF, brightness=0.2, contrast=0.2),
    "cutout of 1/4": replace(OFF, cutout=0.25),
    "shift by up to 1/8": replace(OFF, shift=0.125),
    "brightness, contrast, cutout": DiffAugment(),
    "all four": DiffAugment(shift=0.125),
}


def losses(run: Path, cache: Path, kind: DiffAugment | None, steps: int) -> list[list[float]]:
    """The cross-entropies of D^H and D^L at every step."""
    config = read_config(run)
    subjects = find_cohort(config.data, config.recipe.sources, None, config.mask or None)
    training = read_split(run / "split.csv", subjects).train
    batches = slab_loader(
        prepare_cohort(training, config.recipe, cache, shape=config.size),
        thickness=config.slab,
        batch_size=config.batch_size,
        slabs_per_volume=config.slabs_per_volume,
        queue_length=config.queue_length,
        workers=0,
        seed=config.seed + 1,
        augment=config.augmentation,
        **config.sampling,
    )
    model = build_model(config)
    model.load_state_dict(load_tensors(run / LAST / "weights.safetensors"))
    model.augment = kind
    model = model.to(memory_format=torch.channels_last_3d)
    parameters = [
        p for part in (model.slab_discriminator, model.low_discriminator) for p in part.parameters()
    ]
    optimizer = torch.optim.AdamW(parameters, lr=config.discriminator_lr, betas=BETAS)
    values = []
    for _ in range(steps):
        batch = SynthesisBatch.of(next(batches))
        real = Targets.of(batch, model.config, seed=config.seed, weight_region=0.0, squared=False)
        with torch.no_grad():
            fakes = model._generate(batch, real, None, draw=0)
        logits = model.logits_of(real.slabs, real.low, real.positions)
        faked = model.logits_of(*fakes, real.positions)
        terms = [real_loss(r) + fake_loss(f) for (r, _), (f, _) in zip(logits, faked, strict=True)]
        optimizer.zero_grad()
        torch.stack(terms).sum().backward()
        optimizer.step()
        values.append([float(term.detach()) / 2 for term in terms])
    return values


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=80)
    arguments = parser.parse_args()
    print("| the discriminators see | D^H | D^L |\n|---|---|---|")
    for name, kind in KINDS.items():
        torch.manual_seed(0)
        values = losses(arguments.run, arguments.cache, kind, arguments.steps)
        last = torch.tensor(values[-(arguments.steps // 4) :]).mean(0)
        print(f"| {name} | {last[0]:.3f} | {last[1]:.3f} |", flush=True)


if __name__ == "__main__":
    main()
