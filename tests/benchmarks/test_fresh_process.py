import sys
from pathlib import Path

import numpy as np
import pytest

MIB = 2**20


@pytest.fixture
def run(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    import fresh_process

    return fresh_process.run


def test_peak_is_the_command_s_own_whatever_its_caller_holds(run):
    held = np.ones(30 * MIB)  # 240 MiB
    cost = run([sys.executable, "-c", "block = bytearray(60 * 2**20)"])
    assert 60 * MIB < cost.peak_bytes < 100 * MIB < held.nbytes


def test_seconds_are_those_of_the_command(run):
    cost = run([sys.executable, "-c", "import time; time.sleep(0.5)"])
    assert cost.seconds >= 0.5
    assert 0 < cost.cpu_seconds < 0.4


def test_a_command_that_fails_ends_the_benchmark_with_its_output(run):
    command = [sys.executable, "-c", "print('what went wrong'); raise SystemExit(3)"]
    with pytest.raises(SystemExit, match=r"(?s)exited with 3:.*what went wrong"):
        run(command)
