import json
import re
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from hagan_clinic.cli import main

SAMPLE = Path(__file__).parents[2] / "examples" / "open_ms_patient07"
T1, FLAIR = (SAMPLE / f"open_ms_patient07_{name}.nii.gz" for name in ("t1", "flair"))


@pytest.fixture(scope="module")
def translated(tmp_path_factory, toy_generator):
    folder = tmp_path_factory.mktemp("translated")
    paths = [T1, "-o", folder / "syn.nii.gz", "--uncertainty", folder / "bar.nii.gz"]
    paths += ["--html", folder / "qc.html", "--model", toy_generator, "--device", "cpu"]
    result = run("translate", *paths)
    assert result.exit_code == 0, result.output
    assert f"wrote {folder / 'qc.html'}" in result.output
    return folder


def run(*arguments):
    return CliRunner().invoke(main, [str(one) for one in arguments])


def facts(page):
    text = page.read_text("utf-8")
    return json.loads(re.search(r'id="facts">(.*?)</script>', text, re.S)[1])


def kinds(page):
    return [[picture["kind"] for picture in one["pictures"]] for one in facts(page)]


def test_translate_writes_a_page_with_the_warnings_of_its_run(translated):
    assert kinds(translated / "qc.html") == [["source", "synthetic", "error bar"]]
    assert facts(translated / "qc.html")[0]["name"] == "syn"


def test_view_shows_the_same_and_the_real_image(translated, tmp_path):
    page = tmp_path / "page.html"
    result = run("view", translated, T1, "--real", FLAIR, "-o", page)
    assert result.exit_code == 0, result.output
    assert "not for diagnosis" in result.output
    assert kinds(page) == [["source", "synthetic", "real", "error bar"]]
    made = facts(translated / "qc.html")[0]
    found = facts(page)[0]
    assert (found["shape"], found["affine"]) == (made["shape"], made["affine"])
    assert (found["name"], found["key"]) == (made["name"], made["key"])
    assert found["figures"]["mean error bar"] == made["figures"]["mean error bar"]
    again = run("view", translated, T1, "-o", page)
    assert again.exit_code == 6 and "--overwrite" in again.output


def test_several_translations_make_one_page_with_those_that_failed(
    tmp_path, toy_generator, test_data
):
    (tmp_path / "bad.nii.gz").write_bytes(b"rubbish")
    inputs = [T1, tmp_path / "bad.nii.gz", test_data / "dicom" / "brainix" / "t1"]
    model = ["--model", toy_generator, "--device", "cpu", "--burn-in"]
    result = run(
        "translate", *inputs, "-o", tmp_path / "out", "--html", tmp_path / "qc.html", *model
    )
    assert result.exit_code == 3, result.output
    failed, *shown = facts(tmp_path / "qc.html")
    assert failed["name"] == "bad.nii.gz" and "bad.nii.gz: " in failed["problem"]
    assert {one["name"] for one in shown} == {"open_ms_patient07_t1_flair", "input 3"}
    # The table does not say where the series lies, whose folder may be named after its patient.
    result = run("view", tmp_path / "out", "-o", tmp_path / "again.html")
    assert result.exit_code == 3 and "give the scan's folder too" in result.output
    result = run("view", tmp_path / "out", inputs[2], "-o", tmp_path / "again.html")
    assert result.exit_code == 0, result.output
    # A verdict that was given on one page holds on the other.
    called = [
        {(one["name"], one["key"]) for one in facts(tmp_path / page)}
        for page in ("qc.html", "again.html")
    ]
    assert called[0] == called[1] and len(called[0]) == 3


def test_a_page_that_exists_stops_translate_before_its_work(translated, tmp_path, toy_generator):
    paths = [T1, "-o", tmp_path / "syn.nii.gz", "--html", translated / "qc.html"]
    result = run("translate", *paths, "--model", toy_generator)
    assert result.exit_code == 6 and "exists already" in result.output
    assert not list(tmp_path.iterdir())


@pytest.fixture
def derived(tmp_path, toy_generator, test_data):
    """The series and error bar that a DICOM tree of two examinations gave; one failed."""
    shutil.copytree(test_data / "dicom/brainix", tmp_path / "in/smith/mr")
    shutil.copytree(test_data / "dicom/edge/generic/rgb/001", tmp_path / "in/jones")
    places = ["-o", tmp_path / "out", "--uncertainty", tmp_path / "out"]
    result = run("translate", tmp_path / "in", *places, "--model", toy_generator, "--device", "cpu")
    assert result.exit_code == 3
    return tmp_path / "out"


def test_a_folder_of_derived_series_is_viewed_with_scans_bars_real_images_and_failures(
    derived, tmp_path
):
    (tmp_path / "moved").mkdir()
    out = derived.rename(tmp_path / "moved/out")
    result = run("view", out, "--real", tmp_path / "in", "-o", tmp_path / "page.html")
    assert result.exit_code == 0, result.output
    failed, shown = facts(tmp_path / "page.html")
    assert failed["name"] == "examination 1" and "colour image" in failed["problem"]
    assert shown["name"] == "examination 2" and "6.0 mm apart" in shown["warnings"][0]
    assert [picture["kind"] for picture in shown["pictures"]] == [
        *("source", "synthetic", "real", "error bar"),
    ]
    assert shown["pictures"][1]["name"] == "flair"
    text = (tmp_path / "page.html").read_text("utf-8")
    assert "smith" not in text and "toy, weights" in text
    low, step = (shown["pictures"][1][name] for name in ("low", "step"))
    assert low == 0 and 0.5 < 255 * step <= 1  # on the scale of the volume, not as stored


def test_without_its_table_a_series_needs_the_scans_folder(derived, tmp_path):
    (derived / "results.csv").unlink()
    page = ["-o", tmp_path / "page.html"]
    result = run("view", derived, *page)
    assert result.exit_code == 3
    assert "the series that it was made from is not here" in result.stderr
    result = run("view", derived, tmp_path / "in", *page)
    assert result.exit_code == 0, result.output
    assert [one["name"] for one in facts(tmp_path / "page.html")] == ["series 1"]
    assert kinds(tmp_path / "page.html") == [["source", "synthetic", "error bar"]]


def test_a_folder_of_results_leads_to_its_scans_by_its_table(tmp_path, toy_generator):
    for name in ("a", "b"):
        (tmp_path / "in" / name).mkdir(parents=True)
        shutil.copy(T1, tmp_path / "in" / name / "t1.nii.gz")
    (tmp_path / "in/b/t1.nii.gz").write_bytes(b"rubbish")
    model = ["--model", toy_generator, "--device", "cpu"]
    assert run("translate", tmp_path / "in", "-o", tmp_path / "out", *model).exit_code == 3
    result = run("view", tmp_path / "out", "-o", tmp_path / "page.html")
    assert result.exit_code == 0, result.output
    failed, shown = facts(tmp_path / "page.html")
    assert failed["name"] == "b" and "b/t1.nii.gz" in failed["problem"]
    assert [picture["kind"] for picture in shown["pictures"]] == ["source", "synthetic"]


def test_a_volume_that_was_made_of_a_series_is_viewed_with_it(tmp_path, toy_generator, test_data):
    series = test_data / "dicom/brainix"
    model = ["--model", toy_generator, "--device", "cpu"]
    assert run("translate", series, "-o", tmp_path / "flair.nii.gz", *model).exit_code == 0
    page = ["-o", tmp_path / "page.html"]
    result = run("view", tmp_path / "flair.nii.gz", *page)
    assert result.exit_code == 3 and "a DICOM series, is not here" in result.stderr
    result = run("view", tmp_path / "flair.nii.gz", series, *page)
    assert result.exit_code == 0, result.output
    assert kinds(tmp_path / "page.html") == [["source", "synthetic"]]


def test_results_that_are_kept_are_on_the_page_with_their_warnings(
    tmp_path, toy_generator, test_data
):
    wanted = [test_data / "dicom" / "brainix" / "t1", T1, "-o", tmp_path / "out"]
    wanted += ["--uncertainty", tmp_path / "bars", "--model", toy_generator, "--device", "cpu"]
    assert run("translate", *wanted, "--html", tmp_path / "page.html").exit_code == 0
    before = facts(tmp_path / "page.html")
    result = run("translate", *wanted, "--html", tmp_path / "again.html", "--skip-existing")
    assert result.exit_code == 0, result.output
    assert "0 of 2 translated, 2 kept" in result.stdout
    assert facts(tmp_path / "again.html") == before
    assert any(one["warnings"] for one in before)
    assert "warning: " not in result.stderr


def test_one_result_that_is_kept_is_on_its_page_with_the_warnings_of_its_report(
    tmp_path, toy_generator, test_data
):
    series = test_data / "dicom" / "brainix" / "t1"
    wanted = [series, "-o", tmp_path / "flair.nii.gz", "--report", tmp_path / "facts.json"]
    wanted += ["--model", toy_generator, "--device", "cpu", "--skip-existing"]
    assert run("translate", *wanted).exit_code == 0
    result = run("translate", *wanted, "--html", tmp_path / "page.html")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("kept ") and f"wrote {tmp_path / 'page.html'}" in result.stdout
    (shown,) = facts(tmp_path / "page.html")
    assert "6.0 mm apart" in shown["warnings"][0]
