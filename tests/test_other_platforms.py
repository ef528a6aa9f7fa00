"""What a hospital's Windows has not is taken away here, and the commands run all the same."""

import ast
import csv
import ctypes
import os
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

import hagan_clinic
from hagan_clinic.runtime import memory

# What CPython has on Linux and not on Windows, as far as this package could be tempted by it.
WITHOUT = """
import os, pathlib, select, signal, sys

for name in ("fcntl", "resource", "pwd", "grp", "termios", "syslog"):
    sys.modules[name] = None
for module, names in {
    os: "fork wait4 sched_getaffinity sched_setaffinity sysconf getuid geteuid getgid setsid "
        "killpg pread pwrite set_blocking memfd_create mkfifo statvfs chown getloadavg",
    signal: "SIGKILL SIGHUP SIGUSR1 SIGALRM alarm setitimer pthread_sigmask",
    select: "poll epoll",
}.items():
    for name in names.split():
        vars(module).pop(name, None)

read = pathlib.Path.read_text
def read_text(self, *arguments, **options):
    if self.parts[1:2] in (("proc",), ("sys",)):
        raise FileNotFoundError(2, "no such file", str(self))
    return read(self, *arguments, **options)
pathlib.Path.read_text = read_text

from hagan_clinic.cli import main
main(sys.argv[1:])
"""


def without_posix(*arguments, code=0):
    """The output of a command in such a process, into a pipe of a Western Windows."""
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, *map(str, arguments)],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "cp1252", "PYTHONUTF8": "0"},
    )
    assert done.returncode == code, done.stderr.decode()
    return done


@pytest.fixture
def scan(tmp_path):
    array = np.zeros((32, 32, 32), np.int16)
    array[4:28, 4:28, 4:28] = np.random.default_rng(0).integers(200, 900, (24, 24, 24))
    path = tmp_path / "t1.nii.gz"
    nib.save(nib.Nifti1Image(array, np.diag([5.0, 5.0, 5.0, 1.0])), path)
    return path


def test_translate_runs_without_posix(scan, toy_generator, tmp_path):
    arguments = ("--model", toy_generator, "--device", "cpu", "--max-memory", "300MiB")
    made = tmp_path / "flair.nii.gz"
    without_posix("translate", scan, "-o", made, "--preview", tmp_path / "p.png", *arguments)
    assert nib.load(made).shape == (32, 32, 32)


def test_check_and_training_run_without_posix(small_cohort, tmp_path):
    without_posix("check", small_cohort, "-o", tmp_path / "faults.csv")
    arguments = ("--preset", "tiny", "--device", "cpu", "--steps", "2")
    without_posix("train", "--data", small_cohort, "-o", tmp_path / "run", *arguments)
    with (tmp_path / "run" / "metrics.csv").open() as file:
        assert {row["step"] for row in csv.DictReader(file)} == {"2"}


@pytest.mark.parametrize("arguments", [["models"], ["doctor"], ["--help"]], ids=" ".join)
def test_what_a_pipe_cannot_spell_is_written_out(arguments):
    text = without_posix(*arguments).stdout.decode("cp1252")
    assert arguments != ["models"] or r"t1 \u2192 flair" in text


@pytest.mark.parametrize(
    "arguments", [["spool", "show", "--spool", "."], ["listen", "--spool", "spool"]], ids=" ".join
)
def test_the_node_says_that_it_needs_posix(arguments):
    pytest.importorskip("pynetdicom")
    error = without_posix(*arguments, code=5).stderr.decode()
    assert "runs on Linux and macOS" in error and error.count("\n") == 1


def test_evaluate_cost_says_that_it_needs_posix(tmp_path):
    error = without_posix("evaluate", "cost", "-o", tmp_path / "cost", code=5).stderr.decode()
    assert "measure on Linux or macOS" in error and not (tmp_path / "cost").exists()


def test_windows_tells_its_free_memory(monkeypatch):
    class Kernel32:
        @staticmethod
        def GlobalMemoryStatusEx(pointer):
            status = pointer._obj
            assert status.length == ctypes.sizeof(status) == 64
            ctypes.cast(pointer, ctypes.POINTER(ctypes.c_uint64))[2] = 5 * 2**30  # ullAvailPhys
            return 1

    windll = type("windll", (), {"kernel32": Kernel32})
    monkeypatch.setattr(ctypes, "windll", windll, raising=False)
    monkeypatch.setattr(Path, "read_text", lambda *_: (_ for _ in ()).throw(FileNotFoundError))
    assert memory.available() == 5 * 2**30


POSIX_ALONE = {"fcntl", "resource", "pwd", "grp", "termios", "syslog"}
ALLOWED = {
    "node/posix.py": "says what to do",
    "evaluation/cost_step.py": "a program of its own, which only a system with wait4 starts",
}


def imported_at_once(path):
    """The modules that a file imports when it is imported itself."""
    for statement in ast.parse(path.read_text()).body:
        if isinstance(statement, ast.Import):
            yield from (name.name for name in statement.names)
        elif isinstance(statement, ast.ImportFrom):
            yield statement.module
        elif isinstance(statement, ast.Try):
            for inner in statement.body:
                if isinstance(inner, ast.Import):
                    yield from (name.name for name in inner.names)


def test_modules_of_posix_alone_are_imported_where_something_is_done_about_it():
    package = Path(hagan_clinic.__file__).parent
    found = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if POSIX_ALONE.intersection(imported_at_once(path))
    }
    assert found == set(ALLOWED)
