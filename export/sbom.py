"""An SBOM (CycloneDX 1.6, JSON) of an installed node: its packages, and the models that it can run.

    pip install cyclonedx-bom
    python export/sbom.py /opt/hagan-clinic/current -o sbom.json

The first argument is the virtual environment that hagan-clinic is installed in; this script may
run in another. `cyclonedx-py` lists the packages; every bundled model is added with its licence
and SHA-256.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator


def main() -> None:
    """Write the SBOM, or end with what is wrong with it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("environment", type=Path, help="virtual environment of hagan-clinic")
    parser.add_argument("-o", "--output", type=Path, required=True, help="JSON file to write")
    arguments = parser.parse_args()
    commands = arguments.environment / ("Scripts" if sys.platform == "win32" else "bin")
    if not any(commands.glob("hagan-clinic*")):
        sys.exit(
            f"{arguments.environment}: hagan-clinic is not installed there; name its environment"
        )
    python = str(commands / "python")
    bom = output_of([sys.executable, "-m", "cyclonedx_py", "environment", "--sv", "1.6", python])
    bom["components"] += models(commands)
    text = json.dumps(bom, indent=2)
    if error := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text):
        sys.exit(f"{arguments.environment}: no valid SBOM came of it: {error}")
    arguments.output.write_text(text + "\n", "utf-8")
    print(f"wrote {arguments.output}: {len(bom['components'])} components")


def models(commands: Path) -> list[dict[str, Any]]:
    """The bundled models as components."""
    command = [str(commands / "hagan-clinic"), "models", "--json"]
    return [
        {
            "type": "machine-learning-model",
            "bom-ref": f"model:{card['name']}@{card['version']}",
            "name": card["name"],
            "version": card["version"],
            "description": card["description"],
            "hashes": [{"alg": "SHA-256", "content": card["sha256"]}],
            "licenses": [{"license": {"id": card["licence"]}}],
        }
        for card in output_of(command)
    ]


def output_of(command: list[str]) -> Any:
    """The JSON that a command prints."""
    found = subprocess.run(command, capture_output=True, text=True)
    if found.returncode:
        sys.exit(f"{' '.join(command)}: {found.stderr.strip()}")
    return json.loads(found.stdout)


if __name__ == "__main__":
    main()
