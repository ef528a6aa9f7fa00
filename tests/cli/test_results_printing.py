import io
import re
import sys
from pathlib import Path

import pytest

from hagan_clinic import progress as progress_home
from hagan_clinic.cli.batch import TranslationTask
from hagan_clinic.cli.one_translation import Result
from hagan_clinic.cli.results_printing import follower, progress_bar, reporter


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("name", ["t1.nii.gz", f"{'patient_' * 12}t1.nii.gz"])
def test_the_bar_of_translate_holds_in_80_columns_whatever_the_name(name, monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm")
    job = TranslationTask(Path(name), Path("flair.nii.gz"))
    with progress_bar(quiet=False, total=2) as progress:
        tell = reporter(progress, job, place=1)
        for share in (0.2, 0.5):
            tell("translating", share)
            progress.refresh()
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.getvalue())
    lines = [line.rstrip() for line in re.split(r"[\r\n]+", text) if line.strip()]
    assert max(map(len, lines)) <= 80
    for percent in ("60%", "75%"):
        (line,) = {line for line in lines if percent in line}
        assert re.match(
            rf"translating ━+[╸╺━ ]* +{percent} 0:00:0\d 0:00:0\d left {name[:8]}", line
        )


def test_there_is_no_bar_in_a_pipe_nor_of_a_quiet_call(capsys):
    for quiet in (False, True):
        with progress_bar(quiet) as progress:
            reporter(progress, TranslationTask(Path("t1.nii"), Path("f.nii")))("reading", 0.5)
    assert capsys.readouterr().err == ""


def test_a_log_has_a_line_for_each_scan_and_the_time_left_is_that_of_work(monkeypatch, capsys):
    now = [1000.0]
    monkeypatch.setattr(progress_home.time, "monotonic", lambda: now[0])
    with progress_bar(quiet=False, total=5) as progress:
        follow = follower(progress, 5, quiet=False)
        for name, status, seconds in (
            ("a", "kept", 0.1), ("b\x1b", "translated", 12.1), ("c", "failed", 0.3),
            ("d", "translated", 11.9), ("e", "translated", 11.9),
        ):  # fmt: skip
            now[0] += 12.0 * (status == "translated")
            follow(Result(TranslationTask(Path(name), Path("f.nii")), status, seconds))
    assert capsys.readouterr().err.splitlines() == [
        "1/5 a: kept",
        "2/5 b\\x1b: translated, 12.1 s, 0:00:36 left",
        "3/5 c: failed, 0.3 s, 0:00:24 left",
        "4/5 d: translated, 11.9 s, 0:00:12 left",
        "5/5 e: translated, 11.9 s",
    ]


def test_a_quiet_call_has_no_line(capsys):
    with progress_bar(quiet=True) as progress:
        job = TranslationTask(Path("t1.nii"), Path("f.nii"))
        follower(progress, 1, quiet=True)(Result(job, "translated", 1.0))
    assert capsys.readouterr().err == ""


def test_the_bar_passes_kept_scans_and_does_not_count_them_as_work(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with progress_bar(quiet=False, total=4) as progress:
        follow = follower(progress, 4, quiet=False)
        for name in "ab":
            follow(Result(TranslationTask(Path(name), Path("f.nii")), "kept", 0.1))
        progress.refresh()
    assert "50%" in terminal.getvalue() and "left" not in terminal.getvalue()
