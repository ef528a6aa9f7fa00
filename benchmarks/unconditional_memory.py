"""Peak memory of a training step of the unconditional HA-GAN, by the thickness of its slab.

    python benchmarks/unconditional_memory.py
    python benchmarks/unconditional_memory.py --batch 2
    python benchmarks/unconditional_memory.py --device cuda --batch 2

One step of all four updates on random volumes of 256 cubed with the paper's widths, in a fresh
process each. The optimisers hold their moments before it and the moving average is there, as in
the middle of a run. On the CPU a slab of 1/8 of the volume is set against one of 1/2. The peak is
that of the resident size, less what Python and its libraries took before there was a model. On
CUDA, fp32 at slab 1/8 is set against bf16 with gradient checkpointing, and the peak is that of the
allocated memory.

On the CPU, `MALLOC_MMAP_THRESHOLD_` is fixed for the reason given in training_memory.py.
`hagan-clinic evaluate cost` measures other sizes and slabs by the same code.
"""

import argparse
from fractions import Fraction

from hagan_clinic.errors import DeviceError
from hagan_clinic.evaluation.cost import PAPER_MEMORY_MB, Cost, evaluate_cost
from hagan_clinic.evaluation.fresh_process import MIB

EIGHTH, HALF = Fraction(1, 8), Fraction(1, 2)


def measured(arguments: argparse.Namespace, *fractions: Fraction, **settings: object) -> list[Cost]:
    """The peaks of one step with these settings and the paper's model."""
    paper = {
        "mode": "unconditional",
        "batch_size": arguments.batch,
        "norm": arguments.norm,
        "diffaugment": False,
    }
    configurations = [((arguments.size,) * 3, fraction) for fraction in fractions]
    costs = evaluate_cost(
        {**paper, **settings}, configurations, arguments.device, steps=0, cores=arguments.cores
    )
    if failed := [cost.error for cost in costs if cost.error]:
        raise DeviceError(failed[0])
    return costs


def on_cpu(arguments: argparse.Namespace) -> None:
    """Print slab 1/8 beside slab 1/2."""
    settings = {"gradient_checkpointing": arguments.checkpointing}
    costs = measured(arguments, EIGHTH, HALF, **settings)
    print("| slab | slices | training MiB |\n|---|---|---|")
    for cost in costs:
        print(f"| {cost.fraction} | {int(arguments.size * cost.fraction)} | {cost.peak:.0f} |")
    share = costs[0].peak / costs[1].peak
    print(f"\nWith batch {arguments.batch}, slab 1/8 takes {share:.0%} of the memory of slab 1/2.")


def on_cuda(arguments: argparse.Namespace) -> None:
    """Print fp32 beside bf16 with checkpointing."""
    print("| precision | allocated MiB | reserved MiB | of the paper's |\n|---|---|---|---|")
    lower = {"precision": "bf16-mixed", "gradient_checkpointing": True}
    paper = PAPER_MEMORY_MB[256, EIGHTH] * 1e6
    for title, settings in (("fp32", {}), ("bf16, checkpointing", lower)):
        (cost,) = measured(arguments, EIGHTH, **settings)
        row = [title, f"{cost.peak:.0f}", f"{cost.reserved:.0f}", f"{cost.peak * MIB / paper:.0%}"]
        print(f"| {' | '.join(row)} |", flush=True)


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--norm", default="group")
    parser.add_argument("--checkpointing", action="store_true", help="on the CPU; CUDA does both")
    parser.add_argument("--cores", type=int)
    arguments = parser.parse_args()
    (on_cuda if arguments.device == "cuda" else on_cpu)(arguments)


if __name__ == "__main__":
    main()
