"""`benchmarks/on_gpu.py` on the CPU, at small sizes."""

import importlib
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hagan_clinic.training.registry import gather_settings

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SCRIPT = BENCHMARKS / "on_gpu.py"
RUN = {"config.json": "{}", "facts.json": "{}", "split.csv": "a", "last/state.json": '{"step": 7}'}


@pytest.fixture
def results(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS / "gpu")
    return importlib.import_module("results")


@pytest.fixture
def on_gpu(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("on_gpu")


def test_every_row_is_written_as_it_comes(results, tmp_path):
    found = results.Results(tmp_path, 3.0)
    found.add("cost", {"code": "ours", "steps/s": 4.25})
    found.add("cost", {"code": "theirs", "failed": "out of | memory"})
    found.skip("translate", "not installed: onnxruntime")
    table = (tmp_path / "results.md").read_text("utf-8")
    assert "| code | steps/s | failed |" in table
    assert "| ours | 4.25 |  |" in table
    assert "| theirs |  | out of / memory |" in table
    assert "skipped: not installed: onnxruntime" in table
    told = json.loads((tmp_path / "results.json").read_text("utf-8"))
    assert told["parts"]["cost"]["rows"][0]["steps/s"] == 4.25
    assert found.figure("cost", "steps/s") == 4.25
    assert found.figure("speed", "steps/s") is None


def test_weights_go_out_in_parts_and_come_back_as_a_run(results, tmp_path, monkeypatch):
    monkeypatch.setattr(results, "PART_BYTES", 1000)
    content = bytes(range(256)) * 10
    found = results.Results(tmp_path / "out", 3.0)
    weights = results.write_weights(tmp_path / "out", content)
    assert weights["parts"] == 3
    found.add("train", {"run": RUN, "weights": weights})
    assert "step 7" in results.restore(tmp_path / "out", tmp_path / "run")
    assert (tmp_path / "run" / results.AVERAGE).read_bytes() == content
    assert (tmp_path / "run" / "split.csv").read_text("utf-8") == "a"
    assert len(list((tmp_path / "out").iterdir())) == 5
    results.replace(tmp_path / "out" / "weights.01", bytes(1000))  # of the next checkpoint
    with pytest.raises(ValueError, match="two checkpoints"):
        results.restore(tmp_path / "out", tmp_path / "run")
    with pytest.raises(ValueError, match="expected 6 at most"):
        results.write_weights(tmp_path / "out", bytes(7000))


def test_a_part_that_fails_or_takes_too_long_ends_no_other(results, on_gpu, tmp_path, monkeypatch):
    (tmp_path / "gpu").mkdir()
    (tmp_path / "gpu" / "breaks.py").write_text("print('{\"a\": 1}', flush=True)\n1 / 0\n")
    (tmp_path / "gpu" / "sleeps.py").write_text("import time\ntime.sleep(60)\n")
    monkeypatch.setattr(on_gpu, "HERE", tmp_path)
    monkeypatch.setattr(on_gpu, "GRACE_S", 0.5)
    found = results.Results(tmp_path / "out", 3.0)
    began = time.monotonic()
    on_gpu.run("breaks", 20, [], found)
    on_gpu.run("sleeps", 2, [], found)
    assert time.monotonic() - began < 20
    parts = found.all["parts"]
    assert parts["breaks"]["rows"] == [{"a": 1}]
    assert "ZeroDivisionError" in parts["breaks"]["failed"]
    assert "ended with -" in parts["sleeps"]["failed"]


def test_brains_are_trained_by_their_file_of_settings_at_twice_the_resolution(results):
    told = importlib.import_module("given").given(["--trained=brain"])
    assert told.config == BENCHMARKS.parent / "export" / "brain" / "train.toml"
    config = gather_settings(None, [told.config], told.training | {"steps": 9})
    assert (config.size, config.spacing, config.refinements) == ((128, 128, 128), 1.5, 3)
    small = importlib.import_module("given").given(["--trained=brain", "--small"])
    assert gather_settings(None, [small.config], small.training).size == (32, 32, 32)


@pytest.mark.slow
def test_every_part_runs_and_the_weights_are_those_of_a_run(tmp_path):
    out, run = tmp_path / "out", tmp_path / "run"
    command = [sys.executable, SCRIPT, "--device=cpu", "--small", "--minutes=12", "-o", out]
    began = time.monotonic()
    subprocess.run(list(map(str, command)), check=True)
    assert time.monotonic() - began < 12 * 60
    parts = json.loads((out / "results.json").read_text("utf-8"))["parts"]
    for name, part in parts.items():
        assert "failed" not in part and "skipped" not in part, (name, part)
        assert part["rows"], name
    counted = parts["counted"]["rows"]
    assert {row["code"] for row in counted} == {"authors", "ours"}
    for unit in ("MiB", "TFLOP"):
        assert {row["code"] for row in counted if row.get(unit, 0) > 0} == {"authors", "ours"}
    assert len(list(out.iterdir())) <= 8
    subprocess.run([sys.executable, SCRIPT, "--restore", out, run], check=True)
    code = "from hagan_clinic.cli import main; main()"
    model = tmp_path / "model.onnx"
    subprocess.run([sys.executable, "-c", code, "export", run, "-o", model], check=True)
    assert model.stat().st_size > 0
