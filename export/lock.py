"""Write down the SHA-256 of every file that a node may install, in `requirements*.txt` beside this.

    pip install uv
    python export/lock.py

Run it after a change of pyproject.toml or constraints.txt. `pip install --require-hashes` then
takes these very files or none. `requirements.txt` is for the CPU, `requirements-cuda.txt` for CUDA,
and `requirements-build.txt` makes the wheel of hagan-clinic; each holds for every system and every
Python from 3.11.
"""

import subprocess
import sys
from pathlib import Path

EXPORT = Path(__file__).resolve().parent
ROOT = EXPORT.parent
NODE = ["pyproject.toml", "--extra", "node", "--extra", "dicom-codecs"]
LOCKS = {
    "requirements.txt": (NODE, ""),
    "requirements-cuda.txt": ([*NODE, "-"], "onnxruntime-gpu[cuda,cudnn]"),
    "requirements-build.txt": (["-"], "hatchling"),
}
HEAD = "# Made by `python export/lock.py` from pyproject.toml and constraints.txt; not by hand.\n"


def main() -> None:
    """Write the files, or end with why not."""
    options = ["--generate-hashes", "--universal", "--no-header", "--no-annotate", "--quiet"]
    options += ["--python-version", "3.11", "--constraint", "constraints.txt"]
    for name, (sources, more) in LOCKS.items():
        command = [sys.executable, "-m", "uv", "pip", "compile", *sources, *options]
        done = subprocess.run(command, cwd=ROOT, input=more, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{name}: {done.stderr.strip()}")
        (EXPORT / name).write_text(HEAD + done.stdout, "utf-8")
        packages = [line for line in done.stdout.splitlines() if not line.startswith(" ")]
        print(f"wrote export/{name}: {len(packages)} packages")


if __name__ == "__main__":
    main()
