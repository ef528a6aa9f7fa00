"""How long the command line and the runtime take to start, in CPU seconds.

    python benchmarks/startup.py

The best of several fresh processes: what the machine can do when nothing disturbs it.
"""

import argparse
import sys

from hagan_clinic.evaluation.fresh_process import program, run

NO_COHORT = """
import contextlib
from hagan_clinic.cli import main
with contextlib.suppress(SystemExit):
    main(["train", "--data", "/nowhere"])
"""
"""What says that it is not there, and ends."""


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7)
    repeats = parser.parse_args().repeats
    commands = {
        "python, nothing imported": [sys.executable, "-c", ""],
        "hagan-clinic --help": program("--help"),
        "hagan-clinic summary": program("summary", "--mode", "unconditional", "--size", "256"),
        "hagan-clinic train, no cohort": [sys.executable, "-c", NO_COHORT],
        "import hagan_clinic.runtime": [sys.executable, "-c", "import hagan_clinic.runtime"],
    }
    print("| what | CPU seconds | peak MiB |\n|---|---|---|")
    for name, command in commands.items():
        run(command)  # fills the file cache
        costs = [run(command) for _ in range(repeats)]
        best = min(costs, key=lambda cost: cost.cpu_seconds)
        print(f"| {name} | {best.cpu_seconds:.2f} | {best.peak_bytes / 2**20:.0f} |")


if __name__ == "__main__":
    main()
