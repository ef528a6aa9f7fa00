"""`benchmarks/study.py`: what it trains, the tables of its page, and all of it at a small size."""

import csv
import importlib
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from hagan_clinic.cli.settings import assignment
from hagan_clinic.evaluation.synthesis import REAL
from hagan_clinic.training.registry import gather_settings

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
MODELS = {"hagan": 20.0, "cgan2d": 19.0, "slab-unet": 18.0, "slab-unet-paper": 15.0}
FOLDS = {1: ("a", "b", "c"), 2: ("d", "e", "f")}
NOISE = dict(zip("abcdef", (0.1, -0.2, 0.15, 0.0, -0.1, 0.2), strict=True))


@pytest.fixture
def module(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module


@pytest.mark.parametrize("study", ["translation", "synthesis"])
def test_training_is_told_what_the_study_says(module, study):
    models, script = module("study_models"), module("study")
    shared = models.STUDIES[study].shared
    for entry in models.STUDIES[study].entries:
        told = script.options(models.STUDIES[study], entry)
        given = dict(assignment(text) for text in told[1::2])
        assert given == json.loads(json.dumps({**shared, **entry.settings}))
        config = gather_settings(None, [], given)
        assert config.augmentation.stripped == 1.0
    recipes = {
        (one.optimizer, one.adversarial_start, one.ema, one.weight_structure, one.clip)
        for entry in models.TRANSLATION.entries
        if entry.in_each_fold
        for one in [gather_settings(None, [], {**models.TRANSLATION.shared, **entry.settings})]
    }
    assert recipes == {("muon", 0.9, 0.99, 0.3, 1.0)}


def write_rows(path, found):
    """A CSV of translations: model -> PSNR, for the patients of a fold."""
    path.parent.mkdir(parents=True)
    header = ["prediction", "form", "subject", "patient", "region", "psnr", "ssim", "nmse"]
    rows = [
        [name, "stripped", patient, patient, region, value, value / 40, 1 / value, value / 30]
        for name, of in found.items()
        for patient, value in of.items()
        for region in ("brain", "brain, tissue scale", "whole")
    ]
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([[*header, "ms_ssim"], *rows])


@pytest.fixture
def studied(tmp_path):
    """What a study leaves: two folds, a further budget in the first, samples, reconstructions."""
    for fold, patients in FOLDS.items():
        place = tmp_path / "translation" / f"fold{fold}"
        levels = MODELS | {"constant (training mean)": 12.0, "T1 through a fitted curve": 16.0}
        scattered = {
            name: {p: level + fold + NOISE[p] * (number + 1) for p in patients}
            for number, (name, level) in enumerate(levels.items())
        }
        write_rows(place / "evaluation/translation/subjects.csv", scattered)
        if fold == 1:
            more = {f"{name}-3min": dict.fromkeys(patients, 25.0) for name in MODELS}
            more["T1 through a fitted curve"] = dict.fromkeys(patients, 17.0)
            write_rows(place / "evaluation-3min/translation/subjects.csv", more)
        for name in MODELS:
            (place / name).mkdir()
            plan = {"steps": 90, "minutes": 1.5, "cores": 1, "commit": "abc", "seconds": 99.0}
            (place / f"{name}.json").write_text(json.dumps(plan))
            config = {"size": [64, 64, 64], "spacing": 3.0}
            (place / name / "config.json").write_text(json.dumps(config))
    folds = [["subject", "patient", "fold"], *([p, p, f] for f, of in FOLDS.items() for p in of)]
    with (tmp_path / "translation/folds.csv").open("w", newline="") as file:
        csv.writer(file).writerows(folds)
    place = tmp_path / "synthesis/fold1"
    (place / "hagan").mkdir(parents=True)
    (place / "hagan.json").write_text(
        json.dumps({"steps": 7, "minutes": 2, "cores": 1, "commit": "abc"})
    )
    (place / "hagan/config.json").write_text(json.dumps({"size": [32] * 3, "spacing": 6.0}))
    figures = [
        {"name": name, "n": 33, "real": 33, "overall": overall, "half": 16, "ms_ssim": 0.8,
         "intervals": {"fid": [0.2, 0.4]} if overall else {}, "halves": {"fid": halves}}
        for name, overall, halves in ((REAL, {}, [0.1, 0.3]), ("hagan", {"fid": 0.3}, [0.5, 0.7]))
    ]  # fmt: skip
    samples = {
        "features": "the encoder of HD-BET (x, network 0), 651",
        "models": {"hagan": "abcdef"},
        "figures": figures,
    }
    means = [
        {"model": name, "region": region, "psnr": 20.0, "ssim": 0.8, "nmse": 0.1, "ms_ssim": 0.9}
        for name in ("hagan", "mean of the training scans")
        for region in ("brain", "box")
    ]
    for folder, content in (
        (place / "evaluation/synthesis", samples),
        (tmp_path / "bundled", samples),
        (place / "evaluation/encoding", {"means": means}),
    ):
        folder.mkdir(parents=True)
        (folder / "figures.json").write_text(json.dumps(content))
    return tmp_path


def test_differences_have_the_sign_of_hagan_minus_the_other(module, studied):
    table = module("study_translation").tests_table(
        module("study_place").Place(studied / "translation")
    )
    cells = {row[0]: dict(zip(table.header[1:], row[1:], strict=True)) for row in table.rows}
    assert list(cells) == ["slab-unet", "cgan2d", "T1 through a fitted curve"]
    assert cells["cgan2d"]["PSNR"].startswith("+1.") or cells["cgan2d"]["PSNR"].startswith("+0.9")
    assert cells["cgan2d"]["NMSE"].startswith("-0.00")


def test_p_is_corrected_for_the_number_of_tests(module):
    holm = module("study_translation").holm
    corrected = holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005, "e": 0.9})
    expected = {"d": 0.025, "a": 0.04, "c": 0.09, "b": 0.09, "e": 0.9}
    assert corrected == pytest.approx(expected)


def test_the_page_has_its_figures_and_keeps_the_words(module, studied, tmp_path, monkeypatch):
    writer = module("study_page")
    drawn = []
    for name in ("draw_translations", "draw_samples"):
        monkeypatch.setattr(writer, name, lambda names, *_: drawn.append(list(names)))
    page = tmp_path / "docs" / "results.md"
    page.parent.mkdir()
    page.write_text("# Results\n\n## Old\n\n1\n\n## Reading\n\n1. Mine.\n\n## Older\n\n2\n")
    writer.write_page(page, studied, "$HAGAN_TEST_DATA/both.csv")
    text = page.read_text("utf-8")
    assert "## Reading\n\n1. Mine.\n\n## Translation with one recipe" in text
    assert "Old" not in text
    assert "--study translation --folds 2 --minutes 1.5 --budget 3\n" in text
    assert "| hagan | 90 | 21.52 ± 0.72 |" in text
    assert "| cgan2d | 20.03 / 0.501 | 25.00 / 0.625 |" in text
    assert "| slab-unet-paper | 90 | 16.07 |" in text
    assert "| hagan | 7 | 33 | 0.300 (0.200 to 0.400) | 0.600 | 3.00 | 0.800 |" in text
    assert text.count("Of the weights abcdef.") == 1
    assert "| mean of the training scans | 20.00 | 0.800 | 0.1000 | 0.900 |" in text
    assert (page.parent / "images/results_curve.png").stat().st_size > 10_000
    assert drawn == [["hagan", "slab-unet", "cgan2d"], ["hagan"]]
    assert len(text.splitlines()) < 150


@pytest.mark.slow
def test_a_study_runs_whole_and_then_has_nothing_left_to_do(
    module, test_data, tmp_path, monkeypatch
):
    models, script = module("study_models"), module("study")
    monkeypatch.chdir(BENCHMARKS.parent)
    monkeypatch.setattr(script, "BUNDLED", 10)
    hagan = models.HAGAN | {"half_width": 8, "quarter_width": 16}
    small = {"spacing": 6.0, "size": [32, 32, 32], "batch_size": 1}
    slabs = {**models.SLABS, "width": 8, "discriminator_width": 64}
    translation = models.Study(
        models.TRANSLATION.shared | small,
        [
            models.Entry("hagan", hagan),
            models.Entry("slab-unet", slabs | models.RECIPE),
            models.Entry("slab-unet-paper", slabs, in_each_fold=False),
        ],
        crossed=True,
    )
    linear = models.LINEAR | {"width": 64, "context": 16, "component_draws": 16}
    synthesis = models.Study(
        models.SYNTHESIS.shared | {"latent": 8}, [models.Entry("hagan", linear)], crossed=False
    )
    for name, study in (("translation", translation), ("synthesis", synthesis)):
        monkeypatch.setitem(models.STUDIES, name, study)
    table, root = tmp_path / "cohort.csv", test_data / "lgg_mni"
    names = sorted(path.name for path in root.iterdir() if path.is_dir())[:24]
    lines = [
        f"{name},{root / name / name}_t1.nii.gz,{root / name / name}_flair.nii.gz,"
        f"{root / 'brain_mask.nii.gz'},{'train' if number < 12 else 'test'}"
        for number, name in enumerate(names)
    ]
    table.write_text("\n".join(["subject,t1,flair,mask,split", *lines]))
    page, out = tmp_path / "page.md", tmp_path / "out"
    arguments = [table, out, "--folds=2", "--minutes=0.01", "--budget=0.02", "--device=cpu"]
    told = [*map(str, arguments), "-o", str(page)]
    CliRunner().invoke(script.main, told, catch_exceptions=False)
    text = page.read_text("utf-8")
    assert "What the recipe alone is worth" in text and "| hagan-paper" not in text
    assert "0.01 min | 0.02 min" in text
    called = []
    monkeypatch.setattr(script.subprocess, "run", lambda command, **_: called.append(command))
    monkeypatch.setattr(script, "commit", lambda: "x")
    CliRunner().invoke(script.main, told, catch_exceptions=False)
    assert not called and page.read_text("utf-8") == text
