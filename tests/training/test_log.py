import csv
import io
import re
import time

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from hagan_clinic.errors import OutputError
from hagan_clinic.runtime import memory
from hagan_clinic.training.log import RunLog, peak_memory_gib


def logged(folder):
    with (folder / "metrics.csv").open(newline="") as file:
        return [(int(row["step"]), float(row["value"])) for row in csv.DictReader(file)]


def in_tensorboard(folder):
    events = EventAccumulator(str(folder / "tensorboard")).Reload()
    return [(event.step, event.value) for event in events.Scalars("train/high")]


def write(folder, start, steps, value):
    with RunLog(folder, 10, start) as log:
        for step in steps:
            log.metrics(step, {"train/high": value})


def test_a_resumed_run_drops_what_came_after_its_checkpoint(tmp_path):
    write(tmp_path, 0, range(1, 6), 1.0)
    write(tmp_path, 3, range(4, 8), 2.0)
    expected = [(step, 1.0 if step <= 3 else 2.0) for step in range(1, 8)]
    assert logged(tmp_path) == expected
    assert in_tensorboard(tmp_path) == expected


def test_a_run_that_starts_over_drops_everything(tmp_path):
    write(tmp_path, 0, range(1, 6), 1.0)
    write(tmp_path, 0, range(1, 3), 2.0)
    assert logged(tmp_path) == in_tensorboard(tmp_path) == [(1, 2.0), (2, 2.0)]


def test_a_line_that_a_crash_has_torn_is_dropped(tmp_path):
    write(tmp_path, 0, range(1, 4), 1.0)
    path = tmp_path / "metrics.csv"
    path.write_bytes(path.read_bytes() + b"4,train/high,1\r\n3,train/lo\xff")
    write(tmp_path, 3, [4], 2.0)
    assert logged(tmp_path) == [(1, 1.0), (2, 1.0), (3, 1.0), (4, 2.0)]


def test_a_picture_is_a_file_too_and_says_that_it_is_synthetic(tmp_path):
    picture = np.random.default_rng(0).integers(0, 256, (40, 220), dtype=np.uint8)
    with RunLog(tmp_path, 10, 0) as log:
        log.picture(7, "calibration", picture)
    with Image.open(tmp_path / "montages" / "step_0000007.png") as saved:
        rows = np.asarray(saved)
        assert saved.text["Title"].startswith("SYNTHETIC, NOT FOR DIAGNOSIS: calibration at step 7")
    assert np.array_equal(rows[:40], picture)
    words = rows[40:]
    assert words.max() == 255
    margins = np.flatnonzero(words.any(axis=0))[[0, -1]]
    assert margins[0] > 0 and margins[1] < 219
    shown = EventAccumulator(str(tmp_path / "tensorboard")).Reload().Images("calibration")[0]
    with Image.open(io.BytesIO(shown.encoded_image_string)) as logged_picture:
        assert np.array_equal(np.asarray(logged_picture.convert("L")), rows)


METRICS = {f"train/metric_{letter}": 0.125 for letter in "abcdefghijkl"}


def test_a_terminal_of_80_columns_shows_step_bar_and_time_and_the_metrics_under_them(
    tmp_path,
):
    with RunLog(tmp_path, 20000, 0) as log:
        log.progress.start_task(log.task)
        log.step(5000)
        log.metrics(5000, METRICS)
        screen = Console(width=80, force_terminal=True, color_system=None, file=io.StringIO())
        with screen.capture() as shown:
            screen.print(log.progress.get_renderable())
    bar, *below = shown.get().splitlines()
    assert re.fullmatch(r"step +5000/20000 ━+ +(\d+:\d\d:\d\d|-:--:--) *", bar)
    assert max(map(len, [bar, *below])) <= 80
    assert " ".join(" ".join(below).split()) == " ".join(f"{n[6:]} 0.125" for n in METRICS)


def test_a_log_of_training_says_step_time_left_and_metrics_in_a_line(tmp_path, capsys):
    with RunLog(tmp_path, 100, 0) as log:
        for step in range(1, 4):
            log.step(step)
            time.sleep(0.01)
        log.metrics(3, {"train/high": 0.25})
    line, *others = capsys.readouterr().err.splitlines()
    assert re.fullmatch(r"step 3/100  0:00:0\d left  high 0.25", line)
    assert others == []


def test_a_silent_log_writes_nothing(tmp_path):
    with RunLog(tmp_path, 10, 0, active=False) as log:
        log.step(1)
        log.metrics(1, {"train/high": 1.0})
        log.picture(1, "calibration", np.zeros((2, 2), np.uint8))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_full_disk_is_named(small_disk):
    def fill_and_log():
        with RunLog(small_disk, 10, 0) as log:
            log.metrics(1, {"train/high": 1.0})
            with (
                pytest.raises(OSError, match="No space"),
                (small_disk / "other").open("wb") as file,
            ):
                file.write(bytes(1 << 20))
            for step in range(2, 4000):
                log.metrics(step, {"train/high": 1.0})

    with pytest.raises(OutputError, match=r"cannot write the log in .*: No space left on device"):
        fill_and_log()


def test_peak_memory_is_that_of_a_python_process():
    assert 0.05 < peak_memory_gib(torch.device("cpu")) < 100


def test_peak_memory_that_the_system_does_not_tell_is_no_number(monkeypatch):
    monkeypatch.setattr(memory, "peak", lambda: None)
    assert np.isnan(peak_memory_gib(torch.device("cpu")))
