"""Tables IV, VII and IX and Figs. 6, 7 and 9 of the paper, at the size that one core can do.

    PYTHONPATH=. taskset -c 0 python benchmarks/paper_tables.py $HAGAN_TEST_DATA OUT

DATA has `both.csv`, a cohort of T1s with its split, and `ct/LIDC-IDRI-0314_2mm.nii.gz`. Everything
is done by the package's own commands, whose tables and pictures stay in OUT, and a study that was
stopped goes on. docs/paper-tables.md is written from what is printed. Minutes of a core show that
the commands work and what they show; they are no evidence about the paper's models.
"""

import csv
import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean

import click
import numpy as np
import torch
import torchio as tio
from paper_figures import draw_dice, draw_memory
from scipy.ndimage import gaussian_filter
from scipy.stats import ttest_rel

from hagan_clinic.data.cohort import find_cohort
from hagan_clinic.evaluation.structures import structure_volumes
from hagan_clinic.evaluation.tables import p_value
from hagan_clinic.evaluation.volume_sets import Patients
from hagan_clinic.runtime.exploration.emphysema import find_lung
from hagan_clinic.runtime.exploration.tissues import find_body
from hagan_clinic.training.registry import gather_settings

SMALL = [
    "--mode", "unconditional", "--preset", "cpu", "--size", "32", "--spacing", "6", "--slab", "8",
    "--set", "width=64", "--set", "discriminator_width=128", "--device", "cpu",
]  # fmt: skip
"""The preset `cpu` at half its widths, as a few hundred steps of it take a minute."""

APART = ["--set", "encoder_loss_to_generator=false", "--set", "weight_prior=0"]
ARMS = {
    "whole": [],
    "encoder-apart": APART,
    "no-encoder": [*APART, "--no-encoder"],
    "no-low-res-branch": ["--no-low-res-branch"],
    "deterministic-r": ["--deterministic-r"],
}  # fmt: skip
"""The rows of Table IV, and one where the encoder's losses train the encoder alone, as the paper
writes them. In the others they reach G."""

CHEST = [
    "--mode", "unconditional", "--image", "ct", "--window=-1024,600", "--preset", "cpu",
    "--size", "64", "--spacing", "6", "--slab", "8", "--set", "width=32", "--set", "latent=12",
    "--set", "discriminator_width=32", "--set", "components=true", "--set", "end_to_end=true",
    "--set", "component_draws=64", "--set", "adversarial_start=1", "--set", "choose_by=last",
    "--set", "augment={affine=0.0, flip=0.0}", "--set", "generator_lr=1e-9", "--steps", "1",
    "--device", "cpu",
]  # fmt: skip
"""A chest in the box, and principal components alone, as one scan says no more."""

COPIES = 32
WALKS = {"lung_ml": "emphysema", "fat_ml": "tissues", "bone_ml": "tissues"}
"""Measurement -> what marks it."""

PAPER_LIKE = ["--batch-size", "2", "--set", "norm=group", "--set", "diffaugment=false"]
FRACTIONS = [word for part in ("1/8", "1/4", "1/2") for word in ("--slab-fraction", part)]


def command(words: Sequence[str], out: Path) -> None:
    """A command of the package that writes a file or folder, if it is not there."""
    if not out.exists():
        out.parent.mkdir(parents=True, exist_ok=True)
        began = time.monotonic()
        subprocess.run(["hagan-clinic", *words, "-o", str(out)], check=True)
        print(f"{out.name}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)


def train(words: Sequence[str], run: Path, cache: Path) -> None:
    """Train, or go on with a run that was stopped."""
    done = run.with_suffix(".done")
    if not done.exists():
        run.parent.mkdir(parents=True, exist_ok=True)
        often = ["--cache", str(cache), "-o", str(run)]
        subprocess.run(["hagan-clinic", "train", *words, *often], check=True)
        done.touch()


def ablations(data: Path, work: Path, seeds: Sequence[int], steps: int) -> str:
    """Table IV: FID, MMD, diversity and coverage without each part, over several seeds."""
    cohort, found = str(data / "both.csv"), []
    for seed in seeds:
        runs = [work / "runs" / f"{arm}-{seed}" for arm in ARMS]
        for run, told in zip(runs, ARMS.values(), strict=True):
            length = ["--steps", str(steps), "--validate-every", str(steps)]
            words = [*SMALL, *told, *length, "--seed", str(seed), "--data", cohort]
            train(words, run, work / "cache")
        out = work / f"synthesis-{seed}"
        words = ["--subset", "all", "--features", "hd-bet", "--cache", str(work / "features")]
        command(["evaluate", "synthesis", *map(str, runs), cohort, *words], out)
        found.append(json.loads((out / "figures.json").read_text("utf-8"))["figures"])
    return table_iv([dict(zip(["real", *ARMS], rows, strict=True)) for rows in found])


def table_iv(found: Sequence[Mapping[str, Mapping]]) -> str:
    """A row an arm: mean and spread over seeds, and p of its difference from the whole."""
    measures: dict[str, Callable[[Mapping, Mapping], float]] = {
        "FID / floor": lambda row, real: fmean(row["halves"]["fid"]) / fmean(real["halves"]["fid"]),
        "MMD": lambda row, real: fmean(row["halves"]["mmd"]),
        "MS-SSIM": lambda row, real: row["ms_ssim"],
        "coverage": lambda row, real: fmean(row["halves"]["coverage"]),
    }
    of_arm = {
        arm: {
            name: np.array([measure(rows[arm], rows["real"]) for rows in found])
            for name, measure in measures.items()
        }
        for arm in found[0]
    }
    lines = [f"| | {' | '.join(measures)} |", "|---" * (len(measures) + 1) + "|"]
    for arm, values in of_arm.items():
        cells = []
        for name, one in values.items():
            cell = f"{one.mean():.3f} ± {one.std(ddof=1):.3f}"
            if arm not in ("real", "whole"):
                cell += f" (p {p_value(ttest_rel(one, of_arm['whole'][name]).pvalue)})"
            cells.append(cell)
        lines.append(f"| {arm} | {' | '.join(cells)} |")
    return "\n".join(lines)


def encoding(data: Path, work: Path, seeds: Sequence[int], steps: int) -> str:
    """Table VII and Fig. 6: what latents say of volumes, and where structures are afterwards."""
    cohort, volumes = data / "both.csv", work / "volumes.csv"
    if not volumes.exists():
        measure(cohort, work, volumes)
    labels = f"{sys.executable} {Path(__file__).with_name('brightness_labels.py')}"
    told = ["--measurements", str(volumes)]
    words = ["evaluate", "encoding", "brain", str(cohort), *told, "--segmenter", labels]
    command(words, work / "encoding-brain")
    runs = [str(work / "runs" / f"whole-{seed}") for seed in seeds]
    command(["evaluate", "encoding", *runs, str(cohort), *told], work / "encoding-small")
    draw_dice(work / "encoding-brain" / "dice.csv", work / "paper_dice.png")
    latents = work / "latents.npz"
    command(["encode", "brain", str(cohort)], latents)
    parts = [work / name / "encoding.md" for name in ("encoding-brain", "encoding-small")]
    return "\n\n".join([*(part.read_text("utf-8") for part in parts), fits(latents, volumes, work)])


def measure(cohort: Path, work: Path, out: Path) -> None:
    """Write the volumes of every scan's structures, measured at 3 mm."""
    told = {"mode": "unconditional", "size": [64] * 3, "spacing": 3.0}
    recipe = gather_settings(None, [], told).recipe
    subjects = find_cohort(cohort, recipe.sources, None)
    scans = Patients(subjects, recipe, (64, 64, 64), work / "prepared", stripped=True)
    rows = [structure_volumes(scans[number], recipe.spacing) for number in range(len(scans))]
    with out.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["subject", "patient", *rows[0]])
        for subject, row in zip(subjects, rows, strict=True):
            table.writerow([subject.name, subject.patient, *row.values()])


def fits(latents: Path, volumes: Path, work: Path) -> str:
    """Held-out R² of each measurement with the penalty that `latent fit` chooses."""
    columns = volumes.read_text("utf-8").splitlines()[0].split(",")[2:]
    lines = ["| measurement | held-out R² |", "|---|---|"]
    for column in columns:
        out = work / "fits" / f"{column.replace(' ', '_')}.npz"
        command(["latent", "fit", str(latents), str(volumes), "--measure", column], out)
        lines.append(f"| {column} | {float(np.load(out)['r2']):.3f} |")
    return "\n".join(lines)


def cost(data: Path, work: Path, seeds: Sequence[int], steps: int) -> str:
    """Tables VIII and IX and Fig. 9: memory by size and slab, counted and measured."""
    counted, measured = work / "cost-counted", work / "cost-measured"
    command(["evaluate", "cost", "--counted", *FRACTIONS, *PAPER_LIKE], counted)
    sizes = ["--size", "32", "--size", "64", "--size", "128", "--steps", "1", "--device", "cpu"]
    command(["evaluate", "cost", *sizes, "--cores", "1", *FRACTIONS, *PAPER_LIKE], measured)
    draw_memory(counted / "cost.csv", work / "paper_memory.png")
    return "\n\n".join((folder / "cost.md").read_text("utf-8") for folder in (counted, measured))


def chests(data: Path, work: Path, seeds: Sequence[int], steps: int) -> str:
    """Fig. 7: walks along lung, fat and bone of changed copies of one chest."""
    cohort, run, table = work / "chests", work / "runs" / "chest", work / "chests.csv"
    if not cohort.exists():
        vary(data / "ct" / "LIDC-IDRI-0314_2mm.nii.gz", cohort)
    train([*CHEST, "--data", str(cohort)], run, work / "cache")
    latents = work / "chests.npz"
    command(["encode", str(run), str(cohort)], latents)
    marks = ["--image", "ct", "--emphysema", "--tissues"]
    command(["latent", "measure", str(cohort), *marks], table)
    lines = []
    for column, by in WALKS.items():
        direction, walk = work / "fits" / f"{column}.npz", work / f"walk_{column}"
        command(["latent", "fit", str(latents), str(table), "--measure", column], direction)
        told = ["--from", f"{latents}:patient05", "--measure-by", by, "--steps", "5"]
        command(["latent", "walk", str(run), str(direction), *told], walk)
        lines += [f"{column}, held-out R² {float(np.load(direction)['r2']):.3f}", ""]
        lines += [(walk / "walk.csv").read_text("utf-8"), ""]
    return "\n".join(lines)


def vary(scan: Path, folder: Path) -> None:
    """Copies of a chest CT at 4 mm with less lung, more fat in its muscles and other bones."""
    folder.mkdir(parents=True)
    chest = tio.ToCanonical()(tio.Resample(4)(tio.ScalarImage(scan)))
    values = chest.numpy()[0].T  # (D, H, W)
    lung, body = find_lung(values), find_body(values)
    lowest, *_, highest = np.flatnonzero(lung.any((1, 2)))
    muscle, bone = body & (values > 0) & (values < 100), body & (values > 150)
    field = gaussian_filter(np.random.default_rng(0).standard_normal(values.shape), 2)
    field /= field.std()
    for number in range(COPIES):
        filled, fatty, dense = np.random.default_rng(number).random(3)
        copy = values.copy()
        below = lowest + round(0.4 * filled * (highest - lowest))
        copy[:below][lung[:below]] = 40
        copy[muscle & (field > 2 - 1.5 * fatty)] = -100
        copy[bone] = 150 + (0.6 + 0.8 * dense) * (values[bone] - 150)
        chest.set_data(torch.tensor(copy.T[None]))
        chest.save(folder / f"patient{number:02}_ct.nii.gz")


PARTS = {"ablations": ablations, "encoding": encoding, "cost": cost, "chests": chests}


@click.command()
@click.argument("data", type=click.Path(path_type=Path))
@click.argument("work", metavar="OUT", type=click.Path(path_type=Path))
@click.option("--seeds", default="0,1,2", show_default=True, help="Of Table IV; two or more.")
@click.option("--steps", default=300, show_default=True, help="Of each training of Table IV.")
@click.option("--parts", default=",".join(PARTS), show_default=True)
def main(data: Path, work: Path, seeds: str, steps: int, parts: str) -> None:
    """Do every part and print its tables."""
    work.mkdir(parents=True, exist_ok=True)
    for part in parts.split(","):
        began = time.process_time()
        found = PARTS[part](data.resolve(), work.resolve(), [*map(int, seeds.split(","))], steps)
        print(f"# {part}\n\n{found}\n", flush=True)
        print(f"{part}: {time.process_time() - began:.0f} s here", file=sys.stderr)


if __name__ == "__main__":
    main()
