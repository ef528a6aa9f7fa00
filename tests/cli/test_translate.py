import csv
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from click.testing import CliRunner

from hagan_clinic.cli import main
from hagan_clinic.imageio import SUFFIXES

DICOM = b"\0" * 128 + b"DICM"


@pytest.fixture
def scan(tmp_path):
    """The function that writes a scan: a textured block of 120 mm."""

    def write(name="t1.nii.gz", seed=0):
        array = np.zeros((32, 32, 32), np.int16)
        values = np.random.default_rng(seed).integers(200, 900, (24, 24, 24))
        array[4:28, 4:28, 4:28] = values
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        nib.save(nib.Nifti1Image(array, np.diag([5.0, 5.0, 5.0, 1.0])), path)
        return path

    return write


@pytest.fixture
def run(toy_generator, tmp_path):
    """`hagan-clinic translate` with the toy model on the CPU."""

    def call(*arguments, model=toy_generator):
        options = ["--model", str(model), "--device", "cpu", "--threads", "1"]
        return CliRunner().invoke(main, ["translate", *map(str, arguments), *options])

    return call


def _names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_one_scan_gives_one_volume_and_is_told(run, scan, tmp_path):
    result = run(scan(), "-o", tmp_path / "flair.nii.gz")
    assert result.exit_code == 0, result.output
    assert _names(tmp_path) == ["flair.json", "flair.nii.gz", "t1.nii.gz"]
    assert f"wrote {tmp_path / 'flair.nii.gz'}" in result.stdout
    assert "toy on cpu" in result.stdout
    assert "Weights: CC0-1.0" in result.stdout
    assert result.stdout.endswith("SYNTHETIC, research use only, not for diagnosis.\n")
    assert "warning: t1 does not look like a T1" in result.stderr
    assert "warning: t1 has slices 5.0 mm apart" in result.stderr


def test_all_outputs_are_written_where_told(run, scan, tmp_path):
    options = ["--uncertainty", "u.nii.gz", "--preview", "p.png", "--report", "r.json"]
    places = [part if part.startswith("--") else tmp_path / part for part in options]
    result = run(scan(), "-o", tmp_path / "flair.nii.gz", *places)
    assert result.exit_code == 0, result.output
    assert {"u.nii.gz", "u.json", "p.png", "r.json"} < set(_names(tmp_path))
    assert json.loads((tmp_path / "r.json").read_text())["device"]["ran"] == "cpu"


def test_quiet_prints_nothing(run, scan, tmp_path):
    result = run(scan(), "-o", tmp_path / "flair.nii.gz", "--quiet")
    assert (result.exit_code, result.output) == (0, "")


@pytest.mark.parametrize("arguments", [[], ["a.nii", "--source", "t1=b.nii"], ["--source", "t1"]])
def test_wrong_usage_gives_code_two(run, arguments):
    assert run(*arguments, "-o", "flair.nii.gz").exit_code == 2


def test_several_sources_go_to_a_model_that_takes_them(run, scan, make_generator, tmp_path):
    model = make_generator(tmp_path / "two.onnx", sources=("t1", "t2"))
    sources = [f"--source=t2={scan('b.nii.gz', seed=1)}", f"--source=t1={scan('a.nii.gz')}"]
    result = run(*sources, "-o", tmp_path / "flair.nii.gz", model=model)
    assert result.exit_code == 0, result.output
    sidecar = json.loads((tmp_path / "flair.json").read_text())
    assert {name: facts["file"] for name, facts in sidecar["sources"].items()} == {
        "t1": "a.nii.gz",
        "t2": "b.nii.gz",
    }


def test_one_scan_into_a_folder_is_named_after_it(run, scan, tmp_path):
    (tmp_path / "out").mkdir()
    result = run(scan("sub-01_T1w.nii.gz"), "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert _names(tmp_path / "out") == ["sub-01_T1w_flair.json", "sub-01_T1w_flair.nii.gz"]


def test_folder_gives_a_volume_for_each_of_its_t1s_and_a_summary(run, scan, tmp_path):
    for name in ("a_t1.nii.gz", "b_T1w.nii.gz", "a_flair.nii.gz", "a_seg.nii.gz"):
        scan(f"in/{name}")
    out = tmp_path / "out"
    result = run(tmp_path / "in", "-o", out, "--preview", out, "--report", tmp_path / "reports")
    assert result.exit_code == 0, result.output
    assert [name for name in _names(out) if name.endswith(".nii.gz")] == [
        "a_t1_flair.nii.gz",
        "b_T1w_flair.nii.gz",
    ]
    assert "a_t1_flair.png" in _names(out)
    assert _names(tmp_path / "reports") == ["a_t1_flair_report.json", "b_T1w_flair_report.json"]
    assert "2 of 2 translated" in result.stdout


def test_names_that_begin_with_a_dot_are_no_scans(run, scan, tmp_path):
    scan("in/a_t1.nii.gz")
    (tmp_path / "in" / "._a_t1.nii.gz").write_bytes(b"\0\5\x16\7 Mac OS X")
    result = run(tmp_path / "in", "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert _names(tmp_path / "out") == ["a_t1_flair.json", "a_t1_flair.nii.gz"]


def test_one_failure_does_not_stop_the_others(run, scan, tmp_path):
    (tmp_path / "bad.nii.gz").write_bytes(b"rubbish")
    (tmp_path / "worse.nii.gz").write_bytes(b"")
    good = scan("good.nii.gz")
    out = tmp_path / "out"
    result = run(tmp_path / "bad.nii.gz", good, tmp_path / "worse.nii.gz", "-o", out)
    assert result.exit_code == 3
    assert _names(out) == ["good_flair.json", "good_flair.nii.gz", "results.csv"]
    rows = list(csv.DictReader((out / "results.csv").read_text().splitlines()))
    assert [row["status"] for row in rows] == ["failed", "translated", "failed"]
    assert "bad.nii.gz: " in rows[0]["reason"] and rows[1]["output"].endswith("good_flair.nii.gz")
    assert f"error: {tmp_path}/bad.nii.gz: " in result.stderr
    assert "2 of 3 failed; the exit code 3 is that of bad.nii.gz" in result.stderr


def test_a_scan_that_cannot_be_read_does_not_stop_the_others(run, scan, tmp_path, monkeypatch):
    """A file, a folder and a DICOM file without suffix that the user may not read."""
    closed = [scan("closed.nii.gz"), tmp_path / "folder", tmp_path / "IM1"]
    closed[1].mkdir()
    closed[2].write_bytes(DICOM)
    opened, listed = Path.open, Path.iterdir

    def refuse(path):
        if path in closed:
            raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", lambda self, *a, **o: refuse(self) or opened(self, *a, **o))
    monkeypatch.setattr(Path, "iterdir", lambda self: refuse(self) or listed(self))
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) not in closed)
    result = run(*closed, scan("good.nii.gz"), "-o", tmp_path / "out")
    assert result.exit_code == 3
    assert _names(tmp_path / "out") == ["good_flair.json", "good_flair.nii.gz", "results.csv"]
    assert result.stderr.count("cannot be read (Permission denied)") == 3
    assert "IM1" not in result.stderr  # it may be a patient's name


def test_a_name_as_long_as_a_file_system_takes_is_written(run, scan, tmp_path):
    name = "\N{CJK UNIFIED IDEOGRAPH-753B}" * 80 + ".nii.gz"
    assert len(name.encode()) == 247
    result = run(scan(), "-o", tmp_path / name)
    assert result.exit_code == 0, result.output
    assert (tmp_path / name).is_file()


def test_a_name_longer_than_a_file_system_takes_is_an_output_error(run, scan, tmp_path):
    scan("in/" + "x" * 240 + "_t1.nii.gz")
    result = run(tmp_path / "in", "-o", tmp_path / "out")
    assert result.exit_code == 6
    assert "the name is too long; choose a shorter one" in result.stderr
    assert run(scan(), "-o", tmp_path / ("y" * 250 + ".nii.gz")).exit_code == 6


def test_nothing_translated_leaves_nothing_but_the_table_that_says_why(run, tmp_path):
    (tmp_path / "bad.nii.gz").write_bytes(b"rubbish")
    (tmp_path / "worse.nii.gz").write_bytes(b"")
    out = tmp_path / "out"
    assert run(tmp_path / "bad.nii.gz", tmp_path / "worse.nii.gz", "-o", out).exit_code == 3
    assert _names(out) == ["results.csv"]
    alone = run(tmp_path / "bad.nii.gz", "-o", tmp_path / "flair.nii.gz")
    assert alone.exit_code == 3 and not (tmp_path / "flair.nii.gz").exists()


def test_files_of_a_list_that_are_done_are_kept(run, scan, tmp_path):
    scans = [scan("a/t1.nii.gz"), scan("b/t1.nii.gz", seed=1)]
    out = tmp_path / "out"
    assert run(*scans, "-o", out).exit_code == 0
    (out / "b/t1_flair.nii.gz").unlink()
    again = run(*scans, "-o", out, "--skip-existing")
    assert again.exit_code == 0, again.output
    assert "1 of 2 translated, 1 kept" in again.stdout
    rows = list(csv.DictReader((out / "results.csv").read_text().splitlines()))
    assert [(row["status"], row["source"]) for row in rows] == [
        ("kept", str(scans[0])),
        ("translated", str(scans[1])),
    ]
    assert all("slices 5.0 mm apart" in row["warnings"] for row in rows)


@pytest.mark.parametrize(
    ("option", "name"),
    [
        *(("-o", f"p{suffix}") for suffix in SUFFIXES),
        *(("--uncertainty", "p.mgz"), ("--preview", "p.png"), ("--report", "p.json")),
    ],
)
def test_file_where_several_inputs_need_a_folder_is_wrong_usage(run, scan, tmp_path, option, name):
    places = {"-o": tmp_path / "out", option: tmp_path / name}
    pairs = [part for pair in places.items() for part in pair]
    result = run(scan("a.nii.gz"), scan("b.nii.gz"), *pairs)
    assert result.exit_code == 2
    assert f"{name}: with several inputs, give a folder" in result.stderr
    assert _names(tmp_path) == ["a.nii.gz", "b.nii.gz"]


def test_scans_of_one_name_are_told_apart_by_their_folders(run, scan, tmp_path):
    result = run(scan("a/t1.nii.gz"), scan("b/t1.nii.gz"), "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert (
        _names(tmp_path / "out/a")
        == _names(tmp_path / "out/b")
        == ["t1_flair.json", "t1_flair.nii.gz"]
    )


def test_one_scan_given_twice_is_refused_before_any_work(run, scan, tmp_path):
    result = run(scan("a/t1.nii.gz"), tmp_path / "a/t1.nii.gz", "-o", tmp_path / "out")
    assert result.exit_code == 6
    assert "would be written there" in result.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("IM-0001-0001.dcm", DICOM, "file 1: has no transfer syntax"),
        ("readme.txt", b"hello", r"holds no volume file.*and no DICOM series"),
    ],
)
def test_folder_without_scans_is_named(run, tmp_path, name, content, message):
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / name).write_bytes(content)
    result = run(folder, "-o", tmp_path / "out")
    assert result.exit_code == 3
    assert re.search(message, result.stderr)


def _interrupted(signal_number, scan, model, out):
    """Run the command in a process that gets a signal while it writes."""
    code = (
        "import os, sys\n"
        "from hagan_clinic.cli import main\n"
        "from hagan_clinic.runtime import translation_outputs\n"
        "write = translation_outputs.write\n"
        "def stopping(*arguments, **options):\n"
        "    write(*arguments, **options)\n"
        f"    os.kill(os.getpid(), {int(signal_number)})\n"
        "translation_outputs.write = stopping\n"
        "main(sys.argv[1:])\n"
    )
    arguments = ["translate", scan, "-o", out, "--model", model, "--device", "cpu"]
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupt_leaves_nothing(scan, toy_generator, tmp_path, number, code):
    done = _interrupted(number, scan(), toy_generator, tmp_path / "flair.nii.gz")
    assert done.returncode == code
    assert "Traceback" not in done.stderr
    assert _names(tmp_path) == ["t1.nii.gz"]


def test_unforeseen_error_is_one_line_with_a_hint_and_a_traceback_with_debug(
    run, scan, tmp_path, monkeypatch
):
    def broken(*_, **__):
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr("hagan_clinic.runtime.translation.prepare", broken)
    arguments = [scan(), "-o", tmp_path / "flair.nii.gz"]
    plain, debug = run(*arguments), run(*arguments, "--debug")
    assert plain.exit_code == debug.exit_code == 1
    assert plain.stderr.count("\n") == 1
    assert "ZeroDivisionError: division by zero (unexpected; --debug" in plain.stderr
    assert "Traceback (most recent call last)" in debug.stderr
    assert _names(tmp_path) == ["t1.nii.gz"]


def test_memory_that_runs_out_tells_of_max_memory(run, scan, tmp_path, monkeypatch):
    def exhausted(*_, **__):
        raise MemoryError

    monkeypatch.setattr("hagan_clinic.runtime.translation.prepare", exhausted)
    result = run(scan(), "-o", tmp_path / "flair.nii.gz")
    assert result.exit_code == 5
    assert "give a smaller --max-memory" in result.stderr
