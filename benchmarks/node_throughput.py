"""Measure the DICOM node: instances received a second, and a series from sender to archive.

    python benchmarks/node_throughput.py SERIES MODEL

SERIES is a folder with a T1 series, MODEL a `.onnx` file or the name of a bundled model. Printed
are the rate at which one association's instances are acknowledged, each after its fsync, and the
time from the last acknowledgement until the archive has the last instance, without the silence that
was configured. Both are taken twice, for each instance waits for both sides: with pynetdicom at
both ends, in this process, and with DCMTK's `dcmsend` (its start counts) and Orthanc.
"""

import shutil
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pydicom
from loopback import (
    SILENCE,
    Archive,
    instances_of,
    running_node,
    running_orthanc,
    scratch,
    send,
    send_by_dcmtk,
)


def main(series: Path, model: str) -> None:
    """Print the figures."""
    paths = instances_of(series)
    size = sum(path.stat().st_size for path in paths) / 2**20
    print(f"{len(paths)} instances, {size:.0f} MiB")
    instances = [pydicom.dcmread(path) for path in paths]

    archive = Archive()
    with (
        scratch() as folder,
        running_node(Path(folder), model, archive.address) as (_, port),
    ):
        print("pynetdicom", end=": ")
        measure(lambda: send(port, instances), paths, lambda: len(archive.stored))
    archive.down()

    missing = [name for name in ("dcmsend", "Orthanc") if shutil.which(name) is None]
    if missing:
        sys.exit(f"not measured with {', '.join(missing)}: not installed")
    with (
        scratch() as folder,
        running_orthanc(Path(folder)) as (address, count),
        running_node(Path(folder), model, address) as (_, port),
    ):
        start = time.perf_counter()
        send_by_dcmtk(int(address.rpartition(":")[2]), paths)
        print(f"dcmsend straight to Orthanc: {time.perf_counter() - start:.1f} s")
        print("dcmsend, Orthanc", end=": ")
        measure(lambda: send_by_dcmtk(port, paths), paths, lambda: count() - len(paths))


def measure(sender: Callable[[], None], paths: Sequence[Path], count: Callable[[], int]) -> None:
    """Send, and wait until as many have come back, for at most ten minutes."""
    start = time.perf_counter()
    sender()
    end = time.perf_counter()
    while count() < len(paths):
        if time.perf_counter() > end + 600:
            sys.exit("the result has not come back within 600 s")
        time.sleep(0.1)
    back = time.perf_counter() - end - SILENCE
    print(
        f"{len(paths) / (end - start):.0f} instances/s received, "
        f"back {back:.1f} s after the silence"
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
