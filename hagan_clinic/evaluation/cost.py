"""What training costs: parameters, peak memory and speed, by volume size and slab thickness."""

import json
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hagan_clinic.backbone.slab import LOW_RES_FACTOR
from hagan_clinic.conditional.slab_unet import STRIDE
from hagan_clinic.errors import DeviceError
from hagan_clinic.evaluation.counted_memory import counted_step
from hagan_clinic.evaluation.fresh_process import MIB, check_system, run
from hagan_clinic.evaluation.tables import Table, as_csv, number
from hagan_clinic.training.config import TrainingConfig
from hagan_clinic.training.registry import gather_settings

# By itself glibc keeps freed blocks of up to 32 MiB, and the peak counts what tensors once took.
ENVIRONMENT = {"MALLOC_MMAP_THRESHOLD_": str(4 * MIB)}

PAPER_MEMORY_MB = {
    (32, Fraction(1, 8)): 2573,
    (64, Fraction(1, 8)): 2665,
    (128, Fraction(1, 8)): 3167,
    (256, Fraction(1, 8)): 5961,
    (256, Fraction(1, 4)): 10689,
    (256, Fraction(1, 2)): 13185,
}
"""Of the paper's training on a GPU with batch 2, by side and slab (Fig. 9, Tables VIII, IX)."""

PAPER_PARAMETERS = {32: "74.7M", 64: "78.7M", 128: "79.6M", 256: "79.7M"}
"""Table VIII."""


Configuration = tuple[tuple[int, int, int], Fraction | None]
"""(D, H, W) and the slab's part of D; None for a model that learns from no slabs."""


@dataclass(frozen=True)
class Cost:
    """Of one configuration.

    Attributes:
        size: (D, H, W).
        fraction: Of the slab; None for a model without slabs.
        batch: Samples a step.
        parameters: Of everything that trains.
        peak: MiB; on CUDA what PyTorch allocated, on the CPU what the process took beyond Python
            and its libraries; of a counted step what was alive (`counted_memory`).
        reserved: MiB that PyTorch held on CUDA; NaN elsewhere.
        steps_per_second: NaN where no step was timed.
        error: Why there are no values; empty where there are.
    """

    size: tuple[int, int, int]
    fraction: Fraction | None
    batch: int
    parameters: int
    peak: float
    reserved: float
    steps_per_second: float
    error: str = ""


def configurations_of(
    settings: Mapping[str, Any],
    sizes: Sequence[tuple[int, int, int]],
    fractions: Sequence[Fraction],
) -> Sequence[Configuration]:
    """Every size with the first slab fraction, and the largest with the others too.

    Sizes alone where the model learns from whole volumes or patches.

    Raises:
        InputError: The settings do not fit together.
    """
    config = gather_settings(None, [], {**settings, "size": list(sizes[0])})
    if config.smaller != TrainingConfig.smaller:  # a thinner slab is nothing to save memory with
        return [(size, None) for size in sizes]
    largest = max(sizes, key=math.prod)
    return [(size, fractions[0]) for size in sizes] + [(largest, part) for part in fractions[1:]]


def evaluate_cost(
    settings: Mapping[str, Any],
    configurations: Sequence[Configuration],
    device: str,
    *,
    steps: int,
    cores: int | None = None,
    step: Callable[[], None] = lambda: None,
) -> list[Cost]:
    """Train a few steps of each configuration, in a fresh process each.

    Args:
        settings: Of `hagan-clinic train`, with `mode` and `batch_size`.
        configurations: Size and slab fraction.
        device: `cpu` or `cuda`; `none` counts the memory of a step without doing it.
        steps: To time, after a first one; 0 measures memory alone.
        cores: CPU cores to run on; all if None.
        step: Called after each configuration.

    Raises:
        InputError: The settings do not fit together.
        DeviceError: This system cannot measure it.
    """
    check_system(cores)
    multiple = STRIDE if settings.get("model") == "slab-unet" else LOW_RES_FACTOR
    every = []
    for size, fraction in configurations:
        given = {**settings, "size": list(size)}
        if fraction is not None:
            given["slab"] = slab_of(size[0], fraction, multiple)
            fraction = Fraction(given["slab"], size[0])
        gather_settings(None, [], given)  # refuses them before the first is measured
        every.append((size, fraction, given))
    costs = []
    for size, fraction, given in every:
        batch = int(given["batch_size"])
        try:
            if device == "none":
                measured = counted_step(given)
            else:
                measured = _in_fresh_process(
                    {"settings": given, "device": device, "steps": steps}, cores
                )
        except DeviceError as error:
            nan = float("nan")
            costs.append(Cost(size, fraction, batch, 0, nan, nan, nan, _why(error)))
        else:
            costs.append(
                Cost(
                    size, fraction, batch, int(measured["parameters"]),
                    _peak(measured),
                    measured.get("reserved", float("nan")),
                    measured.get("steps_per_second", float("nan")),
                )
            )  # fmt: skip
        step()
    return costs


def slab_of(depth: int, fraction: Fraction, multiple: int = LOW_RES_FACTOR) -> int:
    """Slices of a slab: that part of the depth, in multiples, and one of them at least."""
    return max(int(depth * fraction) // multiple, 1) * multiple


def _peak(measured: Mapping[str, float]) -> float:
    """MiB, as reported by the device."""
    for name in ("counted", "allocated"):
        if name in measured:
            return measured[name]
    return measured["process"] - measured.get("before", 0.0)


def _why(error: DeviceError) -> str:
    """What stopped a process, in a line."""
    last = str(error).strip().splitlines()[-1]
    # 256 - SIGKILL, which Linux sends when memory is gone.
    return "killed: memory ran out" if last.endswith("exited with 247:") else last


def _in_fresh_process(given: Mapping[str, Any], cores: int | None) -> dict[str, float]:
    """What `cost_step` measured, with the seconds and the peak MiB of its process."""
    with TemporaryDirectory(prefix="hagan-clinic-") as scratch:
        settings, result = Path(scratch) / "settings.json", Path(scratch) / "result.json"
        settings.write_text(json.dumps(given), "utf-8")
        command = [sys.executable, "-m", "hagan_clinic.evaluation.cost_step"]
        cost = run([*command, str(settings), str(result)], cores, ENVIRONMENT)
        measured: dict[str, float] = json.loads(result.read_text("utf-8"))
        return {**measured, "process": cost.peak_bytes / MIB, "seconds": cost.seconds}


def cost_table(costs: Sequence[Cost], mode: str, model: str, device: str) -> Table:
    """The values, the paper's beside those that it has."""
    cells = []
    in_paper = (mode, model) == ("unconditional", "hagan")
    for cost in costs:
        side = cost.size[0] if len(set(cost.size)) == 1 else 0
        slab = cost.fraction
        paper = PAPER_MEMORY_MB.get((side, slab)) if in_paper and slab is not None else None
        parameters = PAPER_PARAMETERS.get(side, "–") if in_paper else "–"
        cells.append(
            [
                "×".join(map(str, cost.size)), "–" if slab is None else str(slab), str(cost.batch),
                f"{cost.parameters:,}" if not cost.error else "–", parameters,
                number(cost.peak, 0) if not cost.error else cost.error[:60],
                number(cost.reserved, 0), "–" if paper is None else str(paper),
                number(cost.steps_per_second, 3),
            ]
        )  # fmt: skip
    header = ["size", "slab", "batch", "parameters", "paper's", "peak MiB", "reserved MiB",
              "paper's MB", "steps/s"]  # fmt: skip
    how = {
        "cuda": "Measured with cuda; peak: allocated by PyTorch",
        "cpu": "Measured with cpu; peak: resident, less that before the model",
        "none": "Counted; peak: what is alive, without what kernels take for themselves",
    }[device]
    note = (
        f"{how}. The paper's values are of another code of HA-GAN "
        "with batch 2 on a GPU (Fig. 9, Tables VIII and IX)."
    )
    return Table(f"Cost of a training step, {mode} {model}", header, cells, note)


def cost_csv(costs: Sequence[Cost]) -> str:
    """Every value."""
    header = ["size", "slab", "batch", "parameters", "peak_mib", "reserved_mib",
              "steps_per_second", "error"]  # fmt: skip
    return as_csv(
        header,
        [
            ["x".join(map(str, cost.size)), cost.fraction or "", cost.batch, cost.parameters,
             cost.peak, cost.reserved, cost.steps_per_second, cost.error]
            for cost in costs
        ],
    )  # fmt: skip
