import csv
import json
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner

from hagan_clinic.api.generators import load_encoder
from hagan_clinic.cli import main
from hagan_clinic.imageio import read, write
from hagan_clinic.runtime.latents import read_latents


def invoke(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def patients(real_cohort):
    """The rows of the real cohort."""
    with real_cohort.open() as file:
        return list(csv.DictReader(file))


def test_a_cohort_is_encoded_with_its_names_and_masks(
    unconditional_parts, real_cohort, patients, tmp_path
):
    model = unconditional_parts["encoder"]
    result = invoke("encode", model, real_cohort, "-o", tmp_path / "z.npz")
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    latents = read_latents(tmp_path / "z.npz")
    assert latents.names == tuple(row["subject"] for row in patients)
    assert latents.latents.shape == (6, 8) and latents.labels == ()
    assert np.ptp(latents.latents, axis=0).max() > 1e-3
    encoder = load_encoder(model)
    assert latents.identity == encoder.identity
    first = encoder.encode(encoder.prepare(patients[0]["t1"], patients[0]["mask"]).array)
    assert (latents.latents[0] == first).all()


def test_a_run_folder_and_files_give_what_the_cohort_gives(
    unconditional_run, unconditional_parts, patients, tmp_path
):
    scans = [row["t1"] for row in patients[:2]]
    options = ["--mask", patients[0]["mask"], "-q"]
    for model, output in (
        (unconditional_run, "a.csv"),
        (unconditional_parts["encoder"], "b.csv"),
    ):
        result = invoke("encode", model, *scans, "-o", tmp_path / output, *options)
        assert result.exit_code == 0 and result.output == "", result.output
    one, other = (read_latents(tmp_path / name) for name in ("a.csv", "b.csv"))
    assert one.names == other.names == tuple(f"{row['subject']}_t1" for row in patients[:2])
    assert np.abs(one.latents - other.latents).max() < 1e-4


def test_a_whole_head_without_a_mask_is_warned_of(unconditional_parts, patients, tmp_path):
    model = unconditional_parts["encoder"]
    result = invoke("encode", model, patients[0]["t1"], "-o", tmp_path / "z.npz")
    assert result.exit_code == 0
    assert "trained on brains without skull, and no brain mask is given for" in result.stderr


def test_bad_scans_are_named_before_any_is_encoded(
    unconditional_parts, patients, tmp_path, monkeypatch
):
    scan = read(patients[0]["t1"])
    bad = {"nan": np.full(scan.shape, np.nan), "constant": np.full(scan.shape, 3.0)}
    for name, values in bad.items():
        write(scan.with_array(values.astype(np.float32)), tmp_path / f"{name}.nii.gz")
    (tmp_path / "cut.nii.gz").write_bytes(b"\x1f\x8b short")
    monkeypatch.setattr("hagan_clinic.runtime.synthesis.Encoder.encode", None)
    model = unconditional_parts["encoder"]
    for name, message in (
        ("nan", "NaN or infinite"),
        ("constant", "all voxels have the value 3: the image is constant"),
        ("cut", "cut.nii.gz"),
        ("none", "no such file"),
    ):
        files = [patients[0]["t1"], tmp_path / f"{name}.nii.gz"]
        result = invoke("encode", model, *files, "-o", tmp_path / "z.npz")
        assert result.exit_code == 3 and result.stderr.count("\n") == 1
        assert message in result.stderr and f"{name}.nii.gz" in result.stderr
    files = [tmp_path / "nan.nii.gz", tmp_path / "constant.nii.gz"]
    result = invoke("encode", model, *files, "-o", tmp_path / "z.npz")
    assert "2 of 2 scans cannot be used" in result.stderr
    assert not (tmp_path / "z.npz").exists()


@pytest.mark.parametrize("kind", ["empty", "shifted"])
def test_a_mask_that_does_not_fit_is_named(unconditional_parts, patients, tmp_path, kind):
    mask = read(patients[0]["mask"])
    affine = mask.affine.copy()
    affine[0, 3] += 5.0 * (kind == "shifted")
    path = tmp_path / "mask.nii.gz"
    write(type(mask)(mask.array * (kind != "empty"), affine), path)
    model = unconditional_parts["encoder"]
    result = invoke("encode", model, patients[0]["t1"], "-o", tmp_path / "z.npz", "--mask", path)
    assert result.exit_code == 3 and "mask.nii.gz" in result.stderr
    assert {"empty": "brain mask is empty", "shifted": "lies on another grid"}[
        kind
    ] in result.stderr


def test_two_scans_of_one_name_and_a_bad_output_are_refused(
    unconditional_parts, patients, tmp_path
):
    model, scan = unconditional_parts["encoder"], patients[0]["t1"]
    result = invoke("encode", model, scan, scan, "-o", tmp_path / "z.npz")
    assert result.exit_code == 3 and "several scans have the name" in result.stderr
    result = invoke("encode", model, scan, "-o", tmp_path / "z.nii.gz")
    assert result.exit_code == 6 and "expected .npz or .csv" in result.stderr
    result = invoke("encode", unconditional_parts["generator"], scan, "-o", tmp_path / "z.csv")
    assert result.exit_code == 4 and "expected the encoder" in result.stderr


_WITHOUT = """
import json, sys
names = json.loads(sys.argv[1])
sys.modules.update(dict.fromkeys(names))
from hagan_clinic.cli import main
try:
    main(sys.argv[2:])
except SystemExit as end:
    assert not end.code, end.code
loaded = {name.partition(".")[0] for name, module in sys.modules.items() if module}
print(json.dumps(sorted(loaded & set(names))))
"""
TRAINING = [
    *("torch", "torchio", "lightning", "lightning_fabric", "monai", "sklearn", "scipy"),
    *("matplotlib", "onnxscript", "safetensors", "tensorboard"),
]


def test_sample_and_encode_run_from_files_where_nothing_of_training_is_installed(
    unconditional_parts, real_cohort, tmp_path
):
    generator, encoder = (unconditional_parts[part] for part in ("generator", "encoder"))
    for arguments in (
        ["sample", generator, "-o", tmp_path / "samples", "-n", "1", "--montage", "-q"],
        ["encode", encoder, real_cohort, "-o", tmp_path / "z.npz", "-q"],
    ):
        command = [sys.executable, "-c", _WITHOUT, json.dumps(TRAINING), *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout) == []
    assert len(read_latents(tmp_path / "z.npz").names) == 6
    assert (tmp_path / "samples" / "sample_0001.nii.gz").exists()
