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
    arguments = given()
    source, report = arguments.scratch / "t1.nii.gz", arguments.scratch / "report.json"
    volume = read(SAMPLE)
    write(volume if arguments.small else on_brats_grid(volume), source, description="benchmark")
    options = ["--device", arguments.device, "--report", str(report)]
    output = ["-o", str(arguments.scratch / "flair.nii.gz")]
    command = [sys.executable, "-c", COMMAND, "translate", str(source), *output, *options]
    subprocess.run(command, check=True, stdout=sys.stderr)
    tell(of="command", **json.loads(report.read_text("utf-8"))["seconds"])
    translator = Translator("t1_to_flair", device=arguments.device)
    for name in ("first", "second", "third"):
        if arguments.left < 5:
            return
        translation = translator.translate(source)
        tell(of=name, **translation.report["seconds"])


if __name__ == "__main__":
    main()
