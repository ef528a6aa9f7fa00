"""Time and memory of reading a DICOM series and of writing one, in fresh processes.

    python benchmarks/dicom_cost.py --series $HAGAN_TEST_DATA/dicom/sag_mprage

Reading is all that `translate` does from the folder to voxels: finding and choosing the series, the
geometry gate, the pixels, the hash of the files. Writing adds a derived series on the same grid,
flushed to the disk and moved to its place. Each is measured as often as --repeat says, and the
median is shown.
"""

import argparse
import sys
from pathlib import Path
from statistics import median

from hagan_clinic.evaluation.fresh_process import MIB, run

BARE = """
import hagan_clinic.imageio.dicom.scan, hagan_clinic.imageio.dicom.writer
"""

READ = """
import sys
from pathlib import Path
from hagan_clinic.imageio.dicom.scan import read_series
from hagan_clinic.imageio.dicom.writer import write_series

scan = read_series(Path(sys.argv[1]), "t1")
array = scan.volume.array
"""

WRITE = """
import tempfile
from hagan_clinic.imageio.atomic import atomic_folder
from hagan_clinic.imageio.dicom.derivation import Derivation
from hagan_clinic.imageio.dicom.options import SeriesOptions

derivation = Derivation(
    target="flair", content="image", software="hagan-clinic", version="0", model="t1_to_flair",
    model_sha256="0" * 64, settings="none", scale="0 to 1", licence="CC0-1.0",
)
array /= array.max()
with tempfile.TemporaryDirectory() as folder, atomic_folder(Path(folder, "out")) as out:
    write_series(array, scan.stack, derivation, SeriesOptions(), out)
"""


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--series", type=Path, required=True, help="folder of one series")
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=3)
    arguments = parser.parse_args()

    print("| run | seconds | CPU seconds | peak MiB |")
    print("|---|---|---|---|")
    for name, code in {"imports": BARE, "read": READ, "read and write": READ + WRITE}.items():
        command = [sys.executable, "-c", code, str(arguments.series)]
        costs = [run(command, arguments.cores) for _ in range(arguments.repeat)]
        seconds = median(cost.seconds for cost in costs)
        cpu_seconds = median(cost.cpu_seconds for cost in costs)
        peak = median(cost.peak_bytes for cost in costs)
        print(f"| {name} | {seconds:.2f} | {cpu_seconds:.2f} | {peak / MIB:.0f} |")


if __name__ == "__main__":
    main()
