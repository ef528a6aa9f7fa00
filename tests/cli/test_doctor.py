import json

import pytest
from click.testing import CliRunner

from hagan_clinic.cli import main
from hagan_clinic.extras import TRAINING
from hagan_clinic.runtime import diagnosis, library, providers


@pytest.fixture
def machine(tmp_path, monkeypatch, toy_generator):
    """A machine without a GPU, with a bundled model that is as published."""
    import hashlib

    folder = tmp_path / "models" / "t1_to_flair"
    folder.mkdir(parents=True)
    path = folder / "t1_to_flair.onnx"
    path.write_bytes(toy_generator.read_bytes())
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    (folder / "SHA256").write_text(f"{digest}  {path.name}\n")
    monkeypatch.setattr(library, "INSTALLED", tmp_path / "models")
    monkeypatch.setattr(library, "CHECKOUT", tmp_path / "export")
    monkeypatch.setattr(providers, "_driver", lambda: None)
    return path


def _findings():
    result = CliRunner().invoke(main, ["doctor", "--json"])
    return result, {finding["subject"]: finding for finding in json.loads(result.stdout)}


def test_machine_that_translates_is_well(machine):
    result, findings = _findings()
    assert result.exit_code == 0, result.output
    assert findings["CPU"]["works"] is True
    assert findings["model t1_to_flair"]["works"] is True
    assert findings["CUDA"]["works"] is False
    assert "no NVIDIA driver was found" in findings["CUDA"]["detail"]


def test_table_says_the_same(machine):
    result = CliRunner().invoke(main, ["doctor"])
    assert result.exit_code == 0
    assert "CUDA" in result.stdout
    assert "NVIDIA driver" in result.stdout


def test_damaged_model_is_found(machine):
    machine.write_bytes(machine.read_bytes()[:-9])
    result, findings = _findings()
    assert result.exit_code == 4
    assert "damaged or was changed" in findings["model t1_to_flair"]["detail"]
    assert "error: model t1_to_flair" in result.stderr


def test_missing_model_is_found(machine):
    machine.unlink()
    result, findings = _findings()
    assert result.exit_code == 4
    assert "not in this installation" in findings["model t1_to_flair"]["detail"]


def test_cpu_session_that_does_not_start_is_found(machine, monkeypatch):
    monkeypatch.setattr(providers, "obstacle", lambda name: "an illegal instruction")
    result, findings = _findings()
    assert result.exit_code == 5
    assert findings["CPU"]["works"] is False


def test_two_onnxruntime_packages_are_found(machine, monkeypatch):
    both = {"onnxruntime": "1.31.1", "onnxruntime-gpu": "1.31.1"}
    monkeypatch.setattr(providers, "runtime_packages", lambda: both)
    result, findings = _findings()
    assert result.exit_code == 5
    assert findings["ONNX Runtime"]["works"] is False
    assert "pip uninstall" in findings["ONNX Runtime"]["detail"]
    assert "error: ONNX Runtime: both onnxruntime and onnxruntime-gpu" in result.stderr


@pytest.mark.parametrize(("module", "package"), TRAINING.items())
def test_missing_training_package_is_named_and_no_illness(machine, monkeypatch, module, package):
    monkeypatch.setattr(diagnosis, "find_spec", lambda name: None if name == module else object())
    result, findings = _findings()
    assert result.exit_code == 0
    assert findings["training"]["works"] is False
    assert (
        f'{package} not installed; run `pip install "hagan-clinic[train]"`'
        in (findings["training"]["detail"])
    )
