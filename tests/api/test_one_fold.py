import json
import sys
from dataclasses import asdict, replace

import pytest

from hagan_clinic.api import one_fold
from hagan_clinic.api.one_fold import LOG, Fold, do_in_own_process
from hagan_clinic.errors import DeviceError, HaganClinicError, InputError
from hagan_clinic.training.registry import gather_settings


@pytest.fixture
def fold(tmp_path, monkeypatch):
    """A fold of a cohort that is not there, in the worker that a test is."""
    monkeypatch.setattr(one_fold, "own_threads", lambda: 1)
    monkeypatch.setattr(one_fold, "asked_to_stop", lambda: False)
    settings = gather_settings(
        "tiny", [], {"mode": "conditional", "data": "nowhere", "source": ("t1",), "target": "flair"}
    )
    place = tmp_path / "fold1"
    place.mkdir()
    return Fold(
        1, tmp_path, place, place / "run", settings, ("translation",), None, tmp_path / "cache"
    )


def test_what_ends_the_process_of_a_fold_is_raised_where_it_was_started(fold):
    with pytest.raises(InputError, match=r"nowhere.*\(more in .*log\.txt\)"):
        do_in_own_process(fold)
    assert "nowhere" in (fold.place / LOG).read_text()


@pytest.mark.parametrize(
    ("ending", "error", "words"),
    [
        ("os.kill(os.getpid(), 9)", DeviceError, "killed by signal 9, as .* memory runs out"),
        ("os.kill(os.getpid(), 11)", HaganClinicError, "ended by signal 11"),
        ("1 / 0", HaganClinicError, "crashed with exit code 1. .*ZeroDivisionError"),
    ],
)
def test_a_process_that_does_not_end_by_itself_is_told_from_a_device(
    fold, monkeypatch, ending, error, words
):
    program = fold.base / "python"
    program.write_text(f"#!{sys.executable}\nimport os, sys\nsys.stdin.readline()\n{ending}\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    with pytest.raises(error, match=words) as raised:
        do_in_own_process(fold)
    assert type(raised.value) is error


def test_a_process_is_ended_where_there_is_no_signal_to_save_by():
    class OnWindows:
        ended = False

        def send_signal(self, number):
            raise ValueError(f"Unsupported signal: {number}")

        def terminate(self):
            self.ended = True

    process = OnWindows()
    one_fold._stop(process)
    assert process.ended


def test_a_fold_that_is_told_to_stop_is_not_done(fold, monkeypatch):
    monkeypatch.setattr(one_fold, "asked_to_stop", lambda: True)
    assert do_in_own_process(fold) is False


def test_a_fold_travels_to_its_process_whole(fold):
    told = {**asdict(fold), "settings": fold.settings.to_json()}
    assert one_fold._from_json(json.loads(json.dumps(told, default=str))) == fold


def test_a_folder_that_a_machine_lacks_is_named(fold):
    with pytest.raises(InputError, match="in a folder that all machines share"):
        do_in_own_process(replace(fold, base=fold.base / "elsewhere"))
