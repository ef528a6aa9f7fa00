import os
import subprocess
import sys
import time

import pytest

from hagan_clinic.cli import COMMANDS

# As a shell asks: the words so far, the last one unfinished.
PROGRAM = "from hagan_clinic.cli import main; main(prog_name='hagan-clinic')"


def completed(*words):
    """What a shell would offer for the last word."""
    asked = {
        "_HAGAN_CLINIC_COMPLETE": "bash_complete",
        "COMP_WORDS": " ".join(["hagan-clinic", *words]),
        "COMP_CWORD": str(len(words)),
    }
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, env={**os.environ, **asked}, capture_output=True, text=True)
    assert done.stderr == ""
    return [line.partition(",")[2] for line in done.stdout.splitlines()]


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["tr"], ["translate", "train"]),
        (["evaluate", "tr"], ["translation"]),
        (["spool", "re"], ["retry", "release"]),
        (["translate", "--over"], ["--overwrite"]),
        (["translate", "--device", "cu"], ["cuda"]),
        (["train", "--precision", "bf"], ["bf16-mixed"]),
        (["-q", "exp"], ["export"]),
    ],
    ids=lambda words: " ".join(words),
)
def test_a_shell_completes_commands_options_and_choices(words, offered):
    assert sorted(completed(*words)) == sorted(offered)


def test_a_shell_has_every_command_within_a_second():
    took = []
    for _ in range(3):  # others use this machine too
        started = time.monotonic()
        assert completed("") == list(COMMANDS)
        took.append(time.monotonic() - started)
    assert min(took) < 1


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_there_is_a_script_for_each_shell(shell):
    asked = {**os.environ, "_HAGAN_CLINIC_COMPLETE": f"{shell}_source"}
    command = [sys.executable, "-c", PROGRAM]
    script = subprocess.run(command, env=asked, capture_output=True, text=True, check=True).stdout
    assert "hagan-clinic" in script and f"{shell}_complete" in script
