import sys

import numpy as np
import pytest

from hagan_clinic.errors import DeviceError
from hagan_clinic.evaluation.fresh_process import run

MIB = 2**20


def test_peak_is_the_command_s_own_whatever_its_caller_holds():
    held = np.ones(30 * MIB)  # 240 MiB
    cost = run([sys.executable, "-c", "block = bytearray(60 * 2**20)"])
    assert 60 * MIB < cost.peak_bytes < 100 * MIB < held.nbytes


def test_seconds_are_those_of_the_command():
    cost = run([sys.executable, "-c", "import time; time.sleep(0.5)"])
    assert cost.seconds >= 0.5
    assert 0 < cost.cpu_seconds < 0.4


def test_a_command_that_fails_is_named_with_its_output():
    command = [sys.executable, "-c", "print('what went wrong'); raise SystemExit(3)"]
    with pytest.raises(DeviceError, match=r"(?s)exited with 3:.*what went wrong"):
        run(command)
