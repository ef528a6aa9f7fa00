import csv
import json
import re
import stat
import sys

import numpy as np
import pytest
from PIL import Image
from scipy.stats import ttest_rel
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score

from hagan_clinic.api.generators import load_encoder, load_generator
from hagan_clinic.evaluation.encoding_report import EncodingReport
from hagan_clinic.evaluation.reconstruction import Encoding, ReconstructionRow
from hagan_clinic.intensity import from_unit
from hagan_clinic.metrics.image_quality import nmse, psnr, ssim

SEGMENTER = """\
#!{python}
import sys
import nibabel
image = nibabel.load(sys.argv[-2])
values = image.get_fdata()
labels = (values > 0.2).astype("int16") + (values > 0.6)
nibabel.save(nibabel.Nifti1Image(labels, image.affine), sys.argv[-1])
"""


@pytest.fixture(scope="module")
def runs(make_unconditional_run, tmp_path_factory):
    """Two runs of random weights at 32 cubed and 6 mm."""
    folder = tmp_path_factory.mktemp("encoding")
    for name, latent in (("one", 8), ("two", 4)):
        make_unconditional_run(folder / name, latent=latent)
    return folder / "one", folder / "two"


@pytest.fixture
def segmenter(tmp_path):
    path = tmp_path / "segment"
    path.write_text(SEGMENTER.format(python=sys.executable))
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.fixture(scope="module")
def measurements(patients, tmp_path_factory):
    path = tmp_path_factory.mktemp("measurements") / "volumes.csv"
    rows = [[name, 900 + 50 * number, 0] for number, name in enumerate(patients.names)]
    with path.open("w", newline="") as out:
        csv.writer(out).writerows([["subject", "brain_ml", "nothing"], *rows])
    return path


def test_reconstructions_of_held_out_patients_are_evaluated_compared_and_explained(
    evaluate, runs, cohort, patients, segmenter, measurements, csv_rows, tmp_path
):
    options = ("--segmenter", segmenter, "--measurements", measurements, "--measure", "brain_ml")
    result = evaluate("encoding", *runs, cohort, "-o", tmp_path / "results", *options)
    rows = csv_rows(tmp_path / "results" / "subjects.csv")
    name = patients.names[3]
    encoder, generator = load_encoder(runs[0], "cpu"), load_generator(runs[0], "cpu")
    latents = {}
    for subject in patients.names:
        scan = encoder.prepare(patients.file(subject, "t1"), patients.mask)
        latents[subject] = encoder.encode(scan.array)
        if subject == name:
            (back,) = generator.decode(latents[subject][None])
            real, brain = from_unit(scan.array), scan.brain
    found = {row["region"]: row for row in rows if (row["model"], row["subject"]) == ("one", name)}
    for region, mask in (("brain", brain), ("box", None)):
        for figure, metric in (("psnr", psnr), ("ssim", ssim), ("nmse", nmse)):
            expected = metric(back, real, mask)
            assert float(found[region][figure]) == pytest.approx(expected, rel=1e-4), figure

    training = [
        from_unit(encoder.prepare(patients.file(subject, "t1"), patients.mask).array)
        for subject in patients.names[:2]
    ]
    mean = next(
        row
        for row in rows
        if (row["model"], row["subject"], row["region"])
        == ("mean of the training scans", name, "brain")
    )
    assert float(mean["psnr"]) == pytest.approx(psnr(np.mean(training, axis=0), real, brain))

    values = {
        model: [
            float(row["psnr"]) for row in rows if (row["model"], row["region"]) == (model, "brain")
        ]
        for model in ("one", "two")
    }
    tests = [
        row
        for row in csv_rows(tmp_path / "results" / "tests.csv")
        if (row["region"], row["figure"]) == ("brain", "psnr")
    ]
    references = {"mean of the training scans", "1 principal component"}
    pairs = [{row["better"], row["worse"]} for row in tests]
    assert all({model, one} in pairs for model in ("one", "two") for one in references)
    assert references not in pairs
    test = tests[pairs.index({"one", "two"})]
    expected = ttest_rel(values[test["better"]], values[test["worse"]], alternative="greater")
    assert float(test["p"]) == pytest.approx(expected.pvalue, rel=1e-3)

    truth = from_unit(encoder.prepare(patients.file(name, "t1"), patients.mask).array) > 0.6
    made = back > 0.6
    expected = 2 * (truth & made).sum() / max(truth.sum() + made.sum(), 1)
    learnt = [from_unit(encoder.prepare(patients.file(one, "t1"), patients.mask).array)
              for one in patients.names[:2]]  # fmt: skip
    mean = np.mean(learnt, axis=0) > 0.6
    of_mean = 2 * (truth & mean).sum() / max(truth.sum() + mean.sum(), 1)
    dice = {
        row["prediction"]: float(row["dice"])
        for row in csv_rows(tmp_path / "results" / "dice.csv")
        if (row["subject"], row["label"]) == (name, "2")
    }
    assert dice["one"] == pytest.approx(expected, abs=1e-5)
    assert dice["mean of the training scans"] == pytest.approx(of_mean, abs=1e-5)
    assert 0 < of_mean < 1

    logs = {subject: np.log(900 + 50 * i) for i, subject in enumerate(patients.names)}
    fitted, held_out = patients.names[:2], patients.names[2:]
    ridge = Ridge(alpha=1e-4).fit(
        [latents[subject] for subject in fitted], [logs[subject] for subject in fitted]
    )
    expected = r2_score(
        [logs[subject] for subject in held_out],
        ridge.predict([latents[subject] for subject in held_out]),
    )
    regression = csv_rows(tmp_path / "results" / "regression.csv")
    assert [row["model"] for row in regression] == ["one", "two"]
    assert float(regression[0]["r2"]) == pytest.approx(expected, rel=1e-3)
    assert "λ = 0.0001" in result.stdout
    with Image.open(tmp_path / "results" / "panel.png") as picture:
        assert "SYNTHETIC" in picture.text["Title"]


def test_one_model_or_one_patient_gets_no_test_and_is_told_so(evaluate, runs, patients, tmp_path):
    table = patients.table(tmp_path / "one.csv", sides=("train", "test"))
    result = evaluate("encoding", *runs, table, "-o", tmp_path / "a", "--panel", 0)
    assert "there is one patient" in result.stdout
    two = patients.table(tmp_path / "two.csv", sides=("test", "test"))
    options = ("--side", "all", "--panel", 0)
    result = evaluate("encoding", runs[0], two, "-o", tmp_path / "b", *options)
    assert "there is one model" in result.stdout


def test_measurements_that_cannot_be_explained_are_left_out_and_the_rest_is_evaluated(
    evaluate, runs, patients, csv_rows, tmp_path
):
    table = tmp_path / "measurements.csv"
    lines = [f"{name},{900 + number},5" for number, name in enumerate(patients.names)]
    table.write_text("\n".join(["subject,brain_ml,alike", *lines]) + "\n")
    for sides, told, explained in (
        (("train", "train", "test"), "2 subjects to fit measurements on and 1 held out", []),
        (("train", "test", "test"), "1 subjects to fit measurements on and 2 held out", []),
        (("train", "train", "test", "test"), "warning: alike: one value in all", ["brain_ml"]),
    ):
        cohort = patients.table(tmp_path / "cohort.csv", sides=sides)
        results = tmp_path / "-".join(sides)
        options = ("--measurements", table, "--panel", 0)
        result = evaluate("encoding", runs[0], cohort, "-o", results, *options)
        assert result.stderr.count(told) == 1
        assert told.removeprefix("warning: ") in (results / "encoding.md").read_text()
        assert csv_rows(results / "subjects.csv")
        assert (results / "regression.csv").exists() == bool(explained)
        if explained:
            assert [row["measure"] for row in csv_rows(results / "regression.csv")] == explained


@pytest.mark.parametrize(
    ("settings", "differing"),
    [
        ({"spacing": 3.0}, "box 192x192x192 mm and 96x96x96 mm;"),
        ({"image": "flair"}, "sequence t1 and flair;"),
        (
            {"size": (64, 64, 64), "spacing": 3.0},
            "size 32x32x32 voxels and 64x64x64 voxels;",
        ),
    ],
)
def test_models_whose_references_differ_are_not_tested_against_each_other(
    evaluate, runs, make_unconditional_run, cohort, tmp_path, settings, differing
):
    make_unconditional_run(tmp_path / "other", **settings)
    result = evaluate(
        "encoding", runs[0], tmp_path / "other", cohort, "-o", tmp_path / "results", code=3
    )
    assert f"one and other cannot be evaluated on the same scans: {differing}" in result.stderr
    assert not (tmp_path / "results").exists()


def test_a_figure_that_is_not_defined_leaves_the_json_valid():
    row = ReconstructionRow("one", "a", "a", "box", psnr=np.inf, ssim=0.5, nmse=0.1, ms_ssim=np.nan)
    report = EncodingReport(Encoding(["one"], rows=[row]), [], [], [], {})
    (means,) = json.loads(report.writers()["figures.json"], parse_constant=pytest.fail)["means"]
    assert means == {"model": "one", "region": "box", "ssim": 0.5, "nmse": 0.1}


def test_bad_input_is_named(evaluate, runs, cohort, patients, measurements, tmp_path):
    (tmp_path / "empty").mkdir()
    lacking = tmp_path / "lacking.csv"
    lacking.write_text(f"subject,brain_ml\n{patients.names[0]},900\n")
    for code, model, message, options in (
        (4, tmp_path / "empty", "nor a folder of generator.onnx and encoder.onnx", ()),
        (3, runs[0], "no such program", ("--segmenter", "no-such-segmenter --fast")),
        (3, runs[0], "ended with 1 and wrote no label map", ("--segmenter", "false")),
        (3, runs[0], "wrote no label map", ("--segmenter", "true")),
        (3, runs[0], "has '0' in nothing", ("--measurements", measurements)),
        (3, runs[0], "lacks 4 of 5 subjects", ("--measurements", lacking)),
        (2, runs[0], "expected numbers such as 0,1,8", ("--components", "few")),
        (2, runs[0], "give that too", ("--measure", "brain_ml")),
    ):
        result = evaluate(
            "encoding", model, cohort, "-o", tmp_path / "results", *options, code=code
        )
        assert re.search(message, result.stderr), (message, result.stderr)
        assert not (tmp_path / "results").exists()
