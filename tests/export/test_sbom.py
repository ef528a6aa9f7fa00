"""The SBOM of this very environment."""

import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import hagan_clinic
from hagan_clinic.runtime import load_model

EXPORT = Path(__file__).parents[2] / "export"


def made(environment, path):
    command = [sys.executable, EXPORT / "sbom.py", environment, "-o", path]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.slow
def test_it_names_the_packages_and_the_model_with_its_hash_and_licence(tmp_path):
    result = made(sys.prefix, tmp_path / "sbom.json")
    assert result.returncode == 0, result.stderr
    bom = json.loads((tmp_path / "sbom.json").read_text())
    assert (bom["bomFormat"], bom["specVersion"]) == ("CycloneDX", "1.6")
    found = {component["name"].lower(): component for component in bom["components"]}
    assert found["hagan-clinic"]["version"] == hagan_clinic.__version__
    for package in ("pydicom", "pynetdicom", "SimpleITK", "onnx"):
        assert found[package.lower()]["version"] == version(package)
    model = found["t1_to_flair"]
    assert model["type"] == "machine-learning-model"
    file = load_model(EXPORT / "t1_to_flair" / "t1_to_flair.onnx")
    assert model["hashes"] == [{"alg": "SHA-256", "content": file.sha256}]
    assert model["licenses"] == [{"license": {"id": "CC-BY-NC-SA-4.0"}}]


def test_an_environment_without_hagan_clinic_is_named_and_nothing_written(tmp_path):
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "empty"], check=True)
    result = made(tmp_path / "empty", tmp_path / "sbom.json")
    assert result.returncode == 1
    assert "hagan-clinic is not installed there" in result.stderr
    assert not (tmp_path / "sbom.json").exists()
