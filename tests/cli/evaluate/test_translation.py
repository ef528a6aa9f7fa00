import json
import re

import numpy as np
import pytest
from PIL import Image
from scipy.stats import ttest_rel
from skimage.metrics import peak_signal_noise_ratio

import hagan_clinic
from hagan_clinic.data.subject import Subject
from hagan_clinic.evaluation.evaluated_patients import seen_in_training
from hagan_clinic.imageio import read, write
from hagan_clinic.intensity import from_unit, target_window, to_unit
from hagan_clinic.volume import Volume, to_canonical

BASELINES = ["constant (training mean)", "T1 copied", "T1 through a fitted curve"]


@pytest.fixture(scope="module")
def done(translator, cohort, tmp_path_factory):
    """The folder and the output of one evaluation of whole heads."""
    from click.testing import CliRunner

    from hagan_clinic.cli import main

    folder = tmp_path_factory.mktemp("done") / "results"
    arguments = ["evaluate", "translation", str(translator), str(cohort), "-o", str(folder)]
    page = ["--html", str(folder.parent / "page.html")]
    result = CliRunner().invoke(main, [*arguments, "--form", "head", "--worst", "1", *page])
    assert result.exit_code == 0, result.output
    return folder, result


def reference_of(patients, name):
    flair, brain = (
        to_canonical(read(path)).array for path in (patients.file(name, "flair"), patients.mask)
    )
    return from_unit(to_unit(flair, target_window(flair, brain > 0))), brain > 0


def test_every_figure_is_that_of_the_deployed_path_on_a_test_patient(
    done, translator, patients, csv_rows
):
    rows = csv_rows(done[0] / "subjects.csv")
    assert {row["subject"] for row in rows} == set(patients.names[2:])
    name = patients.names[2]
    made = hagan_clinic.translate(patients.file(name, "t1"), model=translator, device="cpu")
    prediction = to_canonical(made.volume).array
    reference, brain = reference_of(patients, name)
    (row,) = (
        row
        for row in rows
        if (row["subject"], row["prediction"], row["region"]) == (name, "small", "brain")
    )
    expected = peak_signal_noise_ratio(reference[brain], prediction[brain], data_range=1)
    assert float(row["psnr"]) == pytest.approx(expected, abs=1e-4)
    width = to_canonical(made.uncertainty).array[brain]
    held = np.mean(np.abs(prediction[brain] - reference[brain]) <= width)
    assert float(row["coverage"]) == pytest.approx(held, abs=1e-5)
    assert float(row["sharpness"]) == pytest.approx(width.mean(), rel=1e-4)


def test_baselines_and_oracles_stand_beside_the_model_on_screen_and_in_the_file(done):
    folder, result = done
    page = (folder / "translation.md").read_text()
    for text in (result.stdout, page):
        for row in [*BASELINES, "small", "oracle: small, then a linear fit", "Data range 1"][:-1]:
            assert row in text
    assert "Data range 1." in page
    means = json.loads((folder / "means.json").read_text())["means"]
    psnr = {row["prediction"]: row["psnr"] for row in means if row["region"] == "brain"}
    assert psnr["T1 through a fitted curve"] > psnr["constant (training mean)"]
    assert psnr["oracle: small, then a linear fit"] > psnr["small"]


def test_the_constant_is_the_training_patients_mean_and_not_the_test_patients(
    done, patients, csv_rows
):
    training = [reference_of(patients, name) for name in patients.names[:2]]
    constant = np.mean([reference[brain].mean() for reference, brain in training])
    reference, brain = reference_of(patients, patients.names[3])
    expected = -10 * np.log10(np.mean((constant - reference[brain]) ** 2))
    found = [
        float(row["psnr"])
        for row in csv_rows(done[0] / "subjects.csv")
        if (row["subject"], row["prediction"], row["region"])
        == (patients.names[3], BASELINES[0], "brain")
    ]
    assert found == [pytest.approx(expected, abs=1e-3)]


def test_the_t_tests_are_scipys_over_patients(done, csv_rows):
    rows = csv_rows(done[0] / "subjects.csv")
    values = {
        name: [
            float(row["nmse"])
            for row in rows
            if (row["prediction"], row["region"]) == (name, "brain")
        ]
        for name in ("small", BASELINES[2])
    }
    (test,) = (
        row
        for row in csv_rows(done[0] / "tests.csv")
        if (row["region"], row["figure"]) == ("brain", "nmse")
    )
    t, p = ttest_rel(values[test["better"]], values[test["worse"]], alternative="less")
    assert float(test["t"]) == pytest.approx(t, rel=1e-4)
    assert float(test["p"]) == pytest.approx(p, rel=1e-4)
    assert test["n"] == "3"


def test_the_pictures_are_marked_and_the_worst_subject_is_shown(done, csv_rows):
    folder, _ = done
    with Image.open(folder / "worst_small.png") as picture:
        assert "SYNTHETIC, NOT FOR DIAGNOSIS" in picture.text["Title"]
    with Image.open(folder / "reliability_head.png") as picture:
        assert picture.width > 500
    held = csv_rows(folder / "calibration.csv")
    shares = [float(row["held"]) for row in held if row["region"] == "brain"]
    assert shares == sorted(shares)
    assert len(shares) == 11


def test_the_page_has_every_prediction_with_the_reports_figures_the_worst_first(
    done, patients, csv_rows
):
    text = (done[0].parent / "page.html").read_text("utf-8")
    shown = json.loads(re.search(r'id="facts">(.*?)</script>', text, re.S)[1])
    told = {
        f"{row['subject']}, head, small": row
        for row in csv_rows(done[0] / "subjects.csv")
        if (row["prediction"], row["region"]) == ("small", "brain")
    }
    assert {one["name"] for one in shown} == set(told) and len(shown) == 3
    psnr = [one["figures"]["PSNR, dB"] for one in shown]
    assert psnr == sorted(psnr)
    for one in shown:
        row = told[one["name"]]
        assert one["figures"]["PSNR, dB"] == pytest.approx(float(row["psnr"]), abs=1e-3)
        assert one["figures"]["SSIM"] == pytest.approx(float(row["ssim"]), abs=1e-3)
        outside = 1 - float(row["coverage"])
        assert one["figures"]["outside the error bar"] == pytest.approx(outside, abs=1e-3)
        kinds = [picture["kind"] for picture in one["pictures"]]
        assert kinds == ["source", "synthetic", "real", "error bar"]
        assert one["pictures"][2]["scanner"] is None  # it is on the synthetic one's scale
    assert f"wrote {done[0].parent / 'page.html'}" in done[1].stdout


def test_a_page_needs_a_model_and_a_free_place(evaluate, translator, cohort, tmp_path):
    wanted = ["translation", cohort, "-o", tmp_path / "results", "--html", tmp_path / "page.html"]
    assert "give a MODEL" in evaluate(*wanted, code=3).stderr
    (tmp_path / "page.html").write_text("mine")
    assert "exists already" in evaluate(*wanted[:1], translator, *wanted[1:], code=6).stderr
    assert not (tmp_path / "results").exists()


def test_one_patient_gets_metrics_and_no_test_and_is_told_so(
    evaluate, translator, patients, tmp_path
):
    table = patients.table(tmp_path / "one.csv", sides=("train", "test"))
    options = ("-o", tmp_path / "results", "--form", "head", "--worst", 0)
    result = evaluate("translation", translator, table, *options)
    assert "there is one patient" in result.stdout
    assert (tmp_path / "results" / "tests.csv").read_text().count("\n") == 1


def test_a_prediction_that_is_the_reference_is_called_a_leak(
    evaluate, patients, cohort, made_volume, tmp_path
):
    folder = tmp_path / "copied"
    folder.mkdir()
    for name in patients.names[2:]:
        like = patients.file(name, "flair")
        window = target_window(read(like).array, read(patients.mask).array > 0)
        made_volume(
            folder / f"{name}_flair.nii", like, lambda a, w=window: from_unit(to_unit(a, w))
        )
    result = evaluate(
        "translation", folder, cohort, "-o", tmp_path / "results", "--form", "head", "-q"
    )
    assert result.stderr.count("is the reference itself: a leak?") == 3


def test_a_scan_that_is_the_reference_is_called_a_leak(evaluate, translator, patients, tmp_path):
    last = patients.file(patients.names[-1], "flair")
    table = patients.table(tmp_path / "cohort.csv", t1=last)
    result = evaluate("translation", translator, table, "-o", tmp_path / "results", "--worst", 0)
    told = [line for line in result.stderr.splitlines() if "leak?" in line]
    name = patients.names[-1]
    assert told == [
        f"warning: {name}, {form}: the t1 is the reference itself: a leak?"
        for form in ("head", "stripped")
    ]


def test_dice_of_each_label_is_told(evaluate, patients, cohort, made_volume, tmp_path):
    volumes, labels = tmp_path / "volumes", tmp_path / "labels"
    volumes.mkdir()
    labels.mkdir()
    for name in patients.names[2:]:
        made_volume(volumes / f"{name}.nii", patients.file(name, "t1"), lambda a: a / 255)
        made_volume(labels / f"{name}.nii", patients.file(name, "seg"), lambda a: a)
    options = ("--labels", f"volumes={labels}", "--form", "stripped", "--worst", 0)
    result = evaluate("translation", volumes, cohort, "-o", tmp_path / "results", *options)
    assert "Dice of label maps" in result.stdout
    rows = (tmp_path / "results" / "dice.csv").read_text().splitlines()
    assert rows[0] == "prediction,subject,patient,label,dice"
    assert {line.split(",")[-1] for line in rows[1:]} == {"1"}


def test_bad_input_is_named(evaluate, translator, patients, cohort, made_volume, tmp_path):
    def changed(name, **columns):
        return patients.table(tmp_path / name, **columns)

    last = patients.names[-1]
    cut = tmp_path / "cut.nii"
    volume = read(patients.file(last, "flair"))
    write(Volume(volume.array[1:], volume.affine), cut, description="cut")
    empty = made_volume(tmp_path / "empty.nii", patients.mask, lambda a: 0 * a)
    flat = made_volume(tmp_path / "flat.nii", patients.file(last, "t1"), lambda a: 0 * a + 7)
    wild = tmp_path / "wild"
    wild.mkdir()
    for name in patients.names[2:]:
        made_volume(wild / f"{name}.nii", patients.file(name, "t1"), lambda a: a)
    nothing = tmp_path / "nothing"
    nothing.mkdir()
    stray = patients.table(tmp_path / "stray.csv", sides=("", "", "", "", ""))
    for model, table, message in (
        (translator, changed("a.csv", flair=cut), f"{last}: flair .* another grid than t1"),
        (translator, changed("b.csv", flair=""), "lacks"),
        (translator, changed("c.csv", mask=empty), f"{last}.*mask is empty"),
        (translator, changed("d.csv", mask=""), "1 of 5 subjects have no brain mask"),
        (translator, changed("e.csv", flair=flat), f"{last}.*one value 7"),
        (translator, stray, "nothing says which .* give --split"),
        (wild, cohort, "values from 0 to .*expected a prediction on"),
        (nothing, cohort, "neither a run folder nor a folder of volumes"),
    ):
        result = evaluate(
            "translation", model, table, "-o", tmp_path / "results", "-q", "--form", "head",
            code=4 if model == nothing else 3,
        )  # fmt: skip
        assert re_found(message, result.stderr), (message, result.stderr)
        assert not (tmp_path / "results").exists()


def test_the_form_of_given_volumes_has_to_be_said(evaluate, patients, cohort, tmp_path):
    (tmp_path / "volumes").mkdir()
    (tmp_path / "volumes" / "p.nii").touch()
    result = evaluate("translation", tmp_path / "volumes", cohort, "-o", tmp_path / "r", code=3)
    assert "give --form head or --form stripped" in result.stderr


def re_found(pattern, text):
    return re.search(pattern, text, re.DOTALL)


def test_a_run_that_was_trained_on_the_patients_it_is_evaluated_on_is_warned_of(tmp_path):
    (tmp_path / "split.csv").write_text("subject,split\nBraTS-GLI-00001-000,train\np2,test\n")
    evaluated = [Subject(name, name, {}) for name in ("p2", "p3")]
    assert seen_in_training([tmp_path], evaluated) == []
    evaluated.append(Subject("x", "BraTS-GLI-00001", {}))  # another time point of that patient
    (warning,) = seen_in_training([tmp_path], evaluated)
    assert "1 of the patients" in warning
    assert "BraTS-GLI-00001" in warning
