"""The page of a study: a table a claim, as it was measured.

The text under the heading `## Reading` of an existing page is kept: this file writes the numbers,
not the words about them.
"""

import platform
import re
from dataclasses import replace
from pathlib import Path
from textwrap import fill

import torch
from study_pictures import draw_curves, draw_samples, draw_translations
from study_place import Place
from study_synthesis import reconstruction_table, synthesis_table
from study_translation import (
    budget_curve,
    budget_table,
    crossed,
    recipe_table,
    tests_table,
    translation_table,
)

from hagan_clinic import __version__
from hagan_clinic.evaluation.tables import Table

READING = "## Reading\n"
WIDTH = 118
"""Of the lines of text, as on the other pages."""

OPENING = """# Results

HA-GAN and its baselines, each trained for the steps that fit into the same time, and evaluated on
other patients. These commands write all of this page but *Reading*:

```bash
{commands}
```

Measured on {machine}, hagan-clinic {version} (package at {commit}).
What each model is told is in `benchmarks/study_models.py`. Its speed was measured first, on a CPU
in the time that the process got of the core. Every value of every patient, and tests between all
models, are in the CSV files that the commands leave in OUT. Weights and pictures are for research:
SYNTHETIC, NOT FOR DIAGNOSIS.
"""


def write_page(page: Path, work: Path, cohort: str) -> None:
    """Write the page and its pictures, which go into `images` beside it.

    Args:
        page: The Markdown file.
        work: Folder of the study.
        cohort: What the commands on the page call it.
    """
    images = page.parent / "images"
    images.mkdir(parents=True, exist_ok=True)
    translation, synthesis = Place(work / "translation"), Place(work / "synthesis")
    draw_translations(crossed(translation), work / "made/translation", images)
    draw_samples(synthesis.models(), work / "made/synthesis", images)
    draw_curves(budget_curve(translation), images)
    opening = OPENING.format(
        commands="\n".join(
            [command(translation, cohort), f"{command(synthesis, cohort)} -o {page}"]
        ),
        machine=machine(),
        version=__version__,
        commit=", ".join(
            sorted({place.plan("hagan")["commit"] for place in (translation, synthesis)})
        ),
    )
    parts = [
        opening,
        READING,
        kept_words(page),
        section(translation_table(translation)),
        "![The shipped scan, translated by every model](images/results_translation.png)",
        section(tests_table(translation)),
        section(recipe_table(translation)),
        section(budget_table(translation)),
        "![PSNR and SSIM against minutes](images/results_curve.png)",
        section(synthesis_table(synthesis.evaluation("synthesis"), "Samples", synthesis)),
        "![Samples of every model](images/results_samples.png)",
        section(reconstruction_table(synthesis)),
        section(synthesis_table(work / "bundled", "Samples of the bundled brains")),
    ]
    page.write_text("\n\n".join(part.strip() for part in parts) + "\n", "utf-8")


def section(table: Table) -> str:
    """A table with its note above it, as what a claim is of comes first."""
    head, _, rows = replace(table, note="").markdown().partition("\n\n")
    return f"{head}\n\n{fill(table.note, WIDTH)}\n\n{rows}"


def kept_words(page: Path) -> str:
    """What an existing page says under its heading *Reading*, up to the next heading."""
    text = page.read_text("utf-8") if page.exists() else ""
    return text.partition(READING)[2].partition("\n## ")[0]


def command(place: Place, cohort: str) -> str:
    """What trained a study."""
    plan = place.plan("hagan")
    told = f"--study {place.folder.name} --folds {place.folds} --minutes {plan['minutes']:g}"
    if place.crossed and len(place.evaluated) < place.folds:
        told += "".join(f" --fold {number}" for number in place.evaluated)
    told += "".join(f" --budget {minutes:g}" for minutes in place.budgets)
    pinned = "taskset -c 0 " if plan["cores"] == 1 else ""
    return f"{pinned}python benchmarks/study.py {cohort} OUT {told}"


def machine() -> str:
    """What it ran on, and with what."""
    info = Path("/proc/cpuinfo")
    text = info.read_text("utf-8") if info.exists() else ""
    names = re.findall(r"^model name\s*: (.*)$", text, re.MULTILINE)
    place = f"a core of {names[0] if names else platform.processor() or platform.machine()}"
    if torch.cuda.is_available():
        place = torch.cuda.get_device_name()
    return f"{place}, PyTorch {torch.__version__}"
