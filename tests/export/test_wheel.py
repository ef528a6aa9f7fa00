"""The wheel, which is what people are given: built, read, and installed from the file."""

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from hagan_clinic import __version__

ROOT = Path(__file__).parents[2]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check"]

pytestmark = pytest.mark.slow


def pip(*arguments):
    return subprocess.run([*PIP, *map(str, arguments)], capture_output=True, text=True)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    done = pip("wheel", "--no-deps", "--wheel-dir", folder, ROOT)
    if "No matching distribution found for hatchling" in done.stderr:
        pytest.skip("no package index, from which the build takes hatchling")
    assert done.returncode == 0, done.stderr
    (file,) = folder.iterdir()
    return file


def test_the_wheel_is_for_every_platform_and_holds_what_runs_and_no_more(wheel):
    assert wheel.name == f"hagan_clinic-{__version__}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as content:
        names = {name.removeprefix("hagan_clinic/") for name in content.namelist()}
        models = [one for one in content.infolist() if one.filename.endswith(".onnx")]
    assert {"py.typed", "cli/translate.py", "runtime/page/page.html"} <= names
    assert {f"models/t1_to_flair/{name}" for name in ("t1_to_flair.onnx", "SHA256")} <= names
    assert {name.partition("/")[0] for name in names if "/" in name} >= {"runtime", "models"}
    assert not [name for name in names if name.startswith(("tests", "docs", "export"))]
    assert {f"models/brain/{name}" for name in ("generator.onnx", "encoder.onnx")} <= names
    assert all(one.file_size < 16 * 2**20 for one in models)
    assert wheel.stat().st_size - sum(one.compress_size for one in models) < 2 * 2**20


def test_its_extras_are_those_of_the_project(wheel):
    with zipfile.ZipFile(wheel) as content:
        (metadata,) = [name for name in content.namelist() if name.endswith("/METADATA")]
        text = content.read(metadata).decode()
    assert set(re.findall(r"^Provides-Extra: (.*)$", text, re.MULTILINE)) == set(EXTRAS)
    for extra in set(EXTRAS) - {"dev"}:  # which names the others, and is written out
        lines = re.findall(rf"^Requires-Dist: (.*); extra == '{extra}'$", text, re.MULTILINE)
        required = {canonicalize_name(Requirement(line).name) for line in lines}
        assert required == {canonicalize_name(Requirement(one).name) for one in EXTRAS[extra]}


def test_pip_takes_the_file_with_extras(wheel):
    # All that they need is installed here, so that no index is asked.
    named = "train,node,dicom-codecs"
    found = pip("install", "--dry-run", "--no-index", f"{wheel}[{named}]")
    assert found.returncode == 0, found.stderr
    assert "does not provide the extra" not in found.stderr
    assert "torchio" in found.stdout
    unknown = pip("install", "--dry-run", "--no-index", f"{wheel}[trane]")
    assert "does not provide the extra 'trane'" in unknown.stderr


def test_what_is_installed_translates_away_from_the_checkout(wheel, tmp_path):
    place = tmp_path / "installed"
    assert pip("install", "--no-index", "--no-deps", "--target", place, wheel).returncode == 0
    sample = ROOT / "examples" / "open_ms_patient07" / "open_ms_patient07_t1.nii.gz"
    words = ["translate", sample, "-o", "flair.nii.gz", "--report", "run.json", "--device", "cpu"]
    done = subprocess.run(
        [sys.executable, "-m", "hagan_clinic", *words],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(place)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert str(place / "hagan_clinic" / "models") in (tmp_path / "run.json").read_text()
