"""Where the time of a translation goes, stage by stage, and against an older commit.

    python benchmarks/stages.py [--series $HAGAN_TEST_DATA/dicom/sag_mprage] [--against COMMIT]

A process of each tree in turn, --rounds times, translates a file of 240 x 240 x 155 voxels of 1 mm,
or the series, as often as --repeat says, writing volume, uncertainty and preview; then it does so
with the clock of CPU time. The median time of each stage is shown, and how far the two trees'
results are apart. Without --network the network is replaced by one that gives its source back: it
takes most of the time on a CPU, and none of it is looked at here. A tree whose own model has
another voxel size or box is given those of today's with --same-grid.

With --device cuda and --network, --tf32 tells what the network takes with TensorFloat-32 and with
cuDNN's exhaustive search, and how far the results are from those without.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import chain
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from translate_cost import SAMPLE, on_brats_grid

from hagan_clinic.imageio import read, write
from hagan_clinic.runtime import find_model, load_model

ROOT = Path(__file__).parents[1]
STAGES = ("read", "prepare", "check", "network", "restore", "write", "preview")

CHILD = """
import json, sys, time
from dataclasses import replace
from pathlib import Path
import numpy as np
from hagan_clinic.runtime import Translator, network, report

options = json.loads(sys.argv[1])
folder = Path(options["folder"])
if not options["network"]:
    def echo(self, source, plan, progress=None):
        return source[0].copy(), np.full(source.shape[1:], 0.05, np.float32)
    network.Network.run = echo
chosen = {"tf32": True} if options["tf32"] else {}
translator = Translator(options["model"], options["device"], **chosen)
if options["grid"]:
    given = {name: tuple(values) for name, values in options["grid"].items()}
    recipe = replace(translator.model.recipe, **given)
    translator.model = replace(translator.model, recipe=recipe)
told = {}
for clock in ("perf_counter", "process_time"):
    report.time = type("clock", (), {"perf_counter": staticmethod(getattr(time, clock))})
    runs = []
    for _ in range(options["repeat"] + 1):
        result = translator.translate(
            options["source"], folder / "flair.nii", uncertainty=folder / "u.nii",
            preview=folder / "p.png", overwrite=True,
        )
        runs.append(result.report["seconds"])
    # The first one imports and warms up.
    told[clock] = {name: [run[name] for run in runs[1:]] for name in options["stages"]}
told["shape"] = result.report["network"]["input_shape"]
print(json.dumps(told))
"""


def measured(tree: Path, folder: Path, options: dict[str, Any]) -> dict[str, Any]:
    """Every run's seconds of each stage of a tree, by both clocks."""
    folder.mkdir(exist_ok=True)
    given = json.dumps(options | {"folder": str(folder), "stages": STAGES})
    done = subprocess.run(
        [sys.executable, "-c", CHILD, given],
        env={**os.environ, "PYTHONPATH": str(tree)},
        cwd=folder,
        check=True,
        capture_output=True,
        text=True,
    )
    told: dict[str, Any] = json.loads(done.stdout)
    return told


@contextmanager
def checked_out(commit: str) -> Iterator[Path]:
    """An older commit of this repository in a folder of its own."""
    with tempfile.TemporaryDirectory() as scratch:
        archive = subprocess.run(
            ["git", "-C", str(ROOT), "archive", commit], check=True, capture_output=True
        ).stdout
        subprocess.run(["tar", "-x", "-C", scratch], input=archive, check=True)
        yield Path(scratch)


def difference(first: Path, second: Path) -> str:
    """Between two runs' results; of half-widths where both synthesised something."""
    names = ("flair.nii", "u.nii")
    (one, known), (other, also) = (
        [read(folder / name).array for name in names] for folder in (first, second)
    )
    both = (known > 0) & (known < 1) & (also > 0) & (also < 1)
    half_width = np.abs(known - also)[both].max()
    return f"volume {np.abs(one - other).max():.1e}, half-width {half_width:.1e}"


def alternately(trees: dict[str, Callable[[], dict[str, Any]]], rounds: int) -> dict[str, Any]:
    """Stages of several trees, measured in turn: a median of each, by both clocks."""
    every = [{name: measure() for name, measure in trees.items()} for _ in range(rounds)]
    return {
        name: {"shape": every[0][name]["shape"]}
        | {
            clock: {
                stage: median(chain.from_iterable(one[name][clock][stage] for one in every))
                for stage in STAGES
            }
            for clock in ("perf_counter", "process_time")
        }
        for name in trees
    }


def table(results: dict[str, dict[str, Any]]) -> str:
    """Wall clock and CPU seconds of each stage, in Markdown."""
    lines = [f"| stage | {' | '.join(f'{name}, s | CPU s' for name in results)} |"]
    lines.append("|---" * (1 + 2 * len(results)) + "|")
    for stage in (*STAGES, "all but the network"):
        wanted = [one for one in STAGES if one != "network"] if stage not in STAGES else [stage]
        cells = [
            f"{sum(told[clock][one] for one in wanted):.3f}"
            for told in results.values()
            for clock in ("perf_counter", "process_time")
        ]
        lines.append(f"| {stage} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Print a Markdown table and the largest difference."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--t1", type=Path, default=SAMPLE)
    parser.add_argument("--series", type=Path, help="a DICOM series instead")
    parser.add_argument("--model", default="t1_to_flair")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--network", action="store_true", help="run the network too")
    parser.add_argument("--tf32", action="store_true", help="compare with TF32 on CUDA")
    parser.add_argument("--against", metavar="COMMIT", help="an older commit")
    parser.add_argument("--same-grid", action="store_true", help="voxel size and box of today")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        source = arguments.series
        if source is None:
            source = folder / "t1.nii.gz"
            write(on_brats_grid(read(arguments.t1)), source, description="resampled")
        model = Path(arguments.model)
        options = {
            "source": str(source.resolve()),
            "model": str(model.resolve()) if model.is_file() else arguments.model,
            "device": arguments.device,
            "network": arguments.network,
            "tf32": False,
            "repeat": arguments.repeat,
            "grid": None,
        }
        trees = {"now": partial(measured, ROOT, folder / "now", options)}
        with ExitStack() as scratch_trees:
            if arguments.tf32:
                name = "TF32"
                trees[name] = partial(measured, ROOT, folder / name, options | {"tf32": True})
            elif arguments.against:
                name = arguments.against
                tree = scratch_trees.enter_context(checked_out(name))
                if arguments.same_grid:
                    recipe = load_model(find_model(options["model"])).recipe
                    options = options | {"grid": {"spacing": recipe.spacing, "box": recipe.box}}
                trees[name] = partial(measured, tree, folder / name, options)
            results = alternately(trees, arguments.rounds)
        shapes = ", ".join(f"{name} {told['shape']}" for name, told in results.items())
        print(f"Network input: {shapes}; {arguments.device}.\n")
        print(table(results))
        if len(results) == 2:
            print(f"\nLargest difference: {difference(folder / 'now', folder / name)}")


if __name__ == "__main__":
    main()
