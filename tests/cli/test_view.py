import json
import re
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
    assert facts(translated / "qc.html")[0]["name"] == T1.name


def test_view_shows_the_same_and_the_real_image(translated, tmp_path):
    page = tmp_path / "page.html"
    result = run("view", translated, T1, "--real", FLAIR, "-o", page)
    assert result.exit_code == 0, result.output
    assert "not for diagnosis" in result.output
    assert kinds(page) == [["source", "synthetic", "real", "error bar"]]
    made = facts(translated / "qc.html")[0]
    found = facts(page)[0]
    assert (found["shape"], found["affine"]) == (made["shape"], made["affine"])
    assert found["figures"]["mean error bar"] == made["figures"]["mean error bar"]
    again = run("view", translated, T1, "-o", page)
    assert again.exit_code == 6 and "--overwrite" in again.output


def test_several_translations_make_one_page_with_those_that_failed(
    tmp_path, toy_generator, test_data
):
    (tmp_path / "bad.nii.gz").write_bytes(b"rubbish")
    inputs = [T1, tmp_path / "bad.nii.gz", test_data / "dicom" / "brainix" / "t1"]
    model = ["--model", toy_generator, "--device", "cpu"]
    result = run(
        "translate", *inputs, "-o", tmp_path / "out", "--html", tmp_path / "qc.html", *model
    )
    assert result.exit_code == 3, result.output
    failed, *shown = facts(tmp_path / "qc.html")
    assert failed["name"] == "bad.nii.gz" and "bad.nii.gz: " in failed["problem"]
    assert {one["name"] for one in shown} == {T1.name, "input 3"}


def test_a_page_that_exists_stops_translate_before_its_work(translated, tmp_path, toy_generator):
    paths = [T1, "-o", tmp_path / "syn.nii.gz", "--html", translated / "qc.html"]
    result = run("translate", *paths, "--model", toy_generator)
    assert result.exit_code == 6 and "exists already" in result.output
    assert not list(tmp_path.iterdir())
