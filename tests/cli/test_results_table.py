"""The table of results: several processes write one, and none loses what another told."""

import csv
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hagan_clinic.cli.batch import TranslationTask
from hagan_clinic.cli.one_translation import Result
from hagan_clinic.cli.results_table import read_rows, rows
from hagan_clinic.errors import OutputError
from hagan_clinic.imageio import lock

WRITER = """
import sys
from pathlib import Path
from hagan_clinic.cli.batch import TranslationTask
from hagan_clinic.cli.one_translation import Result
from hagan_clinic.cli.results_table import rows
folder, name = Path(sys.argv[1]), sys.argv[2]
for _ in range(2):  # the first appends rows, the second replaces them
    with rows(folder / "results.csv") as tell:
        for number in range(40):
            job = TranslationTask(Path("t1.nii.gz"), folder / f"{name}{number}.nii.gz")
            tell(Result(job, "translated", 1.0))
"""


def told(folder, name, **facts):
    job = TranslationTask(Path("t1.nii.gz"), folder / f"{name}.nii.gz")
    with rows(folder / "results.csv") as tell:
        tell(Result(job, **{"status": "translated", "seconds": 1.0, **facts}))


def test_processes_that_write_at_once_lose_no_row(tmp_path):
    command = [sys.executable, "-c", WRITER, str(tmp_path)]
    writers = [subprocess.Popen([*command, name]) for name in ("a", "b")]
    assert [one.wait() for one in writers] == [0, 0]
    with (tmp_path / "results.csv").open(newline="") as file:
        found = [row["output"] for row in csv.DictReader(file)]
    assert sorted(found) == sorted(f"{name}{n}.nii.gz" for name in "ab" for n in range(40))
    assert [path.name for path in tmp_path.iterdir()] == ["results.csv"]


def test_a_row_that_was_cut_off_is_dropped_and_the_others_stay(tmp_path):
    told(tmp_path, "a", warnings=("thick slices\nand a line more",))
    with (tmp_path / "results.csv").open("a") as file:
        file.write("half,a row")
    told(tmp_path, "b")
    found = read_rows(tmp_path)
    assert [row["output"] for row in found] == ["a.nii.gz", "b.nii.gz"]
    assert found[0]["warnings"] == "thick slices\nand a line more"


def test_a_failure_that_left_no_result_replaces_its_row(tmp_path):
    told(tmp_path, "a")
    told(tmp_path, "a", status="failed", exit_code=6, message="the disk is full")
    assert [row["status"] for row in read_rows(tmp_path)] == ["failed"]
    told(tmp_path, "a")
    assert [row["status"] for row in read_rows(tmp_path)] == ["translated"]


def test_the_lock_of_a_process_that_was_killed_is_taken_over(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "STALE_SECONDS", 0.2)
    (tmp_path / ".results.csv.lock").touch()
    start = time.monotonic()
    told(tmp_path, "a")
    assert time.monotonic() - start > 0.2
    assert [path.name for path in tmp_path.iterdir()] == ["results.csv"]


def test_a_table_in_a_folder_that_cannot_be_written_is_an_output_error(tmp_path):
    with pytest.raises(OutputError, match="does not exist; create it first"):
        told(tmp_path / "none", "a")
