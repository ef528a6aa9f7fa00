"""What may be installed at a hospital is what constraints.txt pins, file by file."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
EXPORT = ROOT / "export"
LOCKS = ["requirements.txt", "requirements-cuda.txt", "requirements-build.txt"]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PINS = {
    canonicalize_name(name): version
    for name, version in re.findall(
        r"^([\w.-]+)==([\w.]+)", (ROOT / "constraints.txt").read_text(), re.MULTILINE
    )
}


def locked(name):
    """Package -> its version and the hashes of its files."""
    entries = re.split(r"\n(?=\w)", (EXPORT / name).read_text())
    found = {}
    for entry in entries:
        if match := re.match(r"([\w.-]+)==([\w.]+)", entry):
            hashes = re.findall(r"--hash=sha256:([0-9a-f]{64})\b", entry)
            found[canonicalize_name(match[1])] = match[2], hashes
    return found


@pytest.mark.parametrize("name", LOCKS)
def test_every_package_has_its_pinned_version_and_hashes(name):
    found = locked(name)
    assert len(found) > 4
    for package, (version, hashes) in found.items():
        assert hashes, package
        assert PINS.get(package, version) == version, package


@pytest.mark.parametrize("name", LOCKS[:2])
def test_what_a_node_needs_is_there_and_above_the_floors(name):
    found = locked(name)
    extras = PROJECT["optional-dependencies"]
    for text in [*PROJECT["dependencies"], *extras["node"], *extras["dicom-codecs"]]:
        requirement = Requirement(text)
        version, _ = found[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), text


def test_the_second_brings_the_libraries_of_cuda_and_the_third_what_builds():
    assert {"nvidia-cudnn-cu13", "nvidia-cublas"} <= locked("requirements-cuda.txt").keys()
    assert "hatchling" in locked("requirements-build.txt")


def test_pip_takes_no_file_of_another_hash(tmp_path):
    lines = re.sub(r"sha256:[0-9a-f]", "sha256:0", (EXPORT / "requirements-build.txt").read_text())
    (tmp_path / "requirements.txt").write_text(lines)
    where = ["--dest", tmp_path / "files", "--requirement", tmp_path / "requirements.txt"]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
    done = subprocess.run([*command, *where], capture_output=True, text=True)
    assert done.returncode
    if "DO NOT MATCH THE HASHES" not in done.stderr:
        pytest.skip("no package index can be reached")


def test_container_and_guide_install_nothing_without_hashes():
    for name in ("Containerfile", "deployment.md"):
        text = (EXPORT / name).read_text().replace("\\\n", " ")
        commands = re.findall(r"pip\"? (?:install|download) [^\n&`]*", text)
        assert len(commands) > 2
        for command in commands:
            from_files = "--no-deps" in command and "--no-index" in command
            for_the_sbom = "cyclonedx-bom" in command
            assert "--require-hashes" in command or from_files or for_the_sbom, command


def test_both_stages_of_the_container_begin_with_the_base_that_is_given():
    text = (EXPORT / "Containerfile").read_text()
    assert re.findall(r"^FROM (\S+)", text, re.MULTILINE) == ["${BASE}", "${BASE}"]
    assert text.index("\nARG BASE=") < text.index("\nFROM ")
    assert (
        "--build-arg BASE=docker.io/library/debian@sha256:"
        in (EXPORT / "deployment.md").read_text()
    )


def test_what_ci_installs_to_look_at_packages_is_pinned():
    text = (ROOT / ".ci" / "run").read_text().replace("\\\n", " ")
    (tools,) = re.findall(r'supply/bin/pip" install --quiet -c constraints.txt (.*)', text)
    names = [Requirement(tool.strip('"')).name for tool in tools.split()]
    assert "pip-audit" in names
    assert {canonicalize_name(name) for name in names} <= PINS.keys()


def test_ci_looks_for_known_vulnerabilities_and_makes_the_sbom():
    text = (ROOT / ".ci" / "run").read_text()
    assert "pip-audit" in text and "export/sbom.py" in text
    if shutil.which("bash"):
        subprocess.run(["bash", "-n", ROOT / ".ci" / "run"], check=True)
