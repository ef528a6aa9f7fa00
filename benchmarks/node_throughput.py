"""Measure the DICOM node: instances received a second, and a series from sender to archive.

    python benchmarks/node_throughput.py SERIES MODEL

SERIES is a folder with a T1 series, MODEL a `.onnx` file or the name of a bundled model. Printed
are the rate at which one association's instances are acknowledged, each after its fsync, and the
time from the last acknowledgement to the archive's last instance, without the silence that was
configured. The rate is taken with two senders, because each instance waits for both sides: this
process's pynetdicom, and DCMTK's `dcmsend`, with its start, where that is installed.
"""

import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import pydicom
from loopback import SILENCE, Archive, instances_of, running_node, send, send_by_dcmtk


def main(series: Path, model: str) -> None:
    """Print the figures."""
    paths = instances_of(series)
    size = sum(path.stat().st_size for path in paths) / 2**20
    print(f"{len(paths)} instances, {size:.0f} MiB")
    archive = Archive()
    with tempfile.TemporaryDirectory(dir=".") as folder:  # of the disk here, not in memory
        with running_node(Path(folder), model, archive) as (_, port):
            instances = [pydicom.dcmread(path) for path in paths]
            start = time.perf_counter()
            send(port, instances)
            end = time.perf_counter()
            print(f"received from pynetdicom: {len(paths) / (end - start):.0f} instances/s")
            wait_for_all(archive, paths)
            print(f"back in the archive: {archive.last - end - SILENCE:.1f} s after the silence")
        # Another spool, to which these instances are new.
        with (
            tempfile.TemporaryDirectory(dir=".") as other,
            running_node(Path(other), model, archive) as (_, port),
        ):
            start = time.perf_counter()
            if send_by_dcmtk(port, paths):
                rate = len(paths) / (time.perf_counter() - start)
                print(f"received from dcmsend: {rate:.0f} instances/s")
    archive.down()


def wait_for_all(archive: Archive, paths: Sequence[Path]) -> None:
    """Until as many instances have come back, for at most ten minutes."""
    end = time.monotonic() + 600
    while len(archive.stored) < len(paths):
        if time.monotonic() > end:
            sys.exit("the result has not come back within 600 s")
        time.sleep(0.1)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
