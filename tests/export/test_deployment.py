"""The deployment kit: its unit, its guide and its container file say what is so."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import click
import pytest

from hagan_clinic.cli import main
from hagan_clinic.node.config import NodeConfig

ROOT = Path(__file__).parents[2]
EXPORT = ROOT / "export"
GUIDE = (EXPORT / "deployment.md").read_text()
UNIT = (EXPORT / "hagan-clinic.service").read_text()
CONTAINER = (EXPORT / "Containerfile").read_text()


def test_systemd_takes_the_unit_and_finds_it_well_confined(tmp_path):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    # The node is not installed here: `verify` wants a program that is.
    unit = tmp_path / "hagan-clinic.service"
    unit.write_text(UNIT.replace("/opt/hagan-clinic/current/bin/hagan-clinic", "/bin/true"))
    verified = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True)
    assert (verified.returncode, verified.stderr) == (0, "")
    command = ["systemd-analyze", "security", "--offline=yes", "--threshold=25", unit]
    judged = subprocess.run(command, capture_output=True, text=True)
    assert judged.returncode == 0, judged.stdout[-500:]


def commands():
    """Each command line of hagan-clinic in guide, unit and container file."""
    text = GUIDE + UNIT + re.sub(r'[",\[\]]', "", CONTAINER.replace("CMD", "hagan-clinic"))
    text = text.replace("\\\n", " ")
    return re.findall(r"hagan-clinic (listen|spool|doctor|accept|models)\b([^\n|`)]*)", text)


def test_every_command_and_option_of_the_kit_exists():
    assert {name for name, _ in commands()} == {"listen", "spool", "doctor", "accept", "models"}
    for name, rest in commands():
        command = main.get_command(click.Context(main), name)
        if isinstance(command, click.Group):
            command = command.get_command(click.Context(command), rest.split()[0])
        known = {option for parameter in command.params for option in parameter.opts}
        assert set(re.findall(r"(?<=\s)--?[a-z-]+", rest)) <= known, (name, rest)


def test_the_guides_settings_are_those_of_the_node():
    (settings,) = re.findall(r"node\.toml <<END\n(.*?)^END$", GUIDE, re.MULTILINE | re.DOTALL)
    names = re.findall(r"^(\w+) = ", settings, re.MULTILINE)
    assert names and set(names) <= set(NodeConfig.__dataclass_fields__)


def test_all_parts_agree_on_places_and_ports():
    orthanc = json.loads((EXPORT / "orthanc" / "hagan-clinic.json").read_text())
    node = orthanc["DicomModalities"]["hagan"]
    assert (node["AET"], node["Port"]) == (NodeConfig.aet, NodeConfig.port)
    assert (EXPORT / "orthanc" / Path(orthanc["LuaScripts"][0]).name).exists()
    assert f"EXPOSE {NodeConfig.port}" in CONTAINER
    for text in (GUIDE, CONTAINER):
        assert f"127.0.0.1:{NodeConfig.http_port}/health" in text
    for text in (UNIT, CONTAINER, GUIDE):
        assert "/etc/hagan-clinic/node.toml" in text and "/var/lib/hagan-clinic" in text


def test_what_the_container_is_built_from_is_not_ignored():
    lines = (ROOT / ".containerignore").read_text().splitlines()
    kept = [line[1:] for line in lines if line.startswith("!")]
    project = (ROOT / "pyproject.toml").read_text()
    needed = {"hagan_clinic", "export", "pyproject.toml", "README.md", "LICENSE"}
    assert set(kept) == needed and all((ROOT / one).exists() for one in kept)
    assert 'readme = "README.md"' in project and 'license-files = ["LICENSE"]' in project
