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
"""

import argparse
import json
import resource
import sys
import tempfile
from pathlib import Path

import torch
from fresh_process import MIB, run
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel

from hagan_clinic.backbone.slab import LOW_RES_FACTOR, take_slabs
from hagan_clinic.unconditional import HAGAN, HAGANConfig

KIB = 1024
ENVIRONMENT = {"MALLOC_MMAP_THRESHOLD_": str(4 * MIB)}
PAPER_MB = 5961
"""What the paper's training took at 256 cubed with batch 2 (Table IX)."""


def one_step(arguments: argparse.Namespace) -> dict[str, float]:
    """Train one step in this process; its peaks on CUDA, or what was there before it, in MiB."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KIB / MIB
    side, device = arguments.size, torch.device(arguments.device)
    torch.manual_seed(0)
    config = HAGANConfig(size=(side,) * 3, slab=arguments.slab, norm=arguments.norm)
    model = HAGAN(config, checkpointing=arguments.checkpointing)
    model = model.to(device).to(memory_format=torch.channels_last_3d)
    average = AveragedModel(model.averaged)
    optimizers = {}
    for name, group in model.groups().items():
        optimizers[name] = torch.optim.AdamW(group.parameters, lr=group.lr, betas=group.betas)
        for parameter in group.parameters:
            parameter.grad = torch.zeros_like(parameter)
        optimizers[name].step()
        optimizers[name].zero_grad()

    whole = torch.rand(arguments.batch, 1, side, side, side, device=device) * 2 - 1
    starts = torch.zeros(arguments.batch, dtype=torch.long, device=device)
    batch = {
        "source_whole": whole,
        "source_low": functional.avg_pool3d(whole, LOW_RES_FACTOR),
        "source_window": take_slabs(whole, starts, config.slab),
        "slab_start": starts,
        "index": torch.arange(arguments.batch),
    }

    def update(name: str, loss: torch.Tensor) -> None:
        with torch.autocast(device.type, enabled=False):
            loss.backward()
            optimizers[name].step()
            optimizers[name].zero_grad()

    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    with torch.autocast(device.type, torch.bfloat16, enabled=arguments.bf16):
        terms = model.training_step(batch, 0, update)
    average.update_parameters(model.averaged)
    assert all(torch.isfinite(term) for term in terms.values()), terms
    if device.type != "cuda":
        return {"before": before}
    return {
        "allocated": torch.cuda.max_memory_allocated() / MIB,
        "reserved": torch.cuda.max_memory_reserved() / MIB,
    }


def measured(arguments: argparse.Namespace, *options: str) -> dict[str, float]:
    """Seconds and peaks in MiB of a fresh process with these options."""
    shared = ("--device", arguments.device, "--size", arguments.size, "--batch", arguments.batch)
    with tempfile.TemporaryDirectory() as scratch:
        result = Path(scratch) / "peaks.json"
        command = [sys.executable, __file__, "--result", result, *shared, *options]
        cost = run([str(word) for word in command], arguments.cores, ENVIRONMENT)
        return {
            "seconds": cost.seconds,
            "process": cost.peak_bytes / MIB,
            **json.loads(result.read_text()),
        }


def on_cpu(arguments: argparse.Namespace) -> None:
    """Print slab 1/8 beside slab 1/2."""
    peaks = []
    checkpointing = ["--checkpointing"] * arguments.checkpointing
    print("| slab | slices | process MiB | training MiB | seconds |\n|---|---|---|---|---|")
    for part in (8, 2):
        slab = str(arguments.size // part)
        cost = measured(arguments, "--slab", slab, *checkpointing)
        peaks.append(cost["process"] - cost["before"])
        row = [f"1/{part}", slab, f"{cost['process']:.0f}", f"{peaks[-1]:.0f}"]
        print(f"| {' | '.join(row)} | {cost['seconds']:.0f} |", flush=True)
    share = peaks[0] / peaks[1]
    print(f"\nWith batch {arguments.batch}, slab 1/8 takes {share:.0%} of the memory of slab 1/2.")


def on_cuda(arguments: argparse.Namespace) -> None:
    """Print fp32 beside bf16 with checkpointing."""
    print("| precision | allocated MiB | reserved MiB | of the paper's |\n|---|---|---|---|")
    slab = ("--slab", str(arguments.size // 8))
    for title, options in (("fp32", ()), ("bf16, checkpointing", ("--bf16", "--checkpointing"))):
        cost = measured(arguments, *slab, *options)
        share = cost["allocated"] * MIB / (PAPER_MB * 1e6)
        row = [title, f"{cost['allocated']:.0f}", f"{cost['reserved']:.0f}", f"{share:.0%}"]
        print(f"| {' | '.join(row)} |", flush=True)


def main() -> None:
    """Print a Markdown table, or with --result measure one step."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--checkpointing", action="store_true", help="on the CPU; CUDA does both")
    parser.add_argument("--cores", type=int)
    child = parser.add_argument_group("one step, as the script calls itself")
    child.add_argument("--result", type=Path)
    child.add_argument("--slab", type=int, default=32)
    child.add_argument("--norm", default="group")
    child.add_argument("--bf16", action="store_true")
    arguments = parser.parse_args()
    if arguments.result is not None:
        arguments.result.write_text(json.dumps(one_step(arguments)))
    elif arguments.device == "cuda":
        on_cuda(arguments)
    else:
        on_cpu(arguments)


if __name__ == "__main__":
    main()
