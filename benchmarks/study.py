"""HA-GAN and its baselines on one cohort: equal time on one machine, one protocol, one page.

    python benchmarks/study.py $HAGAN_TEST_DATA/lgg_mni OUT --study translation --minutes 24
    python benchmarks/study.py $HAGAN_TEST_DATA/lgg_mni OUT --study synthesis -o docs/results.md

Every model is timed first, after its start-up; it is then trained for the steps that fit into the
minutes at that speed, so that what else the machine does later gives no model an advantage.
Weights, checkpoints and tables stay in OUT, and a study that was stopped goes on where it was. The
page is of both studies, each with its own minutes.
"""

import csv
import json
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import click
from study_page import SAMPLE, write_page

from hagan_clinic.runtime.session import usable_cpus

TIMED_STEPS = 40
"""Logged every ten; the first ten, which hold the start-up, do not count."""

TIMED_SECONDS = 120
"""At most, if fewer steps were done."""


@dataclass(frozen=True, eq=False)
class Entry:
    """A model of the study.

    Attributes:
        name: of it and its run folder.
        settings: what it is told beside the common settings.
        whole: its steps cost more later in the run, as a network grows or a discriminator
            joins, so that it is timed over a short whole one.
    """

    name: str
    settings: dict[str, object]
    whole: bool = False


CONDITIONAL = {
    "mode": "conditional",
    "spacing": 2.0,
    "size": [96, 96, 96],
    "batch_size": 2,
}
"""A brain at 2 mm. Widths below are a half to a quarter of each paper's, on every side alike."""

HAGAN = {
    "slab": 16, "halo": 4, "optimizer": "muon", "ema": 0.99, "adversarial_start": 0.9,
    "half_width": 24, "quarter_width": 64, "high_blocks": 1, "weight_high": 4.0,
    "weight_low": 4.0, "weight_structure": 0.3, "weight_likelihood": 0.2,
    "weight_adversarial": 0.003, "weight_background": 0.05,
}  # fmt: skip
"""The settings of the bundled model, its average of weights shorter as the run is."""

PATCHES = {"patch": 64, "levels": 6, "width": 24, "batch_size": 1}

UNCONDITIONAL = {
    "mode": "unconditional",
    "spacing": 6.0,
    "size": [32, 32, 32],
    "latent": 32,
    "batch_size": 4,
}

STUDIES: dict[str, tuple[dict[str, object], list[Entry]]] = {
    "translation": (
        CONDITIONAL,
        [
            Entry("hagan", HAGAN, whole=True),
            Entry("hagan-slabs-alone", {**HAGAN, "low_res_branch": False}, whole=True),
            Entry("slab-unet", {"slab": 16, "width": 32, "discriminator_width": 128}),
            Entry("cgan2d", {"levels": 5, "width": 32}),
            Entry("cgan3d-patch", PATCHES),
            Entry("cgan3d-laf", PATCHES),
        ],
    ),
    "synthesis": (
        UNCONDITIONAL,
        [
            Entry("hagan", {"preset": "cpu", "slab": 4}),
            Entry("wgan-gp", {"width": 16}),
            Entry("vae-gan", {"width": 16}),
            Entry("alpha-gan", {"width": 16}),
            Entry("progressive-gan", {"width": 16}, whole=True),
        ],
    ),
}

ENCODERS = ("hagan", "vae-gan", "alpha-gan")
"""Models of the second study that have one."""

EVALUATIONS = {
    "translation": ("translation", None, ["--form", "stripped"]),
    "synthesis": ("synthesis", None, ["--side", "all"]),
    "encoding": ("synthesis", ENCODERS, []),
}
"""Kind -> study, models if not all, and options: a FID of the 12 test volumes would say nothing."""


@click.command()
@click.argument("cohort", type=click.Path(path_type=Path))
@click.argument("work", metavar="OUT", type=click.Path(path_type=Path))
@click.option(
    "--study",
    "chosen",
    type=click.Choice([*STUDIES]),
    multiple=True,
    help="Translation, synthesis, or both by default.",
)
@click.option("--minutes", default=6.0, show_default=True, help="Of training, for every model.")
@click.option("--device", default="auto", show_default=True, help="As of train and evaluate.")
@click.option("-o", "--page", type=click.Path(path_type=Path), help="The page to write.")
def main(
    cohort: Path,
    work: Path,
    chosen: tuple[str, ...],
    minutes: float,
    device: str,
    page: Path | None,
) -> None:
    """Time, train and evaluate every model of the studies on COHORT; keep all in OUT."""
    runs = {
        study: {entry.name: work / study / entry.name for entry in entries}
        for study, (_, entries) in STUDIES.items()
    }
    of_study = {study: STUDIES[study][1] for study in chosen or STUDIES}
    every = [(study, entry) for study, entries in of_study.items() for entry in entries]
    commands = {run_of: training(*run_of, cohort, work, device) for run_of in every}
    for (study, entry), command in commands.items():
        plan = runs[study][entry.name].with_suffix(".json")
        if not plan.exists():
            rate = steps_per_second(command, entry.whole, work / "timing")
            steps = max(50, round(60 * minutes * rate))
            told = {"minutes": minutes, "cores": usable_cpus(), "commit": commit()}
            write_json(plan, {"steps": steps, **told})
    for (study, entry), command in commands.items():
        train(command, runs[study][entry.name])

    where = [str(cohort), "--split", str(cohort / "split.csv"), "--device", device]
    made, evaluated = work / "made", work / "evaluation"
    for kind, (study, models, options) in EVALUATIONS.items():
        if study in of_study:
            of = [str(run) for name, run in runs[study].items() if name in (models or runs[study])]
            make(f"evaluate {kind}", [*of, *where, *options], evaluated / kind)
    for study, entry in every:
        run = runs[study][entry.name]
        if study == "translation":
            model = run.with_suffix(".onnx")
            make("export", [str(run)], model)
            make("translate", [str(SAMPLE), "--model", str(model)], made / f"{run.name}.nii.gz")
        else:
            make("sample", [str(run), "-n", "3"], made / run.name)
    if page is not None:
        write_page(page, work, {study: list(of.values()) for study, of in runs.items()})


def training(study: str, entry: Entry, cohort: Path, work: Path, device: str) -> list[str]:
    """The command that trains a model, but for its steps and its run folder."""
    told = {**STUDIES[study][0], **entry.settings}
    if entry.name not in ("hagan", "hagan-slabs-alone"):
        told["model"] = entry.name
    preset = told.pop("preset", None)
    command = ["hagan-clinic", "train", "--data", str(cohort), "--device", device]
    command += ["--split", str(cohort / "split.csv"), "--cache", str(work / "cache")]
    command += ["--preset", str(preset)] if preset else []
    for name, value in told.items():
        text = json.dumps(value) if not isinstance(value, str) else value
        command += ["--set", f"{name}={text}"]
    return command


def steps_per_second(command: list[str], whole: bool, folder: Path) -> float:
    """The speed of training after its start-up."""
    shutil.rmtree(folder, ignore_errors=True)
    enough, schedule = (2 * TIMED_STEPS,) * 2 if whole else (TIMED_STEPS, 1_000_000)
    told = ["--steps", str(schedule), "--validate-every", str(schedule)]
    process = subprocess.Popen([*command, *told, "-o", str(folder)])
    began, logged = time.monotonic(), dict[int, float]()
    while process.poll() is None:
        time.sleep(1)
        logged = seconds_of_steps(folder / "metrics.csv")
        late = time.monotonic() - began > TIMED_SECONDS
        if max(logged, default=0) >= enough or (late and len(logged) > 1):
            process.send_signal(signal.SIGINT)
            process.wait()
    first = min(logged, default=0)
    if len(logged) < 2:
        sys.exit(f"{' '.join(command)}: ended before its twentieth step")
    return (max(logged) - first) / sum(t for step, t in logged.items() if step > first)


def seconds_of_steps(path: Path) -> dict[int, float]:
    """Step -> seconds since the step before it in a run's metrics, without validations."""
    if not path.exists():
        return {}
    with path.open(newline="") as file:
        rates = {
            int(row["step"]): float(row["value"])
            for row in csv.DictReader(file)
            if row["name"] == "speed/steps_per_s" and row["value"]
        }
    steps = sorted(rates)
    return {step: (step - before) / rates[step] for before, step in pairwise([0, *steps])}


def train(command: list[str], run: Path) -> None:
    """Train to the steps of the plan; a run that was stopped goes on."""
    plan = read_json(run.with_suffix(".json"))
    if "seconds" in plan:
        return
    steps = plan["steps"]
    print(f"== {run}: {steps} steps", flush=True)
    every = ["--validate-every", str(steps), "--checkpoint-every", str(max(1, steps // 5))]
    subprocess.run([*command, "--steps", str(steps), *every, "-o", str(run)], check=True)
    seconds = sum(seconds_of_steps(run / "metrics.csv").values())
    write_json(run.with_suffix(".json"), {**plan, "seconds": seconds})


def commit() -> str:
    """Of this checkout; marked where files differ from it."""
    command = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def make(command: str, arguments: list[str], out: Path) -> None:
    """A command that writes a file or folder, if it is not there."""
    if not out.exists():
        out.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["hagan-clinic", *command.split(), *arguments, "-o", str(out)], check=True)


def read_json(path: Path) -> dict:
    """A JSON file's content."""
    return json.loads(path.read_text("utf-8"))


def write_json(path: Path, content: dict) -> None:
    """Write a JSON file, with its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2), "utf-8")


if __name__ == "__main__":
    main()
