"""Time and memory of a step of the unconditional model, beside the authors'."""

import gc
import time
from typing import Any

import torch
from authors import Step
from given import Given, given, tell

from hagan_clinic.evaluation.cost_step import MIB, measured_steps
from hagan_clinic.unconditional import HAGANConfig
from hagan_clinic.unconditional.settings import default_slab

HALF = {"precision": "bf16-mixed"}
CHECKPOINTING = {"gradient_checkpointing": True}
OURS: tuple[tuple[str, int, dict[str, Any]], ...] = (
    ("fp32", 4, {}),
    ("bf16", 4, HALF),
    ("bf16, checkpointing", 2, HALF | CHECKPOINTING),
    ("fp32", 2, {}),
    ("bf16, checkpointing", 4, HALF | CHECKPOINTING),
    ("bf16", 2, HALF),
    ("fp32, group norm", 4, {"norm": "group"}),
    ("fp32, checkpointing", 4, CHECKPOINTING),
    ("bf16, not channels-last", 4, HALF | {"channels_last": False}),
    ("fp32, not channels-last", 4, {"channels_last": False}),
    ("bf16, compiled", 2, HALF | {"compile": True}),  # takes minutes before its first step
)
"""What comes first is printed first."""


def main() -> None:
    """A row a setting, as long as there is time."""
    arguments = given()
    steps = 2 if arguments.small else 12
    for batch in (4, 2):
        tell(code="authors", precision="fp32", **authors(arguments, batch, steps))
        for name, samples, settings in OURS:
            if samples != batch:
                continue
            if arguments.left < 5:
                return
            tell(code="ours", precision=name, **ours(arguments, batch, steps, settings))


def ours(arguments: Given, batch: int, steps: int, settings: dict[str, Any]) -> dict[str, Any]:
    """The figures of one setting, or why there are none."""
    values = {**arguments.cube, "batch_size": batch, **settings}
    try:
        result = measured_steps(values, arguments.device, steps)
    except Exception as error:  # the next setting is measured all the same
        return {"batch": batch, "failed": f"{type(error).__name__}: {error}"[:300]}
    finally:
        forget()
    rounded = {name: round(value) for name, value in result.items() if name in MEMORY}
    return {"batch": batch, **rounded, "steps/s": result["steps_per_second"]}


MEMORY = ("allocated", "reserved")


def authors(arguments: Given, batch: int, steps: int) -> dict[str, Any]:
    """The same of the authors' step, after a first one that is not timed."""
    size = arguments.cube["size"]
    widths = ("width", "discriminator_width", "latent")
    sizes = {name: arguments.cube[name] for name in widths if name in arguments.cube}
    config = HAGANConfig(size=tuple(size), slab=default_slab(size[0]), norm="group", **sizes)
    cuda = arguments.device == "cuda"
    try:
        with torch.device(arguments.device):
            step = Step(config)
            volumes = torch.rand(batch, 1, *size) * 2 - 1
        step.step(volumes, config.slab)
        if cuda:
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
        began = time.perf_counter()
        for _ in range(steps):
            step.step(volumes, config.slab)
        if cuda:
            torch.cuda.synchronize()
        rate = steps / (time.perf_counter() - began)
        memory = (torch.cuda.max_memory_allocated(), torch.cuda.max_memory_reserved())
    except Exception as error:
        return {"batch": batch, "failed": f"{type(error).__name__}: {error}"[:300]}
    finally:
        step = volumes = None
        forget()
    rounded = dict(zip(MEMORY, (round(each / MIB) for each in memory), strict=True)) if cuda else {}
    return {"batch": batch, **rounded, "steps/s": rate}


def forget() -> None:
    """Free what the last measurement took."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
