"""HA-GAN and its baselines on one cohort: one recipe, equal time, cross-validated, one page.

    python benchmarks/study.py COHORT OUT --folds 3 --minutes 1.2 --budget 2.4 -o docs/results.md

Every model is timed first, after its start-up; it is then trained for the steps that fit into the
minutes at that speed, so that what else the machine does gives no model an advantage.
Weights, checkpoints and tables stay in OUT, and the same command goes on where it was stopped.
"""

import csv
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import click
import psutil
import torch
from study_cohort import coarse_cohort, write_folds
from study_models import STUDIES, Entry, Study
from study_page import write_page
from study_pictures import SAMPLE
from study_place import evaluation_of

from hagan_clinic.runtime.session import usable_cpus
from hagan_clinic.training.folds import SPLIT, place_of

TIMED_STEPS = 30
"""Of a short whole run, as discriminators join late; the first ten hold the start-up."""

POLL_SECONDS = 0.1
FEWEST_STEPS = 20

BUNDLED = 64
"""Samples of the bundled brains."""

COMPONENTS = "0,1,8,48"
"""Up to nearly as many as there are numbers in z, and scans to fit them to."""

ENCODERS = ("hagan", "vae-gan", "alpha-gan")
"""What the names of models with an encoder begin with."""


@dataclass(frozen=True, eq=False)
class Training:
    """One training.

    Attributes:
        entry: The model.
        minutes: For how long, at the speed that was measured.
        run: Its run folder.
    """

    entry: Entry
    minutes: float
    run: Path

    @property
    def split(self) -> Path:
        """Of the fold."""
        return self.run.parent / SPLIT

    @property
    def plan(self) -> Path:
        """Its steps, and how long they took in the end."""
        return self.run.with_name(f"{self.run.name}.json")


@click.command()
@click.argument("cohort", type=click.Path(exists=True, path_type=Path))
@click.argument("work", metavar="OUT", type=click.Path(path_type=Path))
@click.option(
    "--study", "chosen", type=click.Choice([*STUDIES]), multiple=True, help="By default each."
)
@click.option("--folds", default=3, show_default=True, help="Of the patients.")
@click.option(
    "--fold", "only", type=int, multiple=True, metavar="K", help="Only this one, from 1; repeat."
)
@click.option("--minutes", default=2.0, show_default=True, help="Of each training.")
@click.option(
    "--budget", "budgets", type=float, multiple=True, metavar="MINUTES",
    help="Train in the first fold for so long too, for the curve; repeat for several.",
)  # fmt: skip
@click.option("--device", default="auto", show_default=True, help="As of train and evaluate.")
@click.option("-o", "--page", type=click.Path(path_type=Path), help="The page to write.")
def main(
    cohort: Path,
    work: Path,
    chosen: tuple[str, ...],
    folds: int,
    only: tuple[int, ...],
    minutes: float,
    budgets: tuple[float, ...],
    device: str,
    page: Path | None,
) -> None:
    """Time, train and evaluate every model on COHORT, a CSV or folder; keep all in OUT."""
    if minutes in budgets:
        raise click.UsageError(f"--budget {minutes:g} is --minutes: give another, or leave it out.")
    missing = {name for name in STUDIES if not (work / name).exists()} - set(chosen or STUDIES)
    if page is not None and missing:
        raise click.UsageError(f"A page is of both studies: {' '.join(missing)} is not there.")
    on_cpu = device == "cpu" or (device == "auto" and not torch.cuda.is_available())
    table = coarse_cohort(cohort, work / "cohort")
    command = ["hagan-clinic", "train", "--data", str(table), "--device", device]
    command += ["--cache", str(work / "cache")]
    for name in chosen or STUDIES:
        study, place = STUDIES[name], work / name
        write_folds(table, place, folds)
        numbers = (only or range(1, folds + 1)) if study.crossed else (1,)
        for planned in trainings(study, place, numbers, minutes, budgets):
            first = planned[0]
            where = ["--split", str(first.split)]
            for one in planned:
                given = [*command, *where, *options(study, one.entry)]
                train(one, given, place, on_cpu=on_cpu)
            spent = None if first.minutes == minutes else first.minutes
            out = evaluation_of(first.split.parent, spent)
            runs = [one.run for one in planned]
            evaluate(name, runs, [str(table), *where, "--device", device], out)
        picture(name, study, place_of(place, 1), work / "made" / name)
    if "synthesis" in (chosen or STUDIES):
        bundled = ["brain", str(cohort), "--features", "hd-bet", "-n", str(BUNDLED)]
        bundled += ["--cache", str(work / "cache/features")]
        make("evaluate synthesis", [*bundled, "--device", device], work / "bundled")
    if page is not None:
        write_page(page, work, named(cohort))


def named(cohort: Path) -> str:
    """What a command on the page calls a cohort: of the test data, or as it was given."""
    data = os.environ.get("HAGAN_TEST_DATA")
    if data and cohort.resolve().is_relative_to(Path(data).resolve()):
        return f"$HAGAN_TEST_DATA/{cohort.resolve().relative_to(Path(data).resolve())}"
    return str(cohort)


def trainings(
    study: Study, place: Path, folds: Sequence[int], minutes: float, budgets: Sequence[float]
) -> Iterator[list[Training]]:
    """Every model of each fold, then the crossed ones for each other budget in the first."""
    crossed = [entry for entry in study.entries if entry.in_each_fold]
    for fold in folds:
        entries = study.entries if fold == 1 else crossed
        yield [Training(entry, minutes, place_of(place, fold) / entry.name) for entry in entries]
    for budget in budgets if study.crossed else ():
        names = {entry: f"{entry.name}-{budget:g}min" for entry in crossed}
        yield [Training(entry, budget, place_of(place, 1) / names[entry]) for entry in crossed]


def options(study: Study, entry: Entry) -> list[str]:
    """What tells `train` the settings of a model."""
    given = {**study.shared, **entry.settings}
    return [part for name, value in given.items() for part in ("--set", f"{name}={toml(value)}")]


def toml(value: object) -> str:
    """A value of a setting; only tables are written unlike in JSON."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key} = {toml(one)}" for key, one in value.items()) + "}"
    return json.dumps(value)


def train(training: Training, command: Sequence[str], place: Path, *, on_cpu: bool) -> None:
    """Train to the steps that fit into the minutes; a run that was stopped goes on."""
    if not training.plan.exists():
        rate = steps_per_second(training.entry, command, place / "speed", on_cpu=on_cpu)
        steps = max(FEWEST_STEPS, round(60 * training.minutes * rate))
        facts = {"minutes": training.minutes, "cores": usable_cpus(), "commit": commit()}
        write_json(training.plan, {"steps": steps, **facts})
    plan = read_json(training.plan)
    if plan["minutes"] != training.minutes:
        sys.exit(
            f"{training.plan} is of {plan['minutes']:g} minutes, not {training.minutes:g}: give "
            "--minutes as before, or another OUT"
        )
    if "seconds" in plan:
        return
    steps = plan["steps"]
    print(f"== {training.run}: {steps} steps", flush=True)
    every = ["--validate-every", str(steps), "--checkpoint-every", str(max(1, steps // 4))]
    subprocess.run([*command, "--steps", str(steps), *every, "-o", str(training.run)], check=True)
    seconds = sum(seconds_of_steps(training.run / "metrics.csv").values())
    write_json(training.plan, {**plan, "seconds": seconds})


def steps_per_second(entry: Entry, command: Sequence[str], folder: Path, *, on_cpu: bool) -> float:
    """The speed of a model's training after its start-up, measured once.

    On a CPU by the time that the process got of its cores, which other work on the machine hardly
    changes; on another device by the run's own log.
    """
    measured = folder / f"{entry.name}.json"
    if not measured.exists():
        run = folder / entry.name
        shutil.rmtree(run, ignore_errors=True)
        every = ["--steps", str(TIMED_STEPS), "--validate-every", str(TIMED_STEPS)]
        process = psutil.Popen([*command, *every, "-o", str(run)])
        used: dict[int, float] = {}
        while process.poll() is None:
            for step in seconds_of_steps(run / "metrics.csv"):
                used.setdefault(step, sum(process.cpu_times()[:2]) / usable_cpus())
            time.sleep(POLL_SECONDS)
        log = seconds_of_steps(run / "metrics.csv")
        if process.wait() or TIMED_STEPS not in log:
            sys.exit(f"{entry.name}: its training failed")
        first = min(log)
        took = sum(seconds for step, seconds in log.items() if step > first)
        if on_cpu and {first, TIMED_STEPS} <= used.keys():
            took = used[TIMED_STEPS] - used[first] or took
        speed = (TIMED_STEPS - first) / took
        write_json(measured, {"steps_per_second": speed})
        shutil.rmtree(run)
    return float(read_json(measured)["steps_per_second"])


def seconds_of_steps(path: Path) -> dict[int, float]:
    """Step -> seconds since the step before it in a run's metrics, without validations."""
    if not path.exists():
        return {}
    with path.open(newline="", encoding="utf-8") as file:
        rates = {
            int(row["step"]): float(row["value"])
            for row in csv.DictReader(file)
            if row["name"] == "speed/steps_per_s" and row["value"]
        }
    steps = sorted(rates)
    return {step: (step - before) / rates[step] for before, step in pairwise([0, *steps])}


def evaluate(name: str, runs: Sequence[Path], where: Sequence[str], out: Path) -> None:
    """Evaluate models of one fold and budget on the fold's patients."""
    given = [*map(str, runs), *where]
    if name == "translation":
        make("evaluate translation", [*given, "--form", "stripped", "--worst", "0"], out / name)
    else:
        more = ["--features", "hd-bet", "--cache", str(out / "features"), "--panel", "0"]
        make("evaluate synthesis", [*given, *more], out / name)
        encoders = [str(run) for run in runs if run.name.startswith(ENCODERS)]
        more = ["--components", COMPONENTS, "--panel", "0"]
        make("evaluate encoding", [*encoders, *where, *more], out / "encoding")


def picture(name: str, study: Study, place: Path, made: Path) -> None:
    """What the models of the first fold make of the shipped scan, or of noise."""
    for entry in (one for one in study.entries if one.in_each_fold):
        run, out = place / entry.name, made / entry.name
        if name == "translation":
            model = made / f"{entry.name}.onnx"
            make("export", [str(run)], model)
            make("translate", [str(SAMPLE), "--model", str(model)], Path(f"{out}.nii.gz"))
        else:
            make("sample", [str(run), "-n", "2"], out)


def make(command: str, arguments: Sequence[str], out: Path) -> None:
    """A command that writes a file or folder, if it is not there."""
    if not out.exists():
        out.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["hagan-clinic", *command.split(), *arguments, "-o", str(out)], check=True)


def commit() -> str:
    """The last one of this checkout that changed the package."""
    command = ["git", "log", "-1", "--format=%h", "--", "hagan_clinic"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def read_json(path: Path) -> dict:
    """A JSON file's content."""
    return json.loads(path.read_text("utf-8"))


def write_json(path: Path, content: dict) -> None:
    """Write a JSON file, with its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2), "utf-8")


if __name__ == "__main__":
    main()
