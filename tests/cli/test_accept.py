import json
import shutil

import numpy as np
import pytest
from click.testing import CliRunner

from hagan_clinic.cli import main
from hagan_clinic.runtime.acceptance import EXPECTED, FOLDER
from hagan_clinic.runtime.library import bundled_models

SCAN = bundled_models()["t1_to_flair"].parent / FOLDER / "t1.nii.gz"


def run(*arguments):
    return CliRunner().invoke(main, ["accept", *map(str, arguments)])


@pytest.fixture
def model(tmp_path, toy_generator):
    path = tmp_path / "toy" / "toy.onnx"
    path.parent.mkdir()
    shutil.copy(toy_generator, path)
    result = run(path, "--record", f"t1={SCAN}")
    assert result.exit_code == 0, result.output
    return path


def test_the_installation_passes_and_leaves_a_report_to_sign(tmp_path):
    result = run("--device", "cpu", "-o", tmp_path / "report.md")
    assert result.exit_code == 0, result.output
    assert "pass: t1_to_flair on cpu" in result.stdout
    report = (tmp_path / "report.md").read_text()
    assert "**PASS**" in report and "signature" in report and "NOT FOR DIAGNOSIS" in report
    assert "CPUExecutionProvider" in report


def test_a_failure_has_its_reason_its_report_and_exit_code_4(model, tmp_path):
    path = model.parent / FOLDER / EXPECTED
    with np.load(path) as file:
        content = dict(file)
    np.savez(path, **(content | {"image": content["image"] + np.float32(0.1)}))
    result = run(model, "--json", "-o", tmp_path / "report.md")
    assert result.exit_code == 4
    assert "image differs from the reference by up to 0.1" in result.stderr
    facts = json.loads(result.stdout)
    assert facts["verdict"] == "fail"
    assert [one["passed"] for one in facts["comparisons"]] == [False, True]
    assert "**FAIL**: image differs" in (tmp_path / "report.md").read_text()


def test_other_weights_are_named(model, make_generator, tmp_path):
    make_generator(tmp_path / "other.onnx", factor=2.5)
    shutil.copy(tmp_path / "other.onnx", model)
    result = run(model)
    assert result.exit_code == 4
    assert "other weights than those of the reference" in result.stderr


def test_a_report_is_not_replaced_unless_told(model, tmp_path):
    (tmp_path / "report.md").write_text("signed")
    result = run(model, "-o", tmp_path / "report.md")
    assert (result.exit_code, (tmp_path / "report.md").read_text()) == (6, "signed")
    assert run(model, "-o", tmp_path / "report.md", "--overwrite").exit_code == 0


def test_record_needs_a_name_and_a_file(model):
    assert run(model, "--record", SCAN).exit_code == 2


def test_a_device_that_cannot_be_had_is_an_error(model):
    assert run(model, "--device", "tensorrt").exit_code == 5
