"""Patients evaluated by the workers of a cluster, as on one machine."""

import json

import numpy as np
import pytest

from hagan_clinic.imageio import read, write
from hagan_clinic.training.run_folder import CONFIG, SPLIT


@pytest.fixture(scope="module")
def address():
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        memory_limit=0, n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0"
    ) as cluster:
        yield cluster.scheduler_address


def test_workers_find_what_one_process_finds(
    evaluate, address, translator, cohort, csv_rows, tmp_path, monkeypatch
):
    monkeypatch.chdir(translator.parent)  # where no worker is
    for name, more in (("here", ()), ("there", ("--cluster", address))):
        evaluate(
            "translation", translator.name, cohort, "-o", tmp_path / name,
            "--worst", "2", "--html", tmp_path / f"{name}.html", *more,
        )  # fmt: skip
    files = [sorted(path.name for path in (tmp_path / one).iterdir()) for one in ("here", "there")]
    assert files[0] == files[1]
    here, there = (csv_rows(tmp_path / one / "subjects.csv") for one in ("here", "there"))
    assert len(here) == len(there)
    for one, other in zip(here, there, strict=True):
        for field, value in one.items():
            if field in ("prediction", "form", "subject", "patient", "region"):
                assert other[field] == value
            else:
                assert float(other[field] or 0) == pytest.approx(float(value or 0), abs=1e-3)
    pictures = [path.name for path in (tmp_path / "here").glob("*.png")]
    assert pictures
    assert all((tmp_path / "there" / name).stat().st_size > 1000 for name in pictures)
    sizes = [(tmp_path / f"{one}.html").stat().st_size for one in ("here", "there")]
    assert sizes[1] == pytest.approx(sizes[0], rel=0.01)
    facts = json.loads((tmp_path / "there/means.json").read_text())
    assert f"2 workers on cpu, of {address}" in json.dumps(facts)


def test_a_patient_that_cannot_be_evaluated_ends_it_by_name(
    evaluate, address, translator, patients, tmp_path
):
    flair = read(patients.file(patients.names[-1], "flair"))
    write(flair.with_array(np.zeros_like(flair.array)), tmp_path / "empty.nii")
    table = patients.table(tmp_path / "cohort.csv", flair=tmp_path / "empty.nii")
    result = evaluate(
        "translation", translator, table, "-o", tmp_path / "o", "--cluster", address, code=3
    )
    assert f"error: {patients.names[-1]}: " in result.stderr


def test_a_run_folder_has_to_be_exported_first(evaluate, cohort, tmp_path):
    run = tmp_path / "hagan"
    run.mkdir()
    (run / CONFIG).touch()
    result = evaluate(
        "translation", run, cohort, "-o", tmp_path / "o", "--cluster", "local", code=3
    )
    assert f"`hagan-clinic export {run} -o hagan.onnx`" in result.stderr
    assert f"--split {run / SPLIT}" in result.stderr
