"""How good a translation model is on patients it never saw, beside floors and an oracle.

    python benchmarks/translation_quality.py --model t1_to_flair \
        --data $HAGAN_TEST_DATA/lgg_mni --split test --output results/quality

The data folder holds a folder a subject (`ID/ID_t1.nii.gz`, `…_flair…`, `…_seg…`), a common
`brain_mask.nii.gz`, and `split.csv` with the columns `subject` and `split`. Each subject is
translated twice, as a whole head and skull-stripped. Prints Markdown tables and writes
`quality.json` (means) and `subjects.csv` (every subject). `--model none` measures the floors alone.
"""

import argparse
import csv
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import hagan_clinic
from hagan_clinic.evaluation import (
    FittedCurve,
    coverage,
    error_rank_correlation,
    fit_curve,
    oracle_linear_fit,
    score_regions,
)
from hagan_clinic.evaluation.metrics import DATA_RANGE
from hagan_clinic.imageio import read
from hagan_clinic.intensity import foreground, from_unit, source_window, target_window, to_unit
from hagan_clinic.runtime import Translator
from hagan_clinic.volume import Volume, to_canonical

FORMS = ("head", "stripped")
MODEL_ROW = "the model"
FIGURES = ("psnr", "ssim", "nmse", "coverage", "rank_correlation")
PROTOCOL = (
    f"data_range {DATA_RANGE:g}; reference on [0, 1] by its own 0.5 and 99.5 percentiles in the "
    "brain mask, clipped; prediction clipped, and never fitted to the reference except in the rows "
    "named oracle, which get the best straight line to it in the brain; PSNR in dB; SSIM 3D, "
    "Gaussian sigma 1.5 voxels, its map averaged over the region; means over subjects"
)

Image = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Case:
    """One subject in one form, everything on the source's own grid, axes (D, H, W).

    Attributes:
        subject: Its name.
        form: `head` or `stripped`.
        t1: The source in scanner units; zero outside the brain when stripped.
        source: The source on [0, 1], as the recipe scales it.
        reference: The FLAIR on [0, 1].
        brain: The brain mask.
        tumour: The lesion inside the brain.
    """

    subject: str
    form: str
    t1: Volume
    source: Image
    reference: Image
    brain: Mask
    tumour: Mask

    @property
    def occupied(self) -> Mask:
        """Where a floor may say anything: not in the air."""
        return self.brain | foreground(self.t1.array)

    @property
    def regions(self) -> dict[str, Mask]:
        """Where figures are taken."""
        everything = np.ones_like(self.brain)
        healthy = self.brain & ~self.tumour
        return {"brain": self.brain, "tumour": self.tumour, "healthy": healthy, "whole": everything}


@dataclass(frozen=True, eq=False)
class Prediction:
    """A FLAIR on [0, 1], and the half-width of its 90 % interval if it states one."""

    image: Image
    half_width: Image | None = None


@dataclass(frozen=True)
class Row:
    """The figures of one prediction of one subject, or their mean; absent ones are NaN."""

    prediction: str
    form: str
    subject: str
    region: str
    psnr: float
    ssim: float
    nmse: float
    coverage: float = float("nan")
    rank_correlation: float = float("nan")


def cases(data: Path, split: str, form: str) -> Iterator[Case]:
    """Read the subjects of one side of the split, one after the other."""
    brain = to_canonical(read(data / "brain_mask.nii.gz")).array > 0
    with (data / "split.csv").open(newline="") as table:
        subjects = [row["subject"] for row in csv.DictReader(table) if row["split"] == split]
    for subject in subjects:
        t1, flair, lesion = (
            to_canonical(read(data / subject / f"{subject}_{name}.nii.gz"))
            for name in ("t1", "flair", "seg")
        )
        keep = brain if form == "stripped" else np.ones_like(brain)
        t1 = t1.with_array(np.where(keep, t1.array, 0))
        reference = from_unit(to_unit(flair.array, target_window(flair.array, brain)))
        yield Case(
            subject=subject,
            form=form,
            t1=t1,
            source=from_unit(to_unit(t1.array, source_window(t1.array, t1.spacing))),
            reference=np.where(keep, reference, 0),
            brain=brain,
            tumour=(lesion.array > 0) & brain,
        )


def floors(curve: FittedCurve) -> dict[str, Callable[[Case], Prediction]]:
    """The rows that need no network."""

    def constant(case: Case) -> Prediction:
        return Prediction(np.where(case.occupied, np.float32(curve.constant), 0))

    def copied(case: Case) -> Prediction:
        return Prediction(case.source)

    def fitted(case: Case) -> Prediction:
        return Prediction(np.where(case.occupied, curve(case.source), 0))

    def fitted_oracle(case: Case) -> Prediction:
        return oracle(fitted(case), case)

    return {
        "constant (training mean)": constant,
        "T1 copied": copied,
        "T1 through a fitted curve": fitted,
        "oracle: fitted curve, then a linear fit": fitted_oracle,
    }


def translated(translator: Translator, case: Case) -> Prediction:
    """What the deployed path makes of the scan."""
    translation = translator.translate(case.t1)
    return Prediction(translation.volume.array, translation.uncertainty.array)


def oracle(prediction: Prediction, case: Case) -> Prediction:
    """The prediction after its best line to the reference."""
    return Prediction(oracle_linear_fit(prediction.image, case.reference, case.brain))


def measure(name: str, prediction: Prediction, case: Case) -> list[Row]:
    """A row for each region that the subject has."""
    # Of a stripped volume everything is zero outside the brain, so one SSIM map serves all regions.
    masked = score_regions(
        prediction.image,
        case.reference,
        {key: region for key, region in case.regions.items() if key != "whole"},
        mask=case.brain,
    )
    whole = score_regions(prediction.image, case.reference, {"whole": case.regions["whole"]})
    rows = []
    for region, scores in {**masked, **whole}.items():
        honesty = {}
        if prediction.half_width is not None and region != "whole":
            inside = case.regions[region]
            error = (prediction.image - case.reference)[inside]
            half_width = prediction.half_width[inside]
            honesty = {
                "coverage": coverage(error, half_width),
                "rank_correlation": error_rank_correlation(error, half_width),
            }
        rows.append(Row(name, case.form, case.subject, region, **asdict(scores), **honesty))
    return rows


def means(rows: list[Row]) -> list[Row]:
    """The mean over subjects of each prediction, form and region."""
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.form, row.prediction, row.region), []).append(row)
    return [
        Row(
            prediction,
            form,
            f"mean of {len(group)}",
            region,
            **{name: float(np.mean([getattr(row, name) for row in group])) for name in FIGURES},
        )
        for (form, prediction, region), group in groups.items()
    ]


def tables(mean_rows: list[Row]) -> str:
    """Markdown: a table of scores for each form, and one of the intervals."""
    by_key = {(row.form, row.prediction, row.region): row for row in mean_rows}
    names = list(dict.fromkeys(row.prediction for row in mean_rows))
    regions = list(dict.fromkeys(row.region for row in mean_rows))
    lines = []
    for form in FORMS:
        counts = ", ".join(f"{r}: {by_key[form, names[0], r].subject}" for r in regions)
        lines += [f"\n**{form}** ({counts}); each cell PSNR / SSIM / NMSE\n"]
        lines += ["| prediction | " + " | ".join(regions) + " |", "|---" * (len(regions) + 1) + "|"]
        for name in names:
            found = [by_key[form, name, region] for region in regions]
            cells = " | ".join(f"{r.psnr:.2f} / {r.ssim:.3f} / {r.nmse:.3f}" for r in found)
            lines += [f"| {name} | {cells} |"]
    intervals = [row for row in mean_rows if not np.isnan(row.coverage)]
    if intervals:
        lines += ["\n| 90 % interval | form | region | coverage | rank correlation with error |"]
        lines += ["|---|---|---|---|---|"]
        lines += [
            f"| {r.prediction} | {r.form} | {r.region} | {r.coverage:.1%} "
            f"| {r.rank_correlation:.2f} |"
            for r in intervals
        ]
    return "\n".join(lines)


def write(output: Path, rows: list[Row], mean_rows: list[Row], facts: dict[str, str]) -> None:
    """`quality.json` with the means, `subjects.csv` with every subject."""
    output.mkdir(parents=True, exist_ok=True)
    document = {**facts, "protocol": PROTOCOL, "means": [stated(row) for row in mean_rows]}
    (output / "quality.json").write_text(json.dumps(document, indent=2) + "\n")
    with (output / "subjects.csv").open("w", newline="") as table:
        writer = csv.DictWriter(table, fieldnames=[field.name for field in fields(Row)])
        writer.writeheader()
        writer.writerows(stated(row) for row in rows)


def stated(row: Row) -> dict[str, str | float]:
    """The figures a row has; what a prediction does not state is left out."""
    return {key: value for key, value in asdict(row).items() if value == value}


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="t1_to_flair", help="a name or a path, or none")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--split", default="test")
    parser.add_argument("--output", type=Path, default=Path("results/quality"))
    arguments = parser.parse_args()

    translator = None if arguments.model == "none" else Translator(arguments.model)
    rows: list[Row] = []
    for form in FORMS:
        training = cases(arguments.data, "train", form)
        curve = fit_curve((c.source[c.brain], c.reference[c.brain]) for c in training)
        predictors = floors(curve)
        for case in cases(arguments.data, arguments.split, form):
            for name, predict in predictors.items():
                rows += measure(name, predict(case), case)
            if translator is not None:
                prediction = translated(translator, case)
                rows += measure(MODEL_ROW, prediction, case)
                rows += measure(
                    f"oracle: {MODEL_ROW}, then a linear fit", oracle(prediction, case), case
                )
    mean_rows = means(rows)
    facts = {
        "version": hagan_clinic.__version__,
        "split": arguments.split,
        "model": arguments.model,
    }
    if translator is not None:
        facts["sha256"] = translator.model.sha256
    write(arguments.output, rows, mean_rows, facts)
    print(PROTOCOL)
    print(tables(mean_rows))


if __name__ == "__main__":
    main()
