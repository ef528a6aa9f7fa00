"""Joining what folds found, from files as the evaluations write them."""

import csv
import json

import pytest
from click.testing import CliRunner

from hagan_clinic.cli import main
from hagan_clinic.evaluation import folds

REAL = "real, against other real"


def fold_of(folder, number, kind):
    place = folder / f"fold{number}" / "evaluation" / kind
    place.mkdir(parents=True)
    return place


def made(folder):
    folder.mkdir()
    (folder / "folds.csv").write_text("subject,fold\na,1\nb,2\n")
    return folder


def synthesis(folder, ms_ssim, fid):
    """A folder whose two folds evaluated samples; real volumes have metrics of parts alone."""
    for number in (1, 2):
        rows = [
            {"name": REAL, "overall": {}, "folds": {"fid": [0.2, 0.4]}, "ms_ssim": 0.5},
            {"name": folder.name, "overall": {"fid": fid + number, "mmd": 0.1},
             "folds": {"fid": [2.0, 4.0]}, "ms_ssim": ms_ssim + number / 100},
        ]  # fmt: skip
        place = fold_of(folder, number, "synthesis")
        figures = [{**row, "size": "32"} for row in rows]
        (place / "figures.json").write_text(json.dumps({"figures": figures}))
    return folder


def joined(*folders, output):
    command = ["evaluate", "folds", *map(str, folders), "-o", str(output)]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 0, result.output
    lines = (output / "folds.md").read_text().splitlines()
    with (output / "figures.csv").open(newline="") as file:
        return lines, list(csv.DictReader(file))


def test_a_joined_synthesis_has_its_reference_and_prefers_no_collapsed_model(tmp_path):
    collapsed = synthesis(made(tmp_path / "collapsed"), 0.95, 9.0)
    diverse = synthesis(made(tmp_path / "diverse"), 0.60, 1.0)
    lines, _ = joined(collapsed, diverse, output=tmp_path / "o")
    (real,) = (line for line in lines if line.startswith(f"| {REAL} |"))
    assert "0.300 ± 0.000" in real
    found = [one for folder in (collapsed, diverse) for one in folds.read_folds(folder)[0]]
    results = [tested for _, tested in folds.tests(found, ["collapsed", "diverse"])]
    assert {tested.metric for tested in results} == {"fid", "mmd"}
    (fid,) = (tested.comparison for tested in results if tested.metric == "fid")
    assert (fid.better, fid.difference) == ("diverse", pytest.approx(-8.0))


def test_every_examination_of_a_patient_counts_for_the_baselines_as_for_the_models(tmp_path):
    models = [made(tmp_path / name) for name in ("one", "other")]
    for folder in models:
        for number in (1, 2):
            rows = [
                {"prediction": name, "form": "head", "region": "brain", "subject": f"a{visit}",
                 "patient": "a", "psnr": 10 * number + visit}
                for name in (folder.name, "constant") for visit in (0, 5)
            ]  # fmt: skip
            path = fold_of(folder, number, "translation") / "subjects.csv"
            with path.open("w", newline="") as file:
                writer = csv.DictWriter(file, fieldnames=list(rows[0]))
                writer.writeheader()
                writer.writerows(rows)
    lines, figures = joined(*models, output=tmp_path / "o")
    cells = {line.split(" | ")[0]: line.split(" | ")[2:] for line in lines if "head, brain" in line}
    assert cells["| one"] == cells["| other"] == cells["| constant"]
    assert sum(row["model"] == "constant" for row in figures) == 4
