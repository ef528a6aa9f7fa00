"""A cohort by one process and by a cluster's workers, one of which is killed; and a plan.

    python benchmarks/cluster.py --scans 60 --cube 48       # the demonstration
    python benchmarks/cluster.py --scans 6 --plan 100000    # what so many scans would take
    python benchmarks/cluster.py --scans 6 --plan 100000 --scan SCAN    # of another kind

The scans are one scan (by default the shipped sample, a head at 1 mm that is cropped close; whole,
or a cube in its middle, whose side --cube says), each brighter than the one before.

All runs of the demonstration have the same two cores, one after the other: the plain batch,
`--cluster local:2`, and `--cluster local:3` with a SIGKILL for one of the three workers when a
quarter of the scans are done. Every scan must then have one row, and the plain batch's result to
1e-4. Other work on the machine slows all of them: CPU seconds tell what a scan costs, and the wall
clock of a run says something beside the other runs' alone.

The plan is by what one more scan costs a worker with one thread: the CPU time of a batch of --scans
without that of a batch of one, so that no start is counted.
"""

import argparse
import csv
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

from hagan_clinic.evaluation.fresh_process import MIB, ProcessCost, program, run
from hagan_clinic.imageio import read, write
from hagan_clinic.volume import Volume, crop_or_pad, to_canonical

SAMPLE = Path(__file__).parents[1] / "examples/open_ms_patient07/open_ms_patient07_t1.nii.gz"
MACHINES = (16, 64, 256)
"""Cores, of the plan: a worker has one."""


@dataclass(frozen=True)
class Measured:
    """One run over the cohort."""

    name: str
    cost: ProcessCost
    scans: int

    @property
    def an_hour(self) -> float:
        """Scans by the wall clock."""
        return 3600 * self.scans / self.cost.seconds

    def row(self) -> str:
        """Of the table."""
        each = self.cost.cpu_seconds / self.scans
        return (
            f"| {self.name} | {self.cost.seconds:.0f} | {self.an_hour:.0f} | {each:.1f} "
            f"| {self.cost.peak_bytes / MIB:.0f} |"
        )


def make_cohort(folder: Path, scan: Path, scans: int, side: int | None = None) -> None:
    """Patients' folders with one T1 each, no two alike."""
    volume = to_canonical(read(scan))
    if side is not None:
        start = [(length - side) // 2 for length in volume.shape]
        volume = crop_or_pad(volume, start, (side, side, side))
    for number in range(scans):
        place = folder / f"p{number:03}"
        place.mkdir(parents=True)
        bright = Volume((volume.array * (1 + number / scans)).astype(np.float32), volume.affine)
        write(bright, place / "t1.nii.gz", description="for a benchmark")


def translate(cohort: Path, output: Path, cores: int, *more: str) -> ProcessCost:
    """One call of `translate`, in a process of its own."""
    command = program("translate", str(cohort), "-o", str(output), "--device", "cpu", "-q", *more)
    return run(command, cores)


def kill_a_worker(output: Path, after: int, killed: list[int]) -> None:
    """SIGKILL for one worker of the run that writes there, once so many scans are done."""
    table = output / "results.csv"
    while not table.exists() or len(table.read_text().splitlines()) <= after:
        time.sleep(0.05)
    for process in psutil.process_iter(["cmdline"]):
        if str(output) in (process.info["cmdline"] or []) and "-IS" not in process.info["cmdline"]:
            workers = [one for one in process.children() if "spawn_main" in str(one.cmdline())]
            workers[0].kill()
            killed.append(workers[0].pid)
            return


def check(plain: Path, output: Path, scans: int) -> float:
    """The largest difference from the plain batch; ends the program if a scan is not there once."""
    with (output / "results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    done = [row["subject"] for row in rows if row["status"] == "translated"]
    if sorted(done) != [f"p{number:03}" for number in range(scans)]:
        sys.exit(f"{output}: {len(set(done))} of {scans} scans in {len(rows)} rows")
    return max(
        float(np.abs(read(path).array - read(output / path.relative_to(plain)).array).max())
        for path in sorted(plain.rglob("*.nii.gz"))
    )


def size(folder: Path) -> int:
    """Bytes of its files."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def plan(count: int, scan: Path, scans: int, folder: Path, cores: int) -> None:
    """What so many examinations would take, by what one more scan of a batch takes."""
    make_cohort(folder / "one", scan, 1)
    make_cohort(folder / "many", scan, scans)
    threads = ("--threads", "1", "--uncertainty")
    first = translate(folder / "one", folder / "a", cores, *threads, str(folder / "a"))
    all_of_them = translate(folder / "many", folder / "b", cores, *threads, str(folder / "b"))
    seconds = (all_of_them.cpu_seconds - first.cpu_seconds) / (scans - 1)
    read_each, written_each = (size(folder / name) / scans / MIB for name in ("many", "b"))
    memory = all_of_them.peak_bytes / 2**30
    shape = " x ".join(map(str, read(scan).shape))
    print(f"{count:,} scans of {shape} voxels with their error bars, a worker a core:\n")
    print(f"- {seconds:.1f} CPU seconds each: {count * seconds / 3600:,.0f} core hours")
    print(f"- {memory:.1f} GiB of memory at most in a worker")
    for what, each in (("read", read_each), ("written", written_each)):
        print(f"- {each:.1f} MiB {what} each: {count * each / 2**20:.2f} TiB")
    print("\n| cores | memory, GiB | hours | scans an hour | MiB/s read | MiB/s written |")
    print("|---|---|---|---|---|---|")
    for workers in MACHINES:
        rate = workers / seconds
        hours = count / rate / 3600
        print(
            f"| {workers} | {workers * memory:.0f} | {hours:.1f} | {rate * 3600:,.0f} "
            f"| {rate * read_each:.0f} | {rate * written_each:.0f} |"
        )


def demonstrate(scan: Path, scans: int, side: int | None, folder: Path, cores: int) -> None:
    """Three runs over one cohort, a worker killed in the last."""
    cohort = folder / "cohort"
    make_cohort(cohort, scan, scans, side)
    runs = [Measured("one process", translate(cohort, folder / "plain", cores), scans)]
    cost = translate(cohort, folder / "two", cores, "--cluster", "local:2")
    runs.append(Measured("`--cluster local:2`", cost, scans))
    killed: list[int] = []
    killer = threading.Thread(
        target=kill_a_worker, args=(folder / "three", scans // 4, killed), daemon=True
    )
    killer.start()
    cost = translate(cohort, folder / "three", cores, "--cluster", "local:3")
    runs.append(Measured("`--cluster local:3`, one killed", cost, scans))
    print(f"{scans} scans on {cores} cores\n")
    print("| run | seconds | scans an hour | CPU s a scan | peak MiB of a process |")
    print("|---|---|---|---|---|")
    print("\n".join(one.row() for one in runs))
    differences = [check(folder / "plain", folder / one, scans) for one in ("two", "three")]
    print(f"\nworkers killed: {len(killed)}; every scan has one row in each run")
    print(f"largest differences from one process: {', '.join(f'{d:.1e}' for d in differences)}")


def main() -> None:
    """Print a table and what was checked, or a plan."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scan", type=Path, default=SAMPLE, help="T1 that all are made of")
    parser.add_argument("--scans", type=int, default=60)
    parser.add_argument("--cube", type=int, help="side of each scan, mm; else the whole head")
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--plan", type=int, help="examinations to plan for")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        if arguments.plan:
            plan(arguments.plan, arguments.scan, arguments.scans, folder, arguments.cores)
        else:
            demonstrate(arguments.scan, arguments.scans, arguments.cube, folder, arguments.cores)


if __name__ == "__main__":
    main()
