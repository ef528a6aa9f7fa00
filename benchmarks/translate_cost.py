"""Time and memory of one translation, end to end, in fresh processes.

    python benchmarks/translate_cost.py [--t1 HEAD.nii.gz] [--max-memory 1GiB]

The volume has 240 x 240 x 155 voxels of 1 mm, as BraTS distributes them: the shipped sample on that
grid, or any T1 given with --t1, resampled to it. It is translated with the memory it likes and
with --max-memory, and the two results are compared. Bytes a voxel: what the process takes above a
bare one, divided by the voxels of the network's input.
"""

import argparse
import json
import math
import sys
import tempfile
from pathlib import Path

import numpy as np

from hagan_clinic.evaluation.fresh_process import MIB, program, run
from hagan_clinic.imageio import read, write
from hagan_clinic.volume import Grid, Volume, resample, to_canonical

SAMPLE = Path(__file__).parents[1] / "examples/open_ms_patient07/open_ms_patient07_t1.nii.gz"
SHAPE_RAS = (240, 240, 155)
BARE = "import hagan_clinic.runtime, nibabel, onnxruntime, SimpleITK"


def on_brats_grid(volume: Volume) -> Volume:
    """The volume on 240 x 240 x 155 voxels of 1 mm in RAS order, both fields of view centred."""
    canonical = to_canonical(volume)
    centre = canonical.affine @ [*((np.array(canonical.shape) - 1) / 2), 1]
    affine = np.eye(4)
    affine[:3, 3] = np.rint(centre[:3] - (np.array(SHAPE_RAS) - 1) / 2)
    return resample(canonical, Grid(SHAPE_RAS, affine))


def main() -> None:
    """Print a Markdown table and the largest difference."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--t1", type=Path, default=SAMPLE)
    parser.add_argument("--model", default="t1_to_flair")
    parser.add_argument("--max-memory", default="1GiB")
    parser.add_argument("--cores", type=int, default=2)
    arguments = parser.parse_args()

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        volume = on_brats_grid(read(arguments.t1))
        write(volume, folder / "t1.nii.gz", description=f"resampled from {arguments.t1.name}")
        bare = run([sys.executable, "-c", BARE], arguments.cores)
        print("| run | seconds | CPU seconds | peak MiB | MiB above bare | slabs | bytes a voxel |")
        print("|---|---|---|---|---|---|---|")
        print(f"| bare (imports) | {bare.seconds:.1f} | | {bare.peak_bytes / MIB:.0f} | | | |")
        for name, limit in {
            "free": [],
            "limited": ["--max-memory", arguments.max_memory],
        }.items():
            report = folder / f"{name}_report.json"
            output = ["-o", str(folder / f"{name}.nii.gz"), "--report", str(report)]
            options = ["--model", arguments.model, "--device", "cpu", *output, *limit]
            cost = run(program("translate", str(folder / "t1.nii.gz"), *options), arguments.cores)
            network = json.loads(report.read_text())["network"]
            above = cost.peak_bytes - bare.peak_bytes
            print(
                f"| {' '.join(['translate', *limit])} | {cost.seconds:.1f} "
                f"| {cost.cpu_seconds:.1f} | {cost.peak_bytes / MIB:.0f} | {above / MIB:.0f} "
                f"| {network['slabs']} | {above / math.prod(network['input_shape']):.0f} |"
            )
        free, limited = (read(folder / f"{name}.nii.gz").array for name in ("free", "limited"))
        print(f"\nLargest difference of the two results: {np.abs(free - limited).max():.1e}")


if __name__ == "__main__":
    main()
