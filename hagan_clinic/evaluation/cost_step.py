"""A few training steps of any model on random volumes, in a process of their own.

    python -m hagan_clinic.evaluation.cost_step SETTINGS.json RESULT.json

The optimisers hold their moments before the first step and the moving average is there, as in the
middle of a run. What the volumes show changes neither memory nor time.
"""

import json
import resource
import sys
import time
from contextlib import AbstractContextManager, ExitStack, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import default_collate

from hagan_clinic.data.augmented import Batch, augmented
from hagan_clinic.data.averages import STEP
from hagan_clinic.data.draws import Drawn
from hagan_clinic.data.slab_sampler import sampler_of
from hagan_clinic.data.stream import raw_subject
from hagan_clinic.training.config import TrainingConfig
from hagan_clinic.training.half import precision
from hagan_clinic.training.loop import compile_blocks, optimizer_of, to_channels_last
from hagan_clinic.training.registry import build_model, gather_settings

MIB = 2**20
# Of the resident size: bytes on macOS, KiB on Linux.
_UNIT = 1 if sys.platform == "darwin" else 1024


def measured_steps(
    settings: dict[str, Any],
    device: str,
    steps: int,
    *,
    watch: AbstractContextManager[Any] | None = None,
) -> dict[str, float]:
    """Train in this process.

    Args:
        settings: Of `hagan-clinic train`, with mode and size.
        device: `cpu` or `cuda`.
        steps: After a first one, which is not timed; more where a model trains some parts on
            every nth step alone, up to whole rounds of n. 0 measures memory alone.
        watch: entered around the steps that are timed, such as a profiler.

    Returns:
        `parameters`, `steps_per_second` if steps are timed, and in MiB `before` (the resident
        size's peak before there was a model) or, on CUDA, `allocated` and `reserved`.
    """
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _UNIT / MIB
    config = gather_settings(None, [], settings)
    place = torch.device(device)
    torch.manual_seed(0)
    # As in training, where numbers stay on the CPU.
    batch = {
        name: value.to(place) if value.is_floating_point() else value
        for name, value in random_batch(config).items()
    }
    model = build_model(config)
    module = model.to(place)
    if config.channels_last:
        to_channels_last(module)
    average = AveragedModel(model.averaged)
    if config.compile:
        compile_blocks(module)
    optimizers = {}
    for name, group in model.groups().items():
        optimizers[name] = optimizer_of(group)
        for parameter in group.parameters:
            parameter.grad = torch.zeros_like(parameter)
        optimizers[name].step()
        optimizers[name].zero_grad()

    def update(name: str, loss: Tensor) -> None:
        with torch.autocast(place.type, enabled=False):
            optimizers[name].zero_grad()
            loss.backward()
            optimizers[name].step()
            optimizers[name].zero_grad()
            torch.clear_autocast_cache()

    cycle = int(getattr(model, "cycle", 1))
    steps = -(-steps // cycle) * cycle
    # After the last step, so that everything that trains later takes part and what grows has
    # grown; and the last of a cycle, so that the first one updates everything.
    first = (config.steps + 1) * cycle - 1
    if place.type == "cuda":
        torch.backends.cudnn.benchmark = True
        torch.cuda.reset_peak_memory_stats()
    started = finished = 0.0
    with ExitStack() as watched:
        for step in range(steps + 1):
            if step == 1:
                watched.enter_context(watch or nullcontext())
                started = _now(place)
            with precision(config.precision, place):
                terms = model.training_step(batch, first + step, update)
            average.update_parameters(model.averaged)
        finished = _now(place)
    assert all(bool(torch.isfinite(term)) for term in terms.values()), terms
    result = {"parameters": float(sum(p.numel() for p in module.parameters()))}
    if steps:
        result["steps_per_second"] = steps / (finished - started)
    if place.type != "cuda":
        return {**result, "before": before}
    allocated, reserved = torch.cuda.max_memory_allocated(), torch.cuda.max_memory_reserved()
    return {**result, "allocated": allocated / MIB, "reserved": reserved / MIB}


def random_batch(config: TrainingConfig) -> Batch:
    """Samples of a random volume, as `data.queue` cuts them for this model."""
    assert config.size is not None
    recipe, shape = config.recipe, config.size
    images = {
        "source": _noise(len(recipe.sources), shape),
        "brain": torch.ones(1, *shape, dtype=torch.uint8),
    }
    if recipe.target:
        images["target"] = _noise(1, shape)
    channels = len(recipe.sources) + bool(recipe.target) + 1
    averages = _noise(channels, tuple(side // STEP + 1 for side in shape))
    if getattr(config, "region", ""):
        images["region"] = _noise(1, shape)
    label = 0 if getattr(config, "classes", ()) else None
    measured = [0.0] * len(getattr(config, "measurements", ()))
    subject = raw_subject(images, averages, Drawn(), 0, label=label, measurements=measured or None)
    sampler = sampler_of(shape, min(config.slab, shape[0]), config.seed, **config.sampling)
    samples = [sampler.sample(subject, number) for number in range(config.batch_size)]
    batch: Batch = default_collate([augmented(sample) for sample in samples])
    return batch | {"index": torch.arange(config.batch_size)}


def _noise(channels: int, shape: tuple[int, ...]) -> Tensor:
    return torch.randint(0, 256, (channels, *shape), dtype=torch.uint8)


def _now(place: torch.device) -> float:
    if place.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


if __name__ == "__main__":
    given = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    Path(sys.argv[2]).write_text(json.dumps(measured_steps(**given)), "utf-8")
