import io
import re
import sys

import pytest

from hagan_clinic import progress
from hagan_clinic.progress import counted, duration


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    """A clock that a test moves."""
    now = [1000.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def told(monkeypatch, clock, seconds, count, *, quiet=False):
    """What is written to a pipe about so many things that take so long each."""
    pipe = io.StringIO()
    monkeypatch.setattr(sys, "stderr", pipe)
    with counted("preparing", count, quiet=quiet) as step:
        for _ in range(count):
            clock[0] += seconds
            step()
    return pipe.getvalue().splitlines()


def test_a_log_has_a_line_every_ten_seconds(monkeypatch, clock):
    lines = told(monkeypatch, clock, 3.0, 10)
    assert lines == ["preparing 4/10, 0:00:18 left", "preparing 8/10, 0:00:06 left"]


def test_what_is_quick_or_quiet_leaves_no_line_in_a_log(monkeypatch, clock):
    assert told(monkeypatch, clock, 0.5, 10) == []
    assert told(monkeypatch, clock, 30.0, 10, quiet=True) == []


def test_a_terminal_of_80_columns_shows_the_count_and_the_bar(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm")
    with counted("preparing", 4) as step:
        step()
        step()
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.getvalue())
    lines = [line.rstrip() for line in re.split(r"[\r\n]+", text)]
    assert any(line.startswith("preparing 2/4 ━") for line in lines)
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize(("seconds", "text"), [(9.6, "0:00:10"), (3725, "1:02:05")])
def test_durations_read_as_those_of_bars(seconds, text):
    assert duration(seconds) == text
