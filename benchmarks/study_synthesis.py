"""What a study found out about synthesis, as tables."""

import json
from pathlib import Path
from statistics import fmean

from study_place import Place

from hagan_clinic.evaluation.folds import DIGITS, NAMES
from hagan_clinic.evaluation.synthesis import REAL
from hagan_clinic.evaluation.tables import Table, number
from hagan_clinic.metrics.regions import BRAIN

METRICS = ("psnr", "ssim", "nmse", "ms_ssim")


def synthesis_table(folder: Path, title: str, place: Place | None = None) -> Table:
    """Samples against real volumes that the models have not seen."""
    content = json.loads((folder / "figures.json").read_text("utf-8"))
    figures = content["figures"]
    floor = next(one for one in figures if one["name"] == REAL)
    least = fmean(floor["halves"]["fid"])
    by_name = {one["name"]: one for one in figures}
    names = place.models() if place else [name for name in by_name if name != REAL]
    rows = []
    for one in (floor, *(by_name[name] for name in names)):
        low, high = one["intervals"].get("fid", (0, 0))
        fid = one["overall"].get("fid")
        half = fmean(one["halves"]["fid"])
        rows.append(
            [
                one["name"],
                str(place.plan(one["name"])["steps"]) if place and fid is not None else "–",
                str(one["n"]),
                "–" if fid is None else f"{fid:.3f} ({low:.3f} to {high:.3f})",
                number(half, 3),
                number(half / least, 2),
                number(one["ms_ssim"], 3),
            ]
        )
    half = floor["half"]
    note = (
        f"Features of {content['features'].split(',')[0]}). FID of n samples to "
        f"{floor['real']} scans of test patients, with its 95 % bootstrap interval; at {half} of "
        "either kind, where real scans against other real ones are the floor; MS-SSIM of pairs, "
        "which is higher than that of real scans where samples are less diverse."
    )
    if place:
        note = f"{place.box}, {place.time} for each model. {note}"
    else:
        (weights,) = content["models"].values()
        note += f" Of the weights {weights[:12]}."
    header = ["volumes", "steps", "n", "FID (95 %)", f"FID of {half}", "/ floor", "MS-SSIM"]
    return Table(title, header, rows, note)


def reconstruction_table(place: Place) -> Table:
    """Scans encoded and brought back, beside what a linear model does."""
    content = json.loads((place.evaluation("encoding") / "figures.json").read_text("utf-8"))
    rows = [
        [one["model"], *(number(one[name], DIGITS[name]) for name in METRICS)]
        for one in content["means"]
        if one["region"] == BRAIN
    ]
    note = (
        "In the brain of the test patients that the samples above were compared with; principal "
        "components are of the training patients."
    )
    header = ["model", *(NAMES[name] for name in METRICS)]
    return Table("Scans encoded and brought back", header, rows, note)
