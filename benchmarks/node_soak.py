"""Let the DICOM node work for long: nothing lost, nothing doubled, memory bounded.

    python benchmarks/node_soak.py SERIES MODEL --minutes 60

SERIES is a folder with a T1 series, which is sent again and again under new UIDs, each time when
the one before has come back; for every tenth the archive is down for half a minute. MODEL is a
`.onnx` file or the name of a bundled model. The resident memory of the node is read when it
listens, and after each series.
"""

import subprocess
import time
from pathlib import Path

import click
import pydicom
from loopback import Archive, instances_of, running_node, scratch, send
from pydicom.uid import generate_uid

DOWN = 30.0
"""Seconds for which the archive is down at every tenth series."""


@click.command()
@click.argument("series", type=click.Path(path_type=Path))
@click.argument("model")
@click.option("--minutes", default=60.0, show_default=True)
@click.option("--threads", default=0, show_default=True, help="Of the model; 0: all cores.")
def main(series: Path, model: str, minutes: float, threads: int) -> None:
    """Print the memory as it goes, and what became of everything at the end."""
    instances = [pydicom.dcmread(path) for path in instances_of(series)]
    archive = Archive()
    # Done series go as they would after days: retention is at work too.
    settings = {"threads": threads, "keep_done_days": 0.001}
    with (
        scratch() as folder,
        running_node(Path(folder), model, archive.address, **settings) as (node, port),
    ):
        start, began, sent = resident(node), time.monotonic(), 0
        print(f"{start:.0f} MiB at the start", flush=True)
        seen = []
        while time.monotonic() < began + 60 * minutes:
            renew(instances)
            send(port, instances)
            sent += 1
            if sent % 10 == 0:
                archive.down()
                time.sleep(DOWN)
                archive.up()
            wait_for(archive, sent * len(instances))
            time.sleep(1.0)
            seen.append(resident(node))
            if sent % 10 == 0:
                passed = (time.monotonic() - began) / 60
                print(f"{passed:.0f} min: {sent} series, {seen[-1]:.0f} MiB", flush=True)
        failed = list(Path(folder, "spool", "failed").iterdir())
    archive.down()
    lost = sent * len(instances) - len(archive.stored)
    doubled = sum(archive.stored.values()) - len(archive.stored)
    print(f"{sent} series, {sent * len(instances)} instances in {minutes:g} minutes")
    print(f"lost {lost}, doubled {doubled}, failed series {len(failed)}")
    print(f"between series {min(seen):.0f} to {max(seen):.0f} MiB, last {seen[-1]:.0f}")
    print(f"at most {max(seen) - start:.0f} MiB more than at the start")


def renew(instances: list[pydicom.Dataset]) -> None:
    """Make another series of the same slices."""
    series = generate_uid(prefix=None)
    for one in instances:
        one.SeriesInstanceUID = series
        one.SOPInstanceUID = one.file_meta.MediaStorageSOPInstanceUID = generate_uid(prefix=None)


def wait_for(archive: Archive, instances: int) -> None:
    """Until so many have come back, for at most ten minutes."""
    end = time.monotonic() + 600
    while len(archive.stored) < instances:
        if time.monotonic() > end:
            raise TimeoutError(f"{len(archive.stored)} of {instances} instances came back")
        time.sleep(0.1)


def resident(node: subprocess.Popen[bytes]) -> float:
    """MiB of memory that a process has in use."""
    status = Path(f"/proc/{node.pid}/status").read_text()
    kib = next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS"))
    return int(kib) / 2**10


if __name__ == "__main__":
    main()
