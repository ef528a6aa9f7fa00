"""What a scan of a cohort takes beside a call for it alone, and what a killed run repeats.

    python benchmarks/cohort.py $HAGAN_TEST_DATA/lgg_mni

A BIDS tree of T1s is made of the cohort's. Its scans are translated (1) by one `Translator`, scan
after scan, as a program of one's own would, and (2) by `hagan-clinic translate TREE -o OUT`; the
model is loaded once in each, and loading counts. Then the command is killed (SIGKILL) in the middle
of a scan and called again with --skip-existing. Prints Markdown; processor seconds are those of all
threads, and hold on a machine that does other work too.
"""

import argparse
import csv
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from click.testing import CliRunner

from hagan_clinic.cli import main as hagan_clinic
from hagan_clinic.data.examinations import examinations
from hagan_clinic.runtime import Translator
from hagan_clinic.runtime.session import usable_cpus


def make_tree(cohort: Path, tree: Path, scans: int) -> None:
    """Link so many T1s of a cohort into a BIDS tree."""
    found = [one.scans["t1"] for one in examinations(cohort, ("t1",))[0]][:scans]
    if len(found) < scans:
        sys.exit(f"{cohort} has {len(found)} T1s; --scans {scans} wants more")
    tree.mkdir()
    facts = {"Name": "benchmark", "BIDSVersion": "1.10.0"}
    (tree / "dataset_description.json").write_text(json.dumps(facts))
    for number, scan in enumerate(found, start=1):
        link = tree / f"sub-{number:02}" / "anat" / f"sub-{number:02}_T1w.nii.gz"
        link.parent.mkdir(parents=True)
        link.symlink_to(scan.resolve())


def by_one_translator(tree: Path, out: Path) -> None:
    """Each scan alone, the model loaded once."""
    out.mkdir()
    translator = Translator(device="cpu")
    for scan in sorted(tree.rglob("*_T1w.nii.gz")):
        translator.translate(scan, out / scan.name.replace("T1w", "FLAIR"))


def by_command(tree: Path, out: Path) -> None:
    """The command, in this process."""
    arguments = ["translate", str(tree), "-o", str(out), "--device", "cpu"]
    result = CliRunner().invoke(hagan_clinic, arguments)
    if result.exit_code:
        sys.exit(result.output)


def measured(work: Callable[[Path, Path], None], tree: Path, out: Path) -> tuple[float, float]:
    """Wall and processor seconds."""
    wall, processor = time.perf_counter(), time.process_time()
    work(tree, out)
    return time.perf_counter() - wall, time.process_time() - processor


def killed_and_resumed(tree: Path, out: Path, after: int) -> tuple[int, Counter[str]]:
    """Rows that were on disk when the run was killed, and the statuses of the run after it."""
    command = [sys.executable, "-m", "hagan_clinic", "translate", str(tree), "-o", str(out)]
    command += ["--device", "cpu", "--skip-existing", "--quiet"]
    run = subprocess.Popen(command)
    while len(rows(out)) < after:
        if run.poll() is not None:
            sys.exit("the run ended before it could be killed")
        time.sleep(0.05)
    time.sleep(1)  # into the next scan
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    before = len(rows(out))
    subprocess.run(command, check=True)
    return before, Counter(row["status"] for row in rows(out))


def rows(out: Path) -> list[dict[str, str]]:
    """Those of the table of results, as far as it is written."""
    table = out / "results.csv"
    return list(csv.DictReader(table.read_text().splitlines())) if table.exists() else []


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cohort", type=Path)
    parser.add_argument("--scans", type=int, default=40)
    parser.add_argument("--killed", type=int, default=4, help="scans of the run that is killed")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        make_tree(given.cohort, place / "bids", given.scans)
        print(f"{given.scans} scans on {usable_cpus()} cores\n")
        print("| | seconds a scan | processor seconds a scan |\n|---|---|---|")
        for what, work in {
            "one translator": by_one_translator,
            "translate TREE": by_command,
        }.items():
            wall, processor = measured(work, place / "bids", place / what.replace(" ", "_"))
            print(
                f"| {what} | {wall / given.scans:.2f} | {processor / given.scans:.2f} |", flush=True
            )
        make_tree(given.cohort, place / "killed", given.killed)
        before, statuses = killed_and_resumed(place / "killed", place / "out", given.killed // 2)
        print(
            f"\nKilled with {before} of {given.killed} scans done; called again it kept "
            f"{statuses['kept']} and translated {statuses['translated']}."
        )


if __name__ == "__main__":
    main()
