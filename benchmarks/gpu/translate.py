"""A translation of 240 x 240 x 155 voxels, stage by stage, from a file to a file."""

import json
import subprocess
import sys

from given import given, tell
from translate_cost import SAMPLE, on_brats_grid

from hagan_clinic.imageio import read, write
from hagan_clinic.runtime import Translator

COMMAND = "from hagan_clinic.cli import main; main()"


def main() -> None:
    """Seconds by stage: a command's, a first and later translations of one process."""
    told = given()
    source, report = told.scratch / "t1.nii.gz", told.scratch / "report.json"
    volume = read(SAMPLE)
    write(volume if told.small else on_brats_grid(volume), source, description="benchmark")
    options = ["--device", told.device, "--report", str(report)]
    output = ["-o", str(told.scratch / "flair.nii.gz")]
    command = [sys.executable, "-c", COMMAND, "translate", str(source), *output, *options]
    subprocess.run(command, check=True, stdout=sys.stderr)
    tell(of="command", **json.loads(report.read_text("utf-8"))["seconds"])
    translator = Translator("t1_to_flair", device=told.device)
    for name in ("first", "second", "third"):
        if told.left < 5:
            return
        translation = translator.translate(source)
        tell(of=name, **translation.report["seconds"])


if __name__ == "__main__":
    main()
