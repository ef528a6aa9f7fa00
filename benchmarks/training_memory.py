"""Peak memory of slab training against whole-volume training of the same network.

    python benchmarks/training_memory.py

Synthetic patients of 160 x 192 x 160 voxels, a few steps of `hagan-clinic train` in a fresh
process each, discriminators included: once on slabs, once with the slab as deep as the volume.

Both run with a fixed `MALLOC_MMAP_THRESHOLD_`. By itself glibc keeps freed blocks of up to 32 MiB
for later, and the peak then counts what tensors once took; larger ones, as of whole volumes, it
always gives back.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np

from hagan_clinic.evaluation.fresh_process import MIB, program, run
from hagan_clinic.imageio import write
from hagan_clinic.volume import Volume

SHAPE = (160, 192, 160)  # D, H, W
SLAB, HALO = 32, 8
ENVIRONMENT = {"MALLOC_MMAP_THRESHOLD_": str(4 * MIB)}


def write_cohort(
    folder: Path, patients: int, shape: tuple[int, int, int] = SHAPE, *, spacing: float = 1.0
) -> None:
    """A BraTS-like folder of ellipsoids with texture: memory does not ask what is shown."""
    rng = np.random.default_rng(0)
    axes = np.meshgrid(*(np.linspace(-1, 1, size) for size in shape[::-1]), indexing="ij")
    inside = sum(axis**2 for axis in axes) < 0.8
    for number in range(patients):
        name = f"patient{number}"
        (folder / name).mkdir(parents=True)
        for modality in ("t1", "flair"):
            array = np.where(inside, rng.uniform(200, 900, inside.shape), 0).astype(np.float32)
            file = folder / name / f"{name}_{modality}.nii.gz"
            affine = np.diag([spacing, spacing, spacing, 1.0])
            write(Volume(array, affine), file, description="benchmark")


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--cores", type=int)
    arguments = parser.parse_args()

    with tempfile.TemporaryDirectory() as scratch:
        cohort = Path(scratch) / "cohort"
        write_cohort(cohort, patients=3)
        peaks = {}
        for name, slab, halo in (("slab", SLAB, HALO), ("whole volume", SHAPE[0], 0)):
            settings = {
                "data": cohort,
                "output": Path(scratch) / name.replace(" ", "_"),
                "spacing": 1.0,
                "slab": slab,
                "halo": halo,
                "steps": arguments.steps,
                "batch-size": 1,
                "workers": 0,
            }
            options = [f"--{key}={value}" for key, value in settings.items()]
            for setting in ("adversarial_start=0.0", "queue_length=1", f"size={list(SHAPE)}"):
                options += ["--set", setting]
            command = program("train", "--mode", "conditional", *options)
            cost = run(command, arguments.cores, ENVIRONMENT)
            peaks[name] = cost.peak_bytes / MIB
    print("| training | slices a step | peak MiB |\n|---|---|---|")
    print(f"| slab | {SLAB} + 2 x {HALO} | {peaks['slab']:.0f} |")
    print(f"| whole volume | {SHAPE[0]} | {peaks['whole volume']:.0f} |")
    print(f"\nSlab training takes {peaks['slab'] / peaks['whole volume']:.0%} of the memory.")


if __name__ == "__main__":
    main()
