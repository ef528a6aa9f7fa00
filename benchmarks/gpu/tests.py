"""The tests that need a CUDA device, with nothing of pytest's that a machine may lack."""

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

from given import given, tell

ROOT = Path(__file__).parents[2]


def main() -> None:
    """A row for each test that was not passed, and one with their numbers."""
    arguments = given()
    report = arguments.scratch / "tests.xml"
    # Not the options of pyproject.toml: pytest-xdist need not be there.
    options = ["-o", "addopts=--import-mode=importlib", "-m", "gpu", f"--junitxml={report}", "-q"]
    command = [sys.executable, "-m", "pytest", *options, str(ROOT / "tests" / "gpu")]
    subprocess.run(command, cwd=ROOT, stdout=sys.stderr, check=False, timeout=arguments.seconds)
    counts = {"passed": 0, "skipped": 0, "failed": 0}
    for case in ElementTree.parse(report).iter("testcase"):
        outcomes = {"failure": "failed", "error": "failed", "skipped": "skipped"}
        found = next((child for child in case if child.tag in outcomes), None)
        outcome = "passed" if found is None else outcomes[found.tag]
        counts[outcome] += 1
        if found is not None:
            tell(test=case.get("name"), outcome=outcome, why=(found.get("message") or "")[:300])
    tell(**counts)


if __name__ == "__main__":
    main()
