"""The page of a study: training, tables and pictures, as they were measured.

The text under the heading `## Reading` of an existing page is kept: this file writes the numbers,
not the words about them.
"""

import csv
import json
import os
import platform
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from hagan_clinic import __version__
from hagan_clinic.evaluation.comparison import Value, compare_pairs
from hagan_clinic.evaluation.predictors import ORACLE
from hagan_clinic.evaluation.tables import Table, document, number, p_value
from hagan_clinic.imageio import read
from hagan_clinic.metrics.regions import BRAIN
from hagan_clinic.runtime.exploration import pictures
from hagan_clinic.volume import to_canonical

READING = "## Reading\n"
SAMPLE = Path("examples/open_ms_patient07/open_ms_patient07_t1.nii.gz")
"""Drawn on the page: patients of a cohort are not."""


def write_page(page: Path, work: Path, runs: dict[str, list[Path]]) -> None:
    """Write the page and its pictures, which go into `images` beside it.

    Args:
        page: The Markdown file.
        work: Folder of the study, with the evaluations.
        runs: Run folders of each study.
    """
    images = page.parent / "images"
    images.mkdir(parents=True, exist_ok=True)
    draw_translations(runs["translation"], work / "made", images / "results_translation.png")
    draw_samples(runs["synthesis"], work / "made", images / "results_samples.png")
    kept = page.read_text("utf-8").partition(READING)[2] if page.exists() else "\n"
    plans = [plan_of(run) for paths in runs.values() for run in paths]
    commits = ", ".join(sorted({plan["commit"] for plan in plans}))
    commands = "\n".join(command_of(study, paths) for study, paths in runs.items())
    commands += f" -o {page}"
    opening = OPENING.format(
        commands=commands, machine=machine(), version=__version__, commit=commits
    )
    parts = [
        document("Results", opening, [training_table(name, paths) for name, paths in runs.items()]),
        "## Translation, on the test patients\n",
        "![The shipped sample, translated by every model](images/results_translation.png)\n",
        tables(work, "translation"),
        "#" + brightness_apart(work, runs["translation"]).markdown(),
        "## Synthesis\n",
        "![Samples of every model](images/results_samples.png)\n",
        tables(work, "synthesis"),
        "## Encoding, on the test patients\n",
        tables(work, "encoding"),
    ]
    page.write_text("\n".join([*parts, READING]) + kept, "utf-8")


OPENING = """HA-GAN and its baselines, each trained for the steps that fit into the same time.
Translations and reconstructions are evaluated on unseen patients, samples against the whole
cohort. These commands write everything down to *Reading*, whatever the outcome:

```bash
{commands}
```

Measured on {machine}, hagan-clinic {version} at commit {commit}. The settings are in
`benchmarks/study.py`. Every model was timed first; *seconds* is what its steps took in the end,
beside other work on the machine, which does not change the number of steps. Only tests with
HA-GAN are shown; the evaluations' `tests.csv` have all. Weights and pictures are for research:
SYNTHETIC, NOT FOR DIAGNOSIS."""


def command_of(study: str, runs: Sequence[Path]) -> str:
    """What trained a study."""
    plan = plan_of(runs[0])
    few = ",".join(map(str, range(plan["cores"])))
    pinned = "" if plan["cores"] == os.cpu_count() else f"taskset -c {few} "
    told = f"--study {study} --minutes {plan['minutes']:g}"
    return f"{pinned}python benchmarks/study.py $HAGAN_TEST_DATA/lgg_mni OUT {told}"


def training_table(study: str, runs: Sequence[Path]) -> Table:
    """What was trained."""
    rows = []
    for run in runs:
        plan = plan_of(run)
        config = json.loads((run / "config.json").read_text("utf-8"))
        weights = parameters(config)
        rows.append([run.name, f"{weights:,}", str(plan["steps"]), f"{plan['seconds']:.0f}"])
    box = " × ".join(map(str, config["size"]))
    plan = plan_of(runs[0])
    time = f"{plan['minutes']:g} minutes"
    if not torch.cuda.is_available():
        time += f" of {plan['cores']} core{'s' if plan['cores'] > 1 else ''}"
    return Table(
        f"Training for {study}: {box} voxels of {config['spacing']:g} mm, {time}",
        ["model", "parameters, with discriminators", "steps", "seconds"],
        rows,
    )


def plan_of(run: Path) -> dict:
    """What a run was to do, and how long it took."""
    return json.loads(run.with_suffix(".json").read_text("utf-8"))


def parameters(config: dict) -> int:
    """Of everything that trains."""
    from hagan_clinic.training.registry import config_from_dict
    from hagan_clinic.training.summary import summarise

    return sum(part.parameters for part in summarise(config_from_dict(config, "config")))


def tables(work: Path, kind: str) -> str:
    """An evaluation's protocol and tables, one level of headings down; of the tests HA-GAN's."""
    path = work / "evaluation" / kind / f"{kind}.md"
    _, _, text = path.read_text("utf-8").replace(f"{work}/", "").partition("\n")
    text = re.sub("^## ", "### ", text.strip() + "\n", flags=re.MULTILINE)
    before, heading, tests = text.partition("### Paired t-tests")
    rows = [line for line in tests.splitlines() if line.startswith("|")][2:]
    others = {row for row in rows if "| hagan |" not in row}
    kept = [line for line in tests.splitlines() if line not in others]
    return before + heading + "\n".join(kept) + "\n"


def brightness_apart(work: Path, runs: Sequence[Path]) -> Table:
    """HA-GAN against the others after each got the best straight line to the reference."""
    rows = csv.DictReader((work / "evaluation/translation/subjects.csv").open(encoding="utf-8"))
    title = {ORACLE.format(run.name): run.name for run in runs}
    values = [
        Value((), name, title[row["prediction"]], row["patient"], float(row[name]))
        for row in rows
        if row["prediction"] in title and row["region"] == BRAIN
        for name in ("psnr", "ssim")
    ]
    found = [
        (test.metric.upper(), test.comparison)
        for test in compare_pairs(values, [(runs[0].name, run.name) for run in runs[1:]])
    ]
    cells = [
        [one.better, one.worse, name, number(one.difference, 3), number(one.t, 2), p_value(one.p),
         str(one.n)]
        for name, one in found
    ]  # fmt: skip
    return Table(
        "With the brightness taken out",
        ["better", "worse", "metric", "difference", "t", "p", "n"],
        cells,
        "The same tests in the brain between the rows named oracle: each translation is first "
        "fitted to its reference by a straight line, so that a patient's brightness and contrast, "
        "which a T1 does not show, no longer count.",
    )


def draw_translations(runs: Sequence[Path], made: Path, path: Path) -> None:
    """The shipped T1, what each model made of it, and the real FLAIR."""
    steps = [pictured(SAMPLE, "T1", real=True)]
    steps += [pictured(made / f"{run.name}.nii.gz", run.name) for run in runs]
    steps.append(
        pictured(SAMPLE.with_name(SAMPLE.name.replace("_t1", "_flair")), "FLAIR", real=True)
    )
    title = "The shipped T1, the FLAIR that each model makes of it, and the real one"
    footer = "open_ms_data, patient 07 (Lesjak et al. 2018), CC BY 4.0; weights CC BY-NC-SA 4.0"
    pictures.save_montage(pictures.draw_montage(steps, title, footer), path, title)


def draw_samples(runs: Sequence[Path], made: Path, path: Path) -> None:
    """The first samples of each model."""
    steps = [
        pictured(sample, f"{run.name} {number}")
        for run in runs
        for number, sample in enumerate(sorted((made / run.name).glob("*.nii.gz")), 1)
    ]
    title = "Samples of every model from the same z"
    picture = pictures.draw_montage(steps, title, "weights CC BY-NC-SA 4.0")
    pictures.save_montage(picture, path, title)


def pictured(path: Path, caption: str, *, real: bool = False) -> pictures.Step:
    """The middle planes of a volume; a real one by its own 0.5 and 99.5 percentiles."""
    array = to_canonical(read(path)).array
    if real:
        low, high = np.percentile(array[array > 0], (0.5, 99.5))
        array = (array - low) / (high - low)
    return pictures.Step(pictures.middle_planes(array), ("real" if real else "synthetic", caption))


def machine() -> str:
    """What it ran on, and with what."""
    names = re.findall(r"^model name\s*: (.*)$", _text(Path("/proc/cpuinfo")), re.MULTILINE)
    processor = names[0] if names else platform.processor() or platform.machine()
    place = f"{len(names) or '?'} cores of {processor}"
    if torch.cuda.is_available():
        place = torch.cuda.get_device_name()
    return f"{place}, PyTorch {torch.__version__}"


def _text(path: Path) -> str:
    return path.read_text("utf-8") if path.exists() else ""
