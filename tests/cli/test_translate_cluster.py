"""Cohorts on the workers of a cluster: the same results, each once, though a worker is killed."""

import csv
import os
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from click.testing import CliRunner

from hagan_clinic.cli import cluster_batch, main
from hagan_clinic.cli.batch import TranslationTask
from hagan_clinic.cli.one_translation import Settings
from hagan_clinic.errors import DeviceError
from hagan_clinic.runtime import load_model
from hagan_clinic.runtime.providers import Device

EXAMPLE = Path(__file__).parents[2] / "examples/open_ms_patient07/open_ms_patient07_t1.nii.gz"


@pytest.fixture(scope="module")
def workers():
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        memory_limit=0, n_workers=3, threads_per_worker=1, dashboard_address="127.0.0.1:0"
    ) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    """Twelve patients: a real head at 4 mm, brighter from one to the next; and one damaged file."""
    folder = tmp_path_factory.mktemp("cluster") / "cohort"
    head = nib.load(EXAMPLE).slicer[::4, ::4, ::4]
    for number in range(12):
        (folder / f"p{number:02}").mkdir(parents=True)
        bright = nib.Nifti1Image(head.get_fdata(dtype="float32") * (number + 1), head.affine)
        nib.save(bright, folder / f"p{number:02}/t1.nii.gz")
    (folder / "p03/t1.nii.gz").write_bytes(b"rubbish")
    return folder


def _translate(*arguments):
    return CliRunner().invoke(main, ["translate", *map(str, arguments)])


def _rows(folder):
    with (folder / "results.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def _kill_one(workers, table):
    """SIGKILL for a worker once two scans are done."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if table.exists() and len(table.read_text().splitlines()) > 2:
            os.kill(next(iter(workers.workers.values())).pid, signal.SIGKILL)
            return
        time.sleep(0.01)


def test_a_killed_worker_costs_no_scan_and_each_has_one_row(
    workers, cohort, toy_generator, tmp_path
):
    out, here = tmp_path / "out", tmp_path / "here"
    killer = threading.Thread(target=_kill_one, args=(workers, out / "results.csv"))
    killer.start()
    result = _translate(
        cohort, "-o", out, "--model", toy_generator, "--cluster", workers.scheduler_address
    )
    killer.join()
    assert result.exit_code == 3, result.output  # of the damaged scan, as without a cluster
    assert "was lost; what it had is done by another" in result.stderr
    assert f"11 of 12 translated, toy on the cluster {workers.scheduler_address}: " in result.stdout
    assert "workers on cpu" in result.stdout
    rows = _rows(out)
    assert sorted(row["subject"] for row in rows) == [f"p{n:02}" for n in range(12)]
    assert [row["subject"] for row in rows if row["status"] == "failed"] == ["p03"]
    assert [path for path in out.rglob(".*") if path.is_file()] == []

    plain = _translate(cohort, "-o", here, "--model", toy_generator, "--device", "cpu")
    assert plain.exit_code == 3
    fields = ("subject", "status", "reason", "warnings")
    both = [sorted(tuple(row[f] for f in fields) for row in _rows(f)) for f in (out, here)]
    assert both[0] == both[1]
    for path in here.rglob("*.nii.gz"):
        other = nib.load(out / path.relative_to(here))
        np.testing.assert_allclose(other.get_fdata(), nib.load(path).get_fdata(), atol=1e-4)

    again = _translate(
        cohort, "-o", out, "--model", toy_generator, "--cluster", workers.scheduler_address,
        "--skip-existing",
    )  # fmt: skip
    assert "0 of 12 translated, 11 kept" in again.stdout


def test_a_scan_whose_worker_died_before_it_told_is_done_again_and_no_other_is_replaced(
    cohort, toy_generator, tmp_path, monkeypatch
):
    monkeypatch.setattr(cluster_batch, "own_threads", lambda: 1)
    monkeypatch.setattr(cluster_batch, "own_memory", lambda: None)
    monkeypatch.setattr(cluster_batch, "own_address", lambda: "")
    job = TranslationTask(cohort / "p00/t1.nii.gz", tmp_path / "flair.nii.gz")
    sha256 = load_model(toy_generator).sha256
    where = cluster_batch.Cluster("", "cpu")
    order = cluster_batch._Order(job, where, str(toy_generator), sha256, Settings(), is_new=True)
    assert cluster_batch._done(order).result.status == "translated"
    assert cluster_batch._done(order).result.status == "translated"
    refused = cluster_batch._done(replace(order, is_new=False)).result
    assert (refused.status, refused.exit_code) == ("failed", 6)
    (tmp_path / "flair.json").write_text("{}")  # of another tool, which wrote meanwhile
    assert cluster_batch._done(order).result.exit_code == 6


def test_a_worker_with_another_model_file_is_named(workers, cohort, toy_generator):
    model = replace(load_model(toy_generator), sha256="0" * 64)
    results = cluster_batch.Cluster(workers.scheduler_address).results(
        [], model, str(toy_generator), Settings(), None, None
    )
    with pytest.raises(DeviceError, match=rf"tcp://\S+ has {load_model(toy_generator).sha256}"):
        list(results)


def test_a_device_that_no_worker_has_ends_the_command(workers, cohort, toy_generator, tmp_path):
    result = _translate(
        cohort, "-o", tmp_path / "out", "--model", toy_generator, "--device", "tensorrt",
        "--cluster", workers.scheduler_address,
    )  # fmt: skip
    assert result.exit_code == 5
    assert "is refused: " in result.stderr and "no worker is fit: " in result.stderr
    assert not (tmp_path / "out/p00").exists()


def test_a_worker_that_falls_back_to_the_cpu_is_named_once(
    cohort, toy_generator, tmp_path, monkeypatch
):
    distributed = pytest.importorskip("distributed")
    fallen = Device("auto", "cpu", "running on the CPU, as CUDA cannot be used: no cuDNN")
    monkeypatch.setattr("hagan_clinic.runtime.translation.choose_device", lambda *_, **__: fallen)
    with distributed.LocalCluster(
        memory_limit=0, n_workers=1, processes=False, dashboard_address="127.0.0.1:0"
    ) as one:
        result = _translate(
            *(cohort / name / "t1.nii.gz" for name in ("p00", "p01")), "-o", tmp_path / "out",
            "--model", toy_generator, "--cluster", one.scheduler_address,
        )  # fmt: skip
    assert result.exit_code == 0, result.output
    told = [line for line in result.stderr.splitlines() if fallen.note in line]
    assert len(told) == 1 and told[0].startswith(f"warning: worker {one.scheduler_address[:9]}")
    assert f"toy on the cluster {one.scheduler_address}: 1 worker on cpu" in result.stdout


def test_a_cluster_for_one_scan_is_wrong_usage(cohort, tmp_path):
    result = _translate(
        cohort / "p00/t1.nii.gz", "-o", tmp_path / "flair.nii.gz", "--cluster", "local"
    )
    assert result.exit_code == 2
    assert "goes with a cohort, or with several scans" in result.stderr
