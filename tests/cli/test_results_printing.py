import io
import re
import sys
from pathlib import Path

import pytest

from hagan_clinic.cli.batch import TranslationTask
from hagan_clinic.cli.results_printing import progress_bar, reporter


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
        assert re.match(rf"translating ━+[╸╺━ ]* +{percent} 0:00:0\d {name[:8]}", line)


def test_there_is_no_bar_in_a_pipe_nor_of_a_quiet_call(capsys):
    for quiet in (False, True):
        with progress_bar(quiet) as progress:
            reporter(progress, TranslationTask(Path("t1.nii"), Path("f.nii")))("reading", 0.5)
    assert capsys.readouterr().err == ""
