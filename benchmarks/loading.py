"""How many augmented samples a second reach the training, alone and with its step beside.

    python benchmarks/loading.py COHORT --cache CACHE [--seconds 30] [--workers 0] [--batch-size 2]
                                 [--against OLD_CHECKOUT]

Samples are those of `hagan-clinic train --spacing 1 --set size=[160,192,160]`: slabs of 32 slices
with a halo of 8, and the low-resolution whole, of twelve subjects of the cohort. Printed are
samples a second, the processor time of this process that a sample took, and of training the share
of time that it waited for batches. On a machine that does other things too, the processor time is
the figure to compare. With --against the loader of an older checkout takes its turn before and
after this one's, on the same cohort, with its own default of workers and with as many as this one.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from hagan_clinic.conditional.settings import ConditionalConfig
from hagan_clinic.data.augmented import Batch
from hagan_clinic.data.cohort import find_cohort
from hagan_clinic.data.prepared import prepare_cohort
from hagan_clinic.data.queue import slab_loader
from hagan_clinic.training.loop import optimizer_of, to_channels_last
from hagan_clinic.training.registry import build_model

PATIENTS = 12
WARM_UP = 8
SETTINGS = {"spacing": 1.0, "size": (160, 192, 160)}

OLD = """
import json, os, sys, time
from hagan_clinic.data.cohort import find_cohort
from hagan_clinic.conditional.settings import ConditionalConfig
from hagan_clinic.data.prepared import prepare_cohort
from hagan_clinic.data.queue import slab_loader

told = json.loads(sys.argv[1])
told["settings"]["size"] = tuple(told["settings"]["size"])
config = ConditionalConfig(**told["settings"])
recipe = config.recipe
subjects = find_cohort(told["cohort"], recipe.sources, recipe.target)[: told["patients"]]
batches = slab_loader(
    prepare_cohort(subjects, config.recipe, told["cache"], shape=config.size),
    thickness=config.slab,
    batch_size=config.batch_size,
    slabs_per_volume=config.slabs_per_volume,
    queue_length=config.queue_length,
    workers=config.workers,
    augment=config.augmentation,
    **config.sampling,
)
for _ in range(told["warm_up"]):
    next(batches)
samples, began = 0, time.perf_counter()
while not samples or time.perf_counter() - began < told["seconds"]:
    samples += len(next(batches)["index"])
print(json.dumps([config.workers, samples / (time.perf_counter() - began)]), flush=True)
os._exit(0)  # an endless queue keeps its workers, which Python would wait for
"""


def loader(
    arguments: argparse.Namespace, config: ConditionalConfig, device: str
) -> Iterator[Batch]:
    """Batches as training takes them."""
    subjects = find_cohort(arguments.cohort, config.recipe.sources, config.recipe.target)[:PATIENTS]
    batches = slab_loader(
        prepare_cohort(subjects, config.recipe, arguments.cache, shape=config.size),
        thickness=config.slab,
        batch_size=config.batch_size,
        slabs_per_volume=config.slabs_per_volume,
        queue_length=config.queue_length,
        workers=config.workers,
        augment=config.augmentation,
        device=device,
        **config.sampling,
    )
    for _ in range(WARM_UP):
        next(batches)
    return batches


def of_checkout(arguments: argparse.Namespace, **settings: int) -> tuple[int, float]:
    """Workers and samples a second of the loader of an older checkout, on the CPU."""
    told = {
        "cohort": str(Path(arguments.cohort).resolve()),
        "cache": str(arguments.cache.resolve() / "against"),
        "patients": PATIENTS,
        "warm_up": WARM_UP,
        "seconds": arguments.seconds,
        "settings": {**SETTINGS, "batch_size": arguments.batch_size, **settings},
    }
    done = subprocess.run(
        [sys.executable, "-c", OLD, json.dumps(told)],
        env={**os.environ, "PYTHONPATH": str(arguments.against.resolve())},
        cwd=arguments.against,  # which Python looks into first
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    workers, rate = json.loads(done.stdout.splitlines()[-1])
    return workers, rate


def trainer(config: ConditionalConfig, device: str):
    """A function that takes a step on a batch."""
    model = build_model(config)
    to_channels_last(model.to(device))
    optimizers = {name: optimizer_of(group) for name, group in model.groups().items()}

    def update(name: str, loss: Tensor) -> None:
        optimizers[name].zero_grad()
        loss.backward()
        optimizers[name].step()

    return lambda batch: model.training_step(batch, 0, update)


def measure(batches: Iterator[Batch], step, seconds: float, device: str) -> tuple[float, ...]:
    """Samples a second, processor milliseconds a sample, and the share of time spent waiting."""
    waited, samples = 0.0, 0
    began, processor = time.perf_counter(), time.process_time()
    while not samples or time.perf_counter() - began < seconds:
        asked = time.perf_counter()
        batch = next(batches)
        waited += time.perf_counter() - asked
        samples += len(batch["index"])
        step(batch)
    if device == "cuda":
        torch.cuda.synchronize()
    took = time.perf_counter() - began
    return samples / took, 1e3 * (time.process_time() - processor) / samples, waited / took


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cohort")
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--batch-size", type=int, default=2)
    parser.add_argument("--against", type=Path, help="folder of an older checkout")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    arguments = parser.parse_args()
    config = ConditionalConfig(
        **SETTINGS, workers=arguments.workers, batch_size=arguments.batch_size
    )
    old = [{}, {"workers": arguments.workers}] if arguments.against else []
    before = [of_checkout(arguments, **settings) for settings in old]
    batches = loader(arguments, config, arguments.device)
    alone = measure(batches, lambda batch: None, arguments.seconds, arguments.device)
    step = trainer(config, arguments.device)
    step(next(batches))
    beside = measure(batches, step, arguments.seconds, arguments.device)
    cores = torch.get_num_threads()
    print(f"{arguments.device}, {cores} threads, {arguments.workers} workers\n")
    print("| | samples/s | processor ms a sample | waiting |\n|---|---|---|---|")
    for name, (rate, processor, waiting) in {"loader": alone, "training": beside}.items():
        print(f"| {name} | {rate:.2f} | {processor:.0f} | {waiting:.0%} |")
    after = [of_checkout(arguments, **settings) for settings in reversed(old)]
    for (workers, first), (_, last) in zip(before, reversed(after), strict=True):
        rate = (first + last) / 2
        print(
            f"\nThe older loader with {workers} workers: {rate:.2f} samples/s ({first:.2f} before, "
            f"{last:.2f} after); this one alone gives {alone[0] / rate:.1f} times as many."
        )


if __name__ == "__main__":
    main()
