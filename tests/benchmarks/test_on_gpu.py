"""`benchmarks/on_gpu.py` on the CPU, at small sizes."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "on_gpu.py"


def on_gpu(out, parts, minutes=3.0, *more):
    command = [sys.executable, SCRIPT, "--device=cpu", "--small", f"--minutes={minutes}"]
    began = time.monotonic()
    done = subprocess.run(
        [*map(str, command), "-o", str(out), f"--parts={parts}", *more],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - began < 60 * minutes
    return json.loads((out / "results.json").read_text("utf-8"))["parts"]


def test_what_a_step_takes_is_counted(tmp_path):
    parts = on_gpu(tmp_path, "counted")
    rows = parts["counted"]["rows"]
    assert {row["code"] for row in rows} == {"authors", "ours"}
    assert all(row["MiB"] > 0 and row["TFLOP"] > 0 for row in rows)
    table = (tmp_path / "results.md").read_text("utf-8")
    assert "| ours | bf16 | 2 |" in table


@pytest.mark.slow
def test_every_part_runs_and_the_weights_are_those_of_a_run(tmp_path):
    out, run = tmp_path / "out", tmp_path / "run"
    parts = on_gpu(out, "tests,counted,cost,profiled,prepare,speed,translate,train", 6.0)
    for name, part in parts.items():
        assert "failed" not in part and "skipped" not in part, (name, part)
        assert part["rows"], name
    assert len(list(out.iterdir())) <= 8
    assert all(path.stat().st_size <= 16 * 2**20 for path in out.glob("weights.*"))
    subprocess.run([sys.executable, SCRIPT, "--restore", out, run], check=True)
    exported = tmp_path / "model.onnx"
    code = "from hagan_clinic.cli import main; main()"
    subprocess.run([sys.executable, "-c", code, "export", run, "-o", exported], check=True)
    assert exported.stat().st_size > 0


@pytest.mark.slow
def test_a_part_that_fails_ends_no_other(tmp_path):
    parts = on_gpu(tmp_path, "prepare,translate", 2.0, f"--data={tmp_path}/missing.csv")
    assert "missing.csv" in parts["prepare"]["failed"]
    assert parts["translate"]["rows"]
