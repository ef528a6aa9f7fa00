"""A few training steps of any model on random volumes, in a process of their own.

    python -m hagan_clinic.evaluation.cost_step SETTINGS.json RESULT.json

The optimisers hold their moments before the first step and the moving average is there, as in the
middle of a run. What the volumes show changes neither memory nor time.
"""

import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel

from hagan_clinic.backbone.slab import LOW_RES_FACTOR, take_slabs
from hagan_clinic.training.config import TrainingConfig
from hagan_clinic.training.modes import gather_settings, mode_of
from hagan_clinic.training.muon import Muon

MIB = 2**20
# Of the resident size: bytes on macOS, KiB on Linux.
_UNIT = 1 if sys.platform == "darwin" else 1024


def measured_steps(settings: dict[str, Any], device: str, steps: int) -> dict[str, float]:
    """Train in this process.

    Args:
        settings: Of `hagan-clinic train`, with mode and size.
        device: `cpu` or `cuda`.
        steps: After a first one, which is not timed; 0 measures memory alone.

    Returns:
        `parameters`, `steps_per_second` if steps are timed, and in MiB `before` (the resident
        size's peak before there was a model) or, on CUDA, `allocated` and `reserved`.
    """
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _UNIT / MIB
    config = gather_settings(None, [], settings)
    place = torch.device(device)
    torch.manual_seed(0)
    model = mode_of(config).model()
    module = model.module.to(place).to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]  # torch's own stub lacks it
    average = AveragedModel(model.averaged)
    optimizers = {}
    for name, group in model.groups().items():
        kind = Muon if group.muon else torch.optim.AdamW
        optimizers[name] = kind(group.parameters, lr=group.lr, betas=group.betas)
        for parameter in group.parameters:
            parameter.grad = torch.zeros_like(parameter)
        optimizers[name].step()
        optimizers[name].zero_grad()

    def update(name: str, loss: Tensor) -> None:
        with torch.autocast(place.type, enabled=False):
            loss.backward()
            optimizers[name].step()
            optimizers[name].zero_grad()

    batch = random_batch(config, place)
    half = config.precision == "bf16-mixed"
    if place.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    started = 0.0
    for step in range(steps + 1):
        if step == 1:
            started = _now(place)
        with torch.autocast(place.type, torch.bfloat16, enabled=half):
            # A late step: everything that trains later than the first one takes part.
            terms = model.training_step(batch, config.steps + step, update)
        average.update_parameters(model.averaged)
    assert all(bool(torch.isfinite(term)) for term in terms.values()), terms
    result = {"parameters": float(sum(p.numel() for p in module.parameters()))}
    if steps:
        result["steps_per_second"] = steps / (_now(place) - started)
    if place.type != "cuda":
        return {**result, "before": before}
    allocated, reserved = torch.cuda.max_memory_allocated(), torch.cuda.max_memory_reserved()
    return {**result, "allocated": allocated / MIB, "reserved": reserved / MIB}


def random_batch(config: TrainingConfig, place: torch.device) -> dict[str, Tensor]:
    """A batch as `training.queue` gives it, for models of either mode."""
    assert config.size is not None
    count, depth = config.batch_size, config.size[0]
    channels = len(getattr(config, "source", ("image",)))
    whole = torch.rand(count, channels, *config.size, device=place) * 2 - 1
    starts = torch.zeros(count, dtype=torch.long, device=place)
    slab = min(config.slab, depth)
    window = min(slab + 2 * int(getattr(config, "halo", 0)), depth)
    batch = {
        "source_whole": whole,
        "source_low": functional.avg_pool3d(whole, LOW_RES_FACTOR),
        "source_window": take_slabs(whole, starts, window),
        "slab_start": starts,
        "window_start": starts,
        "index": torch.arange(count),
    }
    if not hasattr(config, "target"):
        return batch
    low = torch.rand(count, 1, *batch["source_low"].shape[2:], device=place) * 2 - 1
    target = torch.rand(count, 1, slab, *config.size[1:], device=place) * 2 - 1
    return batch | {
        "target_slab": target,
        "target_low": low,
        "brain_slab": torch.ones_like(target),
        "brain_low": torch.ones_like(low),
    }


def _now(place: torch.device) -> float:
    if place.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


if __name__ == "__main__":
    given = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    Path(sys.argv[2]).write_text(json.dumps(measured_steps(**given)), "utf-8")
